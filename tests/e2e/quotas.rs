//! Kafka holds job to a quota: it listens to it only now and then. Job is slow then, and nothing else.

use crate::support::comet::Comet;
use crate::support::job::Job;
use crate::support::kafka::{Kafka, Version, shared};
use crate::support::messages::{assert_each_once_in_order, numbered, over_rooms, to_room};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

/// A member that is silent for so long loses its partitions.
const SESSION: &str = "6s";

fn start(topic: &Topic<'_>, comet: &Comet, fetch: &str) -> Job {
    let job = topic.job(&[comet]).flag("--client-id", &topic.name);
    let job = job.flag("--session-timeout", SESSION);
    job.flag("--fetch", fetch).start()
}

/// The only member's number.
fn member(topic: &Topic<'_>) -> String {
    await_until("the member", || {
        let members = topic.kafka.members(&topic.group);
        is(members.len(), 1).map(|()| members[0].member_id.clone())
    })
}

fn assert_only_slow(job: &Job) {
    for words in [
        "is given up",
        "can't be read at offset",
        "lost partitions",
        "still ours",
        "one dead letter",
    ] {
        let lines = job.lines_with(&[words]);
        let lines: Vec<_> = lines
            .iter()
            .filter(|line| !line.contains("stopped after"))
            .collect();
        assert!(lines.is_empty(), "{lines:?}");
    }
}

/// It has had so much that the broker takes nothing from it for a quarter of a minute.
fn is_muted_for_long(kafka: &Kafka, fetch: &str) {
    const BEFORE: usize = 120;
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let large = |n: usize| to_room("room", format!("{}/{n}", "x".repeat(10_000)));
    topic.produce((0..BEFORE).map(large));
    let mut job = start(&topic, &comet, fetch);
    comet.await_delivered(BEFORE);
    let id = member(&topic);
    kafka.limit(&topic.name, "consumer_byte_rate", 50_000.0);
    for n in BEFORE..BEFORE + 20 {
        topic.produce([numbered("room", n)]);
        comet.await_delivered(n + 1);
    }
    topic.await_no_lag();
    assert_eq!(member(&topic), id);
    job.stop();
    assert_eq!(comet.calls().len(), BEFORE + 20);
    if fetch == "modern" {
        assert_only_slow(&job);
    }
}

#[test]
fn auto_is_muted_for_long_on_3_9_1() {
    is_muted_for_long(shared(Version::V3_9_1), "auto");
}

#[test]
fn modern_is_muted_for_long_on_4_3_1() {
    is_muted_for_long(shared(Version::V4_3_1), "modern");
}

/// Each request beyond that costs it up to a second of silence, and a fetch that is beyond it brings nothing.
fn has_little_of_the_brokers_time(kafka: &Kafka) {
    const MESSAGES: usize = 200;
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    kafka.limit(&topic.name, "request_percentage", 1.0);
    topic.produce(over_rooms(10, 0, MESSAGES / 2));
    let mut job = start(&topic, &comet, "modern");
    comet.await_delivered(MESSAGES / 2);
    let id = member(&topic);
    topic.produce(over_rooms(10, MESSAGES / 2, MESSAGES / 2));
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    assert_eq!(member(&topic), id);
    job.stop();
    assert_each_once_in_order(&comet.calls(), 10, MESSAGES);
    assert_only_slow(&job);
}

#[test]
fn has_little_of_the_brokers_time_on_3_9_1() {
    has_little_of_the_brokers_time(shared(Version::V3_9_1));
}

#[test]
fn has_little_of_the_brokers_time_on_4_3_1() {
    has_little_of_the_brokers_time(shared(Version::V4_3_1));
}
