//! `job ctl`: a job that is steered while messages flow.

use std::collections::BTreeMap;

use chatroom_job::observe::status::Status;
use grpcio::RpcStatusCode;

use crate::rebalance::await_members;
use crate::support::comet::{Answer, Comet};
use crate::support::http::Pages;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, numbered, over_rooms, to_room};
use crate::support::socket::Socket;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

on_each_kafka!(a_pause_keeps_the_partitions_and_a_resume_goes_on);

const ROOMS: usize = 40;
const SOME: usize = 400;

/// The records of each partition that are not committed.
fn lags(topic: &Topic) -> BTreeMap<i32, i64> {
    let committed = topic.kafka.committed(&topic.group, &topic.name);
    let ends = topic.kafka.end_offsets(&topic.name).into_iter();
    ends.map(|(partition, end)| {
        let commit = committed.get(&partition).and_then(|commit| commit.offset);
        (partition, end - commit.unwrap_or(0))
    })
    .collect()
}

/// While one job is paused another one joins, takes half of the partitions and delivers them. The paused one keeps its half.
fn a_pause_keeps_the_partitions_and_a_resume_goes_on(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let (comet, socket) = (Comet::start(), Socket::new());
    let mut paused = topic
        .job(&[&comet])
        .flag("--control", &socket.flag())
        .flag("--http", "127.0.0.1:0")
        .start();
    let pages = Pages::of(&mut paused);
    topic.produce(over_rooms(ROOMS, 0, SOME));
    comet.await_delivered(SOME);

    assert!(
        socket
            .ctl(&["pause"])
            .well()
            .starts_with("reading is paused; ")
    );
    assert!(socket.ctl(&["pause"]).well().contains("paused already"));
    topic.await_no_lag();
    pages.await_metrics("a pause", |now| now.sum("job_paused", &[]) == 1.0);
    let (_, text) = pages.get("/status.json");
    let status: Status = serde_json::from_str(&text).expect("a status");
    assert!(
        status.kafka.paused_seconds.is_some() && status.ready.ok,
        "{text}"
    );
    assert!(
        status.conditions.iter().any(|one| one.name == "Paused"),
        "{text}"
    );

    let mut other = topic.job(&[&comet]).start();
    await_members(&topic, 2);
    topic.produce(over_rooms(ROOMS, SOME, SOME));
    await_until("half of the partitions", || {
        let lags = lags(&topic);
        is(lags.values().filter(|lag| **lag == 0).count(), 2)
    });
    await_members(&topic, 2);
    assert!(comet.count() < 2 * SOME, "the paused one read on");
    // What came meanwhile is its lag, and no more: none of the partitions that went away.
    let left = (2 * SOME - comet.count()) as f64;
    pages.await_metrics("the lag of what is paused", |now| {
        now.sum("job_lag_records", &[]) == left && now.sum("job_lag_seconds", &[]) > 0.0
    });

    assert_eq!(socket.ctl(&["resume"]).well(), "reading goes on\n");
    comet.await_delivered(2 * SOME);
    topic.await_no_lag();
    let journal = socket.ctl(&["journal"]).well();
    let commands: Vec<_> = journal.lines().collect();
    assert_eq!(commands.len(), 3, "{journal}");
    assert!(
        commands[2].ends_with("resume: reading goes on"),
        "{journal}"
    );
    paused.await_line(&["INFO", "job ctl, uid ", ": resume: reading goes on"]);
    paused.stop();
    other.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 2 * SOME);
}

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 1)
}

#[test]
fn a_message_that_holds_up_its_room_is_skipped() {
    let topic = topic();
    let (comet, socket) = (Comet::start(), Socket::new());
    comet.answer(|call| match call.text() == "bad" {
        true => Answer::Status(RpcStatusCode::UNAVAILABLE),
        false => Answer::Ok,
    });
    let control = socket.flag();
    let mut job = topic.job(&[&comet]).flag("--control", &control).start();
    topic.produce([to_room("room-0", "bad")]);
    job.await_line(&["WARN", "UNAVAILABLE"]);
    topic.produce((0..3).map(|n| numbered("room-0", n)));
    // All four are in hand when the last of them is read.
    await_until("the messages behind it", || {
        is(job.lines_with(&["Received PushMsg:"]).len(), 4)
    });

    let offset = topic.kafka.end_offsets(&topic.name)[&0] - 4;
    let refused = |words: &[&str]| socket.ctl(words).failed();
    let next = (offset + 4).to_string();
    let text = refused(&["skip", "0", &next]);
    assert!(
        text.contains(&format!("isn't read yet: the next to be read is {next}")),
        "{text}"
    );
    assert!(refused(&["skip", "7", "0"]).contains("this job doesn't have the partition"));
    let text = refused(&["skip", "elsewhere", "0", "0"]);
    assert!(
        text.contains(&format!("reads {}, not elsewhere", topic.name)),
        "{text}"
    );

    let bad = offset.to_string();
    let said = socket.ctl(&["skip", &topic.name, "0", &bad]).well();
    assert!(
        said.contains(&format!("{}[0]@{bad} is skipped; ", topic.name)),
        "{said}"
    );
    comet.await_delivered(3);
    let letters = topic.await_dead_letters(1);
    let why = letters[&(0, offset)]
        .header_str("job.error")
        .unwrap_or_default();
    assert!(
        why.starts_with("skipped by operator (job ctl skip, uid "),
        "{why}"
    );
    topic.await_no_lag();
    assert!(refused(&["skip", "0", &bad]).contains("is finished already"));
    let texts: Vec<_> = comet.delivered().iter().map(|call| call.text()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_each_once_in_order(&comet.delivered(), 1, 3);
    job.stop();
}

#[test]
fn the_level_of_the_log_changes_and_back() {
    let topic = topic();
    let (comet, socket) = (Comet::start(), Socket::new());
    let control = socket.flag();
    let job = topic.job(&[&comet]).flag("--control", &control);
    let mut job = job.log_level("WARN").start();
    topic.produce([to_room("room-0", "quiet")]);
    comet.await_delivered(1);
    assert_eq!(job.log(), [""; 0]);
    let said = socket.ctl(&["log-level", "debug"]).well();
    assert_eq!(said, "the log is at DEBUG now; it was at WARN\n");
    job.await_line(&["INFO", "log-level DEBUG: the log is at DEBUG now"]);
    topic.produce([to_room("room-0", "loud")]);
    job.await_line(&["Received PushMsg:"]);
    socket.ctl(&["log-level", "WARN"]).well();
    // It is said before it takes hold.
    job.await_line(&["INFO", "log-level WARN: the log is at WARN now"]);
    topic.produce([to_room("room-0", "quiet")]);
    comet.await_delivered(3);
    job.stop();
    assert_eq!(job.lines_with(&["Received PushMsg:"]).len(), 1);
}

#[test]
fn the_settings_are_read_again_all_or_none() {
    let topic = topic();
    let (comet, socket) = (Comet::start(), Socket::new());
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("job.toml");
    let write = |text: &str| std::fs::write(&file, text).expect("a file can be written");
    write("log-messages = 'on'\nthreads = 3\n");
    let mut job = topic
        .job(&[&comet])
        .flag("--config", &file.display().to_string())
        .flag("--control", &socket.flag())
        .start();
    topic.produce([to_room("room-0", "seen")]);
    job.await_line(&["Received PushMsg:"]);

    write("log-messages = 'on'\nthreads = 3\nhold-messages = 0\n");
    let text = socket.ctl(&["reload"]).failed();
    assert!(
        text.starts_with(&format!(
            "error: nothing is applied: {}:3: ",
            file.display()
        )),
        "{text}"
    );
    write("log-messages = 'off'\nthreads = 2\n");
    let text = socket.ctl(&["reload"]).failed();
    let fixed = "nothing is applied, as this needs a restart: threads\n";
    assert!(
        text.contains(fixed) && text.contains("threads: 3 → 2 ("),
        "{text}"
    );
    topic.produce([to_room("room-0", "seen")]);
    await_until("the second message", || {
        is(job.lines_with(&["Received PushMsg:"]).len(), 2)
    });

    write("log-messages = 'off'\nthreads = 3\nhold-messages = 7\n");
    let said = socket.ctl(&["reload"]).well();
    assert!(
        said.starts_with("applied: hold-messages, log-messages\n"),
        "{said}"
    );
    assert!(said.contains("hold-messages: 4000 → 7 ("), "{said}");
    job.await_line(&["INFO", "reload: applied: hold-messages, log-messages"]);
    // Once the next fetch begins the new ones hold.
    await_until("a message that isn't shown", || {
        let shown = job.lines_with(&["Received PushMsg:"]).len();
        let before = comet.count();
        topic.produce([to_room("room-0", "unseen")]);
        comet.await_delivered(before + 1);
        is(job.lines_with(&["Received PushMsg:"]).len(), shown)
    });
    assert!(
        socket
            .ctl(&["reload"])
            .well()
            .starts_with("no setting has changed")
    );
    job.stop();
}
