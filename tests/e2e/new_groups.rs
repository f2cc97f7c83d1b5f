//! Where a group begins that has committed nothing: `--auto-offset-reset`.

use std::time::Duration;

use crate::send_check::check;
use crate::support::comet::{Call, Comet};
use crate::support::command::job;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;

const ROOMS: usize = 20;

on_each_kafka!(late_is_behind_the_start);

/// Panics unless the Comet got each of the messages `from` to `to` once.
#[track_caller]
fn assert_got(comet: &Comet, from: usize, to: usize) {
    let mut got: Vec<_> = comet.delivered().iter().map(Call::text).collect();
    got.sort_unstable();
    let text = |message: chatroom_job::message::proto::push::PushMsg| {
        String::from_utf8_lossy(&message.msg).into_owned()
    };
    let mut due: Vec<_> = over_rooms(ROOMS, from, to - from).map(text).collect();
    due.sort_unstable();
    assert_eq!(got, due);
}

fn late_is_behind_the_start(kafka: &Kafka) {
    for fetch in ["auto", "modern"] {
        let topic = Topic::new(kafka, 2);
        let comet = Comet::start();
        let start = || {
            let job = topic.job(&[&comet]).flag("--fetch", fetch);
            job.flag("--auto-offset-reset", "latest").start()
        };
        topic.produce(over_rooms(ROOMS, 0, 100));
        let mut job = start();
        job.await_line(&["reading from offset"]);
        topic.produce(over_rooms(ROOMS, 100, 100));
        comet.await_delivered(100);
        topic.await_no_lag();

        // These are there before anybody knows of the partitions.
        kafka.add_partitions(&topic.name, 4);
        topic.produce(over_rooms(ROOMS, 200, 200));
        comet.await_delivered(300);
        topic.await_no_lag();

        // The group has committed something by now: late has no say.
        job.kill();
        topic.produce(over_rooms(ROOMS, 400, 100));
        let mut job = start();
        comet.await_delivered(400);
        topic.await_no_lag();
        job.stop();
        assert_got(&comet, 100, 500);
    }
}

/// Of a partition in which nothing was sent yet, the beginning is committed.
#[test]
fn what_comes_while_nobody_reads_is_not_skipped() {
    let topic = Topic::new(shared(Version::V3_9_1), 3);
    let comet = Comet::start();
    let start = || {
        topic
            .job(&[&comet])
            .flag("--auto-offset-reset", "latest")
            .start()
    };
    topic.produce(over_rooms(ROOMS, 0, 100));
    let mut job = start();
    job.await_line(&["committed nothing of partitions [0, 1, 2]"]);
    topic.await_no_lag();
    job.kill();
    topic.produce(over_rooms(ROOMS, 100, 100));
    let mut job = start();
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_got(&comet, 100, 200);
}

/// The beginning is committed before anything is read: whoever comes after a kill begins there too.
#[test]
fn a_kill_right_after_the_start_skips_nothing() {
    let topic = Topic::new(shared(Version::V4_3_1), 3);
    let comet = Comet::start();
    let start = || {
        let job = topic.job(&[&comet]);
        job.flag("--auto-offset-reset", "latest").start()
    };
    topic.produce(over_rooms(ROOMS, 0, 100));
    let mut job = start();
    job.await_line(&["reading from offset"]);
    job.kill();
    let committed = topic.kafka.committed(&topic.group, &topic.name);
    assert_eq!(committed.len(), 3, "{committed:?}");
    topic.produce(over_rooms(ROOMS, 100, 100));
    let mut job = start();
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_got(&comet, 100, 200);
}

#[test]
fn a_new_group_goes_back_as_far_as_is_asked_for() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    for (n, hours) in [3, 2].into_iter().enumerate() {
        let age = Duration::from_secs(hours * 3_600);
        topic.produce_old(over_rooms(ROOMS, n * 100, 100), age);
    }
    topic.produce(over_rooms(ROOMS, 200, 100));
    let job = topic.job(&[&comet]);
    let mut job = job
        .flag("--auto-offset-reset", "by_duration:PT2H30M")
        .start();
    comet.await_delivered(200);
    topic.await_no_lag();
    job.stop();
    assert_got(&comet, 100, 300);
}

/// Whoever renames the group by mistake sends everything again.
#[test]
fn check_names_the_group_that_has_read_the_topic() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    let alone = check(&topic, &comet.address()).well();
    let new = "new; it starts at the earliest record, 100 messages waiting";
    assert!(
        alone.contains(new) && !alone.contains("has read this topic"),
        "{alone}"
    );
    let mut service = topic.job(&[&comet]).start();
    topic.await_no_lag();
    service.stop();

    let brokers = topic.kafka.address();
    let address = comet.address();
    let with = |args: &[&str]| {
        let all = [
            &[
                "check",
                "--brokers",
                &brokers,
                "--topic",
                &topic.name,
                "--comet",
                &address,
            ],
            args,
        ];
        job(&all.concat()).well()
    };
    let said = with(&["--group", "renamed"]);
    let named = format!("group {} has read this topic", topic.group);
    let twice = "this one would start with 100 messages of it";
    assert!(said.contains(&named) && said.contains(twice), "{said}");
    let said = with(&["--group", "renamed", "--auto-offset-reset", "latest"]);
    assert!(
        said.contains("new; it starts at what is written from then on"),
        "{said}"
    );
    assert!(!said.contains("has read this topic"), "{said}");
    let skipped = "group renamed: 100 messages would not be sent: they are there already";
    assert!(said.contains(skipped), "{said}");
    assert!(!alone.contains("would not be sent"), "{alone}");
    let said = with(&[
        "--group",
        "renamed",
        "--auto-offset-reset",
        "by_duration:1h",
    ]);
    assert!(
        said.contains("records of the last 3600s, 100 messages"),
        "{said}"
    );
    assert!(said.contains(&named), "{said}");
}
