//! kill -9, again and again: nothing is lost, order holds, and no more is repeated than the commits allow.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatroom_job::message::offset_map;

use crate::support::comet::{Answer, Comet};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_in_order, encoded, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 1_000;
const MESSAGES: usize = 100_000;
const KILLS: usize = 20;

/// 20 kills while 100,000 messages go to a Comet that takes 5 ms. After each one, what its commits say is finished
/// must not come again.
#[test]
fn twenty_kills_repeat_only_what_was_not_committed() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comet = Comet::start();
    comet.answer(|_| Answer::OkAfter(Duration::from_millis(5)));
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let places = places(&topic);

    let mut random = fastrand::Rng::with_seed(20);
    let start = || {
        topic
            .job(&[&comet])
            .log_level("WARN")
            .flag("--group-instance-id", "job-1")
            .start()
    };
    let mut lives: Vec<Life> = Vec::new();
    for n in 0..KILLS {
        let before = comet.count();
        let started = Instant::now();
        let mut job = start();
        comet.await_delivered(before + 1);
        let back_after = started.elapsed();
        // Between almost nothing and the next life's share.
        let share = MESSAGES * (n + 1) / (KILLS + 1);
        comet.await_delivered(before + 1 + random.usize(0..share.saturating_sub(before).max(2)));
        job.kill();
        comet.forget_in_flight();
        lives.push(Life {
            calls: comet.calls().len(),
            finished: finished(&topic, &places),
            back_after,
        });
    }
    let mut job = start();
    await_until("lag 0", || is(topic.lag(), 0));
    job.stop();

    let calls = comet.calls();
    assert_in_order(&comet.delivered(), ROOMS, MESSAGES);
    comet.assert_no_overlaps();
    for (n, life) in lives.iter().enumerate() {
        let again = calls[life.calls..]
            .iter()
            .filter(|call| life.finished.contains(&call.body))
            .count();
        assert_eq!(
            again, 0,
            "messages sent again after kill {n} though committed as finished"
        );
    }
    let slowest = lives.iter().map(|life| life.back_after).max();
    eprintln!(
        "{KILLS} kills: 0 of {MESSAGES} messages lost, {} sent again; first delivery at most {:.2} s after a start",
        calls.len() - MESSAGES,
        slowest.unwrap_or_default().as_secs_f64()
    );
}

/// What one life of job left behind.
struct Life {
    /// Calls that were made until its end.
    calls: usize,
    /// Bodies of the messages that its commits call finished.
    finished: HashSet<Bytes>,
    back_after: Duration,
}

/// Each record's body by its place.
fn places(topic: &Topic) -> HashMap<(i32, i64), Bytes> {
    let by_value: HashMap<Vec<u8>, Bytes> = over_rooms(ROOMS, 0, MESSAGES)
        .map(|message| (encoded(&message), message.msg.clone()))
        .collect();
    topic
        .kafka
        .read(&topic.name)
        .into_iter()
        .map(|record| {
            let value = record.value.expect("each record has a value");
            let body = by_value[&value[..]].clone();
            ((record.partition, record.offset), body)
        })
        .collect()
}

fn finished(topic: &Topic, places: &HashMap<(i32, i64), Bytes>) -> HashSet<Bytes> {
    let mut finished = HashSet::new();
    for (partition, commit) in topic.kafka.committed(&topic.group, &topic.name) {
        let watermark = commit.offset.expect("a committed offset");
        let map = commit.metadata.unwrap_or_default();
        let map = offset_map::decode(watermark, &map).expect("a map of job's");
        let below = std::iter::once(0..watermark);
        let offsets = below.chain(map.finished).flatten();
        let missed = |offset: &i64| map.missing.values().any(|missed| missed.contains(*offset));
        let offsets = offsets.filter(|offset| !missed(offset));
        finished.extend(offsets.filter_map(|offset| places.get(&(partition, offset)).cloned()));
    }
    finished
}
