//! Who waits behind older messages doesn't stand still.

use super::super::facts::{Delivery, Facts, Message};
use super::super::older::Older;
use crate::timeline::{Micros, SECOND};

/// A message that Comet 0 took.
fn taken(acknowledged: Micros, first: Micros, partition: i32, life: usize) -> Message {
    Message {
        stream: 0,
        sequence: 0,
        partition,
        offset: 0,
        acknowledged: Some(acknowledged),
        at: vec![Delivery {
            first,
            life,
            calls: 1,
            refused: false,
        }],
        letters: 0,
    }
}

#[test]
fn only_older_messages_beside_it_are_before_a_message() {
    let waits = taken(10 * SECOND, 40 * SECOND, 1, 3);
    let older = 9 * SECOND;
    let mut facts = Facts::default();
    facts.messages = vec![
        taken(older, 38 * SECOND, 1, 2),
        taken(older, 20 * SECOND, 2, 3),
        // Of another partition and from another process; a younger one; before it waits; afterwards.
        taken(older, 22 * SECOND, 2, 2),
        taken(11 * SECOND, 24 * SECOND, 1, 3),
        taken(older, 8 * SECOND, 1, 3),
        taken(older, 41 * SECOND, 1, 3),
    ];
    let all = Older::at(&facts, 0);
    let before = all.before(&waits, 3, (10 * SECOND, 40 * SECOND));
    let expected = [20, 38].map(|at| (at * SECOND, (at + 1) * SECOND));
    assert_eq!(before.collect::<Vec<_>>(), expected);
}
