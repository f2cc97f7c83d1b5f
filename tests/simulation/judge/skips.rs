//! What the judge knows of records that an operator skips.

use std::time::Duration;

use super::{Judge, Place, Taken};

impl Judge {
    /// What isn't yet where it should be.
    pub fn due_places(&self) -> Vec<Place> {
        let mut places: Vec<_> = self.due.iter().map(|(place, _)| *place).collect();
        places.dedup();
        places
    }

    /// An operator wants a record skipped. If its letter isn't written, it comes later than what followed it.
    pub fn skips(&mut self, place: Place) {
        self.skipped.insert(place);
        self.given_up.insert(place);
    }

    /// A worker gives a message up because it is told to.
    pub fn gives_up_skipped(&mut self, now: Duration, place: Place) {
        if !self.skipped.contains(&place) {
            self.breaks(now, format!("{place:?} is skipped, and nobody wanted that"));
        }
    }

    /// Says so where a letter is about a Comet that has the record, as a living job knew.
    pub(super) fn has_skipped(&self, comet: usize, place: Place) -> Option<String> {
        match self.taken.get(&(comet, place)) {
            Some(Taken::Known { job, life, .. }) if !self.gave_back.contains(&(*job, *life)) => {
                Some(format!(
                    "{place:?} is a dead letter for Comet {comet}, and job {job} in its life {life} knew that this has it"
                ))
            }
            _ => None,
        }
    }
}
