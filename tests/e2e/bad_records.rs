//! Records that can't be delivered, between others that can.

use std::collections::BTreeMap;

use bytes::Bytes;
use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use krafka::Record;
use protobuf::EnumOrUnknown;

use crate::support::comet::Comet;
use crate::support::kafka::{Kafka, on_each_kafka};
use crate::support::messages::{encoded, numbered, record, to_room};
use crate::support::topic::Topic;

on_each_kafka!(go_to_the_dead_letters);

/// A record's value, and words that its error must have.
type Bad = (&'static str, Option<Vec<u8>>);

fn bad_values() -> Vec<Bad> {
    let nowhere = |message: PushMsg| Some(encoded(&message));
    vec![
        ("broken protobuf", Some(vec![0x0a, 0xff, 0xff, 0x03, 0x01])),
        ("empty value", Some(Vec::new())),
        ("null value", None),
        (
            "unknown type",
            nowhere(PushMsg {
                type_: EnumOrUnknown::from_i32(9),
                ..to_room("r1", "of an unknown type")
            }),
        ),
        ("no room", nowhere(to_room("", "to no room"))),
        (
            "no keys and no room",
            nowhere(PushMsg {
                type_: Type::PUSH.into(),
                operation: 4,
                msg: Bytes::from_static(b"to nobody"),
                ..Default::default()
            }),
        ),
        // type ROOM, a room of two bytes that are no UTF-8, a body.
        (
            "room is not UTF-8",
            Some(vec![0x08, 1, 0x2a, 2, 0xff, 0xfe, 0x3a, 2, b'h', b'i']),
        ),
        ("1 MiB of no protobuf", Some(vec![0xff; 1 << 20])),
    ]
}

fn go_to_the_dead_letters(kafka: &Kafka) {
    const TIME: i64 = 1_700_000_000_123;
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let mebibyte = vec![b'x'; 1 << 20];
    let not_utf8 = [0xff_u8, 0, 0xfe, b'\n'];

    // A good record, a bad one, a good one …
    let mut records = Vec::new();
    let mut expected = BTreeMap::new();
    for (n, (what, value)) in bad_values().into_iter().enumerate() {
        records.push(record(&topic.name, &numbered("r1", n)));
        // Every other one has no key.
        let key = (n % 2 == 0).then(|| Bytes::from(format!("key of {what}")));
        let value = value.map(Bytes::from);
        expected.insert(
            (0, records.len() as i64),
            (what, key.clone(), value.clone()),
        );
        let mut bad = Record::new(&topic.name, value.clone().unwrap_or_default()).timestamp(TIME);
        if value.is_none() {
            bad = bad.without_value();
        }
        bad = match key {
            Some(key) => bad.key(key),
            None => bad.without_key(),
        };
        records.push(
            bad.header("trace", "first")
                .header("trace", vec![0xff, 0x00])
                .null_header("flag"),
        );
    }
    let good = expected.len() + 2;
    records.push(record(&topic.name, &to_room("big", mebibyte.clone())));
    records.push(record(&topic.name, &to_room("odd", not_utf8.to_vec())));

    kafka.produce(records);
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(good);
    let letters = topic.await_dead_letters(expected.len());
    topic.await_no_lag();

    // What repeats within a second is counted, but for the last.
    for offset in [1, 15] {
        let place = format!("offset {offset}");
        job.await_line(&["Failed to parse message as PushMsg", "partition 0", &place]);
    }
    job.stop();

    let calls = comet.calls();
    assert_eq!(calls.len(), good, "only the good ones came");
    let mut in_r1 = calls.iter().filter(|call| call.room == "r1");
    for n in 0..expected.len() {
        assert_eq!(in_r1.next().map(|c| c.text()), Some(format!("r1/{n}")));
    }
    assert!(calls.iter().any(|c| c.room == "big" && c.body == mebibyte));
    assert!(
        calls
            .iter()
            .any(|c| c.room == "odd" && c.body == not_utf8.as_slice())
    );

    for (source, (what, key, value)) in expected {
        let letter = &letters[&source];
        assert_eq!(letter.key, key, "{what}");
        assert!(letter.value == value, "{what}: the value is another");
        let of = |name| letter.header_str(name).unwrap_or_default();
        assert_eq!(of("job.source.topic"), topic.name, "{what}");
        assert_eq!(of("job.source.timestamp"), TIME.to_string(), "{what}");
        assert!(!of("job.error").is_empty(), "{what}");
        assert!(!of("job.time").is_empty(), "{what}");
        let own: Vec<_> = letter
            .headers
            .iter()
            .filter(|(name, _)| !name.starts_with("job."))
            .cloned()
            .collect();
        let kept = [
            ("trace".into(), Some(Bytes::from_static(b"first"))),
            ("trace".into(), Some(Bytes::from_static(&[0xff, 0]))),
            ("flag".into(), None),
        ];
        assert_eq!(own, kept, "{what}: the record's own headers");
    }
}
