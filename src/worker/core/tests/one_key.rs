//! A message to several users of goim's Comet: a call for each, and what each answer means for the others.

use super::*;
use crate::message::call::{Call, Frame, OrderingKey, Target};
use crate::message::{Dialect, Sense, Status};

/// A worker for goim's Comets, which got a message for these users.
fn told(comets: usize, target: Target, users: &[&str]) -> Sim {
    let mut sim = Sim::new(comets, 64);
    sim.core.dialect = Dialect::Goim;
    sim.tell(Event::Messages(vec![to(0, target, users)]));
    sim
}

fn to(offset: i64, target: Target, users: &[&str]) -> Message {
    let mut message = message(1, offset, target);
    message.delivery.key = OrderingKey::user(users[0]);
    message.delivery.call = Call::PushMsg {
        keys: users.iter().map(|key| (*key).to_owned()).collect(),
        frame: Frame::new(4, offset.to_be_bytes().to_vec()),
    };
    message
}

fn full() -> Answer {
    let status = Status::new(UNCLEAR, "signal channel full, msg dropped");
    Err(Status {
        sense: Sense::Dropped,
        ..status
    })
}

fn users(sim: &Sim) -> Vec<&str> {
    sim.recorder.users.iter().map(String::as_str).collect()
}

#[test]
fn each_user_has_a_call_of_its_own_and_the_next_message_waits_for_the_last() {
    let mut sim = told(1, Target::All, &["a", "b", "c"]);
    sim.tell(Event::Messages(vec![to(1, Target::All, &["a"])]));
    assert_eq!(users(&sim), ["a"]);
    assert_eq!(sim.answer(0, 0, Ok(())), [called(0, 0)]);
    assert_eq!(sim.answer(0, 0, Ok(())), [called(0, 0)]);
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0), called(0, 1)]);
    assert_eq!(sim.answer(0, 1, Ok(())), [delivered(1)]);
    assert_eq!(users(&sim), ["a", "b", "c", "a"]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn who_is_too_slow_costs_the_others_nothing_and_nobody_gets_it_twice() {
    for slow in 0..3 {
        let mut sim = told(1, Target::All, &["a", "b", "c"]);
        let mut said = Vec::new();
        for place in 0..3 {
            let answer = if place == slow { full() } else { Ok(()) };
            let done = sim.answer(0, 0, answer);
            said.extend(done.into_iter().filter_map(|done| match done {
                Done::Said(0, said) => Some(said),
                _ => None,
            }));
        }
        assert_eq!(users(&sim), ["a", "b", "c"]);
        assert_eq!(sim.settled(), [(0, "Delivered")]);
        let key = ["a", "b", "c"][slow];
        let names_it = said[0].starts_with("Dropped") && said[0].ends_with(&format!("{key:?} }}"));
        assert!(names_it && said.len() == 1, "{said:?}");
        assert!(sim.core.messages.is_empty());
    }
}

#[test]
fn only_the_user_whose_call_failed_is_tried_again() {
    let mut sim = told(1, Target::All, &["a", "b", "c"]);
    sim.answer(0, 0, Ok(()));
    sim.answer(0, 0, failed(DOWN));
    sim.run_until(sim.now + Duration::from_secs(5), |_| Ok(()));
    assert_eq!(users(&sim), ["a", "b", "b", "c"]);
    assert_eq!(sim.settled(), [(0, "Delivered")]);
}

#[test]
fn each_comet_goes_through_the_users_at_its_own_pace() {
    let mut sim = told(2, Target::All, &["a", "b"]);
    assert_eq!(users(&sim), ["a", "a"]);
    sim.answer(0, 0, Ok(()));
    sim.answer(0, 0, Ok(()));
    assert_eq!(sim.settled(), []);
    sim.answer(1, 0, Ok(()));
    sim.answer(1, 0, Ok(()));
    assert_eq!(users(&sim), ["a", "a", "b", "b"]);
    assert_eq!(sim.settled(), [(0, "Delivered")]);
}

#[test]
fn a_dead_letter_says_for_whom_it_failed() {
    let mut sim = told(1, Target::All, &["a", "b\n", "c"]);
    sim.answer(0, 0, Ok(()));
    sim.answer(0, 0, failed(REFUSED));
    let settled = sim.settled();
    let expected = "refused by Comet comet-0:1 for user b\\\\n (2 of 3): ";
    assert!(settled[0].1.contains(expected), "{settled:?}");
    assert_eq!(users(&sim), ["a", "b\n"]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn a_message_that_is_dropped_between_two_users_goes_no_further() {
    let mut sim = told(1, Target::All, &["a", "b"]);
    sim.tell(Event::Forget(OURS));
    sim.answer(0, 0, Ok(()));
    assert_eq!(users(&sim), ["a"]);
    assert_eq!(sim.settled(), [(0, "Released")]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn other_comets_get_all_users_in_one_call() {
    let mut sim = Sim::new(1, 64);
    sim.tell(Event::Messages(vec![to(0, Target::All, &["a", "b"])]));
    assert_eq!(users(&sim), ["a,b"]);
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0)]);
}
