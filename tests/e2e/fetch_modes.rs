//! Both ways of reading records, and the choice between them.

use std::time::Duration;

use crate::support::comet::{Answer, Comet};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

on_each_kafka!(modern, auto, auto_with_every_codec);

/// Reads with this setting, and gives the log's line about the fetcher.
fn read_with(kafka: &Kafka, fetch: &str, taken: &str) {
    const MESSAGES: usize = 2_000;
    let topic = Topic::new(kafka, 2);
    let comet = Comet::start();
    topic.produce(over_rooms(20, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).flag("--fetch", fetch).start();
    job.await_line(&["fetch", taken]);
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), 20, MESSAGES);
}

#[test]
fn classic_on_3_7_2() {
    read_with(shared(Version::V3_7_2), "classic", "classic");
}

#[test]
fn classic_on_3_9_1() {
    read_with(shared(Version::V3_9_1), "classic", "classic");
}

fn modern(kafka: &Kafka) {
    read_with(kafka, "modern", "modern");
}

fn auto(kafka: &Kafka) {
    let taken = match kafka.version() {
        Version::V3_7_2 | Version::V3_9_1 => "classic",
        Version::V4_3_1 => "modern",
    };
    read_with(kafka, "auto", taken);
}

/// The broker packs compressed batches anew for the classic client, so that another one costs less.
#[test]
fn auto_takes_modern_where_records_are_compressed() {
    let kafka = shared(Version::V3_9_1);
    for codec in ["gzip", "snappy"] {
        let topic = Topic::new(kafka, 1);
        let comet = Comet::start();
        kafka.set_compression(&topic.name, codec);
        await_until(codec, || {
            topic.produce(over_rooms(1, 0, 1));
            is(kafka.newest_codec(&topic.name) > 0, true)
        });
        let mut job = topic.job(&[&comet]).start();
        let why = format!("has records compressed with {codec}");
        // It looks at one batch now and then, and the first ones may be from before the setting.
        let said = await_until(&why, || {
            topic.produce(over_rooms(1, 1, 1));
            let said = job.lines_with(&["reading with the modern fetcher"]);
            said.first()
                .cloned()
                .ok_or_else(|| "it is not read so".into())
        });
        assert!(said.contains(&why), "{said}");
        topic.await_no_lag();
        job.stop();
    }
}

/// Batches of every codec between plain ones in the same partition: none of either is lost.
fn auto_with_every_codec(kafka: &Kafka) {
    const CODECS: [&str; 5] = ["uncompressed", "gzip", "snappy", "lz4", "zstd"];
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let mut written = 0;
    let mut write = |count| {
        topic.produce(over_rooms(1, written, count));
        written += count;
        written
    };
    for codec in [0, 1, 0, 2, 0, 3, 0, 4, 0] {
        kafka.set_compression(&topic.name, CODECS[codec]);
        // The new setting takes a moment.
        await_until(CODECS[codec], || {
            write(1);
            is(usize::from(kafka.newest_codec(&topic.name)), codec)
        });
        write(50);
    }
    let half = write(0);

    // The stop comes somewhere in the middle of a batch.
    comet.slow_down_after(half / 3);
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(half / 3);
    job.stop();
    assert!(
        comet.count() < half,
        "the stop came too late to show anything"
    );
    comet.answer(|_| Answer::OkAfter(Duration::from_millis(2)));
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(half);
    // And while it reads.
    kafka.set_compression(&topic.name, "gzip");
    write(50);
    kafka.set_compression(&topic.name, "uncompressed");
    let all = write(50);
    comet.await_delivered(all);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), 1, all);
}
