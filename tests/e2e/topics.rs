//! Several topics at once: each is read, committed and has dead letters of its own, whatever becomes of the others.

use crate::catch_up::{await_missing, await_nothing_missing};
use crate::support::comet::{Answer, Call, Comet};
use crate::support::command::job;
use crate::support::http::Pages;
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{arrived, numbered, record};
use crate::support::topic::Topic;
use crate::support::{await_until, is, runtime};
use chatroom_job::message::proto::push::PushMsg;
use grpcio::RpcStatusCode;
use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

on_each_kafka!(
    both_are_read_and_committed,
    one_is_made_later,
    one_is_deleted
);

const ROOMS: usize = 20;

/// Two topics of one group.
struct Two<'a> {
    one: Topic<'a>,
    other: Topic<'a>,
}

impl<'a> Two<'a> {
    fn new(kafka: &'a Kafka) -> Two<'a> {
        let two = Two::with_other_missing(kafka);
        two.other.create(3);
        two
    }

    fn with_other_missing(kafka: &'a Kafka) -> Two<'a> {
        let one = Topic::new(kafka, 2);
        let mut other = Topic::missing(kafka);
        other.group = one.group.clone();
        Two { one, other }
    }

    fn names(&self) -> String {
        format!("{},{}", self.one.name, self.other.name)
    }

    fn job(&self, comets: &[&Comet]) -> JobCommand {
        let addresses: Vec<_> = comets.iter().map(|comet| comet.address()).collect();
        JobCommand::new()
            .flag("--brokers", &self.one.kafka.address())
            .flag("--topic", &self.names())
            .flag("--group", &self.one.group)
            .flag("--comet", &addresses.join(","))
            .flag("--http", "127.0.0.1:0")
    }

    /// Runs a command of job for both.
    fn command(&self, words: &[&str], more: &[&str]) -> crate::support::command::Ended {
        let (address, names) = (self.one.kafka.address(), self.names());
        let settings = ["--brokers", &address, "--topic", &names];
        job(&[words, &settings, more].concat())
    }

    /// Waits until so many members share all partitions of both.
    fn await_members(&self, count: usize) {
        await_until("the partitions' assignment", || {
            let members = self.one.kafka.members(&self.one.group);
            let all = members.iter().flat_map(|m| m.assignment.iter().flatten());
            let owned: usize = all.map(|of| of.partitions.len()).sum();
            let busy = members
                .iter()
                .filter(|m| m.assignment.as_ref().is_some_and(|a| !a.is_empty()));
            is((busy.count(), owned), (count, 5))
        });
    }

    fn await_no_lag(&self) {
        self.one.await_no_lag();
        self.other.await_no_lag();
    }
}

/// Messages to rooms of this name: `one-0`, `one-1` …
fn to(name: &str, from: usize, count: usize) -> impl Iterator<Item = PushMsg> {
    let room = move |n: usize| format!("{name}-{}", n % ROOMS);
    (from..from + count).map(move |n| numbered(&room(n), n / ROOMS))
}

/// Panics unless the rooms of this name got so many messages, each once and in order.
#[track_caller]
fn assert_in_order(comet: &Comet, name: &str, count: usize) {
    let all = arrived(&comet.delivered());
    let of = all.iter().filter(|(room, _)| room.starts_with(name));
    let mut got = 0;
    for (room, sequences) in of {
        let expected: Vec<usize> = (0..sequences.len()).collect();
        assert_eq!(sequences, &expected, "{room}");
        got += sequences.len();
    }
    assert_eq!(got, count, "messages to {name}");
}

fn both_are_read_and_committed(kafka: &Kafka) {
    let fetchers: &[&str] = match kafka.version() {
        Version::V3_7_2 | Version::V3_9_1 => &["classic", "modern", "auto"],
        Version::V4_3_1 => &["modern", "auto"],
    };
    for fetch in fetchers {
        let two = Two::new(kafka);
        let comet = Comet::start();
        two.one.produce(to("one", 0, 1_000));
        two.other.produce(to("other", 0, 1_000));
        let start = || two.job(&[&comet]).flag("--fetch", fetch).start();
        let mut job = start();
        two.one.produce(to("one", 1_000, 1_000));
        two.other.produce(to("other", 1_000, 1_000));
        comet.await_delivered(4_000);
        two.await_no_lag();
        job.await_line(&["partition 1 of topic", &two.other.name, "reading from"]);

        // Each topic's partitions stand by themselves.
        let pages = Pages::of(&mut job);
        for (topic, partitions) in [(&two.one, 2), (&two.other, 3)] {
            let label = format!("topic=\"{}\"", topic.name);
            let metrics = pages.metrics();
            assert_eq!(metrics.count("job_lag_records", &[&label]), partitions);
            assert_eq!(metrics.sum("kafka_consumed_total", &[&label]), 2_000.0);
            assert_eq!(
                metrics.sum("job_records_consumed_total", &[&label]),
                2_000.0
            );
        }
        let address = pages.address();
        let status = crate::support::command::job(&["status", "--http", address]).well();
        for place in [
            format!("{}[1]", two.one.name),
            format!("{}[2]", two.other.name),
        ] {
            assert!(status.contains(&place), "{status}");
        }
        job.stop();

        // Nothing comes again after a restart.
        let mut job = start();
        two.other.produce(to("other", 2_000, 100));
        comet.await_delivered(4_100);
        two.await_no_lag();
        job.stop();
        assert_in_order(&comet, "one", 2_000);
        assert_in_order(&comet, "other", 2_100);
        assert_eq!(comet.calls().len(), 4_100, "messages were sent again");
        comet.assert_no_overlaps();
    }
}

fn one_is_made_later(kafka: &Kafka) {
    let two = Two::with_other_missing(kafka);
    let comet = Comet::start();
    two.one.produce(to("one", 0, 100));
    let mut job = two.job(&[&comet]).start();
    comet.await_delivered(100);
    job.await_line(&["ERROR", "has no topic", &two.other.name, "--create"]);
    two.other.create(3);
    two.other.produce(to("other", 0, 100));
    comet.await_delivered(200);
    two.await_no_lag();
    job.await_line(&["topic", &two.other.name, "is there by now"]);
    job.stop();
    assert_in_order(&comet, "one", 100);
    assert_in_order(&comet, "other", 100);
}

/// The other topic goes on, and the one that is made again is read from its start.
fn one_is_deleted(kafka: &Kafka) {
    let two = Two::new(kafka);
    let comet = Comet::start();
    two.one.produce(to("one", 0, 100));
    two.other.produce(to("other", 0, 100));
    let mut job = two.job(&[&comet]).start();
    comet.await_delivered(200);
    two.await_no_lag();
    kafka.delete_topic(&two.other.name);
    job.await_line(&["ERROR", "has no topic", &two.other.name]);
    two.one.produce(to("one", 100, 100));
    comet.await_delivered(300);
    two.one.await_no_lag();
    two.other.create(3);
    // Fewer than before: where job stood in the one that is gone, there is nothing.
    two.other.produce(to("again", 0, ROOMS));
    comet.await_delivered(300 + ROOMS);
    two.one.produce(to("one", 200, 100));
    comet.await_delivered(400 + ROOMS);
    two.await_no_lag();
    job.stop();
    assert_in_order(&comet, "one", 300);
    assert_in_order(&comet, "again", ROOMS);
}

#[test]
fn two_jobs_share_two_topics() {
    let two = Two::new(shared(Version::V3_9_1));
    let comet = Comet::start();
    let start = || two.job(&[&comet]).start();
    let (mut first, mut second) = (start(), start());
    two.await_members(2);
    two.one.produce(to("one", 0, 1_000));
    two.other.produce(to("other", 0, 1_000));
    comet.await_delivered(2_000);
    two.await_no_lag();
    second.stop();
    two.one.produce(to("one", 1_000, 200));
    two.other.produce(to("other", 1_000, 200));
    comet.await_delivered(2_400);
    two.await_no_lag();
    first.stop();
    assert_in_order(&comet, "one", 1_200);
    assert_in_order(&comet, "other", 1_200);
}

/// What it missed of each topic is read again from that one.
#[test]
fn a_comet_catches_up_in_both() {
    let two = Two::new(shared(Version::V3_9_1));
    let (stays, goes) = (Comet::start(), Comet::start());
    let mut written = 0;
    let mut write = |count| {
        two.one.produce(to("one", written, count));
        two.other.produce(to("other", written, count));
        written += count;
        2 * written
    };
    let mut job = two.job(&[&stays, &goes]).start();
    let before = write(100);
    goes.await_delivered(before);
    goes.stop();
    let mut all = before;
    while job
        .lines_with(&["ERROR", &goes.address(), "it is detached"])
        .is_empty()
    {
        all = write(ROOMS);
        stays.await_delivered(all);
        assert!(all < 40_000, "it is never detached");
    }
    all = write(200).max(all);
    stays.await_delivered(all);
    for topic in [&two.one, &two.other] {
        await_missing(topic, &goes, 200);
    }
    goes.start_again();
    job.await_line(&[&goes.address(), "has caught up"]);
    for topic in [&two.one, &two.other] {
        await_nothing_missing(topic);
    }
    job.stop();
    for name in ["one", "other"] {
        // A call that was cut may have come before.
        let calls = arrived(&goes.delivered());
        let rooms = calls.iter().filter(|(room, _)| room.starts_with(name));
        let distinct = rooms.map(|(_, got)| got.iter().collect::<BTreeSet<_>>().len());
        assert_eq!(distinct.sum::<usize>(), all / 2, "messages to {name}");
    }
}

/// A transaction in either of them is noticed.
#[test]
fn one_has_a_transaction() {
    let kafka = shared(Version::V3_9_1);
    let two = Two::new(kafka);
    let comet = Comet::start();
    two.one.produce(to("one", 0, 100));
    let mut job = two.job(&[&comet]).start();
    job.await_line(&["reading with the classic fetcher"]);
    comet.await_delivered(100);
    // What job last asked about transactions is old by then.
    two.one.await_no_lag();
    let producer = kafka.transactional(&two.other.name);
    // Kafka was asked about transactions right before those were given out. For a moment that answer counts.
    thread::sleep(Duration::from_millis(500));
    runtime().block_on(async {
        producer.begin().expect("a transaction begins");
        let aborted = record(&two.other.name, &numbered("aborted", 0));
        let queued = producer.enqueue(aborted).await;
        drop(queued.expect("a record is queued"));
        producer.flush().await.expect("Kafka takes the record");
        producer.abort().await.expect("it is aborted");
    });
    two.other.produce(to("other", 0, 100));
    // It asked Kafka, or met the marker first.
    let line = job.await_line(&["reading with the modern fetcher", "transaction"]);
    assert!(line.contains(&two.other.name), "{line}");
    two.one.produce(to("one", 100, 100));
    comet.await_delivered(300);
    two.await_no_lag();
    job.stop();
    assert_in_order(&comet, "one", 200);
    assert_in_order(&comet, "other", 100);
    assert_in_order(&comet, "aborted", 0);
}

#[test]
fn each_has_dead_letters_of_its_own() {
    let two = Two::new(shared(Version::V3_9_1));
    let comet = Comet::start();
    let refused = |room: &str| room.ends_with("-3");
    comet.answer(move |call: &Call| match refused(&call.room) {
        true => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        false => Answer::Ok,
    });
    two.one.produce(to("one", 0, 100));
    two.other.produce(to("other", 0, 200));
    let mut job = two.job(&[&comet]).start();
    two.await_no_lag();
    for (topic, count) in [(&two.one, 5), (&two.other, 10)] {
        let letters = topic.await_dead_letters(count);
        for letter in letters.values() {
            let source = letter.header_str("job.source.topic");
            assert_eq!(source, Some(topic.name.as_str()));
        }
    }

    let list = two.command(&["dead-letter", "list"], &[]).well();
    let letters = |said: &str| -> Vec<String> {
        let letters = said.lines().filter(|line| line.contains("  rounds "));
        letters.map(str::to_owned).collect()
    };
    let of = |topic: &Topic<'_>| {
        let letters = letters(&list).into_iter();
        letters.filter(|line| line.contains(&topic.name)).count()
    };
    assert_eq!((of(&two.one), of(&two.other)), (5, 10), "{list}");
    let limited = two.command(&["dead-letter", "list"], &["--limit", "7"]);
    assert_eq!(letters(&limited.well()).len(), 7);
    // Both topics have such a place.
    let unclear = two.command(&["dead-letter", "show"], &["0@0"]).failed();
    assert!(
        unclear.contains("name one of them with --topic"),
        "{unclear}"
    );
    let unclear = two.command(&["dead-letter", "discard"], &["--from", "0"]);
    assert!(unclear.failed().contains("name one of them with --topic"));

    comet.answer(|_| Answer::Ok);
    let replayed = two.command(&["dead-letter", "replay"], &["--all"]).well();
    let into = |topic: &Topic<'_>, count| {
        let (name, said) = (&topic.name, format!("replayed {count} messages"));
        let mut lines = replayed.lines();
        lines.any(|l| l.starts_with(&said) && l.ends_with(&format!("into {name}")))
    };
    assert!(into(&two.one, 5) && into(&two.other, 10), "{replayed}");
    two.await_no_lag();
    await_until("what was replayed", || is(comet.delivered().len(), 300));
    job.stop();
}

#[test]
fn commands_name_each_topic() {
    let kafka = shared(Version::V3_9_1);
    let two = Two::with_other_missing(kafka);
    let comet = Comet::start();
    let check = || {
        let at = ["--group", &two.one.group, "--comet", &comet.address()].map(str::to_owned);
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        two.command(&["check"], &at)
    };
    let ended = check();
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    let bad = format!("✗ topic {}: not there", two.other.name);
    let good = format!("✓ topic {}: 2 partitions", two.one.name);
    assert!(ended.out.contains(&bad) && ended.out.contains(&good));
    two.other.create(3);
    let said = check().well();
    for line in [
        format!("✓ topic {}: 3 partitions", two.other.name),
        format!("✓ group {} in topic {}", two.one.group, two.one.name),
        format!("✓ dead-letter topic {}", two.other.dead_letter_topic()),
    ] {
        assert!(said.contains(&line), "{line}: {said}");
    }

    let to = ["--room", "r", "hello"];
    let sent = two.command(&["send"], &to).well();
    let first = format!("to topic {}, the first of {}", two.one.name, two.names());
    assert!(sent.contains(&first), "{sent}");
    let ends = kafka.end_offsets(&two.other.name);
    assert_eq!(ends.values().sum::<i64>(), 0);
}
