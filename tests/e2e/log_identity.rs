//! The log is not the one that was read: its topic was made anew, or its end is gone.

use std::collections::BTreeSet;

use crate::support::comet::Comet;
use crate::support::kafka::{Kafka, Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 20;

/// A topic that is deleted while job is at 1,000, made anew, and filled with 2,000.
fn made_anew(kafka: &Kafka, fetch: &str) {
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    topic.produce(over_rooms(ROOMS, 0, 1_000));
    comet.await_delivered(1_000);
    topic.await_no_lag();
    // The metadata of a commit begins with `t1.`, what tells its topic from others of the name, and `.`.
    let committed_for = || {
        let commit = kafka.committed(&topic.group, &topic.name).remove(&0)?;
        Some(commit.metadata?.split('.').nth(1)?.to_owned())
    };
    let old_topic = committed_for();

    kafka.delete_topic(&topic.name);
    topic.create(1);
    let new: Vec<_> = over_rooms(ROOMS, 1_000, 2_000).collect();
    topic.produce(new.iter().cloned());
    let bodies: BTreeSet<_> = new.into_iter().map(|message| message.msg).collect();
    await_until("all of the new topic", || {
        let delivered = comet.delivered().into_iter().map(|call| call.body);
        let delivered: BTreeSet<_> = delivered.collect();
        is(delivered.intersection(&bodies).count(), bodies.len())
    });
    job.await_line(&["ERROR", "partition 0", "deleted and made anew", "offset 0"]);
    // Before that, it may have read the new topic's end at the old position, and committed it as the old topic's.
    await_until("a commit for the new topic", || {
        is(committed_for() != old_topic, true)
    });
    topic.await_no_lag();
    job.stop();

    // Nothing of the old topic's offsets is left behind.
    let before = comet.count();
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    topic.produce(over_rooms(ROOMS, 3_000, 10));
    comet.await_delivered(before + 10);
    topic.await_no_lag();
    job.stop();
    assert_eq!(comet.count(), before + 10);
    assert!(job.lines_with(&["ERROR"]).is_empty());
    eprintln!("{fetch}: {} of 2,000 came twice", before - 3_000);
}

#[test]
fn made_anew_classic() {
    made_anew(shared(Version::V3_9_1), "classic");
}

#[test]
fn made_anew_modern() {
    made_anew(shared(Version::V3_9_1), "modern");
}

#[test]
fn made_anew_auto() {
    made_anew(shared(Version::V3_9_1), "auto");
}

#[test]
fn made_anew_classic_with_zookeeper() {
    made_anew(shared(Version::V3_7_2), "classic");
}

#[test]
fn made_anew_modern_on_kafka_4() {
    made_anew(shared(Version::V4_3_1), "modern");
}

/// The topic is made anew while job is stopped, and another member of the group commits an offset of the old one after that.
#[test]
fn an_offset_committed_for_the_topic_before_is_not_used() {
    let kafka = shared(Version::V3_9_1);
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 1_000));
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(1_000);
    topic.await_no_lag();
    job.stop();
    let old = kafka.committed(&topic.group, &topic.name).remove(&0);
    let old = old.expect("a commit");

    kafka.delete_topic(&topic.name);
    topic.create(1);
    await_until("the end of what was committed", || {
        is(kafka.committed(&topic.group, &topic.name).len(), 0)
    });
    topic.produce(over_rooms(ROOMS, 1_000, 2_000));
    kafka.commit(&topic.group, &topic.name, old);
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(3_000);
    job.await_line(&["ERROR", "partition 0", "deleted and made anew", "offset 0"]);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 3_000);
}

/// The log is cut from 1,000 to 700 while job reads it.
fn cut_while_it_runs(version: Version, fetch: &str) {
    let kafka = Kafka::start(version);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    topic.produce(over_rooms(ROOMS, 0, 700));
    topic.produce(over_rooms(ROOMS, 700, 300));
    comet.await_delivered(1_000);
    topic.await_no_lag();

    kafka.stop();
    kafka.cut_log(&topic.name, 700);
    kafka.start_again();
    assert_eq!(kafka.end_offsets(&topic.name)[&0], 700);
    topic.produce(over_rooms(ROOMS, 1_000, 200));
    comet.await_delivered(1_200);
    job.await_line(&[
        "ERROR",
        "partition 0",
        "cut back to offset 700",
        "300 records",
    ]);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 1_200);
}

#[test]
fn cut_while_classic_reads() {
    cut_while_it_runs(Version::V3_9_1, "classic");
}

#[test]
fn cut_while_modern_reads() {
    cut_while_it_runs(Version::V3_9_1, "modern");
}

#[test]
fn cut_while_modern_reads_on_kafka_4() {
    cut_while_it_runs(Version::V4_3_1, "modern");
}

/// The log is cut from 1,000 to 600 while job is stopped or halted, and 600 others are written before it looks again.
fn cut_and_filled(version: Version, fetch: &str, halted: bool) {
    let kafka = Kafka::start(version);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    let start = || topic.job(&[&comet]).flag("--fetch", fetch).start();
    let mut job = start();
    topic.produce(over_rooms(ROOMS, 0, 600));
    topic.produce(over_rooms(ROOMS, 600, 400));
    comet.await_delivered(1_000);
    topic.await_no_lag();

    match halted {
        true => job.freeze(),
        false => job.stop(),
    }
    kafka.stop();
    kafka.cut_log(&topic.name, 600);
    kafka.start_again();
    topic.produce(over_rooms(ROOMS, 1_000, 600));
    match halted {
        true => job.thaw(),
        false => job = start(),
    }
    job.await_line(&["ERROR", "partition 0", "cut back to offset 600"]);
    // The end of the log may have been committed before the cut was seen: a lag of nothing says little.
    await_until("all 1600 messages", || {
        let delivered = comet.delivered();
        let bodies: BTreeSet<_> = delivered.into_iter().map(|call| call.body).collect();
        match bodies.len() {
            1_600 => Ok(()),
            count => Err(format!("{count}")),
        }
    });
    topic.await_no_lag();
    job.stop();
    if halted {
        // Records of the new log were read at the old position before it was seen.
        let delivered = comet.delivered();
        assert!(delivered.len() <= 1_800, "{} calls", delivered.len());
    } else {
        assert_eq!(assert_in_order(&comet.calls(), ROOMS, 1_600), 0);
    }
}

#[test]
fn cut_and_filled_while_stopped_classic() {
    cut_and_filled(Version::V3_9_1, "classic", false);
}

#[test]
fn cut_and_filled_while_stopped_modern_on_kafka_4() {
    cut_and_filled(Version::V4_3_1, "modern", false);
}

#[test]
fn cut_and_filled_while_halted_classic() {
    cut_and_filled(Version::V3_9_1, "classic", true);
}

#[test]
fn cut_and_filled_while_halted_modern() {
    cut_and_filled(Version::V3_9_1, "modern", true);
}
