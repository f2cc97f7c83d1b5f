//! Many messages to many rooms: all arrive, in order, once.

use crate::support::comet::{Answer, Comet};
use crate::support::job::Job;
use crate::support::kafka::{Kafka, on_each_kafka};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::topic::Topic;

on_each_kafka!(from_four_partitions, from_one_partition, after_kill);

const ROOMS: usize = 200;
const MESSAGES: usize = 20_000;

fn from_four_partitions(kafka: &Kafka) {
    drain(&Topic::new(kafka, 4));
}

fn from_one_partition(kafka: &Kafka) {
    drain(&Topic::new(kafka, 1));
}

fn drain(topic: &Topic) {
    let comet = Comet::start();
    let start = || -> Job { topic.job(&[&comet]).log_level("WARN").start() };

    // One half waits for job, the other comes while it runs.
    topic.produce(over_rooms(ROOMS, 0, MESSAGES / 2));
    let mut job = start();
    topic.produce(over_rooms(ROOMS, MESSAGES / 2, MESSAGES / 2));
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);

    // After a restart nothing comes but what is new, in every room and so in every partition.
    let mut job = start();
    topic.produce(over_rooms(ROOMS, MESSAGES, ROOMS));
    comet.await_delivered(MESSAGES + ROOMS);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES + ROOMS);
    comet.assert_no_overlaps();
}

/// kill -9 while messages flow: what was in flight may come again, nothing is missing, and no room sees a later
/// message first.
fn after_kill(kafka: &Kafka) {
    const MESSAGES: usize = 6_000;
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    let start = || {
        let job = topic.job(&[&comet]).log_level("WARN");
        job.flag("--session-timeout", "6s").start()
    };

    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    for part in 1..=2 {
        comet.slow_down_after(MESSAGES / 4);
        let mut job = start();
        comet.await_delivered(part * MESSAGES / 4);
        job.kill();
        comet.forget_in_flight();
    }
    let before = comet.count();
    assert!(
        before < MESSAGES,
        "the kills came too late to show anything"
    );
    comet.answer(|_| Answer::Ok);

    let mut job = start();
    topic.await_no_lag();
    job.stop();
    assert_in_order(&comet.delivered(), ROOMS, MESSAGES);
    comet.assert_no_overlaps();
}
