//! Records that others than krafka write: kcat (librdkafka), and Kafka's own tools.

use std::io::Write;

use chatroom_job::message::proto::push::PushMsg;

use crate::support::await_until;
use crate::support::comet::Comet;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::kcat::Kcat;
use crate::support::messages::{assert_each_once_in_order, encoded, to_room};
use crate::support::topic::Topic;

const ROOMS: usize = 5;
/// So many of each codec.
const EACH: usize = 40;
/// As Kafka numbers them.
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

on_each_kafka!(kcat_with_every_codec, kcat_with_transactions);

/// Numbers `from` on. Their lengths are none of a line's end, so that each is a line of text too.
fn messages(from: usize, count: usize) -> impl Iterator<Item = PushMsg> {
    (from..from + count).map(|n| {
        let room = format!("room-{}", n % ROOMS);
        let body = format!("{room}/{:0>30}", n / ROOMS);
        to_room(&room, body)
    })
}

fn assert_newest(topic: &Topic<'_>, codec: usize) {
    let newest = usize::from(topic.kafka.newest_codec(&topic.name));
    assert_eq!(CODECS[newest], CODECS[codec]);
}

fn kcat_with_every_codec(kafka: &Kafka) {
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let mut written = 0;
    let mut write = |options: &[&str]| {
        // All of them in one batch.
        let mut kcat = Kcat::start(&topic, &[&["-X", "linger.ms=300"], options].concat());
        kcat.write(messages(written, EACH));
        kcat.finish();
        written += EACH;
    };
    write(&[]);
    let mut job = topic.job(&[&comet]).start();
    for (n, codec) in CODECS.iter().enumerate() {
        write(&["-z", codec]);
        assert_newest(&topic, n);
        write(&["-z", codec, "-X", "enable.idempotence=true"]);
        assert_newest(&topic, n);
    }
    comet.await_delivered(written);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, written);
}

fn kcat_with_transactions(kafka: &Kafka) {
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    let id = format!("transactional.id={}-kcat", topic.name);
    let in_transaction = || Kcat::start(&topic, &["-X", &id]);
    let mut kcat = in_transaction();
    kcat.write(messages(0, EACH));
    kcat.finish();
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(EACH);

    let records = || kafka.end_offsets(&topic.name).values().sum::<i64>();
    let before = records();
    let mut kcat = in_transaction();
    kcat.write(messages(1_000, EACH));
    await_until("what will be aborted", || match records() {
        more if more > before => Ok(()),
        same => Err(format!("{same} records")),
    });
    kcat.kill();

    let mut kcat = in_transaction();
    kcat.write(messages(EACH, EACH));
    kcat.finish();
    comet.await_delivered(2 * EACH);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 2 * EACH);
}

/// The producer in Java is idempotent unless told otherwise.
#[test]
fn kafkas_console_producer_with_every_codec_on_4_3_1() {
    let kafka = shared(Version::V4_3_1);
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).start();
    for (n, codec) in CODECS.iter().enumerate() {
        let line = |message: PushMsg| {
            let key = format!("{}|", message.room).into_bytes();
            [key, encoded(&message), b"\n".to_vec()].concat()
        };
        let lines: Vec<u8> = messages(n * EACH, EACH).flat_map(line).collect();
        let keyed = ["parse.key=true", "key.separator=|"];
        let keyed = keyed.iter().flat_map(|p| ["--property", p]);
        let options = [
            "--topic",
            &topic.name,
            "--compression-codec",
            codec,
            "--sync",
            // Each record would wait a second for others.
            "--timeout",
            "0",
        ];
        let options: Vec<&str> = options.into_iter().chain(keyed).collect();
        let done = kafka.tool_with_input("kafka-console-producer", &options, &lines);
        assert!(done.status.success(), "{done:?}");
        assert_newest(&topic, n);
    }
    let all = CODECS.len() * EACH;
    comet.await_delivered(all);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, all);
}

/// Commits one transaction after the other.
#[test]
fn kafkas_performance_test_with_transactions_on_4_3_1() {
    const MESSAGES: usize = 300;
    let kafka = shared(Version::V4_3_1);
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).start();
    let mut payload = tempfile::NamedTempFile::new().expect("a file can be made");
    let message = messages(0, 1).next().expect("one");
    payload
        .write_all(&encoded(&message))
        .expect("it is written");
    let payload = payload.path().to_str().expect("a file's name is text");
    let (count, address) = (MESSAGES.to_string(), kafka.address());
    let options = [
        ["--topic", &topic.name],
        ["--num-records", &count],
        ["--throughput", "300"],
        ["--payload-file", payload],
        ["--producer-props", &format!("bootstrap.servers={address}")],
        ["--transactional-id", &format!("{}-java", topic.name)],
        ["--transaction-duration-ms", "100"],
    ];
    let done = kafka.tool("kafka-producer-perf-test", options.as_flattened());
    assert!(done.status.success(), "{done:?}");
    // Each commit leaves a marker in a partition.
    let records = kafka.end_offsets(&topic.name).values().sum::<i64>();
    assert!(records > MESSAGES as i64 + 1, "{records} with the markers");
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_eq!(comet.calls().len(), MESSAGES);
}
