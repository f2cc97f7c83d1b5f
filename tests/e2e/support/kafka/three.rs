//! Three brokers in one cluster, each of them a controller too: any one of them may go. Tests take them in turns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use krafka::admin::{
    AlterPartitionReassignmentsOptions, ElectLeadersOptions, ElectionType, NewTopic,
    PartitionDescription, TopicPartition,
};

use super::{Kafka, SCRIPT, Version, hold, script};
use crate::support::comet::Comet;
use crate::support::job::JobCommand;
use crate::support::proxy::Proxy;
use crate::support::topic::Topic;
use crate::support::{await_until, free_port, is, runtime};

pub const BROKERS: [i32; 3] = [1, 2, 3];

/// The topic of what groups commit.
const OFFSETS: &str = "__consumer_offsets";

/// What job speaks with the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Plain,
    /// TLS with SCRAM-SHA-512.
    SaslSsl,
    /// The same, by way of [`Three::counting`].
    Counted,
}

pub struct Three {
    pub kafka: Kafka,
    folder: PathBuf,
    plain: [u16; 3],
    sasl_ssl: [u16; 3],
    /// By broker, what counts the bytes of [`Over::Counted`].
    pub counting: [Proxy; 3],
    /// Those that a test ended or halted.
    broken: Mutex<BTreeSet<i32>>,
}

/// The brokers of this version, whole, until the turn ends.
pub fn three(version: Version) -> Turn {
    static CLUSTERS: [OnceLock<Three>; 3] = [const { OnceLock::new() }; 3];
    static TURNS: [Mutex<()>; 3] = [const { Mutex::new(()) }; 3];
    let turn = TURNS[version as usize].lock();
    let turn = turn.unwrap_or_else(PoisonError::into_inner);
    let three = CLUSTERS[version as usize].get_or_init(|| Three::start(version));
    three.await_in_sync(OFFSETS);
    Turn { three, _turn: turn }
}

pub struct Turn {
    three: &'static Three,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for Turn {
    type Target = Three;

    fn deref(&self) -> &Three {
        self.three
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        for broker in self.three.take_broken() {
            let folder = self.three.folder_of(broker);
            if thread::panicking() {
                // Whatever comes of it, the test has failed.
                let run = |command| Command::new(SCRIPT).arg(command).arg(&folder).output();
                let _ = run("thaw").and_then(|_| run("again"));
            } else {
                script("again", &folder);
            }
        }
    }
}

impl Three {
    fn start(version: Version) -> Three {
        let [plain, sasl_ssl, counted] = [(); 3].map(|()| BROKERS.map(|_| free_port()));
        let counting = counted.map(|port| Proxy::start(format!("127.0.0.1:{port}")));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "kafka-three-{}-{}",
            version.name(),
            std::process::id()
        ));
        let listeners_of = |n: usize| {
            let (plain, sasl_ssl, counted) = (plain[n], sasl_ssl[n], counted[n]);
            [
                format!("plaintext:{plain}"),
                format!("sasl_ssl:{sasl_ssl}@localhost:{sasl_ssl}"),
                format!("sasl_ssl:{counted}@{}", counting[n].address()),
            ]
            .map(|listener| format!("{}/{listener}", BROKERS[n]))
        };
        let listeners: Vec<String> = (0..3).flat_map(listeners_of).collect();
        let mut options = vec![
            "--cluster",
            "--heap",
            "256m",
            "--security",
            "sasl_plaintext",
        ];
        for listener in &listeners {
            options.extend(["--listener", listener]);
        }
        let (keeper, addresses) = hold(version, &folder, &options);
        let first = addresses
            .split(',')
            .next()
            .and_then(|a| a.rsplit(':').next());
        let port = first.and_then(|port| port.parse().ok()).expect("a port");
        let mut kafka = Kafka::connected(version, port, folder.join("1"), keeper, addresses);
        kafka.replicas = 3;
        Three {
            kafka,
            folder,
            plain,
            sasl_ssl,
            counting,
            broken: Mutex::default(),
        }
    }

    fn take_broken(&self) -> BTreeSet<i32> {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut broken)
    }

    fn folder_of(&self, broker: i32) -> PathBuf {
        self.folder.join(broker.to_string())
    }

    fn break_with(&self, command: &str, broker: i32) {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.insert(broker);
        script(command, &self.folder_of(broker));
    }

    /// SIGKILL. It is started again when the test is over.
    pub fn kill(&self, broker: i32) {
        self.break_with("kill", broker);
    }

    /// In order: it hands over what it leads first.
    pub fn stop(&self, broker: i32) {
        self.break_with("stop", broker);
    }

    /// Starts one that was stopped or killed.
    pub fn again(&self, broker: i32) {
        script("again", &self.folder_of(broker));
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        broken.remove(&broker);
    }

    /// A topic of so many partitions, led by the brokers in turn, with all of them as replicas.
    pub fn topic(&self, partitions: i32) -> Topic<'_> {
        let replicas = |partition: i32| (0..3).map(move |n| BROKERS[(partition + n) as usize % 3]);
        self.placed_topic((0..partitions).map(|p| replicas(p).collect()))
    }

    /// A topic whose partitions have these replicas, the first of which is to lead.
    pub fn placed_topic(&self, replicas: impl IntoIterator<Item = Vec<i32>>) -> Topic<'_> {
        let topic = Topic::missing(&self.kafka);
        let placed: HashMap<_, _> = (0..).zip(replicas).collect();
        let new = NewTopic::with_replica_assignment(&topic.name, placed).expect("a valid topic");
        let admin = self.kafka.client.admin();
        let made = runtime()
            .block_on(admin.create_topics([new], Default::default()))
            .expect("Kafka answers");
        for result in made.into_values() {
            result.expect("the topic is made");
        }
        self.await_in_sync(&topic.name);
        topic
    }

    /// The addresses of these brokers.
    pub fn addresses(&self, over: Over, brokers: &[i32]) -> Vec<String> {
        let of = |&broker: &i32| match over {
            Over::Plain => format!("127.0.0.1:{}", self.plain[broker as usize - 1]),
            Over::SaslSsl => format!("localhost:{}", self.sasl_ssl[broker as usize - 1]),
            Over::Counted => self.counting[broker as usize - 1].address(),
        };
        brokers.iter().map(of).collect()
    }

    /// A job that reads a topic of these brokers.
    pub fn job(&self, topic: &Topic<'_>, over: Over, comet: &Comet) -> JobCommand {
        self.job_at(
            &self.addresses(over, &BROKERS).join(","),
            topic,
            over,
            comet,
        )
    }

    /// One that knows them by these addresses.
    pub fn job_at(
        &self,
        addresses: &str,
        topic: &Topic<'_>,
        over: Over,
        comet: &Comet,
    ) -> JobCommand {
        let job = JobCommand::new()
            .flag("--brokers", addresses)
            .flag("--topic", &topic.name)
            .flag("--group", &topic.group)
            .flag("--comet", &comet.address());
        let secret = |name: &str| {
            let path = self.folder.join("secrets").join(name);
            path.to_str().expect("a folder's name is text").to_owned()
        };
        match over {
            Over::Plain => job,
            Over::SaslSsl | Over::Counted => job
                .flag("--security-protocol", "SASL_SSL")
                .flag("--ssl-ca-location", &secret("ca.pem"))
                .flag("--sasl-mechanism", "SCRAM-SHA-512")
                .flag("--sasl-username", "job")
                .flag("--sasl-password-file", &secret("password")),
        }
    }

    /// The broker that looks after a group.
    pub fn coordinator(&self, group: &str) -> i32 {
        let leader = self.partitions(OFFSETS)[&self.place_of(group)].leader;
        leader.expect("the group's partition has a leader")
    }

    /// Has another broker look after a group.
    #[track_caller]
    pub fn move_group(&self, group: &str) {
        let next = self.coordinator(group) % 3 + 1;
        self.move_leader_of(OFFSETS, self.place_of(group), next);
    }

    /// The partition of [`OFFSETS`] that has what a group commits, as Java counts, and Kafka after it.
    fn place_of(&self, group: &str) -> i32 {
        let units = group.encode_utf16().map(i32::from);
        let hash = units.fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(unit));
        (hash & i32::MAX) % self.partitions(OFFSETS).len() as i32
    }

    /// The broker that leads a partition, where one does.
    pub fn leader(&self, topic: &Topic<'_>, partition: i32) -> Option<i32> {
        self.partitions(&topic.name)[&partition].leader
    }

    fn partitions(&self, topic: &str) -> BTreeMap<i32, PartitionDescription> {
        let described = self.kafka.client.admin();
        let described = described.describe_topics([topic], Default::default());
        let described = runtime().block_on(described).expect("Kafka answers");
        let found = described.into_values().flatten();
        found
            .flat_map(|topic| topic.partitions)
            .map(|p| (p.partition, p))
            .collect()
    }

    /// Waits until each partition of a topic, where there is such a topic, has its leader and all its replicas.
    #[track_caller]
    pub fn await_in_sync(&self, topic: &str) {
        await_until("all replicas in sync", || {
            let whole =
                |p: &&PartitionDescription| p.leader.is_some() && p.isr.len() == p.replicas.len();
            let partitions = self.partitions(topic);
            let part = partitions.values().find(|p| !whole(p));
            part.map_or(Ok(()), |part| Err(format!("{part:?}")))
        });
    }

    /// The replicas of a partition that have all of it, by number.
    pub fn in_sync(&self, topic: &Topic<'_>, partition: i32) -> Vec<i32> {
        let mut in_sync = self.partitions(&topic.name)[&partition].isr.clone();
        in_sync.sort_unstable();
        in_sync
    }

    /// Asks for an election, which may not come to anything yet.
    pub fn elect(&self, how: ElectionType, topic: &str, partition: i32) {
        let of = TopicPartition::new(topic, partition);
        let admin = self.kafka.client.admin();
        let elected = admin.elect_leaders(how, Some(vec![of]), ElectLeadersOptions::default());
        let _ = runtime().block_on(elected);
    }

    /// Has another broker lead a partition.
    #[track_caller]
    pub fn move_leader(&self, topic: &Topic<'_>, partition: i32, to: i32) {
        self.move_leader_of(&topic.name, partition, to);
    }

    #[track_caller]
    fn move_leader_of(&self, topic: &str, partition: i32, to: i32) {
        let of = TopicPartition::new(topic, partition);
        let mut replicas = self.partitions(topic)[&partition].replicas.clone();
        replicas.sort_by_key(|&broker| broker != to);
        let admin = self.kafka.client.admin();
        let options = AlterPartitionReassignmentsOptions::default();
        let order = admin.alter_partition_reassignments([(of, Some(replicas))], options);
        for result in runtime()
            .block_on(order)
            .expect("Kafka answers")
            .into_values()
        {
            result.expect("the replicas have another order");
        }
        await_until("another leader", || {
            self.elect(ElectionType::Preferred, topic, partition);
            is(self.partitions(topic)[&partition].leader, Some(to))
        });
    }
}
