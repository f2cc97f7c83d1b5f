//! What the judge knows of dead letters, and of records that an operator skips.

use std::time::Duration;

use super::{Due, Judge, Place, Taken};
use crate::message::CometId;

impl Judge {
    pub fn has_letter(&mut self, place: Place) {
        self.given_up.insert(place);
    }

    /// A dead letter is written, about these `comets`. `may_lack` says whether a Comet was so sick that a good message that was
    /// written at that time may be given up.
    pub fn letter(
        &mut self,
        now: Duration,
        place: Place,
        comets: &[CometId],
        may_lack: impl Fn(usize, Duration) -> bool,
    ) {
        self.figures.letters += 1;
        self.due.remove(&(place, Due::Letter));
        let record = &self.written[&place];
        let mut wrong = None;
        for comet in comets.iter().map(|comet| comet.0 as usize) {
            self.due.remove(&(place, Due::At(comet)));
            if self.skipped.contains(&place) {
                wrong = wrong.or(self.has_skipped(comet, place));
                continue;
            }
            let is_due = record.refused_by == Some(comet) || self.crashing.contains(&place);
            if !is_due && !may_lack(comet, record.at) {
                return self.breaks(
                    now,
                    format!("{place:?} is a dead letter for Comet {comet}, and nothing is wrong with either"),
                );
            }
        }
        if let Some(wrong) = wrong {
            self.breaks(now, wrong);
        }
    }

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
    fn has_skipped(&self, comet: usize, place: Place) -> Option<String> {
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
