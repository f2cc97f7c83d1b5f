//! Dead letters that nobody wants: they are discarded, and neither listed as waiting nor replayed; and what a replay skips.

use bytes::Bytes;
use grpcio::RpcStatusCode;
use krafka::Record;

use crate::support::comet::{Answer, Comet};
use crate::support::command::{Ended, job};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{arrived, record, to_room};
use crate::support::topic::Topic;

on_each_kafka!(what_is_discarded_waits_no_longer);

fn tool(topic: &Topic<'_>, what: &str, args: &[&str]) -> Ended {
    let address = topic.kafka.address();
    let start = ["--brokers", &address, "--topic", &topic.name];
    job(&[&["dead-letter", what], &start[..], args].concat())
}

/// What `job check` says of the dead-letter topic.
fn checked(topic: &Topic<'_>, comet: &Comet) -> String {
    let address = topic.kafka.address();
    let args = ["check", "--brokers", &address, "--topic", &topic.name];
    let comet = comet.address();
    let said = job(&[&args[..], &["--comet", &comet]].concat()).well();
    let line = said.lines().find(|line| line.contains("dead-letter topic"));
    line.expect("a line for the topic").to_owned()
}

/// The places of the letters in the order of the main topic, and their states, as `list` shows them.
fn states(topic: &Topic<'_>, args: &[&str]) -> Vec<(String, String)> {
    let said = tool(topic, "list", args).well();
    let letters = said.lines().filter(|line| line.contains("  rounds "));
    let mut states: Vec<_> = letters
        .map(|line| {
            let words: Vec<_> = line.split("  ").collect();
            let offset: i64 = words[2]
                .rsplit('@')
                .next()
                .expect("an offset")
                .parse()
                .expect("a number");
            (offset, (words[0].to_owned(), words[4].to_owned()))
        })
        .collect();
    states.sort_unstable();
    states.into_iter().map(|(_, state)| state).collect()
}

/// Six messages of one partition that became letters: the one at offset 2 is no PushMsg, the others are to the room "bad"
/// and were refused.
fn six_letters(topic: &Topic<'_>, comet: &Comet) -> Vec<String> {
    comet.answer(|call| match call.room.as_str() {
        "bad" => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        _ => Answer::Ok,
    });
    topic.kafka.produce((0..6).map(|n| match n {
        2 => Record::new(&topic.name, Bytes::from_static(b"hello")).key("bad"),
        _ => record(&topic.name, &to_room("bad", format!("bad/{n}"))),
    }));
    let mut job = topic.job(&[comet]).log_level("WARN").start();
    topic.await_no_lag();
    topic.await_dead_letters(6);
    job.stop();
    comet.answer(|_| Answer::Ok);
    let states = states(topic, &[]);
    assert!(
        states.iter().all(|(_, state)| state == "waiting"),
        "{states:?}"
    );
    states.into_iter().map(|(place, _)| place).collect()
}

fn what_is_discarded_waits_no_longer(kafka: &Kafka) {
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let letters = topic.dead_letter_topic();
    let places = six_letters(&topic, &comet);
    assert!(checked(&topic, &comet).ends_with("1 partition; 6 letters wait: job dead-letter list"));

    // A rehearsal notes nothing.
    let said = tool(&topic, "discard", &["--from", "0:3-4", "--dry-run"]).well();
    assert!(
        said.ends_with(&format!("\n2 messages would be discarded in {letters}\n")),
        "{said}"
    );
    assert_eq!(states(&topic, &[]).len(), 6);

    let said = tool(&topic, "discard", &[&places[2]]).well();
    assert_eq!(said, format!("discarded 1 message in {letters}\n"));
    let said = tool(&topic, "discard", &["--from", "0:2-4"]).well();
    assert_eq!(
        said,
        format!("discarded 2 messages in {letters}; 1 discarded before\n")
    );
    assert_eq!(
        states(&topic, &[]),
        [0, 1, 5].map(|n| (places[n].clone(), "waiting".to_owned()))
    );
    assert!(checked(&topic, &comet).ends_with("; 3 letters wait: job dead-letter list"));
    let shown = tool(&topic, "show", &[&places[3]]).well();
    assert!(shown.contains("state      discarded\n"), "{shown}");

    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(
        said.contains("replayed 3 messages in ") && said.ends_with("; 3 discarded before\n"),
        "{said}"
    );
    // Not even by its place.
    let said = tool(&topic, "replay", &[&places[4]]).well();
    assert_eq!(
        said,
        format!("nothing to replay from {letters}; 1 discarded before\n")
    );
    assert_eq!(
        tool(&topic, "list", &[]).well(),
        format!(
            "no dead letters wait in {letters}; 3 replayed and 3 discarded in all: list --all shows them\n"
        )
    );
    let all: Vec<_> = states(&topic, &["--all"])
        .into_iter()
        .map(|(_, state)| state)
        .collect();
    let (replayed, discarded) = ("replayed", "discarded");
    assert_eq!(
        all,
        [
            replayed, replayed, discarded, discarded, discarded, replayed
        ]
    );
    assert!(checked(&topic, &comet).ends_with("1 partition; no letters wait"));

    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(3);
    topic.await_no_lag();
    job.stop();
    assert_eq!(
        arrived(&comet.delivered()).remove("bad"),
        Some(vec![0, 1, 5])
    );
}

#[test]
fn what_would_come_straight_back_is_replayed_only_by_its_place() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let places = six_letters(&topic, &comet);
    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(
        said.contains("replayed 5 messages in ")
            && said.ends_with(
                "; 1 skipped, which can't be decoded or name nobody and would come straight back (to replay one all \
                 the same, name its place)\n"
            ),
        "{said}"
    );
    assert_eq!(
        states(&topic, &[]),
        [(places[2].clone(), "waiting".to_owned())]
    );
    let before = topic.kafka.read(&topic.name).len();
    let said = tool(&topic, "replay", &[&places[2]]).well();
    assert!(said.contains("replayed 1 message in "), "{said}");
    assert_eq!(topic.kafka.read(&topic.name).len(), before + 1);

    let letters = topic.dead_letter_topic();
    for what in ["replay", "discard"] {
        let error = tool(&topic, what, &["0@999"]).failed();
        assert_eq!(
            error,
            format!(
                "error: there is no letter 0@999 in {letters}; `job dead-letter list` shows the places\n"
            )
        );
    }
}
