//! Messages that are too old when their turn comes.

use super::sim::{Sim, message};
use super::*;

/// A message of each key, in order, written at the time that is its offset.
fn written(keys: &[u64]) -> Event {
    let messages = keys.iter().zip(0..).map(|(key, offset)| Message {
        timestamp: offset,
        ..message(*key, offset, Target::All)
    });
    Event::Messages(messages.collect())
}

fn expire(before: i64, letter: Option<&str>) -> Event {
    let letter = letter.map(str::to_owned);
    Event::Expire { before, letter }
}

fn too_old(offset: i64) -> Done {
    Done::Settled(offset, "TooOld { at: None }".into())
}

#[test]
fn what_waits_for_too_long_is_skipped_but_not_what_is_in_flight_or_has_no_time() {
    let mut sim = Sim::new(1, 64);
    sim.tell(messages(9, &[1]));
    assert_eq!(sim.tell(written(&[1, 2, 1, 1])), [called(0, 1)]);
    assert_eq!(sim.tell(expire(3, None)), [too_old(0), too_old(2)]);
    // Neither that was in flight, nor the one that is new enough.
    assert_eq!(sim.answer(0, 9, Ok(())), [delivered(9), called(0, 3)]);
    assert_eq!(sim.answer(0, 1, Ok(())), [delivered(1)]);
    assert_eq!(sim.answer(0, 3, Ok(())), [delivered(3)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_waits_to_be_tried_again_is_skipped_too() {
    let mut sim = Sim::new(1, 64);
    sim.tell(written(&[1, 1]));
    sim.answer(0, 0, failed(DOWN));
    assert_eq!(sim.tell(expire(1, None)), [too_old(0)]);
    sim.run_to_call();
    assert_eq!(sim.answer(0, 1, Ok(())), [delivered(1)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_one_comet_takes_is_too_old_for_another() {
    for letter in [None, Some("it was too old")] {
        let mut sim = Sim::new(2, 64);
        sim.tell(written(&[1, 1]));
        assert_eq!(sim.answer(0, 0, Ok(())), [called(0, 1)]);
        sim.answer(1, 0, failed(DOWN));
        sim.answer(0, 1, Ok(()));
        let done = sim.tell(expire(2, letter));
        let expected = match letter {
            None => "TooOld { at: None }".to_owned(),
            Some(_) => {
                let why =
                    "Reason { text: \"it was too old\", comets: [CometId(1)], cause: TooOld }";
                format!("Undeliverable {{ why: {why}, at: None }}")
            }
        };
        let expected = [0, 1].map(|offset| Done::Settled(offset, expected.clone()));
        assert_eq!(done, expected);
        assert!(sim.core.messages.is_empty());
    }
}
