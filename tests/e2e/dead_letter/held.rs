//! Letters that a replay leaves where they are, and says so.

use super::*;

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
