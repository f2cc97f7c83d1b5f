//! Comets that are detached or behind: what the worker reports, and what it still sends to them.

use super::*;

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

/// The next owner gets a message that no Comet has seen, also behind one that was read again.
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
