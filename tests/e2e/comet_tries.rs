//! What counts against a message: when it becomes a dead letter, when it is tried for as long as it takes, and how often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;

use crate::support::bodiless::Bodiless;
use crate::support::comet::{Answer, Call, Comet, Rpc};
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, numbered, over_rooms};
use crate::support::proxy::Proxy;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 20;

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 2)
}

/// Answers probes well, and messages for which `which` holds so.
fn but_probes(
    code: RpcStatusCode,
    which: impl Fn(&Call) -> bool + Send + Sync + 'static,
) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
    move |call| match call.rpc != Rpc::Rooms && which(call) {
        true => Answer::Status(code),
        false => Answer::Ok,
    }
}

/// The only message of a quiet night.
#[test]
fn a_message_that_all_fail_is_a_dead_letter_though_nothing_else_comes() {
    let topic = topic();
    let comets = [(); 2].map(|()| Comet::start());
    for comet in &comets {
        let is_bad = |call: &Call| call.room == "bad";
        comet.answer(but_probes(RpcStatusCode::INTERNAL, is_bad));
    }
    topic.produce([numbered("bad", 0), numbered("bad", 1)]);
    let job = topic.job(&[&comets[0], &comets[1]]).log_level("WARN");
    // Far less than a minute.
    let mut job = job.fault("quiet-tries-take=return(3000)").start();
    let letters = topic.await_dead_letters(2);
    topic.await_no_lag();
    topic.produce([numbered("good", 0)]);
    for comet in &comets {
        comet.await_delivered(1);
        let calls = comet.calls();
        let tries = calls.iter().filter(|call| call.text() == "bad/0").count();
        assert!((5..20).contains(&tries), "{tries} tries");
    }
    topic.await_no_lag();
    job.stop();
    for letter in letters.values() {
        let error = letter.header_str("job.error").unwrap_or_default();
        assert!(error.contains("INTERNAL"), "{error}");
    }
}

/// Its probes are answered, and nothing else is for a time.
#[test]
fn a_sick_comet_costs_no_message() {
    let topic = topic();
    let comet = Comet::start();
    let healed = Arc::new(AtomicBool::new(false));
    let heal = Arc::clone(&healed);
    comet.answer(but_probes(RpcStatusCode::INTERNAL, move |_| {
        !healed.load(Ordering::Relaxed)
    }));
    topic.produce(over_rooms(ROOMS, 0, ROOMS * 5));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    await_until("failed calls", || match comet.calls().len() {
        count if count >= ROOMS * 3 => Ok(()),
        count => Err(format!("{count}")),
    });
    heal.store(true, Ordering::Relaxed);
    comet.await_delivered(ROOMS * 5);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, ROOMS * 5);
    assert_eq!(topic.dead_letters(), 0);
}

/// What other connections to the Comet deliver says nothing about the messages of one that is dead.
#[test]
fn a_connection_that_a_firewall_forgot_costs_no_message() {
    let topic = topic();
    let comet = Comet::start();
    let proxy = Proxy::start(comet.address());
    let job = topic.configure_for(JobCommand::new(), &proxy.address());
    let job = job.flag("--threads", "2").flag("--call-timeout", "1s");
    let mut job = job.log_level("WARN").start();
    let mut sent = 0;
    let mut more = |count| {
        topic.produce(over_rooms(ROOMS, sent, count));
        sent += count;
        sent
    };
    comet.await_delivered(more(ROOMS));
    await_until("a connection for each worker", || {
        is(proxy.connections(), 2)
    });
    proxy.forget_first();
    await_until("another connection", || {
        more(1);
        match proxy.connections() {
            0..=2 => Err("not yet".into()),
            _ => Ok(()),
        }
    });
    let sent = more(ROOMS);
    topic.await_no_lag();
    job.stop();
    assert_in_order(&comet.delivered(), ROOMS, sent);
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn a_comet_that_needs_longer_gets_longer() {
    let topic = topic();
    let comet = Comet::start();
    comet.answer(|_| Answer::OkAfter(Duration::from_secs(3)));
    topic.produce(over_rooms(3, 0, 6));
    let job = topic.job(&[&comet]).flag("--call-timeout", "2s");
    let mut job = job.log_level("WARN").start();
    topic.await_no_lag();
    job.stop();
    let mut tries = BTreeMap::<String, usize>::new();
    for call in comet.calls() {
        *tries.entry(call.text()).or_default() += 1;
    }
    assert_eq!(tries.len(), 6);
    assert!(tries.values().all(|tries| *tries <= 4), "{tries:?}");
    assert_eq!(topic.dead_letters(), 0);
}

/// Refuses the messages of rooms that begin with `bad`.
fn refuse_bad(comet: &Comet) {
    comet.answer(|call| match call.room.starts_with("bad") {
        true => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        false => Answer::Ok,
    });
}

#[test]
fn good_messages_do_not_wait_behind_those_that_are_refused() {
    let topic = topic();
    let comet = Comet::start();
    refuse_bad(&comet);
    topic.produce((0..500).map(|n| numbered(&format!("bad-{n}"), 0)));
    topic.produce((0..200).map(|n| numbered(&format!("good-{n}"), 0)));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    job.await_line(&["refuses message after message", &comet.address()]);
    let since = Instant::now();
    comet.await_delivered(200);
    let took = since.elapsed();
    assert!(took < Duration::from_secs(27), "they waited {took:?}");
    job.stop();
}

#[test]
fn many_workers_flush_no_more_into_the_dead_letters_than_one() {
    let topic = topic();
    let comet = Comet::start();
    refuse_bad(&comet);
    topic.produce((0..2_000).map(|n| numbered(&format!("bad-{n}"), 0)));
    let job = topic.job(&[&comet]).flag("--threads", "32");
    let mut job = job.log_level("WARN").start();
    job.await_line(&["refuses message after message", &comet.address()]);
    let since = Instant::now();
    thread::sleep(Duration::from_secs(5));
    let letters = topic.dead_letters();
    let most = 101 + since.elapsed().as_secs() as usize;
    assert!(
        (100..=most + 2).contains(&letters),
        "{letters} dead letters"
    );
    comet.answer(|_| Answer::Ok);
    topic.await_no_lag();
    job.stop();
    assert_eq!(comet.count() + topic.dead_letters(), 2_000);
}

/// grpcio has no answer to give then.
#[test]
fn an_ok_without_a_message_is_a_failure_like_others() {
    let topic = topic();
    let server = Bodiless::start();
    topic.produce([numbered("room", 0)]);
    let job = topic.configure_for(JobCommand::new(), &server.address());
    let mut job = job.log_level("WARN").start();
    job.await_line(&[
        "RPC failed",
        "UNKNOWN",
        "OK without a message",
        &server.address(),
    ]);
    assert_eq!(topic.lag(), 1);
    server.answer_with_bodies();
    topic.await_no_lag();
    job.stop();
    assert_eq!(topic.dead_letters(), 0);
}
