//! Messages that an operator skips.

use super::*;

fn skip(offset: i64) -> Event {
    let record = RecordId {
        assignment: OURS,
        offset,
    };
    Event::Skip { record, uid: 7 }
}

/// The Comets that a message is a dead letter for, if it is one by an operator.
fn letter_for(sim: &Sim, offset: i64) -> Option<String> {
    let settled = sim.settled();
    let mut of = settled.iter().filter(|(at, _)| *at == offset);
    let (_, how) = of.next()?;
    assert_eq!(of.next(), None, "it is settled once");
    let text = "Undeliverable { why: Reason { text: \"skipped by operator (job ctl skip, uid 7)\", comets: [";
    let rest = how.strip_prefix(text)?;
    Some(rest.split(']').next()?.replace("CometId", ""))
}

#[test]
fn what_waits_becomes_a_letter_for_all_and_the_next_of_its_key_is_sent() {
    let mut sim = Sim::new(2, 64);
    sim.tell(messages(0, &[1, 1, 1]));
    let done = sim.tell(skip(1));
    assert_eq!(done.last(), Some(&Done::Skipped(1, vec![0, 1], vec![])));
    assert_eq!(letter_for(&sim, 1).as_deref(), Some("(0), (1)"));
    for comet in 0..2 {
        let done = sim.answer(comet, 0, Ok(()));
        assert!(done.contains(&called(comet, 2)), "{done:?}");
        sim.answer(comet, 2, Ok(()));
    }
    assert!(sim.core.messages.is_empty());
}

#[test]
fn a_call_in_flight_is_awaited_and_not_tried_again() {
    for (answer, letter) in [
        (Ok(()), None),
        (failed(UNCLEAR), Some("(0)")),
        (failed(DOWN), Some("(0)")),
    ] {
        let mut sim = Sim::new(1, 64);
        sim.tell(messages(0, &[1, 1]));
        assert_eq!(sim.tell(skip(0)), [Done::Skipped(0, vec![], vec![0])]);
        assert!(sim.settled().is_empty());
        sim.answer(0, 0, answer.clone());
        assert_eq!(letter_for(&sim, 0).as_deref(), letter, "{answer:?}");
        if letter.is_none() {
            assert_eq!(sim.settled(), [(0, "Delivered")]);
        }
        let end = sim.now + Duration::from_secs(5);
        sim.run_until(end, |_| Ok(()));
        let calls = sim.trace.iter().filter(|(_, done)| *done == called(0, 0));
        assert_eq!(calls.count(), 1, "{:?}", sim.trace);
        assert!(sim.core.messages.is_empty());
    }
}

#[test]
fn what_waits_to_be_tried_again_frees_its_key_at_once() {
    let mut sim = Sim::new(2, 64);
    sim.tell(messages(0, &[1, 1]));
    sim.answer(1, 0, Ok(()));
    sim.answer(1, 1, Ok(()));
    sim.answer(0, 0, failed(UNCLEAR));
    let done = sim.tell(skip(0));
    assert!(
        done.contains(&Done::Skipped(0, vec![0], vec![])),
        "{done:?}"
    );
    assert_eq!(
        letter_for(&sim, 0).as_deref(),
        Some("(0)"),
        "the other one has it"
    );
    assert!(done.contains(&called(0, 1)), "{done:?}");
}

#[test]
fn what_is_not_held_is_said_to_be_so() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1]));
    assert_eq!(sim.tell(skip(5)), [Done::Skipped(5, vec![], vec![])]);
    sim.answer(0, 0, Ok(()));
    assert_eq!(sim.tell(skip(0)), [Done::Skipped(0, vec![], vec![])]);
}

#[test]
fn what_was_read_again_becomes_a_letter_for_its_comet() {
    let mut sim = Sim::new(2, 1);
    sim.tell(Event::Detach(CometId(1)));
    sim.tell(Event::Return(CometId(1)));
    let again = |offset| {
        let mut message = message(1, offset, Target::One(CometId(1)));
        message.again = true;
        message
    };
    sim.tell(Event::Messages(vec![again(0), again(1)]));
    let done = sim.tell(skip(1));
    assert!(
        done.contains(&Done::Skipped(1, vec![1], vec![])),
        "{done:?}"
    );
    assert_eq!(letter_for(&sim, 1).as_deref(), Some("(1)"));
    assert!(sim.settled()[0].1.ends_with("at: Some(CometId(1)) }"));
}

#[test]
fn a_partition_that_goes_to_another_owner_takes_a_skipped_message_along() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1]));
    sim.tell(skip(0));
    sim.tell(Event::Forget(OURS));
    sim.answer(0, 0, failed(DOWN));
    assert_eq!(sim.settled(), [(0, "Released")]);
}
