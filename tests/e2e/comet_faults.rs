//! What becomes of messages whose Comet fails: the table of gRPC statuses, row by row.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use grpcio::RpcStatusCode;

use crate::support::comet::{Answer, Call, Comet, name};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{
    assert_each_once_in_order, assert_in_order, encoded, numbered, over_rooms,
};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 20;
const MESSAGES: usize = 1_000;
/// A message in the middle of a room's messages.
const POISONED: &str = "room-7/20";

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 2)
}

/// Answers the first `tries` calls of each message that `failing` names with `answer`, and all else with OK.
fn fail_first(
    tries: usize,
    failing: impl Fn(&str) -> bool + Send + Sync + 'static,
    answer: Answer,
) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
    let tried = Mutex::new(HashMap::<String, usize>::new());
    move |call| {
        if !failing(&call.text()) {
            return Answer::Ok;
        }
        let mut tried = tried.lock().expect("no holder of it panics");
        let tried = tried.entry(call.text()).or_default();
        *tried += 1;
        if *tried <= tries {
            answer.clone()
        } else {
            Answer::Ok
        }
    }
}

/// All messages go through a Comet that answers so; each room's arrive in order, once.
fn heals(rule: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Comet {
    let topic = topic();
    let comet = Comet::start();
    comet.answer(rule);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let job = topic.job(&[&comet]).flag("--call-timeout", "2s");
    let mut job = job.log_level("WARN").start();
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);
    comet.assert_no_overlaps();
    assert_eq!(topic.dead_letters(), 0);
    comet
}

/// Every message of one room fails twice with each of the statuses that may heal.
#[test]
fn a_failure_that_heals_delays_its_room_only() {
    let of_room_3 = |text: &str| text.starts_with("room-3/");
    for code in [
        RpcStatusCode::UNAVAILABLE,
        RpcStatusCode::RESOURCE_EXHAUSTED,
        RpcStatusCode::INTERNAL,
        RpcStatusCode::UNKNOWN,
    ] {
        heals(fail_first(1, of_room_3, Answer::Status(code)));
    }
}

#[test]
fn a_call_that_hangs_is_made_again() {
    let some = |text: &str| text.ends_with("/10");
    let comet = heals(fail_first(1, some, Answer::Hang));
    assert_eq!(comet.calls().len(), MESSAGES + ROOMS);
}

#[test]
fn what_comet_does_not_know_is_finished() {
    let topic = topic();
    let comet = Comet::start();
    comet.answer(|call| match call.text().starts_with("room-3/") {
        true => Answer::Status(RpcStatusCode::NOT_FOUND),
        false => Answer::Ok,
    });
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
    assert_eq!(comet.count(), MESSAGES - MESSAGES / ROOMS);
    assert_eq!(topic.dead_letters(), 0);
}

/// Delivers all but the poisoned message, which ends in the dead letters.
fn poisoned(code: RpcStatusCode) -> Comet {
    let topic = topic();
    let comet = Comet::start();
    comet.answer(move |call| match call.text() == POISONED {
        true => Answer::Status(code),
        false => Answer::Ok,
    });
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    // Other messages keep the Comet saying OK on each connection, which is what makes a failure the message's own.
    let more = AtomicUsize::new(0);
    await_until("the dead letter", || {
        let n = more.fetch_add(1, Ordering::Relaxed);
        topic.produce([numbered(&format!("other-{}", n % 16), n)]);
        is(topic.dead_letters(), 1)
    });
    let letters = topic.await_dead_letters(1);
    topic.await_no_lag();
    job.stop();

    let letter = letters.values().next().expect("there is one");
    let message = numbered("room-7", 20);
    let value = encoded(&message);
    assert_eq!(letter.value.as_deref(), Some(value.as_slice()));
    let error = letter.header_str("job.error").unwrap_or_default();
    assert!(error.contains(&name(code)), "{error}");

    let mut delivered = comet.delivered();
    delivered.retain(|call| call.room == "room-7");
    let numbers: Vec<_> = delivered.iter().map(Call::text).collect();
    let expected: Vec<_> = (0..MESSAGES / ROOMS)
        .map(|n| format!("room-7/{n}"))
        .filter(|text| text != POISONED)
        .collect();
    assert_eq!(numbers, expected);
    assert_eq!(comet.count(), MESSAGES - 1 + more.into_inner());
    comet.assert_no_overlaps();
    comet
}

fn tries_of_poisoned(comet: &Comet) -> usize {
    comet
        .calls()
        .iter()
        .filter(|c| c.text() == POISONED)
        .count()
}

#[test]
fn a_refused_message_is_a_dead_letter_at_once() {
    let comet = poisoned(RpcStatusCode::INVALID_ARGUMENT);
    assert_eq!(tries_of_poisoned(&comet), 1);
}

#[test]
fn a_message_that_fails_while_others_pass_is_a_dead_letter() {
    let comet = poisoned(RpcStatusCode::INTERNAL);
    assert!(tries_of_poisoned(&comet) >= 5);
}

#[test]
fn nothing_is_lost_while_comet_is_down() {
    let topic = topic();
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(MESSAGES / 2);
    comet.stop();
    topic.produce(over_rooms(ROOMS, MESSAGES, MESSAGES));
    job.await_line(&["RPC failed: ", &comet.address()]);
    comet.start_again();
    // What was in flight when the server was cut may have arrived, without its answer getting through.
    topic.await_no_lag();
    job.stop();
    assert_in_order(&comet.delivered(), ROOMS, 2 * MESSAGES);
    comet.assert_no_overlaps();
    assert_eq!(topic.dead_letters(), 0);
}

/// A server that isn't a Comet takes nothing, and flushes nothing into the dead letters.
#[test]
fn a_wrong_setting_holds_all_messages() {
    for code in [
        RpcStatusCode::UNIMPLEMENTED,
        RpcStatusCode::UNAUTHENTICATED,
        RpcStatusCode::PERMISSION_DENIED,
    ] {
        // Each room's first message, and then one call at a time, more and more slowly.
        holds_until_it_heals(code, ROOMS + 8);
    }
}

/// Nor does one that fails every call.
#[test]
fn a_comet_that_fails_everything_holds_all_messages() {
    // More than five tries of each room's first message.
    holds_until_it_heals(RpcStatusCode::INTERNAL, 8 * ROOMS);
}

/// Nothing is given up in this many failed calls, and all is delivered when the Comet heals.
fn holds_until_it_heals(code: RpcStatusCode, failures: usize) {
    let topic = topic();
    let comet = Comet::start();
    let healed = Arc::new(AtomicBool::new(false));
    let heal = Arc::clone(&healed);
    comet.answer(move |_| match healed.load(Ordering::Relaxed) {
        true => Answer::Ok,
        false => Answer::Status(code),
    });
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    job.await_line(&["RPC failed: ", &name(code), &comet.address()]);
    await_until("failed calls", || {
        let calls = comet.calls().len();
        if calls >= failures {
            Ok(())
        } else {
            Err(format!("{calls}"))
        }
    });
    assert_eq!(topic.dead_letters(), 0);
    assert_eq!(topic.lag(), MESSAGES as i64);
    heal.store(true, Ordering::Relaxed);
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);
    assert_eq!(topic.dead_letters(), 0);
}

/// A Comet that refuses everything does not get to flush the topic into the dead letters either.
#[test]
fn a_comet_that_refuses_everything_is_asked_slowly() {
    let topic = topic();
    let comet = Comet::start();
    let healed = Arc::new(AtomicBool::new(false));
    let heal = Arc::clone(&healed);
    comet.answer(move |_| match healed.load(Ordering::Relaxed) {
        true => Answer::Ok,
        false => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
    });
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    job.await_line(&["refuses", &comet.address()]);
    heal.store(true, Ordering::Relaxed);
    topic.await_no_lag();
    job.stop();
    let refused = topic.dead_letters();
    let delivered = comet.count();
    // A hundred in a row, the calls in flight then, and a few of the slow ones.
    // A refusal that another worker counts at the same moment makes the hundredth message wait for a turn.
    let few = 90..100 + ROOMS + 20;
    assert!(few.contains(&refused), "{refused} dead letters");
    assert_eq!(delivered + refused, MESSAGES);
}

/// Of two Comets one fails: only that one is called again.
#[test]
fn only_the_comet_that_failed_is_called_again() {
    let topic = topic();
    let (good, bad) = (Comet::start(), Comet::start());
    let unavailable = Answer::Status(RpcStatusCode::UNAVAILABLE);
    bad.answer(fail_first(1, |text| text.ends_with("/5"), unavailable));
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&good, &bad]).log_level("WARN").start();
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&good.calls(), ROOMS, MESSAGES);
    assert_each_once_in_order(&bad.delivered(), ROOMS, MESSAGES);
    assert_eq!(bad.calls().len(), MESSAGES + ROOMS);
}

/// A Comet that is down doesn't keep messages from the others, and after some seconds it is detached: messages are finished
/// without it, and it gets them when it is back.
#[test]
fn a_comet_that_stays_down_is_detached() {
    is_detached("4");
}

#[test]
fn many_workers_detach_a_comet_together() {
    is_detached("64");
}

/// Only one worker has something to send, so the others know nothing of it. The same failure is logged once a second.
#[test]
fn the_only_comet_is_never_detached() {
    let topic = topic();
    let comet = Comet::not_started();
    topic.produce([numbered("room", 0)]);
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    await_until("far more failures than it takes", || {
        match job.lines_with(&["RPC failed"]).len() {
            10.. => Ok(()),
            few => Err(format!("{few} so far")),
        }
    });
    comet.start_again();
    comet.await_delivered(1);
    topic.await_no_lag();
    job.stop();
    let detached = job.lines_with(&["is detached"]);
    assert!(detached.is_empty(), "{detached:?}");
}

fn is_detached(threads: &str) {
    let topic = topic();
    let (alive, down) = (Comet::start(), Comet::not_started());
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let job = topic.job(&[&alive, &down]).flag("--threads", threads);
    let mut job = job.log_level("INFO").start();
    alive.await_delivered(MESSAGES);
    // It is detached while others take something.
    let more = Cell::new(0);
    let produce_one = || topic.produce([numbered("other", more.replace(more.get() + 1))]);
    await_until("a Comet that is detached", || {
        produce_one();
        is(job.lines_with(&["ERROR", "is detached"]).len(), 1)
    });
    topic.await_no_lag();
    assert_eq!(down.count(), 0);

    down.start_again();
    down.await_delivered(MESSAGES);
    produce_one();
    let all = MESSAGES + more.get();
    for comet in [&alive, &down] {
        comet.await_delivered(all);
    }
    topic.await_no_lag();
    job.stop();
    for comet in [&alive, &down] {
        assert_each_once_in_order(&comet.calls(), ROOMS + 1, all);
    }
    assert_eq!(topic.dead_letters(), 0);
}
