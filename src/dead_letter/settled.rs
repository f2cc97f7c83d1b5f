//! Messages that were replayed or discarded, and for which Comets. One letter is enough for all others of its message that are
//! for the same Comets.

use std::collections::HashMap;

use super::letter::{Identity, Place};
use super::whom::Whom;

/// What was decided on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    Replayed,
    Discarded,
}

#[derive(Debug, Default)]
pub struct Settled {
    replayed: Messages,
    discarded: Messages,
}

/// For whom each message was settled, and the last of its letters.
type Messages = HashMap<Identity, (Whom, Place)>;

impl Settled {
    /// Notes the decision on a letter of this message.
    pub fn note(&mut self, decision: Decision, message: Identity, whom: &Whom, place: Place) {
        let messages = match decision {
            Decision::Replayed => &mut self.replayed,
            Decision::Discarded => &mut self.discarded,
        };
        messages
            .entry(message)
            .and_modify(|(so_far, last)| {
                so_far.join(whom);
                *last = (*last).max(place);
            })
            .or_insert_with(|| (whom.clone(), place));
    }

    /// What was decided on a letter of this message. `None` while it waits.
    pub fn decision(&self, message: Identity, whom: &Whom) -> Option<Decision> {
        let is_in = |settled: &Messages| {
            let of = settled.get(&message);
            of.is_some_and(|(of, _)| of.includes(whom))
        };
        if is_in(&self.replayed) {
            Some(Decision::Replayed)
        } else if is_in(&self.discarded) {
            Some(Decision::Discarded)
        } else {
            None
        }
    }

    /// How many messages were replayed, and how many discarded.
    pub fn counts(&self) -> (usize, usize) {
        (self.replayed.len(), self.discarded.len())
    }

    /// Forgets messages whose last letter doesn't stay.
    pub fn retain(&mut self, stays: impl Fn(&Place) -> bool) {
        for messages in [&mut self.replayed, &mut self.discarded] {
            messages.retain(|_, (_, last)| stays(last));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Identity = Identity {
        partition: 0,
        offset: 7,
        timestamp: None,
    };

    fn at(offset: i64) -> Place {
        Place {
            partition: 0,
            offset,
        }
    }

    #[test]
    fn letters_of_one_message_settle_it_together_if_they_are_decided_on_alike() {
        let [a, b, both] = ["a", "b", "a,b"].map(|names| Whom::read(Some(names)));
        let mut settled = Settled::default();
        settled.note(Decision::Replayed, MESSAGE, &a, at(1));
        settled.note(Decision::Discarded, MESSAGE, &b, at(2));
        assert_eq!(settled.decision(MESSAGE, &a), Some(Decision::Replayed));
        assert_eq!(settled.decision(MESSAGE, &b), Some(Decision::Discarded));
        assert_eq!(settled.decision(MESSAGE, &both), None);
        settled.note(Decision::Replayed, MESSAGE, &b, at(3));
        assert_eq!(settled.decision(MESSAGE, &both), Some(Decision::Replayed));
        assert_eq!(settled.counts(), (1, 1));
        settled.retain(|place| *place > at(2));
        assert_eq!(settled.counts(), (1, 0));
    }
}
