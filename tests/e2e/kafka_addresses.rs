//! Addresses in `--brokers` that don't serve: what is said of them, and what it costs.

use crate::support::comet::Comet;
use crate::support::command::{check_at, job};
use crate::support::dead_address::{DropsPackets, server_of_lines};
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version, on_each_kafka};
use crate::support::messages::{assert_each_once_in_order, numbered, over_rooms};
use crate::support::proxy::Proxy;
use crate::support::topic::Topic;
use crate::support::{await_until, free_port, is};

on_each_kafka!(
    a_dead_first_address_costs_seconds,
    an_unfit_session_timeout_is_said
);

/// Reads and commits: a killed job's successor sends nothing again.
fn a_dead_first_address_costs_seconds(kafka: &Kafka) {
    const MESSAGES: usize = 200;
    let dead = DropsPackets::start();
    let brokers = format!("{},{}", dead.address(), kafka.address());
    for fetch in ["auto", "modern"] {
        let topic = Topic::new(kafka, 2);
        let comet = Comet::start();
        let start = || {
            JobCommand::new()
                .flag("--brokers", &brokers)
                .flag("--topic", &topic.name)
                .flag("--group", &topic.group)
                .flag("--comet", &comet.address())
                .flag("--fetch", fetch)
                .start()
        };
        topic.produce(over_rooms(20, 0, MESSAGES));
        let mut job = start();
        comet.await_delivered(MESSAGES);
        topic.await_no_lag();
        job.kill();
        topic.produce(over_rooms(20, MESSAGES, MESSAGES));
        let mut job = start();
        comet.await_delivered(2 * MESSAGES);
        topic.await_no_lag();
        job.stop();
        assert_each_once_in_order(&comet.calls(), 20, 2 * MESSAGES);
    }

    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let report = check_at(&brokers, &topic, &comet.address(), &[]).well();
    let (good, dead) = (kafka.address(), dead.address());
    for says in [
        format!("✓ Kafka at {good}: 1 broker: {good}\n"),
        format!("! Kafka at {dead}: no connection within 2 s\n    Is Kafka up"),
    ] {
        assert!(report.contains(&says), "{says}: {report}");
    }
}

fn an_unfit_session_timeout_is_said(kafka: &Kafka) {
    let topic = Topic::new(kafka, 1);
    let comet = Comet::start();
    let brokers = kafka.address();
    let ended = check_at(
        &brokers,
        &topic,
        &comet.address(),
        &["--session-timeout", "1s"],
    );
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    let says = "✗ session-timeout 1s: the broker takes 6s to 1800s (group.min.session.timeout.ms, \
                group.max.session.timeout.ms)\n    Set a time between them";
    assert!(ended.out.contains(says), "{}", ended.out);
    assert!(kafka.members(&topic.group).is_empty());
}

/// By `job check`, and by the service itself.
#[test]
fn who_answers_in_the_place_of_kafka_is_said() {
    let comet = Comet::start();
    let web = server_of_lines(b"HTTP/1.0 400 Bad request\x1b[31m\r\n\r\n");
    let tls = server_of_lines(b"\x15\x03\x03\0\x02\x02\x46");
    for (address, who) in [
        (
            &web,
            "an HTTP server answers there: \"HTTP/1.0 400 Bad request\\u{1b}[31m\"",
        ),
        (
            &tls,
            "a TLS listener answers there: set security-protocol to SSL or SASL_SSL",
        ),
        (&comet.address(), "an HTTP/2 server answers there"),
    ] {
        let ended = job(&["check", "--brokers", address, "--comet", &comet.address()]);
        assert_eq!(ended.code, Some(1), "{}", ended.out);
        let says = format!("✗ Kafka at {address}: {who}");
        assert!(ended.out.contains(&says), "{says}: {}", ended.out);

        let mut job = JobCommand::new()
            .flag("--brokers", address)
            .flag("--comet", &comet.address())
            .start();
        job.await_line(&["Failed to initialize Kafka consumer", address, who]);
        job.stop();
    }
}

#[test]
fn each_address_is_named_where_none_serves() {
    let dead = DropsPackets::start();
    let web = server_of_lines(b"HTTP/1.0 400 Bad request\r\n\r\n");
    let comet = Comet::start();
    let brokers = format!("{},{web}", dead.address());
    let ended = job(&["check", "--brokers", &brokers, "--comet", &comet.address()]);
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    for says in [
        format!("✗ Kafka at {}: no connection within 2 s", dead.address()),
        format!("✗ Kafka at {web}: an HTTP server answers there"),
    ] {
        assert!(ended.out.contains(&says), "{says}: {}", ended.out);
    }
}

/// Something on the way forgets the connection while Kafka waits for more members: the answer to the join never comes.
#[test]
fn a_join_that_is_never_answered_is_made_again() {
    let port = free_port();
    let proxy = Proxy::start(format!("127.0.0.1:{port}"));
    let delay = "group.initial.rebalance.delay.ms=5000";
    let kafka = Kafka::start_behind(Version::V3_9_1, port, &proxy, &[delay]);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    topic.produce((0..10).map(|n| numbered("room", n)));
    let mut job = topic.job(&[&comet]).fault("rebalance=return(1000)").start();
    job.await_line(&["connected to Kafka"]);
    await_until("the join", || {
        is(kafka.group_state(&topic.group), "PreparingRebalance".into())
    });
    proxy.forget_all();
    comet.await_delivered(10);
    job.stop();
}
