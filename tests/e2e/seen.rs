//! What job shows of itself: metrics that match what happened; `health`: whether it lives, and whether it is
//! ready; `supervisor`: what systemd hears of that.

mod health;
mod supervisor;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chatroom_job::observe::status::Status;
use grpcio::RpcStatusCode;
use krafka::Record;

use crate::support::await_until;
use crate::support::comet::{Answer, Comet};
use crate::support::http::Pages;
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{over_rooms, record, to_room};
use crate::support::topic::Topic;

fn topic(partitions: i32) -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), partitions)
}

fn watched(topic: &Topic<'_>, comets: &[&Comet]) -> JobCommand {
    let job = topic.job(comets).flag("--http", "127.0.0.1:0");
    job.log_level("INFO")
}

fn start(command: JobCommand) -> (Job, Pages) {
    let mut job = command.start();
    let pages = Pages::of(&mut job);
    (job, pages)
}

fn of(comet: &Comet) -> String {
    format!("comet=\"{}\"", comet.address())
}

#[test]
fn the_numbers_are_what_happened() {
    const ROOMS: usize = 20;
    const MESSAGES: usize = 300;
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let all = MESSAGES as f64;

    // One Comet fails twice before it takes a message, the other one refuses one for good.
    let failures = Arc::new(AtomicUsize::new(0));
    comets[0].answer(move |call| {
        let is_first = call.text() == "room-3/0";
        match is_first && failures.fetch_add(1, Ordering::Relaxed) < 2 {
            true => Answer::Status(RpcStatusCode::INTERNAL),
            false => Answer::Ok,
        }
    });
    comets[1].answer(|call| match call.text() == "room-5/0" {
        true => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        false => Answer::Ok,
    });
    let both = [&comets[0], &comets[1]];
    let (mut job, pages) = start(watched(&topic, &both).flag("--fetch", "modern"));
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let broken = Record::new(&topic.name, vec![0xff; 10]).partition(0);
    topic.kafka.produce([broken]);
    topic.await_dead_letters(2);
    topic.await_no_lag();
    let ends: i64 = topic.kafka.end_offsets(&topic.name).values().sum();
    let numbers = pages.await_metrics("the last commit", |now| {
        now.sum("job_committed_offset", &[]) == ends as f64
    });

    let own = format!("topic=\"{}\"", topic.name);
    for (name, labels, expected) in [
        ("job_records_consumed_total", &[&own[..]][..], all + 1.0),
        ("job_lag_records", &[&own[..]], 0.0),
        ("job_assigned_partitions", &[], 2.0),
        ("job_finished_above_watermark", &[], 0.0),
        ("job_messages_held", &[], 0.0),
        ("job_bytes_held", &[], 0.0),
        ("job_messages_held_limit", &[], 4_000.0),
        ("job_oldest_unfinished_seconds", &[], 0.0),
        ("job_calls_in_flight", &[], 0.0),
        ("job_decode_failures_total", &[], 1.0),
        ("job_dead_letters_total", &["reason=\"undecodable\""], 1.0),
        ("job_dead_letters_total", &["reason=\"refused\""], 1.0),
        ("job_dead_letters_total", &[], 2.0),
        ("job_calls_total", &["status=\"OK\""], 2.0 * all - 1.0),
        (
            "job_calls_total",
            &["status=\"INTERNAL\"", &of(&comets[0])],
            2.0,
        ),
        (
            "job_calls_total",
            &["status=\"INVALID_ARGUMENT\"", &of(&comets[1])],
            1.0,
        ),
        (
            "job_calls_total",
            &["method=\"BroadcastRoom\""],
            2.0 * all + 2.0,
        ),
        (
            "job_call_duration_seconds_count",
            &[&of(&comets[0])],
            all + 2.0,
        ),
        (
            "job_retries_total",
            &["status=\"INTERNAL\"", &of(&comets[0])],
            2.0,
        ),
        ("job_retries_total", &[], 2.0),
        ("job_messages_per_call_sum", &[], 2.0 * all + 2.0),
        ("job_messages_per_call_count", &[], 2.0 * all + 2.0),
        // All but the one that is a dead letter.
        ("job_delivery_latency_seconds_count", &[], all - 1.0),
        ("job_comet_state", &["state=\"up\""], 2.0),
        ("job_comet_missed_records", &[], 0.0),
        ("job_build_info", &[], 1.0),
        ("kafka_consumed_total", &["service=\"job\""], all + 1.0),
        ("grpc_calls_total", &["status=\"success\""], 2.0 * all - 1.0),
        ("grpc_calls_total", &["status=\"failure\""], 3.0),
        (
            "error_total",
            &["error_type=\"protobuf_parse_failed\""],
            1.0,
        ),
        ("error_total", &["error_type=\"grpc_call_failed\""], 3.0),
    ] {
        assert_eq!(numbers.sum(name, labels), expected, "{name} {labels:?}");
    }
    assert!(numbers.sum("job_bytes_consumed_total", &[]) > all);
    assert!(numbers.sum("job_rebalances_total", &["kind=\"assigned\""]) >= 1.0);
    assert!(numbers.sum("process_resident_memory_bytes", &[]) > 1e6);
    // Rooms and users are no labels: the page doesn't grow with them.
    assert!(!pages.get("/metrics").1.contains("room-"));
    job.stop();
}

#[test]
fn what_is_held_up_is_seen() {
    let topic = topic(1);
    let comet = Comet::start();
    comet.answer(|call| match call.text() == "room-0/0" {
        true => Answer::Hang,
        false => Answer::Ok,
    });
    let (mut job, pages) = start(watched(&topic, &[&comet]).flag("--call-timeout", "60s"));
    topic.produce(over_rooms(10, 0, 10));
    comet.await_delivered(9);
    let numbers = pages.await_metrics("what is held up", |now| {
        now.sum("job_finished_above_watermark", &[]) == 9.0
            && now.sum("job_oldest_unfinished_seconds", &[]) > 1.0
    });
    assert_eq!(numbers.sum("job_lag_records", &[]), 10.0);
    assert_eq!(numbers.sum("job_messages_held", &[]), 1.0);
    assert_eq!(numbers.sum("job_calls_in_flight", &[&of(&comet)]), 1.0);
    // A slow Comet is no reason to start job anew.
    assert_eq!(pages.get("/healthz"), (200, "well\n".into()));
    job.kill();
}

#[test]
fn where_a_message_is_tried_again_is_seen() {
    let topic = topic(1);
    let comet = Comet::start();
    comet.answer(|call| match call.text().starts_with("room-3/") {
        true => Answer::Said(RpcStatusCode::INTERNAL, "no\nroom for it".into()),
        false => Answer::Ok,
    });
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    // The others come later than the one that fails, so that it isn't given up while somebody looks.
    topic.produce([to_room("room-3", "room-3/0")]);
    let tried = await_until("where it was tried", || {
        let (_, text) = pages.get("/status.json");
        let status: Status = serde_json::from_str(&text).expect("a status");
        let partition = status.partitions.into_iter().next();
        let tried = partition.and_then(|partition| partition.tried);
        tried.filter(|tried| tried.tries >= 2).ok_or(text)
    });
    assert_eq!(tried.comet, comet.address());
    assert_eq!(tried.to, "to room 'room-3'");
    assert_eq!(tried.status, "13-INTERNAL no\\nroom for it");
    comet.answer(|_| Answer::Ok);
    comet.await_delivered(1);
    topic.await_no_lag();
    let (_, text) = pages.get("/status.json");
    let status: Status = serde_json::from_str(&text).expect("a status");
    assert_eq!(status.partitions[0].tried, None, "{text}");
    job.stop();
}

#[test]
fn a_comet_that_is_away_is_seen_and_that_it_caught_up() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let command = watched(&topic, &[&comets[0], &comets[1]]);
    let (mut job, pages) = start(command.fault("detach-after=return(2500)"));
    topic.produce(over_rooms(10, 0, 20));
    comets[1].await_delivered(20);
    comets[1].stop();
    let (gone, there) = (of(&comets[1]), of(&comets[0]));
    let mut next = 20;
    pages.await_metrics("a Comet that is detached and misses something", |now| {
        // Something must be on its way for it to be missed.
        topic.produce(over_rooms(10, next, 10));
        next += 10;
        now.sum("job_comet_state", &["state=\"detached\"", &gone]) == 1.0
            && now.sum("job_comet_missed_records", &[&gone]) > 0.0
    });
    let numbers = pages.metrics();
    assert_eq!(
        numbers.sum("job_comet_state", &["state=\"up\"", &there]),
        1.0
    );
    assert_eq!(
        numbers.sum("job_comet_state", &["state=\"up\"", &gone]),
        0.0
    );
    assert!(numbers.sum("job_retries_total", &["status=\"UNAVAILABLE\"", &gone]) > 0.0);
    comets[1].start_again();
    let numbers = pages.await_metrics("a Comet that caught up", |now| {
        now.sum("job_caught_up_total", &[&gone]) == 1.0
            && now.sum("job_comet_state", &["state=\"up\"", &gone]) == 1.0
    });
    assert_eq!(numbers.sum("job_comet_missed_records", &[&gone]), 0.0);
    assert_eq!(numbers.sum("job_caught_up_total", &[&there]), 0.0);
    topic.await_no_lag();
    job.stop();
}

#[test]
fn partitions_that_go_take_their_series_along() {
    let topic = topic(2);
    let comet = Comet::start();
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    topic.produce(over_rooms(20, 0, 100));
    comet.await_delivered(100);
    pages.await_metrics("two partitions", |now| {
        now.count("job_committed_offset", &[]) == 2 && now.count("job_lag_records", &[]) == 2
    });
    let (mut other, others) = start(watched(&topic, &[&comet]));
    others.await_metrics("the other's partition", |now| {
        now.sum("job_assigned_partitions", &[]) == 1.0
    });
    // One thread publishes the first, another one the rest.
    let numbers = pages.await_metrics("one partition", |now| {
        let series = [
            "job_records_consumed_total",
            "job_committed_offset",
            "job_lag_records",
        ];
        now.sum("job_assigned_partitions", &[]) == 1.0
            && series.iter().all(|name| now.count(name, &[]) == 1)
    });
    assert!(numbers.sum("job_rebalances_total", &["kind=\"revoked\""]) >= 1.0);
    // The total doesn't fall.
    assert_eq!(numbers.sum("kafka_consumed_total", &[]), 100.0);

    // One more than there are partitions has none, and is ready to take over.
    let (mut third, thirds) = start(watched(&topic, &[&comet]));
    thirds.await_page("/readyz", 200, "ready");
    assert_eq!(thirds.metrics().sum("job_assigned_partitions", &[]), 0.0);
    for job in [&mut third, &mut other, &mut job] {
        job.stop();
    }
}

#[test]
fn what_is_too_old_is_counted_as_skipped() {
    let topic = topic(1);
    let comet = Comet::start();
    // In 2023.
    let old = |message| record(&topic.name, &message).timestamp(1_700_000_000_000);
    topic.kafka.produce(over_rooms(5, 0, 20).map(old));
    topic.produce(over_rooms(5, 20, 10));
    let (mut job, pages) = start(watched(&topic, &[&comet]).flag("--max-age", "10m"));
    let numbers = pages.await_metrics("what was skipped", |now| {
        now.sum("job_skipped_total", &["reason=\"too_old\""]) == 20.0
    });
    assert_eq!(numbers.sum("job_skipped_total", &[]), 20.0);
    comet.await_delivered(10);
    topic.await_no_lag();
    assert_eq!(
        pages
            .metrics()
            .sum("job_delivery_latency_seconds_count", &[]),
        10.0
    );
    job.stop();
}

#[test]
fn a_dead_letter_that_kafka_does_not_take_is_counted_when_it_does() {
    let topic = topic(1);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_limited_topic(&letters, 1, 100);
    let comet = Comet::start();
    comet.answer(|_| Answer::Status(RpcStatusCode::INVALID_ARGUMENT));
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    topic.produce(over_rooms(1, 0, 1));
    let numbers = pages.await_metrics("a dead letter that waits", |now| {
        now.sum("job_dead_letters_waiting", &[]) == 1.0
    });
    assert_eq!(numbers.sum("job_dead_letters_total", &[]), 0.0);
    topic.kafka.set(&letters, "max.message.bytes", "1000000");
    let numbers = pages.await_metrics("a dead letter that is written", |now| {
        now.sum("job_dead_letters_total", &["reason=\"refused\""]) == 1.0
    });
    assert_eq!(numbers.sum("job_dead_letters_waiting", &[]), 0.0);
    topic.await_no_lag();
    job.stop();
}

#[test]
fn a_client_that_asks_without_end_changes_nothing() {
    let topic = topic(1);
    let comet = Comet::start();
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    std::thread::scope(|scope| {
        let asks = scope.spawn(|| {
            for _ in 0..200 {
                assert_eq!(pages.get("/metrics").0, 200);
            }
        });
        topic.produce(over_rooms(20, 0, 2_000));
        comet.await_delivered(2_000);
        asks.join().expect("each is answered");
    });
    assert!(pages.metrics().sum("process_open_fds", &[]) < 100.0);
    assert_eq!(comet.count(), 2_000);
    job.stop();
}
