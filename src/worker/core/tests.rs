mod sim;

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
    let is_refused = |done: &Done| matches!(done, Done::Settled(1, why) if why.starts_with("Undeliverable { why: \"refused by Comet comet-0:1: "));
    assert!(done.iter().any(is_refused), "{done:?}");
    assert!(sim.core.messages.is_empty());
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
    other.record.assignment.partition += 1;
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

/// One Comet takes everything; at the other one a call is in flight and two messages wait.
fn with_one_behind() -> Sim {
    let mut sim = Sim::new(2, 1);
    sim.tell(messages(0, &[1, 1, 2]));
    while let Some(call) = sim.recorder.calls.iter().find(|call| call.0 == CometId(0)) {
        sim.answer(0, call.2, Ok(()));
    }
    assert!(sim.settled().is_empty(), "the other one has nothing yet");
    sim
}

fn settled(offset: i64, completion: Completion) -> Done {
    Done::Settled(offset, format!("{completion:?}"))
}

fn lacks(offset: i64, in_flight: bool) -> Done {
    let comet = CometId(1);
    settled(offset, Completion::Lacks { comet, in_flight })
}

fn again(offset: i64, took: bool) -> Done {
    let comet = CometId(1);
    settled(offset, Completion::Again { comet, took })
}

fn came_back(offset: i64, took: bool) -> Done {
    let comet = CometId(1);
    settled(offset, Completion::CameBack { comet, took })
}

/// The message read again for the second Comet.
fn read_again(key: u64, offset: i64) -> Event {
    let mut message = message(key, offset, Target::One(CometId(1)));
    message.again = true;
    Event::Messages(vec![message])
}

/// The other one has failed the call, is back, and a call with the first message, read again, is in flight.
fn with_one_read_again() -> Sim {
    let mut sim = with_one_behind();
    sim.tell(Event::Detach(CometId(1)));
    sim.answer(1, 0, failed(DOWN));
    sim.tell(Event::Return(CometId(1)));
    assert_eq!(sim.tell(read_again(1, 0)), [called(1, 0)]);
    sim
}

#[test]
fn what_a_detached_comet_lacks_is_said_and_the_messages_are_delivered_without_it() {
    let mut sim = with_one_behind();
    let mut done = sim.tell(Event::Detach(CometId(1)));
    assert_eq!(done.pop(), Some(Done::Detached(1)));
    let lack = |done: &&Done| [lacks(0, true), lacks(1, false), lacks(2, false)].contains(*done);
    assert_eq!(done.iter().filter(lack).count(), 3, "{done:?}");
    assert_eq!(done.iter().filter(|done| *done == &delivered(2)).count(), 1);
    let place = |of: &Done| done.iter().position(|done| done == of);
    for (offset, in_flight) in [(0, true), (1, false), (2, false)] {
        let said = place(&lacks(offset, in_flight));
        assert!(said < place(&delivered(offset)), "{done:?}");
    }
    // Live messages pass it by.
    let mut live = message(1, 3, Target::All);
    live.without = Some(std::sync::Arc::new(vec![CometId(1)]));
    assert_eq!(sim.tell(Event::Messages(vec![live])), [called(0, 3)]);
    assert_eq!(sim.answer(0, 3, Ok(())), [delivered(3)]);
    assert_eq!(sim.answer(1, 0, Ok(())), [came_back(0, true)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_is_read_again_waits_for_the_late_call_of_its_key_and_is_not_sent_if_that_was_taken() {
    for took in [true, false] {
        let mut sim = with_one_behind();
        sim.tell(Event::Detach(CometId(1)));
        sim.tell(Event::Return(CometId(1)));
        assert_eq!(sim.tell(read_again(1, 0)), []);
        assert_eq!(sim.tell(read_again(1, 1)), []);
        let answer = if took { Ok(()) } else { failed(DOWN) };
        let mut done = sim.answer(1, 0, answer);
        done.retain(|done| !matches!(done, Done::Said(..)));
        assert_eq!(done[0], came_back(0, took));
        let next = i64::from(took);
        if took {
            assert_eq!(done[1..], [again(0, true), called(1, 1)]);
        } else {
            sim.run_to_call();
            assert_eq!(
                sim.answer(1, 0, Ok(()))[..2],
                [again(0, true), called(1, 1)]
            );
        }
        assert_eq!(sim.answer(1, 1, Ok(())), [again(1, true)], "{next}");
        assert!(sim.core.messages.is_empty());
    }
}

#[test]
fn what_is_read_again_after_the_late_call_was_taken_is_not_sent() {
    let mut sim = with_one_behind();
    sim.tell(Event::Detach(CometId(1)));
    sim.tell(Event::Return(CometId(1)));
    sim.answer(1, 0, Ok(()));
    assert_eq!(sim.tell(read_again(1, 0)), [again(0, true)]);
    assert_eq!(sim.tell(read_again(1, 1)), [called(1, 1)]);
}

/// The Comet goes away while a message that was read again is in flight, and is read again once more.
#[test]
fn what_was_read_again_twice_is_sent_once_if_the_first_call_is_taken_after_all() {
    for is_early in [true, false] {
        let mut sim = with_one_read_again();
        sim.tell(Event::Detach(CometId(1)));
        sim.tell(Event::Return(CometId(1)));
        if is_early {
            assert_eq!(sim.tell(read_again(1, 0)), []);
        }
        let done = sim.answer(1, 0, Ok(()));
        assert_eq!(
            done.iter().filter(|done| *done == &again(0, true)).count(),
            1 + usize::from(is_early)
        );
        if !is_early {
            assert_eq!(sim.tell(read_again(1, 0)), [again(0, true)]);
        }
        assert!(sim.core.messages.is_empty());
    }
}

#[test]
fn what_was_read_again_is_given_back_when_the_comet_goes_away_again() {
    let mut sim = with_one_read_again();
    sim.tell(read_again(1, 1));
    let done = sim.tell(Event::Detach(CometId(1)));
    assert_eq!(done, [again(1, false), Done::Detached(1)]);
    let done = sim.answer(1, 0, failed(DOWN));
    assert!(done.contains(&again(0, false)), "{done:?}");
    assert!(sim.core.messages.is_empty());
}

/// Another owner reads again what was missed, so what came live behind it is left to it as well.
#[test]
fn nothing_overtakes_what_was_read_again_at_a_revocation() {
    let mut sim = with_one_read_again();
    sim.tell(read_again(1, 1));
    let live = message(1, 3, Target::All);
    assert_eq!(sim.tell(Event::Messages(vec![live])), [called(0, 3)]);
    sim.answer(0, 3, Ok(()));
    let done = sim.tell(Event::Revoke(OURS));
    for expected in [again(1, false), lacks(3, false), delivered(3)] {
        assert!(done.contains(&expected), "{done:?}");
    }
    let done = sim.answer(1, 0, failed(DOWN));
    assert!(done.contains(&again(0, false)), "{done:?}");
    assert!(sim.core.messages.is_empty());
}

/// A live message of key 1 that the first Comet doesn't get from here.
fn split(offset: i64) -> Event {
    let mut message = message(1, offset, Target::All);
    message.without = Some(std::sync::Arc::new(vec![CometId(0)]));
    Event::Messages(vec![message])
}

/// The first Comet has caught up and got the second message before the other one, where both wait. The next owner must not send
/// the first one behind it, nor again to the Comet that has it.
#[test]
fn what_some_comets_have_is_lacked_by_the_others_at_a_revocation() {
    let mut sim = Sim::new(2, 1);
    sim.tell(messages(0, &[2]));
    sim.answer(0, 0, Ok(()));
    assert_eq!(sim.tell(split(1)), []);
    let live = message(1, 2, Target::All);
    assert_eq!(sim.tell(Event::Messages(vec![live])), [called(0, 2)]);
    let done = sim.tell(Event::Revoke(OURS));
    assert_eq!(
        done,
        [
            lacks(1, false),
            delivered(1),
            lacks(2, false),
            Done::Acked(OURS)
        ]
    );
    // So does what comes late.
    assert_eq!(sim.tell(split(3)), [lacks(3, false), delivered(3)]);
    assert_eq!(sim.answer(0, 2, Ok(())), [delivered(2)]);
    assert_eq!(sim.answer(1, 0, Ok(())), [delivered(0)]);
    assert!(sim.core.messages.is_empty());
}

/// A whole one that no Comet has seen goes to the next owner, and so does all behind what was read again.
#[test]
fn what_no_comet_has_seen_is_given_back_behind_what_was_read_again() {
    let mut sim = with_one_read_again();
    let live = message(1, 3, Target::All);
    sim.tell(Event::Messages(vec![live]));
    let live = message(1, 4, Target::All);
    sim.tell(Event::Messages(vec![live]));
    let done = sim.tell(Event::Revoke(OURS));
    assert_eq!(done, [lacks(3, false), released(4), Done::Acked(OURS)]);
    assert_eq!(sim.answer(0, 3, Ok(())), [delivered(3)]);
    let done = sim.answer(1, 0, Ok(()));
    assert!(done.contains(&again(0, true)), "{done:?}");
    assert!(sim.core.messages.is_empty());
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
