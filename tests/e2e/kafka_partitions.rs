//! Partitions that come, and that have no leader for a while: all that can be read is read.

use std::collections::BTreeSet;

use crate::support::comet::Comet;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 40;

on_each_kafka!(partitions_that_are_added_are_read);

fn partitions_that_are_added_are_read(kafka: &Kafka) {
    for fetch in ["auto", "modern"] {
        reads_added_partitions(kafka, fetch, 1);
    }
}

#[test]
fn classic_reads_partitions_that_are_added() {
    reads_added_partitions(shared(Version::V3_9_1), "classic", 1);
}

/// Any member may be the one that gives partitions out, and one of them has none at first.
#[test]
fn several_members_read_partitions_that_are_added() {
    reads_added_partitions(shared(Version::V3_9_1), "auto", 3);
}

fn reads_added_partitions(kafka: &Kafka, fetch: &str, members: usize) {
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 200));
    let start = || topic.job(&[&comet]).flag("--fetch", fetch).start();
    let mut jobs: Vec<_> = (0..members).map(|_| start()).collect();
    await_until("all members", || {
        is(kafka.members(&topic.group).len(), members)
    });
    comet.await_delivered(200);
    topic.await_no_lag();

    kafka.add_partitions(&topic.name, 4);
    topic.produce(over_rooms(ROOMS, 200, 800));
    comet.await_delivered(1_000);
    topic.await_no_lag();
    let committed = kafka.committed(&topic.group, &topic.name);
    assert!(committed.len() > 1, "all went to one partition");
    jobs.iter_mut().for_each(|job| job.stop());
    assert_each_once_in_order(&comet.calls(), ROOMS, 1_000);
}

/// A new group, of whose partitions one has no leader until its broker is back. Then the topic has two leaders.
fn reads_what_can_be_read(version: Version, fetch: &str) {
    let first = Kafka::start(version);
    let second = first.start_joined();
    let topic = Topic::new(&first, 2);
    topic.produce(over_rooms(ROOMS, 0, 400));
    let leaders: BTreeSet<_> = first.leaders(&topic.name).into_values().flatten().collect();
    assert_eq!(leaders.len(), 2, "both lead a partition");
    let dead = *first
        .leaders(&topic.name)
        .iter()
        .find(|(_, leader)| **leader == Some(2))
        .expect("the second one leads one")
        .0;
    let records = first.read(&topic.name);
    let readable = records.iter().filter(|r| r.partition != dead).count();
    assert!(readable > 0 && readable < 400, "{readable}");

    second.stop();
    await_until("a partition without a leader", || {
        is(first.leaders(&topic.name)[&dead], None)
    });
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    comet.await_delivered(readable);
    job.await_line(&[&format!("[{dead}] of {}", topic.name), "can't be read"]);

    second.start_again();
    comet.await_delivered(400);
    topic.await_no_lag();
    // Gone and back again while it is read.
    second.stop();
    await_until("a partition without a leader", || {
        is(first.leaders(&topic.name)[&dead], None)
    });
    second.start_again();
    topic.produce(over_rooms(ROOMS, 400, 400));
    comet.await_delivered(800);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 800);
}

#[test]
fn auto_reads_what_can_be_read_on_3_9_1() {
    reads_what_can_be_read(Version::V3_9_1, "auto");
}

#[test]
fn classic_reads_what_can_be_read_on_3_9_1() {
    reads_what_can_be_read(Version::V3_9_1, "classic");
}

#[test]
fn modern_reads_what_can_be_read_on_4_3_1() {
    reads_what_can_be_read(Version::V4_3_1, "modern");
}

/// Of another topic, which the classic client must not even look at.
#[test]
fn a_topic_with_a_gap_in_its_partitions_does_no_harm() {
    let kafka = Kafka::start(Version::V3_7_2);
    kafka.create_topic_with_gap("odd");
    let topic = Topic::new(&kafka, 2);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 400));
    let mut job = topic.job(&[&comet]).start();
    job.await_line(&["reading with the classic fetcher"]);
    comet.await_delivered(400);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 400);
}

/// Of the topic itself: the producers here can't write to it.
#[test]
fn a_topic_whose_partitions_have_a_gap_is_left_to_the_modern_fetcher() {
    let kafka = Kafka::start(Version::V3_7_2);
    let topic = Topic::missing(&kafka);
    kafka.create_topic_with_gap(&topic.name);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).start();
    job.await_line(&["reading with the modern fetcher", "without a gap: [1]"]);
    job.stop();
}
