//! Whether job lives, whether it is ready, and where it says so.

use std::net::TcpListener;

use grpcio::RpcStatusCode;

use super::{start, topic, watched};
use crate::support::comet::{Answer, Comet};
use crate::support::free_port;
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;

#[test]
fn job_is_ready_when_messages_can_flow() {
    let topic = topic(1);
    let comet = Comet::not_started();
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    pages.await_page(
        "/readyz",
        503,
        &format!("no Comet answers ({})", comet.address()),
    );
    // The group is joined, and says nothing about Comets.
    pages.await_metrics("a partition", |now| {
        now.sum("job_assigned_partitions", &[]) == 1.0
    });
    let (_, missing) = pages.get("/readyz");
    assert!(!missing.contains("consumer group"), "{missing}");
    assert_eq!(pages.get("/healthz").0, 200);
    // Nothing is in the topic, and nothing goes to the Comet but the question.
    comet.start_again();
    pages.await_page("/readyz", 200, "ready");
    assert!(comet.calls().is_empty());
    job.stop();

    let lost = JobCommand::new().flag("--brokers", &format!("127.0.0.1:{}", free_port()));
    let lost = lost.flag("--comet", &comet.address());
    let (mut lost, pages) = start(lost.flag("--http", "127.0.0.1:0").log_level("INFO"));
    pages.await_page("/readyz", 503, "not a member of the consumer group");
    assert_eq!(pages.get("/healthz").0, 200);
    lost.kill();
}

#[test]
fn a_thread_that_stands_still_is_named() {
    let topic = topic(1);
    let comet = Comet::start();
    let job = watched(&topic, &[&comet]).flag("--threads", "1");
    // It sleeps with its first message in hand.
    let (mut job, pages) = start(job.fault("worker=1*sleep(8000);stands-still=return(1500)"));
    pages.await_page("/readyz", 200, "ready");
    assert_eq!(pages.get("/healthz"), (200, "well\n".into()));
    topic.produce(over_rooms(1, 0, 1));
    pages.await_page("/healthz", 503, "worker-0");
    pages.await_page("/status.json", 200, "Thread stands still");
    // Whoever asks gets his answer all the same.
    assert!(pages.metrics().count("job_messages_held", &[]) == 1);
    pages.await_page("/healthz", 200, "well");
    comet.await_delivered(1);
    job.stop();
}

#[test]
fn the_threads_that_speak_to_kafka_are_watched_too() {
    let topic = topic(1);
    let comet = Comet::start();
    comet.answer(|_| Answer::Status(RpcStatusCode::INVALID_ARGUMENT));
    for (fault, name) in [("letter", "dead-letter"), ("membership", "membership")] {
        let fault = format!("{fault}=1*sleep(5000);stands-still=return(1500)");
        let (mut job, pages) = start(watched(&topic, &[&comet]).fault(&fault));
        topic.produce(over_rooms(1, 0, 1));
        pages.await_page("/healthz", 503, name);
        pages.await_page("/healthz", 200, "well");
        topic.await_no_lag();
        job.stop();
    }
}

#[test]
fn a_port_that_is_taken_ends_job_only_where_somebody_asked_for_it() {
    let topic = topic(1);
    let comet = Comet::start();
    // It may be another's, which does as well.
    let _taken = TcpListener::bind("127.0.0.1:9093");
    let mut job = topic
        .job(&[&comet])
        .default_http()
        .log_level("WARN")
        .start();
    job.await_line(&[
        "WARN",
        "no metrics and health: 127.0.0.1:9093 can't be served at",
    ]);
    topic.produce(over_rooms(1, 0, 1));
    comet.await_delivered(1);
    job.stop();

    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it has one").to_string();
    let mut job = topic.job(&[&comet]).flag("--http", &address).start();
    let line = job.await_line(&[
        "ERROR",
        &format!("Cannot serve metrics and health at {address}"),
    ]);
    assert!(
        line.contains("Set --http to another address, or off"),
        "{line}"
    );
    assert_eq!(job.await_exit().code(), Some(1));
}

#[test]
fn an_outage_of_kafka_is_counted_and_no_reason_to_start_anew() {
    let kafka = Kafka::start(Version::V3_9_1);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    topic.produce(over_rooms(5, 0, 10));
    comet.await_delivered(10);
    assert_eq!(pages.metrics().sum("job_kafka_reconnects_total", &[]), 0.0);
    kafka.stop();
    pages.await_metrics("errors of Kafka", |now| {
        now.sum("error_total", &["error_type=\"kafka_error\""]) > 0.0
    });
    assert_eq!(pages.get("/healthz").0, 200);
    pages.await_page("/status.json", 200, "Kafka unreachable");
    kafka.start_again();
    pages.await_metrics("a reconnect", |now| {
        now.sum("job_kafka_reconnects_total", &[]) >= 1.0
    });
    topic.produce(over_rooms(5, 10, 10));
    comet.await_delivered(20);
    let (_, status) = pages.get("/status.json");
    assert!(!status.contains("Kafka unreachable"), "{status}");
    job.stop();
}
