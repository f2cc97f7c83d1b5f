//! Workers of which each calls a part of the Comets, as they do where there are many of both.

use grpcio::RpcStatusCode;

use crate::support::comet::{Answer, Comet};
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::topic::Topic;

on_each_kafka!(a_stop_half_way_repeats_nothing);

const ROOMS: usize = 100;
const MESSAGES: usize = 6_000;

/// 63 workers and 3 Comets would be 189 connections: each worker calls one of the Comets.
fn job(topic: &Topic<'_>, comets: &[Comet; 3]) -> JobCommand {
    topic
        .job(&comets.each_ref())
        .flag("--threads", "63")
        .log_level("WARN")
}

fn comets() -> [Comet; 3] {
    [(); 3].map(|()| Comet::start())
}

/// One Comet is slow, so that its workers are far behind the others when job stops.
fn a_stop_half_way_repeats_nothing(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comets = comets();
    comets[1].slow_down_after(MESSAGES / 10);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut first = job(&topic, &comets).start();
    comets[1].await_delivered(MESSAGES / 10);
    first.stop();
    assert!(
        comets[1].count() < MESSAGES,
        "it was stopped too late to show anything"
    );
    comets[1].answer(|_| Answer::Ok);
    let mut second = job(&topic, &comets).start();
    for comet in &comets {
        comet.await_delivered(MESSAGES);
    }
    topic.await_no_lag();
    second.stop();
    for comet in &comets {
        assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
        comet.assert_no_overlaps();
    }
}

/// The others have it, and it is one dead letter.
#[test]
fn what_one_comet_refuses_is_a_dead_letter_once() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comets = comets();
    comets[2].answer(|call| match call.text() == "room-7/3" {
        true => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        false => Answer::Ok,
    });
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = job(&topic, &comets).start();
    topic.await_no_lag();
    job.stop();
    topic.await_dead_letters(1);
    for comet in &comets {
        assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
    }
    assert_eq!(comets[2].count(), MESSAGES - 1);
}
