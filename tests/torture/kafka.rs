//! The campaign's Kafka: started, broken and repaired by `scripts/kafka`, and asked directly, not through a proxy.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use chatroom_job::message::offset_map;
use krafka::Kafka as Client;
use krafka::admin::{NewTopic, OffsetSpec};
use krafka::auth::AuthConfig;
use krafka::consumer::{AutoOffsetReset, ConsumerRecord, IsolationLevel, TopicPartition};

pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");

pub const TOPIC: &str = "torture";
pub const DEAD_LETTERS: &str = "torture.dead-letter";
pub const GROUP: &str = "torture";

/// How many brokers a cluster has. Kafka counts them from 1.
pub const BROKERS: usize = 3;

/// One broker or several, with a listener for the campaign itself, and one for each job.
pub struct Kafka {
    pub folder: PathBuf,
    pub entry: Entry,
    /// Ends the broker when its standard input closes, however this process ends.
    keeper: Child,
}

/// With `--group-protocol consumer` the broker sets the session: as long as job's own with `classic`.
const SHORT_SESSIONS: [&str; 4] = [
    "group.consumer.min.session.timeout.ms=10000",
    "group.consumer.session.timeout.ms=10000",
    "group.consumer.min.heartbeat.interval.ms=1000",
    "group.consumer.heartbeat.interval.ms=1000",
];

impl Kafka {
    /// Starts it. `jobs` are the port at which it listens for each job, and the address that it tells that job.
    pub fn start(
        version: &str,
        folder: &Path,
        port: u16,
        controller: u16,
        jobs: &[(u16, SocketAddr)],
    ) -> Result<Kafka, String> {
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
        let mut advertised = listeners.clone();
        let mut protocols = "PLAINTEXT:PLAINTEXT".to_owned();
        for (n, (port, address)) in jobs.iter().enumerate() {
            listeners += &format!(",JOB{n}://127.0.0.1:{port}");
            advertised += &format!(",JOB{n}://{address}");
            protocols += &format!(",JOB{n}:PLAINTEXT");
        }
        let zookeeper = [
            "0.", "1.", "2.", "3.0.", "3.1.", "3.2.", "3.3.", "3.4.", "3.5.", "3.6.", "3.7.",
        ]
        .iter()
        .any(|old| version.starts_with(old));
        let mut set = vec![format!("inter.broker.listener.name=PLAINTEXT")];
        if !zookeeper {
            listeners += &format!(",CONTROLLER://127.0.0.1:{controller}");
            protocols += ",CONTROLLER:PLAINTEXT";
            set.push(format!("controller.quorum.voters=1@127.0.0.1:{controller}"));
        }
        if version.starts_with("4.") {
            set.extend(SHORT_SESSIONS.map(Into::into));
        }
        set.push(format!("listeners={listeners}"));
        set.push(format!("advertised.listeners={advertised}"));
        set.push(format!("listener.security.protocol.map={protocols}"));
        let mut command = Command::new(SCRIPT);
        command.args([
            "hold",
            "--version",
            version,
            "--port",
            &port.to_string(),
            "--dir",
        ]);
        command.arg(folder);
        for setting in &set {
            command.args(["--set", setting]);
        }
        let entry = Entry {
            addresses: format!("127.0.0.1:{port}"),
            password: None,
        };
        Kafka::held(command, folder, |_| Ok(entry))
    }

    /// Runs `scripts/kafka hold`, until it says where Kafka is.
    pub fn held(
        mut command: Command,
        folder: &Path,
        entry: impl FnOnce(&str) -> Result<Entry, String>,
    ) -> Result<Kafka, String> {
        let mut keeper = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{SCRIPT} does not start: {e}"))?;
        let errors = keeper.stderr.take();
        let said = thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut errors) = errors {
                // What could be read of it is shown.
                let _ = errors.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let ready = keeper.stdout.take().and_then(|output| {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.find_map(|line| line.strip_prefix("ready ").map(str::to_owned))
        });
        let Some(addresses) = ready else {
            drop(keeper.stdin.take());
            let said = said.join().unwrap_or_default();
            return Err(format!("Kafka does not start: {said}"));
        };
        Ok(Kafka {
            folder: folder.to_owned(),
            entry: entry(&addresses)?,
            keeper,
        })
    }

    pub async fn client(&self) -> Result<Client, String> {
        self.entry.connect().await
    }
}

/// How the campaign itself comes to Kafka.
#[derive(Clone)]
pub struct Entry {
    pub addresses: String,
    /// Of the user admin, where there is one.
    pub password: Option<String>,
}

impl Entry {
    pub async fn connect(&self) -> Result<Client, String> {
        let client = Client::builder(&self.addresses).client_id("torture");
        let client = match &self.password {
            Some(password) => client.security(AuthConfig::sasl_plain("admin", password)),
            None => client,
        };
        let connected = client.connect().await;
        connected.map_err(|e| format!("Kafka at {} can't be reached: {e}", self.addresses))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // An error means that it has ended already, which is what is wanted.
        let _ = self.keeper.wait();
    }
}

/// Runs a command of the script: stop, again, kill, freeze, thaw.
pub fn script(command: &str, folder: &Path) -> Result<(), String> {
    let done = Command::new(SCRIPT)
        .arg(command)
        .arg(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{SCRIPT} does not start: {e}"))?;
    if done.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{SCRIPT} {command}: {}",
            String::from_utf8_lossy(&done.stderr)
        ))
    }
}

pub async fn create_topic(client: &Client, partitions: i32) -> Result<(), String> {
    let failed = |e| format!("the topic {TOPIC} can't be made: {e}");
    // As many replicas as is usual there.
    let topic = NewTopic::new(TOPIC, partitions, -1).map_err(failed)?;
    let mut made = client
        .admin()
        .create_topics([topic], Default::default())
        .await
        .map_err(failed)?;
    made.remove(TOPIC)
        .ok_or("Kafka says nothing about the new topic")?
        .map_err(failed)
}

/// Makes sure that the topic has so many partitions, and that they can be written to.
pub async fn grow_topic(client: &Client, partitions: i32) -> Result<(), String> {
    let failed = |e| format!("partitions of {TOPIC} can't be added: {e}");
    let grown = client
        .admin()
        .create_partitions([(TOPIC, partitions)], Default::default())
        .await
        .map_err(failed)?;
    // It is refused where an earlier attempt did it: what is there counts.
    let ends = ends(client, TOPIC).await?;
    if ends.len() as i32 >= partitions {
        return Ok(());
    }
    Err(format!(
        "{TOPIC} has {} of {partitions} partitions: {grown:?}",
        ends.len()
    ))
}

async fn ends(client: &Client, topic: &str) -> Result<BTreeMap<i32, i64>, String> {
    let failed = |e| format!("the ends of {topic} can't be read: {e}");
    let admin = client.admin();
    let described = admin
        .describe_topics([topic], Default::default())
        .await
        .map_err(failed)?
        .remove(topic);
    let Some(Ok(description)) = described else {
        return Ok(BTreeMap::new());
    };
    let partitions = description
        .partitions
        .iter()
        .map(|p| (TopicPartition::new(topic, p.partition), OffsetSpec::Latest));
    let listed = admin
        .list_offsets(partitions, Default::default())
        .await
        .map_err(failed)?;
    listed
        .into_iter()
        .map(|(tp, end)| Ok((tp.partition, end.map_err(failed)?.offset)))
        .collect()
}

/// By partition, how many records the group hasn't committed, and how often a Comet misses one of the others.
pub async fn lag(client: &Client) -> Result<BTreeMap<i32, i64>, String> {
    let failed = |e| format!("the group's offsets can't be read: {e}");
    let ends = ends(client, TOPIC).await?;
    let committed = client
        .admin()
        .list_consumer_group_offsets(GROUP, Default::default())
        .await
        .map_err(failed)?;
    let mut lag = ends;
    for (tp, offset) in committed {
        if let (true, Some(end)) = (tp.topic == TOPIC, lag.get_mut(&tp.partition)) {
            let committed = offset.map_err(failed)?;
            let offset = committed.offset.unwrap_or(0);
            let metadata = committed.metadata.unwrap_or_default();
            let map = offset_map::decode(offset, &metadata).map_err(|why| {
                format!("what was committed of {tp:?} beside offset {offset} can't be read: {why}")
            })?;
            let missing = map.missing.values().map(|missing| missing.count() as i64);
            *end += missing.sum::<i64>() - offset;
        }
    }
    Ok(lag)
}

/// All that a topic holds but for what was aborted, partition by partition in offset order, handed over one by one.
pub async fn read(
    client: &Client,
    topic: &str,
    mut take: impl FnMut(ConsumerRecord),
) -> Result<(), String> {
    let failed = |e| format!("{topic} can't be read: {e}");
    let mut ends = ends(client, topic).await?;
    ends.retain(|_, end| *end > 0);
    if ends.is_empty() {
        return Ok(());
    }
    let consumer = client
        .consumer_without_group()
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .isolation_level(IsolationLevel::ReadCommitted)
        .build()
        .await
        .map_err(failed)?;
    consumer
        .assign(topic, ends.keys().copied().collect())
        .await
        .map_err(failed)?;
    let mut quiet = 0;
    loop {
        let mut done = Vec::new();
        for (partition, end) in &ends {
            // Markers count as well, and they are never handed over.
            let position = consumer.position(topic, *partition).await;
            if position.is_some_and(|position| position >= *end) {
                done.push(*partition);
            }
        }
        ends.retain(|partition, _| !done.contains(partition));
        if ends.is_empty() {
            return Ok(());
        }
        let records = consumer
            .poll(Duration::from_secs(1))
            .await
            .map_err(failed)?;
        quiet = if records.is_empty() { quiet + 1 } else { 0 };
        if quiet > 60 {
            return Err(format!(
                "{topic} can't be read: of its partitions, {ends:?} were not read up to that offset"
            ));
        }
        records.into_iter().for_each(&mut take);
    }
}
