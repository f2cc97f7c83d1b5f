//! `job dead-letter`: what is listed and shown, and what a replay delivers, also where it is cut short.

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

/// A replay of all, to be signalled while it runs, with a fault injected.
fn replay_with(topic: &Topic<'_>, fault: &str) -> Job {
    JobCommand::new()
        .args(&["dead-letter", "replay", "--all"])
        .flag("--brokers", &topic.kafka.address())
        .flag("--topic", &topic.name)
        .fault(fault)
        .start()
}

/// The lines of `list --history`, once there are so many.
#[track_caller]
fn listed(topic: &Topic<'_>, count: usize) -> Vec<String> {
    await_until(&format!("{count} letters in the list"), || {
        let said = tool(topic, "list", &["--history"]).well();
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
        assert_eq!(
            source.value.as_deref(),
            Some(encoded(&to_room("bad", "hello")).as_slice())
        );
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
fn what_cannot_be_replayed_is_left_and_said() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_topic(&letters, 2);
    let of = |partition, offset: &str| {
        Record::new(&letters, "")
            .without_value()
            .partition(partition)
            .header("job.source.topic", topic.name.clone())
            .header("job.source.partition", "0")
            .header("job.source.offset", offset.to_owned())
    };
    topic.kafka.produce([
        of(0, "1"),
        Record::new(&letters, "somebody else's").partition(0),
        // A message that had no value is a message all the same.
        of(1, "2").header("job.source.timestamp", "1700000000000"),
        of(1, "2").header("job.source.timestamp", "1700000000000"),
    ]);
    let lines = listed(&topic, 3);
    assert!(
        lines[0].starts_with("0@0  ") && lines[0].contains("  gone  "),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("1@0  ") && lines[1].contains("  waiting  "),
        "{lines:#?}"
    );
    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(
        said.starts_with("nothing to replay from ")
            && said.contains("; 1 without a message")
            && said.contains("; 2 skipped, which can't be decoded"),
        "{said}"
    );
    let said = tool(&topic, "replay", &["1@0"]).well();
    assert!(said.contains("replayed 1 message in "), "{said}");
    let replayed = topic.kafka.read(&topic.name);
    assert_eq!(replayed.len(), 1, "one message with two letters");
    assert_eq!(replayed[0].value, None);
    let states: BTreeMap<_, _> = listed(&topic, 3)
        .iter()
        .filter_map(|line| {
            let mut words = line.split("  ");
            Some((words.next()?.to_owned(), words.nth(3)?.to_owned()))
        })
        .collect();
    let expected = [("0@0", "gone"), ("1@0", "replayed"), ("1@1", "replayed")];
    assert_eq!(
        states,
        BTreeMap::from(expected.map(|(place, state)| (place.into(), state.into())))
    );

    let error = tool(&topic, "show", &["0@99"]).failed();
    assert!(
        error.contains(&format!("{letters} has nothing at 0@99: ")),
        "{error}"
    );
    let said = tool(&topic, "show", &["0@1"]).well();
    assert!(said.contains("0@1 is no letter"), "{said}");
}

/// A message that is so many bytes long.
fn message_of(size: usize) -> Vec<u8> {
    (0..size)
        .rev()
        .map(|body| encoded(&to_room("bad", "x".repeat(body))))
        .find(|message| message.len() == size)
        .expect("a body of that length")
        .to_vec()
}

#[test]
fn a_message_that_the_topic_no_longer_takes_waits_for_a_higher_limit() {
    let topic = Topic::missing(shared(Version::V4_3_1));
    topic.kafka.create_limited_topic(&topic.name, 1, 1_000);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_topic(&letters, 1);
    let sizes = [100, 200, 5_000, 300];
    topic.kafka.produce(sizes.iter().zip(0..).map(|(size, n)| {
        Record::new(&letters, message_of(*size))
            .header("job.source.partition", "0")
            .header("job.source.offset", n.to_string())
            .header("job.source.timestamp", "1700000000000")
    }));
    let ended = tool(&topic, "replay", &["--all"]);
    assert_eq!(
        (ended.code, ended.err.as_str()),
        (Some(1), ""),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("0@2  not replayed: ")
            && ended.out.contains("refused its 5000 bytes as too large")
            && ended.out.ends_with("; 1 refused as too large\n"),
        "{}",
        ended.out
    );
    let replayed = || -> Vec<_> {
        let records = topic.kafka.read(&topic.name);
        records
            .iter()
            .map(|record| record.value.as_ref().map_or(0, Bytes::len))
            .collect()
    };
    assert_eq!(replayed(), [100, 200, 300]);

    topic.kafka.set(&topic.name, "max.message.bytes", "10000");
    let said = await_until("the new limit", || {
        let ended = tool(&topic, "replay", &["--all"]);
        is(ended.code, Some(0)).map(|()| ended.out)
    });
    assert!(said.ends_with("; 3 replayed before\n"), "{said}");
    assert_eq!(replayed(), [100, 200, 300, 5_000]);
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

/// A job, its Comet, and `count` messages over rooms that it has refused, in the dead-letter topic.
fn many_letters<'a>(kafka: &'a Kafka, count: usize) -> (Topic<'a>, Comet, Job) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    // Others are taken in between, or the job would hold: it may be the Comet that is at fault.
    refuse(&comet, |room| room.starts_with("room-"));
    let fine = (0..count).map(|n| to_room(&format!("fine-{}", n % 40), "taken"));
    let mixed = over_rooms(40, 0, count).zip(fine);
    topic.produce(mixed.flat_map(|(refused, taken)| [refused, taken]));
    let job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_no_lag();
    assert_eq!(topic.dead_letters(), count);
    comet.answer(|_| Answer::Ok);
    (topic, comet, job)
}

/// What was delivered of the messages that were refused first.
fn replayed(comet: &Comet) -> Vec<Call> {
    let mut calls = comet.delivered();
    calls.retain(|call| call.room.starts_with("room-"));
    calls
}

#[test]
fn a_killed_replay_repeats_one_handful_at_most() {
    let (topic, comet, mut job) = many_letters(shared(Version::V3_9_1), 2_000);
    let before = records(&topic);
    // Killed between writing messages and noting them: the worst moment.
    let mut killed = replay_with(&topic, "replay-marker=7*off->pause");
    await_until("the eighth handful", || is(records(&topic) - before, 800));
    killed.kill();
    let waiting = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.contains("  waiting  "))
            .count()
    };
    assert_eq!(waiting(&listed(&topic, 2_000)), 1_300);

    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(said.contains("did not say that it ended"), "{said}");
    assert!(said.contains("replayed 1300 messages in "), "{said}");
    assert_eq!(records(&topic) - before, 2_100);
    topic.await_no_lag();
    let delivered = replayed(&comet);
    assert_eq!(assert_in_order(&delivered, 40, 2_000), 100, "repeats");
    assert_eq!(waiting(&listed(&topic, 2_000)), 0);
    job.stop();
}

#[test]
fn a_stopped_replay_goes_on_where_it_was() {
    let (topic, comet, mut job) = many_letters(shared(Version::V4_3_1), 1_000);
    let before = records(&topic);
    let mut stopped = replay_with(&topic, "replay-marker=sleep(300)");
    await_until("some messages", || {
        if records(&topic) > before {
            Ok(())
        } else {
            Err("none yet".into())
        }
    });
    stopped.signal(Signal::SIGINT);
    assert_eq!(stopped.await_exit().code(), Some(1));
    stopped.await_line(&["stopped by a signal"]);
    let done = records(&topic) - before;
    assert!(done < 1_000, "it was not stopped half way");
    stopped.await_line(&["replayed", &format!("{done} messages in")]);

    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(
        said.starts_with(&format!("replayed {} messages in ", 1_000 - done)),
        "{said}"
    );
    topic.await_no_lag();
    assert_each_once_in_order(&replayed(&comet), 40, 1_000);
    job.stop();
}

#[test]
fn of_two_replays_the_later_one_goes_on() {
    let (topic, comet, mut job) = many_letters(shared(Version::V3_9_1), 1_000);
    let before = records(&topic);
    let mut first = replay_with(&topic, "replay-marker=sleep(300)");
    await_until("some messages", || {
        if records(&topic) > before {
            Ok(())
        } else {
            Err("none yet".into())
        }
    });
    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(said.contains("an earlier replay (process "), "{said}");
    assert_eq!(first.await_exit().code(), Some(1));
    first.await_line(&["another replay began (process ", "and takes over"]);
    topic.await_no_lag();
    assert_each_once_in_order(&replayed(&comet), 40, 1_000);
    job.stop();
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
