//! Records that Kafka gets in transactions: delivered after the commit, and never when it is aborted.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use krafka::Record;
use krafka::producer::TransactionalProducer;

use crate::support::comet::Comet;
use crate::support::kafka::{Kafka, Version, shared};
use crate::support::messages::{arrived, encoded, numbered};
use crate::support::topic::Topic;
use crate::support::{await_until, is, runtime};

/// Numbered messages for a room.
fn records<'a>(topic: &'a Topic, room: &'a str, count: usize) -> impl Iterator<Item = Record> + 'a {
    let record = move |n| Record::new(&topic.name, encoded(&numbered(room, n))).partition(0);
    (0..count).map(record)
}

/// Begins a transaction with so many messages for a room. They are in Kafka's log then.
fn begin(producer: &TransactionalProducer, topic: &Topic, room: &str, count: usize) {
    runtime().block_on(async {
        producer.begin().expect("a transaction begins");
        for record in records(topic, room, count) {
            let queued = producer.enqueue(record).await;
            // Its acknowledgement comes with the flush.
            drop(queued.expect("a record is queued"));
        }
        producer.flush().await.expect("Kafka takes the records");
    });
}

fn commit(producer: &TransactionalProducer) {
    runtime()
        .block_on(producer.commit())
        .expect("it is committed");
}

fn abort(producer: &TransactionalProducer) {
    runtime().block_on(producer.abort()).expect("it is aborted");
}

fn producer(topic: &Topic) -> TransactionalProducer {
    topic
        .kafka
        .transactional(&format!("{}-producer", topic.name))
}

/// How many messages each room got.
fn counts(comet: &Comet) -> BTreeMap<String, usize> {
    let rooms = arrived(&comet.calls()).into_iter();
    rooms.map(|(room, numbers)| (room, numbers.len())).collect()
}

fn expected(rooms: &[(&str, usize)]) -> BTreeMap<String, usize> {
    rooms
        .iter()
        .map(|(room, count)| ((*room).into(), *count))
        .collect()
}

macro_rules! on {
    ($($name:ident: $test:ident($version:ident, $fetch:literal),)+) => { $(
        #[test]
        fn $name() {
            $test(shared(Version::$version), $fetch);
        }
    )+ };
}

on! {
    what_was_ended_auto_on_3_7_2: what_was_ended(V3_7_2, "auto"),
    what_was_ended_auto_on_3_9_1: what_was_ended(V3_9_1, "auto"),
    what_was_ended_modern_on_3_9_1: what_was_ended(V3_9_1, "modern"),
    what_was_ended_auto_on_4_3_1: what_was_ended(V4_3_1, "auto"),
    what_is_open_auto_on_3_9_1: what_is_open(V3_9_1, "auto"),
    what_is_open_modern_on_3_9_1: what_is_open(V3_9_1, "modern"),
    what_is_open_auto_on_4_3_1: what_is_open(V4_3_1, "auto"),
    a_marker_at_the_end_auto_on_3_9_1: a_marker_at_the_end(V3_9_1, "auto"),
    a_marker_at_the_end_classic_on_3_9_1: a_marker_at_the_end(V3_9_1, "classic"),
    a_marker_at_the_end_modern_on_3_9_1: a_marker_at_the_end(V3_9_1, "modern"),
    a_marker_at_the_end_auto_on_4_3_1: a_marker_at_the_end(V4_3_1, "auto"),
    the_first_one_auto_on_3_9_1: the_first_one(V3_9_1, "auto"),
}

/// Transactions from before: committed ones are delivered, aborted ones are not.
fn what_was_ended(kafka: &Kafka, fetch: &str) {
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    let producer = producer(&topic);
    kafka.produce(records(&topic, "before", 10));
    begin(&producer, &topic, "aborted", 10);
    abort(&producer);
    begin(&producer, &topic, "committed", 10);
    commit(&producer);
    kafka.produce(records(&topic, "after", 10));
    begin(&producer, &topic, "aborted", 10);
    abort(&producer);

    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    topic.await_no_lag();
    job.stop();
    let delivered = expected(&[("before", 10), ("committed", 10), ("after", 10)]);
    assert_eq!(counts(&comet), delivered);
}

/// A transaction that is open when job starts is delivered after its commit, and what stands behind it too.
fn what_is_open(kafka: &Kafka, fetch: &str) {
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    let producer = producer(&topic);
    kafka.produce(records(&topic, "before", 5));
    begin(&producer, &topic, "open", 5);
    kafka.produce(records(&topic, "behind", 5));

    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    await_until("all before it", || {
        is(counts(&comet), expected(&[("before", 5)]))
    });
    // What comes elsewhere later than it is delivered meanwhile.
    let elsewhere = records(&topic, "elsewhere", 5).map(|record| record.partition(1));
    kafka.produce(elsewhere);
    let without = expected(&[("before", 5), ("elsewhere", 5)]);
    await_until("what is elsewhere", || is(counts(&comet), without.clone()));
    commit(&producer);
    topic.await_no_lag();
    job.stop();
    let all = expected(&[("before", 5), ("elsewhere", 5), ("open", 5), ("behind", 5)]);
    assert_eq!(counts(&comet), all);
}

/// Nothing stands behind a transaction's end: all is committed, and nothing is said of a record that is too large.
fn a_marker_at_the_end(kafka: &Kafka, fetch: &str) {
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let producer = producer(&topic);
    begin(&producer, &topic, "one", 5);
    commit(&producer);
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    topic.await_no_lag();
    begin(&producer, &topic, "two", 5);
    commit(&producer);
    await_until("the second one", || {
        is(counts(&comet), expected(&[("one", 5), ("two", 5)]))
    });
    topic.await_no_lag();
    job.stop();
    for words in [
        "more than 268435456",
        "can't be read",
        "Reading from Kafka failed",
    ] {
        let lines = job.lines_with(&[words]);
        assert!(lines.is_empty(), "{lines:?}");
    }
    let warned = !job
        .lines_with(&["WARN", "--fetch classic can't tell"])
        .is_empty();
    assert_eq!(warned, fetch == "classic");
}

/// A topic that never had a transaction gets its first one while job reads it.
fn the_first_one(kafka: &Kafka, fetch: &str) {
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    let producer = producer(&topic);
    kafka.produce(records(&topic, "before", 5));
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    job.await_line(&["reading with the classic fetcher"]);
    await_until("all before it", || {
        is(counts(&comet), expected(&[("before", 5)]))
    });
    // Kafka was asked about transactions right before those were given out. For a moment that answer counts.
    thread::sleep(Duration::from_millis(500));
    begin(&producer, &topic, "aborted", 5);
    job.await_line(&["reading with the modern fetcher", "has transactions"]);
    abort(&producer);
    topic.await_no_lag();
    job.stop();
    assert_eq!(counts(&comet), expected(&[("before", 5)]));
}

/// Who asks for it gets all records, as they come.
#[test]
fn what_is_not_committed_on_4_3_1() {
    let kafka = shared(Version::V4_3_1);
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let producer = producer(&topic);
    begin(&producer, &topic, "open", 5);
    let mut job = topic
        .job(&[&comet])
        .flag("--isolation-level", "read_uncommitted")
        .start();
    comet.await_delivered(5);
    abort(&producer);
    topic.await_no_lag();
    job.stop();
}
