//! Comets that join and leave.

use super::sim::{message, node};
use super::*;
use crate::message::fleet::Change;

fn join(comet: u32) -> Event {
    Event::Fleet(Change::Join(CometId(comet), node(comet)))
}

fn leave(comet: u32) -> Event {
    Event::Fleet(Change::Leave(CometId(comet)))
}

fn joined(comet: u32) -> Done {
    Done::Joined(comet, format!("comet-{comet}:1"))
}

fn to(comet: u32, key: u64, offset: i64) -> Event {
    Event::Messages(vec![message(key, offset, Target::One(CometId(comet)))])
}

#[test]
fn a_comet_that_joins_gets_what_comes_behind_that() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(0, &[1, 1]));
    assert_eq!(sim.tell(join(7)), [joined(7)]);
    // The order at the others doesn't change.
    let done = sim.tell(messages(2, &[1]));
    assert_eq!(done, [called(7, 2)]);
    assert_eq!(sim.answer(7, 2, Ok(())), []);
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0), called(0, 1)]);
    assert_eq!(sim.answer(0, 1, Ok(())), [delivered(1), called(0, 2)]);
    assert_eq!(sim.answer(0, 2, Ok(())), [delivered(2)]);
}

#[test]
fn one_that_leaves_finishes_what_is_in_flight_and_the_others_go_on() {
    let mut sim = Sim::new(2, 64);
    sim.tell(messages(0, &[1, 1, 2]));
    assert_eq!(sim.tell(leave(1)), [], "its calls are under way");
    assert_eq!(sim.tell(messages(3, &[3])), [called(0, 3)]);
    for (offset, expected) in [
        (0, vec![delivered(0)]),
        (2, vec![delivered(2), Done::Left(1, 1)]),
    ] {
        assert!(!sim.answer(0, offset, Ok(())).contains(&delivered(offset)));
        assert_eq!(sim.answer(1, offset, Ok(())), expected);
    }
    // The message that waited for it is with the other one: that is all.
    assert_eq!(sim.answer(0, 1, Ok(())), [delivered(1)]);
    assert_eq!(sim.answer(0, 3, Ok(())), [delivered(3)]);
    assert!(sim.core.messages.is_empty());
    assert_eq!(sim.core.endpoints.len(), 1);
}

#[test]
fn what_fails_at_one_that_left_is_not_tried_again() {
    for code in [DOWN, UNCLEAR] {
        let mut sim = Sim::new(2, 64);
        sim.tell(messages(0, &[1]));
        sim.tell(leave(1));
        let done = sim.answer(1, 0, failed(code));
        assert_eq!(done.last(), Some(&Done::Left(1, 1)), "{done:?}");
        assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0)]);
        assert!(sim.core.messages.is_empty());
        // The answer to a probe may be late.
        let (comet, answer) = (CometId(1), failed(code));
        assert_eq!(sim.tell(Event::Probed { comet, answer }), []);
    }
}

#[test]
fn what_is_for_one_comet_alone_becomes_a_dead_letter_when_that_leaves() {
    let mut sim = Sim::new(2, 64);
    sim.tell(to(1, 1, 0));
    sim.tell(to(1, 1, 1));
    sim.tell(to(0, 1, 2));
    let is_letter = |done: &Done, of: i64| {
        matches!(done, Done::Settled(offset, why) if *offset == of
            && why.contains("it was for Comet comet-1:1 alone, which left the fleet")
            && why.contains("comets: []") && why.contains("CometLeft"))
    };
    let done = sim.tell(leave(1));
    assert!(is_letter(&done[0], 1), "{done:?}");
    let done = sim.answer(1, 0, failed(DOWN));
    assert!(done.iter().any(|done| is_letter(done, 0)), "{done:?}");
    assert_eq!(done.last(), Some(&Done::Left(1, 2)));
    assert_eq!(sim.answer(0, 2, Ok(())), [delivered(2)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn one_that_was_detached_leaves_when_its_late_calls_are_back() {
    let mut sim = Sim::new(2, 64);
    sim.tell(messages(0, &[1]));
    sim.tell(Event::Detach(CometId(1)));
    assert_eq!(sim.tell(leave(1)), []);
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0)]);
    let done = sim.answer(1, 0, failed(DOWN));
    let came_back = "CameBack { comet: CometId(1), took: false }";
    assert!(
        done.contains(&Done::Settled(0, came_back.into())),
        "{done:?}"
    );
    assert_eq!(
        done.last(),
        Some(&Done::Left(1, 0)),
        "it missed that already"
    );
    assert!(sim.core.messages.is_empty());
    // What the group asks of it then is over.
    assert_eq!(sim.tell(Event::Return(CometId(1))), []);
}

#[test]
fn one_that_leaves_with_nothing_in_flight_is_gone_at_once() {
    let mut sim = Sim::new(2, 64);
    assert_eq!(sim.tell(leave(1)), [Done::Left(1, 0)]);
    assert_eq!(sim.tell(leave(1)), []);
    assert_eq!(sim.tell(messages(0, &[1])), [called(0, 0)]);
}

#[test]
fn a_revoke_gives_back_what_waits_for_those_that_stay() {
    let mut sim = Sim::new(2, 64);
    sim.tell(messages(0, &[1, 1]));
    sim.tell(leave(1));
    let done = sim.tell(Event::Revoke(OURS));
    assert_eq!(done, [released(1), Done::Acked(OURS)]);
    sim.answer(1, 0, failed(DOWN));
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn one_that_drains_gets_its_messages_and_is_detached_as_soon_as_it_fails() {
    let mut sim = Sim::new(2, 64);
    let drains = crate::message::fleet::Node {
        drains: true,
        ..node(1)
    };
    let became = Event::Fleet(Change::Become(CometId(1), drains));
    assert_eq!(sim.tell(became), [joined(1)]);
    let done = sim.tell(messages(0, &[1, 2]));
    assert!(done.contains(&called(1, 0)) && done.contains(&called(1, 1)));
    sim.answer(1, 0, Ok(()));
    sim.answer(1, 1, Ok(()));
    sim.answer(0, 0, Ok(()));
    sim.tell(messages(2, &[1]));
    let done = sim.answer(1, 2, failed(DOWN));
    assert!(done.contains(&Done::Away(1)), "{done:?}");
}

#[test]
fn the_window_is_shared_among_the_comets_that_are_there() {
    let mut sim = Sim::new(1, 64);
    sim.core.window = crate::settings::Window::Auto;
    for comet in 1..4 {
        sim.tell(join(comet));
    }
    let keys: Vec<u64> = (0..100).collect();
    let calls = |done: Vec<Done>| {
        let calls = done.iter();
        calls
            .filter(|done| matches!(done, Done::Called { comet: 0, .. }))
            .count()
    };
    assert_eq!(calls(sim.tell(messages(0, &keys))), 16);
    for comet in 2..4 {
        sim.tell(leave(comet));
    }
    assert_eq!(calls(sim.answer(0, 0, Ok(()))), 17);
}
