mod detach;
mod expire;
mod fleet;
mod one_key;
mod sim;
mod skip;
mod suspects;
mod tells;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::endpoint_stats::DETACH_AFTER;
use super::*;
use sim::{Done, OURS, Sim, called, delivered, failed, message, messages, released};

const DOWN: i32 = 14;
const UNCLEAR: i32 = 2;
const REFUSED: i32 = 3;

#[test]
fn a_message_is_called_fails_waits_is_called_again_and_is_reported() {
    let mut sim = Sim::new(1, 64);
    assert_eq!(
        sim.tell(messages(0, &[1, 1, 2])),
        [called(0, 0), called(0, 2)]
    );
    assert_eq!(sim.answer(0, 2, Ok(())), [delivered(2)]);

    // The Comet took another message meanwhile: no probe has to tell whether it is there.
    let done = sim.answer(0, 0, failed(UNCLEAR));
    assert!(matches!(done[..], [Done::Said(0, _)]), "{done:?}");
    let waited = sim.run_to_call();
    let (least, most) = (Duration::from_millis(40), Duration::from_millis(60));
    assert!((least..=most).contains(&waited), "{waited:?}");
    let (_, again) = sim.trace.last().expect("the call");
    let doublings = 1;
    assert_eq!(
        *again,
        Done::Called {
            comet: 0,
            offset: 0,
            doublings
        }
    );

    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0), called(0, 1)]);
    let done = sim.answer(0, 1, failed(REFUSED));
    let is_refused = |done: &Done| matches!(done, Done::Settled(1, why) if why.starts_with("Undeliverable { why: Reason { text: \"refused by Comet comet-0:1: "));
    assert!(done.iter().any(is_refused), "{done:?}");
    assert!(sim.core.messages.is_empty());
}

#[test]
fn an_undeliverable_message_names_the_comets_that_did_not_take_it() {
    for (refusers, named) in [
        (&[1][..], "comets: [CometId(1)],"),
        (&[0, 2], "comets: [CometId(0), CometId(2)],"),
    ] {
        let mut sim = Sim::new(3, 64);
        sim.tell(messages(0, &[1]));
        for comet in 0..3 {
            let answer = match refusers.contains(&comet) {
                true => failed(REFUSED),
                false => Ok(()),
            };
            sim.answer(comet, 0, answer);
        }
        let settled = sim.settled();
        let (_, how) = &settled[0];
        assert!(
            how.starts_with("Undeliverable") && how.contains(named),
            "{how}"
        );
    }
}

#[test]
fn a_revoke_gives_back_what_is_queued_and_finishes_what_is_in_flight() {
    let mut sim = Sim::new(1, 64);
    assert_eq!(sim.tell(messages(0, &[1, 1])), [called(0, 0)]);
    let done = sim.tell(Event::Revoke(OURS));
    assert_eq!(done, [released(1), Done::Acked(OURS)]);
    // What comes late goes back at once.
    assert_eq!(sim.tell(messages(2, &[1])), [released(2)]);

    // A Comet may have seen the one in flight: it is tried until it is delivered.
    sim.answer(0, 0, failed(DOWN));
    sim.run_to_call();
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_is_forgotten_is_not_tried_again() {
    let mut sim = Sim::new(1, 64);
    assert_eq!(sim.tell(messages(0, &[1, 1])), [called(0, 0)]);
    assert_eq!(sim.tell(Event::Forget(OURS)), [released(1)]);
    let done = sim.answer(0, 0, failed(DOWN));
    assert_eq!(done.last(), Some(&released(0)), "{done:?}");
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_is_suspended_waits_and_others_go_on_beside_it() {
    let mut sim = Sim::new(1, 1);
    sim.tell(Event::Suspend(OURS));
    assert_eq!(sim.tell(messages(0, &[1, 2])), []);
    let mut other = message(3, 9, Target::All);
    other.record.assignment.partition.index += 1;
    assert_eq!(sim.tell(Event::Messages(vec![other])), [called(0, 9)]);
    assert_eq!(sim.answer(0, 9, Ok(())), [delivered(9)]);
    let done = sim.tell(Event::Resume(OURS));
    assert!(matches!(done[..], [Done::Called { .. }]), "{done:?}");
}

/// Two Comets get a message a second. The second one is down for a while, and nobody waits for it then.
fn outage() -> Sim {
    let mut sim = Sim::new(2, 64);
    let is_down = |second| (10..60).contains(&second);
    for second in 0..70 {
        sim.tell(messages(second, &[second as u64]));
        let end = sim.start + Duration::from_secs(second as u64 + 1);
        sim.run_until(end, |comet| match comet == 1 && is_down(second) {
            true => failed(DOWN),
            false => Ok(()),
        });
    }
    sim
}

#[test]
fn a_comet_that_is_away_is_detached_while_another_delivers_and_attached_when_it_answers() {
    let sim = outage();
    let away = sim
        .when(|done| *done == Done::Away(1))
        .expect("it is given up");
    let from = Duration::from_secs(10) + DETACH_AFTER;
    let most = from + Duration::from_secs(3);
    assert!((from..=most).contains(&away), "{away:?}");
    let answers = sim
        .when(|done| *done == Done::Answers(1))
        .expect("it answers");
    assert!(answers >= Duration::from_secs(60) && answers < Duration::from_secs(63));
    assert_eq!(sim.when(|done| *done == Done::Away(0)), None);
    let called = |of: u32| {
        let calls = sim.trace.iter().filter_map(move |(at, done)| match done {
            Done::Called { comet, offset, .. } if *comet == of => Some((*at, *offset)),
            _ => None,
        });
        calls.collect::<Vec<_>>()
    };
    assert_eq!(called(0).len(), 70, "each once");
    assert!(
        called(1).iter().all(|(at, _)| *at <= away),
        "nothing more until it is attached"
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, other) = (outage().trace, outage().trace);
    assert!(one.len() > 200, "{} steps", one.len());
    assert_eq!(one, other);
}

#[test]
fn the_core_names_no_clock_channel_thread_connection_or_log() {
    let sources = [
        include_str!("../breaker.rs"),
        include_str!("../core.rs"),
        include_str!("../drive.rs"),
        include_str!("../effects.rs"),
        include_str!("../endpoint.rs"),
        include_str!("../endpoint_stats.rs"),
        include_str!("../key_queue.rs"),
        include_str!("../scheduler.rs"),
    ];
    let words = [
        "::now()",
        "elapsed()",
        "crossbeam",
        "Sender",
        "Receiver",
        "thread",
        "Client",
        "Cork",
        "grpcio",
        "log::",
        "Mutex",
        "fastrand::f64",
        "fastrand::shuffle",
        "Rng::new",
    ];
    for source in sources {
        let title = source.lines().next().unwrap_or_default();
        let named: Vec<_> = words
            .iter()
            .filter(|word| source.contains(**word))
            .collect();
        assert!(named.is_empty(), "{title} {named:?}");
    }
}

proptest! {
    /// Whatever is answered: each message is settled once, each Comet takes a key's messages in order, and no two calls of a key
    /// are in flight at a Comet. After a revoke is confirmed, nothing is given back any more.
    #[test]
    fn all_is_settled_once_and_in_order(
        messages in prop::collection::vec((0u64..4, 0u32..6), 1..40),
        answers in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8, 0u64..3_000), 0..200),
        window in 1usize..4,
        revoke_at in prop::option::of(0usize..60),
    ) {
        const COMETS: u32 = 3;
        let mut sim = Sim::new(COMETS as usize, window);
        let all = (0..).zip(&messages).map(|(offset, &(key, comet))| {
            let one = Target::One(CometId(comet));
            message(key, offset, if comet < COMETS { one } else { Target::All })
        });
        sim.tell(Event::Messages(all.collect()));
        let key_of = |offset: i64| messages[offset as usize].0;
        let mut seen = 0;
        let mut answers = answers.into_iter();
        let mut taken: HashMap<(CometId, u64), i64> = HashMap::new();
        for step in 0.. {
            if revoke_at == Some(step) {
                sim.tell(Event::Revoke(OURS));
            }
            let given_up = sim.trace[seen..].iter().filter_map(|(_, done)| match done {
                Done::Away(comet) => Some(CometId(*comet)),
                _ => None,
            });
            let given_up: Vec<_> = given_up.collect();
            seen = sim.trace.len();
            for comet in given_up {
                sim.tell(Event::Detach(comet));
                sim.tell(Event::Return(comet));
            }
            if sim.core.messages.is_empty() {
                break;
            }
            let in_flight = &sim.recorder.calls;
            let keys = in_flight.iter().map(|&(comet, _, offset)| (comet, key_of(offset)));
            let keys: HashSet<_> = keys.collect();
            prop_assert_eq!(keys.len(), in_flight.len(), "two calls of one key");
            prop_assert!((0..COMETS).all(|n| in_flight.iter().filter(|call| call.0 == CometId(n)).count() <= window));
            let (index, kind, wait) = answers.next().map_or((0, 0, 0), |(at, kind, wait)| (at.index(in_flight.len().max(1)), kind, wait));
            if let Some(&(comet, _, offset)) = in_flight.get(index) {
                let answer = match kind {
                    0..=3 => Ok(()),
                    4 => failed(REFUSED),
                    5 | 6 => failed(DOWN),
                    _ => failed(UNCLEAR),
                };
                if answer.is_ok() {
                    let before = taken.insert((comet, key_of(offset)), offset);
                    prop_assert!(before.is_none_or(|before| before < offset), "{offset} after {before:?}");
                }
                sim.now += Duration::from_millis(wait);
                sim.answer(comet.0, offset, answer);
            } else if let Some(comet) = sim.recorder.probes.pop() {
                sim.tell(Event::Probed { comet, answer: Ok(()) });
            } else {
                let at = sim.core.wake_at().expect("something waits, and has its time");
                sim.now = at.max(sim.now + Duration::from_millis(1));
                sim.drive();
            }
        }
        let after_ack = sim.trace.iter().skip_while(|(_, done)| !matches!(done, Done::Acked(_)));
        let late = after_ack.filter(|(_, done)| matches!(done, Done::Settled(_, how) if how == "Released"));
        prop_assert_eq!(late.count(), 0);
        let ends = sim.settled().into_iter().filter(|(_, how)| {
            !how.starts_with("Lacks") && !how.starts_with("CameBack")
        });
        let settled: Vec<i64> = ends.map(|(offset, _)| offset).collect();
        let expected: Vec<i64> = (0..messages.len() as i64).collect();
        prop_assert_eq!(settled, expected);
    }
}
