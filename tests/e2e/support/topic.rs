//! A topic of one test, with the group that reads it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chatroom_job::message::proto::push::PushMsg;
use krafka::consumer::ConsumerRecord;

use super::comet::Comet;
use super::job::JobCommand;
use super::kafka::Kafka;
use super::messages::record;
use super::{await_until, is};

pub struct Topic<'a> {
    pub kafka: &'a Kafka,
    pub name: String,
    pub group: String,
}

impl<'a> Topic<'a> {
    /// Makes a topic of this many partitions.
    pub fn new(kafka: &'a Kafka, partitions: i32) -> Topic<'a> {
        let topic = Topic::missing(kafka);
        topic.create(partitions);
        topic
    }

    /// A topic that has a name, and is not there yet.
    pub fn missing(kafka: &'a Kafka) -> Topic<'a> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Topic {
            kafka,
            name: format!("topic-{n}"),
            group: format!("group-{n}"),
        }
    }

    pub fn create(&self, partitions: i32) {
        self.kafka.create_topic(&self.name, partitions);
    }

    /// A job that reads this topic for these Comets.
    pub fn job(&self, comets: &[&Comet]) -> JobCommand {
        self.configure(JobCommand::new(), comets)
    }

    pub fn configure(&self, command: JobCommand, comets: &[&Comet]) -> JobCommand {
        let addresses: Vec<_> = comets.iter().map(|comet| comet.address()).collect();
        self.configure_for(command, &addresses.join(","))
    }

    /// As `configure`, for Comets that are not the tests' own.
    pub fn configure_for(&self, command: JobCommand, comets: &str) -> JobCommand {
        command
            .flag("--brokers", &self.kafka.address())
            .flag("--topic", &self.name)
            .flag("--group", &self.group)
            .flag("--comet", comets)
    }

    pub fn produce(&self, messages: impl IntoIterator<Item = PushMsg>) {
        let records = messages.into_iter().map(|m| record(&self.name, &m));
        self.kafka.produce(records);
    }

    /// Writes messages as records of so long ago.
    pub fn produce_old(&self, messages: impl IntoIterator<Item = PushMsg>, age: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = (now.expect("it is after 1970") - age).as_millis() as i64;
        let old = |m: PushMsg| record(&self.name, &m).timestamp(time);
        self.kafka.produce(messages.into_iter().map(old));
    }

    /// Messages that the group has not committed.
    pub fn lag(&self) -> i64 {
        let committed = self.kafka.committed(&self.group, &self.name);
        self.kafka
            .end_offsets(&self.name)
            .into_iter()
            .map(|(partition, end)| {
                let commit = committed.get(&partition).and_then(|c| c.offset);
                end - commit.unwrap_or(0)
            })
            .sum()
    }

    /// Waits until all is committed.
    #[track_caller]
    pub fn await_no_lag(&self) {
        await_until("lag 0", || is(self.lag(), 0));
    }

    pub fn dead_letter_topic(&self) -> String {
        format!("{}.dead-letter", self.name)
    }

    /// How many dead letters there are.
    pub fn dead_letters(&self) -> usize {
        let ends = self.kafka.end_offsets(&self.dead_letter_topic());
        ends.values().sum::<i64>() as usize
    }

    /// Waits until so many dead letters lie there, and gives them by their source partition and offset.
    #[track_caller]
    pub fn await_dead_letters(&self, count: usize) -> BTreeMap<(i32, i64), ConsumerRecord> {
        await_until("the dead letters", || is(self.dead_letters(), count));
        let records = self.kafka.read(&self.dead_letter_topic());
        assert_eq!(records.len(), count);
        records
            .into_iter()
            .map(|record| {
                let number = |name| {
                    let text = record.header_str(name);
                    text.and_then(|n| n.parse::<i64>().ok())
                        .unwrap_or_else(|| panic!("{name} is no number: {text:?}"))
                };
                let partition = number("job.source.partition");
                let source = (partition as i32, number("job.source.offset"));
                (source, record)
            })
            .collect()
    }
}
