//! `job dead-letter`: what is listed and shown, and what a replay delivers.

mod compacted;
mod counted;
mod cut_short;
mod held;
mod one_comet;

use std::collections::BTreeMap;

use bytes::Bytes;
use grpcio::RpcStatusCode;
use krafka::Record;
use nix::sys::signal::Signal;

use crate::rebalance::{await_members, received};
use crate::support::comet::{Answer, Call, Comet};
use crate::support::command::{Ended, job};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{
    arrived, assert_each_once_in_order, assert_in_order, encoded, over_rooms, record, to_room,
};
use crate::support::topic::Topic;
use crate::support::{await_until, free_port, is};

on_each_kafka!(refused_messages_are_replayed_once_and_in_order);

fn tool(topic: &Topic<'_>, what: &str, args: &[&str]) -> Ended {
    let address = topic.kafka.address();
    let start = [
        "dead-letter",
        what,
        "--brokers",
        &address,
        "--topic",
        &topic.name,
    ];
    job(&[&start, args].concat())
}

/// The lines of `list --all`, once there are so many.
#[track_caller]
fn listed(topic: &Topic<'_>, count: usize) -> Vec<String> {
    await_until(&format!("{count} letters in the list"), || {
        let said = tool(topic, "list", &["--all"]).well();
        let letters = said.lines().filter(|line| line.contains("  rounds "));
        let lines: Vec<_> = letters.map(str::to_owned).collect();
        is(lines.len(), count).map(|()| lines)
    })
}

/// How many records the topic holds.
fn records(topic: &Topic<'_>) -> i64 {
    topic.kafka.end_offsets(&topic.name).values().sum()
}

/// Refuses the messages to these rooms as Comets refuse what they can't take.
fn refuse(comet: &Comet, room: impl Fn(&str) -> bool + Send + Sync + 'static) {
    comet.answer(move |call: &Call| {
        if room(&call.room) {
            Answer::Status(RpcStatusCode::INVALID_ARGUMENT)
        } else {
            Answer::Ok
        }
    });
}

fn refused_messages_are_replayed_once_and_in_order(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    let refused = |room: &str| room == "room-3" || room == "room-8";
    refuse(&comet, refused);
    topic.produce(over_rooms(10, 0, 200));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_no_lag();

    let sources: Vec<_> = kafka
        .read(&topic.name)
        .into_iter()
        .filter(|record| refused(record.key_str().expect("its room")))
        .map(|record| format!("{}[{}]@{}", topic.name, record.partition, record.offset))
        .collect();
    let lines = listed(&topic, 40);
    for source in &sources {
        let of_it: Vec<_> = lines
            .iter()
            .filter(|line| line.contains(&format!("  {source}  rounds 0  waiting  ROOM room-")))
            .collect();
        assert_eq!(of_it.len(), 1, "{source}: {lines:#?}");
        assert!(of_it[0].contains("INVALID_ARGUMENT"), "{}", of_it[0]);
    }
    let said = tool(&topic, "list", &[]).well();
    let last = said.lines().last().expect("a last line");
    let letters = topic.dead_letter_topic();
    let sum = format!("40 letters wait in {letters}: 40 refused; the oldest for ");
    assert!(last.starts_with(&sum), "{last}");

    // Beside the running job.
    comet.answer(|_| Answer::Ok);
    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(
        said.starts_with("replayed 40 messages in "),
        "it says what it did: {said}"
    );
    comet.await_delivered(200);
    topic.await_no_lag();
    assert_each_once_in_order(&comet.delivered(), 10, 200);
    comet.assert_no_overlaps();
    assert!(
        listed(&topic, 40)
            .iter()
            .all(|line| line.contains("  replayed  "))
    );

    let before = records(&topic);
    assert_eq!(
        tool(&topic, "replay", &["--all"]).well(),
        format!(
            "nothing to replay from {}; 40 replayed before\n",
            topic.dead_letter_topic()
        )
    );
    assert_eq!(records(&topic), before, "something was sent again");
    job.stop();
}

#[test]
fn what_fails_again_comes_back_with_its_rounds() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    refuse(&comet, |room| room == "bad");
    let own = [
        ("trace".to_owned(), Some(Bytes::from_static(b"\xff\x00"))),
        ("flag".to_owned(), None),
    ];
    let mut refused = record(&topic.name, &to_room("bad", "hello"));
    refused.headers = own.to_vec();
    topic.kafka.produce([refused]);
    let mut job = topic.job(&[&comet]).start();

    for rounds in 0..3 {
        let lines = listed(&topic, rounds + 1);
        let last = lines.last().expect("there is one");
        assert!(
            last.contains(&format!("  rounds {rounds}  waiting  ROOM bad \"hello\"  ")),
            "{last}"
        );
        let source = topic
            .kafka
            .read(&topic.name)
            .pop()
            .expect("the message that was refused");
        assert!(
            last.contains(&format!("{}[{}]@{rounds}  ", topic.name, source.partition)),
            "{last}"
        );
        assert_eq!(source.key_str(), Some("bad"));
        let mut expected = own.to_vec();
        if rounds > 0 {
            expected.push(("job.rounds".into(), Some(rounds.to_string().into())));
        }
        assert_eq!(source.headers, expected, "headers in the main topic");
        let mut sent = to_room("bad", "hello");
        if rounds > 0 {
            sent.only = comet.address();
        }
        assert_eq!(source.value.as_deref(), Some(encoded(&sent).as_slice()));
        if rounds == 2 {
            comet.answer(|_| Answer::Ok);
        }
        let said = tool(&topic, "replay", &["--all"]).well();
        assert!(said.contains(&format!("  to  {}[", topic.name)), "{said}");
        assert!(said.contains("replayed 1 message in "), "{said}");
    }
    comet.await_delivered(1);
    topic.await_no_lag();
    listed(&topic, 3);
    job.stop();
}

#[test]
fn letters_are_chosen_by_reason_and_by_source() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    refuse(&comet, |room| room == "bad");
    let broken = Bytes::from_static(b"\xff\xff no protobuf\n");
    topic.kafka.produce((0..10).map(|n| match n {
        4 => Record::new(&topic.name, broken.clone()).key("bad"),
        _ => record(&topic.name, &to_room("bad", format!("bad/{n}"))),
    }));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_no_lag();
    listed(&topic, 10);
    comet.answer(|_| Answer::Ok);

    // Which of them a list shows, by their offsets in the main topic.
    let offsets = |args: &[&str]| -> Vec<i64> {
        let said = tool(&topic, "list", args).well();
        let source = format!("{}[0]@", topic.name);
        let offset = |line: &str| line.split(&source).nth(1)?.split(' ').next()?.parse().ok();
        let mut offsets: Vec<_> = said.lines().filter_map(offset).collect();
        offsets.sort_unstable();
        offsets
    };
    assert_eq!(offsets(&["--reason", "invalid_argument"]).len(), 9);
    assert_eq!(offsets(&["--reason", "push", "--from", "0"]), [4]);
    assert_eq!(offsets(&["--from", "0:3-5"]), [3, 4, 5]);
    assert_eq!(offsets(&["--from", "0:8-"]), [8, 9]);
    assert_eq!(offsets(&["--limit", "3"]).len(), 3);
    let nothing = format!(
        "no such dead letters wait in {}\n",
        topic.dead_letter_topic()
    );
    assert_eq!(tool(&topic, "list", &["--from", "1"]).well(), nothing);

    // A rehearsal writes nothing.
    let records_before = (records(&topic), topic.dead_letters());
    let said = tool(
        &topic,
        "replay",
        &["--reason", "INVALID", "--from", "0:3-6", "--dry-run"],
    )
    .well();
    assert!(
        said.ends_with(&format!(
            "3 messages would be replayed into {}\n",
            topic.name
        )),
        "{said}"
    );
    assert_eq!(said.lines().count(), 4, "{said}");
    assert_eq!((records(&topic), topic.dead_letters()), records_before);

    let delivered = || -> Vec<_> {
        arrived(&comet.delivered())
            .remove("bad")
            .unwrap_or_default()
    };
    tool(
        &topic,
        "replay",
        &["--reason", "INVALID", "--from", "0:3-6"],
    )
    .well();
    comet.await_delivered(3);
    assert_eq!(delivered(), [3, 5, 6]);
    let said = tool(&topic, "replay", &["--from", "0:5-7"]).well();
    assert!(said.ends_with("; 2 replayed before\n"), "{said}");
    comet.await_delivered(4);
    assert_eq!(delivered(), [3, 5, 6, 7]);
    let said = tool(&topic, "replay", &["--reason", "INVALID"]).well();
    assert!(said.contains("replayed 5 messages in "), "{said}");
    comet.await_delivered(9);
    assert_eq!(delivered(), [3, 5, 6, 7, 0, 1, 2, 8, 9]);
    topic.await_no_lag();
    job.stop();

    // The one that is no PushMsg, byte for byte.
    let line = tool(&topic, "list", &["--from", "0:4"]).well();
    assert!(
        line.contains("rounds 0  waiting  not a PushMsg \"\\xff\\xff no protobuf\\n\"  "),
        "{line}"
    );
    let place = line.split(' ').next().expect("its place");
    let shown = tool(&topic, "show", &[place]).well();
    for says in [
        format!("place      {place}\n"),
        format!("source     {}[0]@4\n", topic.name),
        "key        \"bad\" (3 bytes)\n".to_owned(),
        "header     job.source.offset: \"4\" (1 bytes)\n".to_owned(),
        "value      \"\\xff\\xff no protobuf\\n\" (15 bytes)\n".to_owned(),
    ] {
        assert!(shown.contains(&says), "{says}: {shown}");
    }
    assert_eq!(raw(&topic, place), broken);
}

/// What `show --raw` writes.
fn raw(topic: &Topic<'_>, place: &str) -> Vec<u8> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_job"))
        .args(["dead-letter", "show", place, "--raw"])
        .args(["--brokers", &topic.kafka.address(), "--topic", &topic.name])
        .output()
        .expect("job starts");
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn where_there_is_nothing_it_is_said() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let none = format!(
        "no dead letters: there is no topic {}\n",
        topic.dead_letter_topic()
    );
    assert_eq!(tool(&topic, "list", &[]).well(), none);
    assert_eq!(tool(&topic, "replay", &["--all"]).well(), none);
    let error = tool(&topic, "show", &["0@0"]).failed();
    assert!(error.contains("there is no letter 0@0"), "{error}");
    assert_eq!(topic.dead_letters(), 0, "the topic was made");

    let nowhere = format!("127.0.0.1:{}", free_port());
    let error = job(&["dead-letter", "list", "--brokers", &nowhere]).failed();
    assert!(
        error.contains(&format!("Kafka at {nowhere}: Connection refused")),
        "{error}"
    );
}

#[test]
fn a_topic_that_is_deleted_is_made_again() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    refuse(&comet, |_| true);
    topic.produce([to_room("bad", "first")]);
    let mut job = topic.job(&[&comet]).start();
    topic.await_dead_letters(1);
    topic.await_no_lag();
    topic.kafka.delete_topic(&topic.dead_letter_topic());
    topic.produce([to_room("bad", "second")]);
    topic.await_no_lag();
    let letters = topic.await_dead_letters(1);
    assert!(letters.contains_key(&(0, 1)), "{:?}", letters.keys());
    job.stop();
}

#[test]
fn a_letter_that_the_topic_refuses_is_held_and_keeps_nothing_else_up() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_limited_topic(&letters, 1, 2_000);
    let comet = Comet::start();
    refuse(&comet, |room| room == "bad");
    topic.produce([
        to_room("bad", "x".repeat(5_000)),
        to_room("bad", "small"),
        to_room("good", "good/0"),
    ]);
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(1);
    let line = job.await_line(&["Writing to the dead-letter topic", "too large"]);
    for says in [
        letters.as_str(),
        "Raise its max.message.bytes",
        "--add-config max.message.bytes=",
        &format!("{}[0]@0", topic.name),
        "offsets are held",
    ] {
        assert!(line.contains(says), "{says}: {line}");
    }
    await_until("the small letter", || is(topic.dead_letters(), 1));
    // What comes later is delivered, or becomes a letter, beside the one that is held.
    topic.produce([to_room("bad", "another"), to_room("good", "good/1")]);
    comet.await_delivered(2);
    await_until("another small letter", || is(topic.dead_letters(), 2));
    let committed = topic.kafka.committed(&topic.group, &topic.name);
    assert_eq!(
        committed
            .get(&0)
            .and_then(|commit| commit.offset)
            .unwrap_or(0),
        0
    );

    topic.kafka.set(&letters, "max.message.bytes", "10000");
    topic.await_no_lag();
    job.stop();
    let written = topic.await_dead_letters(3);
    assert_eq!(
        written[&(0, 0)].value.as_ref().map(Bytes::len),
        Some(encoded(&to_room("bad", "x".repeat(5_000))).len())
    );
    let delivered = comet.delivered();
    assert_eq!(
        delivered.iter().map(Call::text).collect::<Vec<_>>(),
        ["good/0", "good/1"]
    );
}

#[test]
fn a_letter_of_a_partition_that_was_handed_over_comes_from_its_next_owner_alone() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_limited_topic(&letters, 1, 2_000);
    let comet = Comet::start();
    refuse(&comet, |_| true);
    let job = topic.job(&[&comet]).flag("--shutdown-timeout", "2s");
    let mut first = job.start();
    await_members(&topic, 1);
    // In two waves, so that one letter of each partition is held behind those of all others.
    for wave in 1..=2 {
        let bodies = [(); 4].map(|()| to_room("bad", "x".repeat(5_000)));
        let records = bodies.iter().zip(0..);
        let records =
            records.map(|(body, partition)| record(&topic.name, body).partition(partition));
        topic.kafka.produce(records);
        await_until("the wave", || is(received(&first), 4 * wave));
    }
    first.await_line(&["Writing to the dead-letter topic", "too large"]);

    let mut second = topic.job(&[&comet]).start();
    for _ in 0..2 {
        first.await_line(&["2 messages not finished in time, left to its next owner"]);
    }
    await_members(&topic, 2);
    await_until("what is read again", || is(received(&second), 4));
    topic.kafka.set(&letters, "max.message.bytes", "10000");
    topic.await_no_lag();
    first.stop();
    second.stop();
    assert_eq!(topic.await_dead_letters(8).len(), 8);
}
