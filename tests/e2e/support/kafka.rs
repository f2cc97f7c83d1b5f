//! A real Kafka broker, and what tests ask of it.

mod cluster;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use chatroom_job::kafka::ask::{Connection, text};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{OffsetCommitRequest, ProduceRequest, TopicName};
use krafka::admin::{
    ConfigOp, ConfigResource, ConsumerGroupDescription, ConsumerGroupMember, GroupOffset, NewTopic,
    OffsetSpec,
};
use krafka::consumer::{AutoOffsetReset, ConsumerRecord, TopicPartition};
use krafka::error::{ErrorCode, KrafkaError};
use krafka::producer::TransactionalProducer;
use krafka::{Kafka as Client, Record};

use super::{await_until, free_port, is, runtime};

/// Limit for the leader of a partition to be known.
const LEADER_WITHIN: Duration = Duration::from_secs(60);

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");

/// The Kafkas that job is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// With ZooKeeper.
    V3_7_2,
    /// KRaft, and the last that still speaks protocol v0.
    V3_9_1,
    /// KRaft.
    V4_3_1,
}

impl Version {
    fn name(self) -> &'static str {
        match self {
            Version::V3_7_2 => "3.7.2",
            Version::V3_9_1 => "3.9.1",
            Version::V4_3_1 => "4.3.1",
        }
    }
}

/// Runs a test once for each Kafka: `on_each_kafka!(one, two)` makes the tests `one::kafka_3_7_2` and so on
/// of `fn one(kafka: &Kafka)`.
macro_rules! on_each_kafka {
    ($($test:ident),+ $(,)?) => { $(
        mod $test {
            use crate::support::kafka::{Version, shared};

            #[test]
            fn kafka_3_7_2() {
                super::$test(shared(Version::V3_7_2));
            }

            #[test]
            fn kafka_3_9_1() {
                super::$test(shared(Version::V3_9_1));
            }

            #[test]
            fn kafka_4_3_1() {
                super::$test(shared(Version::V4_3_1));
            }
        }
    )+ };
}
pub(crate) use on_each_kafka;

/// The broker of this version that all tests share: started when first asked for, and gone with the process, whose
/// end closes the pipe that it watches.
pub fn shared(version: Version) -> &'static Kafka {
    static BROKERS: [OnceLock<Kafka>; 3] = [const { OnceLock::new() }; 3];
    BROKERS[version as usize].get_or_init(|| Kafka::start(version))
}

/// A broker that runs for as long as this value lives.
pub struct Kafka {
    version: Version,
    port: u16,
    folder: PathBuf,
    /// Ends the broker and removes its folder when its standard input closes, however this process ends.
    keeper: Child,
    client: Client,
}

impl Kafka {
    /// A broker of the caller's own, for tests that stop it.
    pub fn start(version: Version) -> Kafka {
        Kafka::start_at(version, free_port())
    }

    /// Starts Kafka on this port, and comes back when it answers.
    pub fn start_at(version: Version, port: u16) -> Kafka {
        Kafka::start_set(version, port, &[])
    }

    /// A broker of the caller's own with further settings, `name=value` each.
    pub fn start_with(version: Version, settings: &[&str]) -> Kafka {
        Kafka::start_set(version, free_port(), settings)
    }

    fn start_set(version: Version, port: u16, settings: &[&str]) -> Kafka {
        let options: Vec<&str> = settings
            .iter()
            .flat_map(|setting| ["--set", setting])
            .collect();
        Kafka::start_so(version, port, &options)
    }

    fn start_so(version: Version, port: u16, options: &[&str]) -> Kafka {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "kafka-{}-{port}-{}",
            version.name(),
            std::process::id()
        ));
        let mut keeper = Command::new(SCRIPT)
            .args(["hold", "--version", version.name(), "--port"])
            .arg(port.to_string())
            .arg("--dir")
            .arg(&folder)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
        let mut errors = keeper.stderr.take().expect("it is piped");
        let said = thread::spawn(move || {
            let mut text = Vec::new();
            // What could be read of it is shown.
            let _ = errors.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let output = keeper.stdout.take().expect("it is piped");
        let ready = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.starts_with("ready "));
        if !ready {
            let said = said.join().expect("the reader ends");
            panic!("Kafka {} does not start: {said}", version.name());
        }
        let client = Client::builder(address(port))
            .client_id("test")
            // So that `add_partitions` sees them.
            .metadata_max_age(Duration::from_millis(100));
        let client = runtime()
            .block_on(client.connect())
            .expect("a Kafka that says it is ready can be reached");
        Kafka {
            version,
            port,
            folder,
            keeper,
            client,
        }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn address(&self) -> String {
        address(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Halts the broker with SIGSTOP: its port accepts, but nothing answers.
    pub fn freeze(&self) {
        self.script("freeze");
    }

    pub fn thaw(&self) {
        self.script("thaw");
    }

    /// Stops the broker; its data stays.
    pub fn stop(&self) {
        self.script("stop");
    }

    /// Starts the stopped broker again, on its data and port.
    pub fn start_again(&self) {
        self.script("again");
    }

    fn script(&self, command: &str) {
        let done = Command::new(SCRIPT)
            .arg(command)
            .arg(&self.folder)
            .output()
            .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
        assert!(done.status.success(), "{SCRIPT} {command}: {done:?}");
    }

    pub fn create_topic(&self, name: &str, partitions: i32) {
        // The default has no room for the record of a body of 1 MiB.
        self.create_limited_topic(name, partitions, 2_097_152);
    }

    /// Makes a topic that takes records up to so many bytes.
    pub fn create_limited_topic(&self, name: &str, partitions: i32, max_message_bytes: usize) {
        let topic = NewTopic::new(name, partitions, 1)
            .expect("a valid topic name")
            .with_config("max.message.bytes", max_message_bytes.to_string());
        await_until("the topic", || {
            let admin = self.client.admin();
            let made = admin.create_topics([topic.clone()], Default::default());
            let mut made = runtime().block_on(made).expect("Kafka answers");
            match made.remove(name).expect("an answer for this topic") {
                Ok(_) => Ok(()),
                // With ZooKeeper, the one before of that name takes a while to go.
                Err(error) if error.to_string().contains("marked for deletion") => {
                    Err(error.to_string())
                }
                Err(error) => panic!("the topic is not made: {error}"),
            }
        });
    }

    /// Deletes a topic, and comes back when Kafka doesn't know it any longer.
    pub fn delete_topic(&self, name: &str) {
        let mut deleted = runtime()
            .block_on(
                self.client
                    .admin()
                    .delete_topics([name], Default::default()),
            )
            .expect("Kafka answers");
        deleted
            .remove(name)
            .expect("an answer for this topic")
            .expect("the topic is deleted");
        await_until("the end of the topic", || {
            is(self.end_offsets(name).is_empty(), true)
        });
    }

    /// Cuts the log of partition 0 of a topic, as a disk does that lost what was written last: it ends with the batch whose last
    /// offset is the one before `end`. The broker must be stopped.
    pub fn cut_log(&self, topic: &str, end: i64) {
        let folder = find(&self.folder, &format!("{topic}-0")).expect("the partition has a folder");
        let log = folder.join("00000000000000000000.log");
        let bytes = fs::read(&log).expect("the partition's file can be read");
        // As in `newest_codec`; 23 bytes after a batch's start stands by how much its last offset is above its base offset.
        let mut place = 0;
        let mut next = 0;
        while next < end {
            let batch = &bytes[place..];
            let number =
                |at: usize| i32::from_be_bytes(batch[at..at + 4].try_into().expect("four"));
            let base = i64::from_be_bytes(batch[..8].try_into().expect("eight bytes"));
            next = base + i64::from(number(23)) + 1;
            place += 12 + number(8) as usize;
        }
        assert_eq!(next, end, "a batch ends there");
        let file = fs::OpenOptions::new().write(true).open(&log);
        file.and_then(|file| file.set_len(place as u64))
            .expect("the partition's file can be cut");
        // What Kafka noted about the log speaks of what is gone. It is made anew.
        for entry in fs::read_dir(&folder).expect("the partition's folder can be read") {
            let path = entry.expect("an entry").path();
            let of_log = path
                .extension()
                .is_some_and(|e| e == "index" || e == "timeindex" || e == "snapshot");
            if of_log {
                fs::remove_file(path).expect("it can be removed");
            }
        }
    }

    /// Deletes the records of all partitions of a topic, as its retention does after a time. Returns how many there were.
    pub fn delete_records(&self, topic: &str) -> i64 {
        let ends = self.end_offsets(topic);
        let before = ends
            .iter()
            .map(|(&partition, &end)| (TopicPartition::new(topic, partition), end));
        let admin = self.client.admin();
        let deleted = runtime()
            .block_on(admin.delete_records(before, Default::default()))
            .expect("Kafka answers");
        for start in deleted.into_values() {
            start.expect("the records are deleted");
        }
        ends.into_values().sum()
    }

    /// Sets how the broker itself compresses what is written to the topic from now on; `producer` leaves it as it came.
    pub fn set_compression(&self, topic: &str, codec: &str) {
        self.set(topic, "compression.type", codec);
    }

    /// Changes a setting of a topic.
    pub fn set(&self, topic: &str, name: &str, value: &str) {
        let change = (
            ConfigResource::topic(topic),
            vec![ConfigOp::set(name, value)],
        );
        let changed = runtime()
            .block_on(
                self.client
                    .admin()
                    .incremental_alter_configs([change], Default::default()),
            )
            .expect("Kafka answers");
        for result in changed.into_values() {
            result.expect("the topic's configuration changes");
        }
    }

    /// Writes the records in their order, and comes back when Kafka has acknowledged all.
    pub fn produce(&self, records: impl IntoIterator<Item = Record>) {
        runtime().block_on(async {
            let producer = self
                .client
                .producer()
                .build()
                .await
                .expect("a producer starts");
            let mut acknowledged = Vec::new();
            for record in records {
                acknowledged.push(producer.enqueue(record).await.expect("a record is queued"));
            }
            for handle in acknowledged {
                let written = handle.await.expect("Kafka takes the record");
                assert!(written.is_persisted(), "{written:?}");
            }
            producer.close().await.expect("the producer closes");
        });
    }

    /// The end offset of each partition; empty where there is no such topic.
    pub fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        runtime().block_on(async {
            let admin = self.client.admin();
            let described = admin
                .describe_topics([topic], Default::default())
                .await
                .expect("Kafka answers")
                .remove(topic);
            let Some(Ok(description)) = described else {
                return BTreeMap::new();
            };
            let partitions = description
                .partitions
                .iter()
                .map(|p| (TopicPartition::new(topic, p.partition), OffsetSpec::Latest))
                .collect::<Vec<_>>();
            // The leader of a topic that was made a moment ago may not know it yet.
            let begun = Instant::now();
            loop {
                let listed = admin
                    .list_offsets(partitions.clone(), Default::default())
                    .await
                    .expect("Kafka answers");
                let ends: Result<BTreeMap<_, _>, _> = listed
                    .into_iter()
                    .map(|(tp, end)| end.map(|end| (tp.partition, end.offset)))
                    .collect();
                match ends {
                    Ok(ends) => return ends,
                    Err(error) if begun.elapsed() > LEADER_WITHIN => {
                        panic!("the partitions of {topic} have no leader: {error}")
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
    }

    /// What the group has committed for each partition of the topic; partitions without a commit are not in it.
    pub fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, GroupOffset> {
        runtime()
            .block_on(
                self.client
                    .admin()
                    .list_consumer_group_offsets(group, Default::default()),
            )
            .expect("Kafka answers")
            .into_iter()
            .filter(|(tp, _)| tp.topic == topic)
            .map(|(tp, offset)| {
                (
                    tp.partition,
                    offset.expect("the partition's commit can be read"),
                )
            })
            .filter(|(_, offset)| offset.offset.is_some())
            .collect()
    }

    /// Commits for partition 0 of a topic what a group had committed before. The group must have no members.
    pub fn commit(&self, group: &str, topic: &str, offset: GroupOffset) {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(0)
            .with_committed_offset(offset.offset.expect("an offset"))
            .with_committed_leader_epoch(offset.leader_epoch.unwrap_or(-1))
            .with_committed_metadata(offset.metadata.as_deref().map(text));
        let topic = OffsetCommitRequestTopic::default()
            .with_name(text(topic).into())
            .with_partitions(vec![partition]);
        let request = OffsetCommitRequest::default()
            .with_group_id(text(group).into())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic]);
        let answer = runtime().block_on(async {
            let mut connection = Connection::open(&self.address())
                .await
                .expect("Kafka is there");
            connection.ask(&request, 7).await.expect("Kafka answers")
        });
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }

    /// The group's members; none where there is no such group.
    pub fn members(&self, group: &str) -> Vec<ConsumerGroupMember> {
        self.describe(group)
            .map(|group| group.members)
            .unwrap_or_default()
    }

    /// The group's state, as Kafka names it; `Dead` where there is no such group.
    pub fn group_state(&self, group: &str) -> String {
        self.describe(group)
            .map_or_else(|| "Dead".into(), |group| group.state)
    }

    fn describe(&self, group: &str) -> Option<ConsumerGroupDescription> {
        let described = runtime()
            .block_on(
                self.client
                    .admin()
                    .describe_consumer_groups([group], Default::default()),
            )
            .expect("Kafka answers")
            .remove(group)
            .expect("an answer for this group");
        match described {
            Ok(description) => Some(description),
            Err(KrafkaError::Broker {
                code: ErrorCode::GroupIdNotFound,
                ..
            }) => None,
            Err(e) => panic!("the group can't be described: {e}"),
        }
    }

    /// All that a topic holds now, partition by partition in offset order.
    pub fn read(&self, topic: &str) -> Vec<ConsumerRecord> {
        let ends = self.end_offsets(topic);
        let expected = ends.values().sum::<i64>() as usize;
        let mut records = runtime().block_on(async {
            let consumer = self
                .client
                .consumer_without_group()
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .build()
                .await
                .expect("a consumer starts");
            consumer
                .assign(topic, ends.into_keys().collect())
                .await
                .expect("the partitions can be assigned");
            let mut records = Vec::new();
            while records.len() < expected {
                let batch = consumer
                    .poll(Duration::from_secs(1))
                    .await
                    .expect("the topic can be read");
                records.extend(batch);
            }
            records
        });
        records.sort_by_key(|r| (r.partition, r.offset));
        records
    }

    /// The broker's own file with a partition's first records.
    pub fn segment(&self, topic: &str, partition: i32) -> PathBuf {
        find(&self.folder, &format!("{topic}-{partition}"))
            .expect("the partition has a folder")
            .join("00000000000000000000.log")
    }

    /// A producer whose records belong to transactions.
    pub fn transactional(&self, id: &str) -> TransactionalProducer {
        runtime()
            .block_on(self.client.producer().build_transactional(id))
            .expect("a producer with transactions starts")
    }

    /// Writes a batch as it is.
    pub fn produce_batch(&self, topic: &str, partition: i32, batch: Vec<u8>) {
        const PRODUCE: i16 = 8;
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.into()));
        let data = TopicProduceData::default()
            .with_name(TopicName(text(topic)))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(60_000)
            .with_topic_data(vec![data]);
        let answer = runtime().block_on(async {
            let mut connection = Connection::open(&self.address()).await?;
            connection.ask(&request, PRODUCE).await
        });
        let answer = answer.expect("Kafka answers");
        let taken = &answer.responses[0].partition_responses[0];
        assert_eq!(taken.error_code, 0, "{taken:?}");
    }

    /// The codec of the newest batch in partition 0 of the topic, read from the broker's own file: none, gzip,
    /// snappy, lz4, zstd are 0 to 4.
    pub fn newest_codec(&self, topic: &str) -> u8 {
        let log = fs::read(self.segment(topic, 0)).expect("the partition's file can be read");
        // A batch, from its start: base offset 8 bytes, length of what follows 4, leader epoch 4, magic 1, crc 4,
        // attributes 2, whose lowest three bits are the codec.
        let mut codec = 0;
        let mut rest = log.as_slice();
        while rest.len() >= 23 {
            let length = u32::from_be_bytes(rest[8..12].try_into().expect("four bytes")) as usize;
            codec = rest[22] & 7;
            rest = rest.get(12 + length..).unwrap_or_default();
        }
        codec
    }

    /// Runs one of Kafka's own tools against this broker.
    pub fn tool(&self, tool: &str, args: &[&str]) -> Output {
        Command::new(SCRIPT)
            .arg("tool")
            .arg(&self.folder)
            .arg(tool)
            .args(args)
            .output()
            .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // An error means that it has ended already, which is what is wanted.
        let _ = self.keeper.wait();
    }
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// The folder of this name, anywhere below `folder`.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir());
    folders.into_iter().find_map(|path| {
        if path.file_name().is_some_and(|n| n == name) {
            Some(path)
        } else {
            find(&path, name)
        }
    })
}
