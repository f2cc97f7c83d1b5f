//! Messages that may crash a Comet: each time its connection broke, they were in flight there.
//!
//! One that was in flight at two breaks is a suspect. It is tried alone among the suspects of all workers, so that the next
//! break tells which of them it was. Other messages go on beside it: if one of those crashes the Comet, it becomes a suspect itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::message::{Assignment, CometId, RecordId};

/// A message that was in flight at so many breaks is tried alone.
const SUSPECT_AFTER: u32 = 2;

/// A message that was tried alone at so many breaks crashes the Comet.
pub const GUILTY_AFTER: u32 = 3;

/// Limits how many messages are remembered. Those of Comets that never come back would stay.
const MOST: usize = 16_384;

/// Wait before looking whether a suspect may be tried.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Other connections to a Comet that crashed break so late after the trial, as seen by their workers.
const SAME_BREAK: Duration = Duration::from_secs(1);

/// The trials at one Comet, of all workers: one at a time.
#[derive(Debug, Default)]
pub struct Trials(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: bool,
    ended: Option<Instant>,
    /// Connections that broke while nothing was tried.
    other_breaks: u64,
}

impl Trials {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a trial. Returns false while another one runs.
    pub fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().running, true)
    }

    pub fn end(&self, now: Instant) {
        let mut state = self.state();
        state.running = false;
        state.ended = Some(now);
    }

    /// A connection broke while its worker tried no suspect.
    pub fn broke(&self, now: Instant) {
        let mut state = self.state();
        let is_other = |ended: Instant| now.saturating_duration_since(ended) > SAME_BREAK;
        if !state.running && state.ended.is_none_or(is_other) {
            state.other_breaks += 1;
        }
    }

    fn other_breaks(&self) -> u64 {
        self.state().other_breaks
    }
}

/// What one worker knows of its messages. Mostly nothing.
#[derive(Debug, Default)]
pub struct Suspects(HashMap<(CometId, RecordId), Record>);

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    breaks: u32,
    /// Of these, breaks in a trial.
    alone: u32,
    /// How many connections had broken beside trials at the last of them.
    other_breaks: u64,
}

impl Suspects {
    /// Whether the Comet gets the message only in a trial.
    pub fn has(&self, comet: CometId, record: RecordId) -> bool {
        !self.0.is_empty()
            && self
                .0
                .get(&(comet, record))
                .is_some_and(|known| known.breaks >= SUSPECT_AFTER)
    }

    /// Notes that the connection broke with the message in flight. Returns whether that shows that it crashes the Comet.
    ///
    /// What broke beside trials meanwhile was broken by something else. So may have been what broke in the trials before.
    pub fn broke(
        &mut self,
        comet: CometId,
        record: RecordId,
        trials: &Trials,
        on_trial: bool,
        now: Instant,
    ) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let known = self.0.entry((comet, record)).or_default();
        known.breaks += 1;
        if !on_trial {
            trials.broke(now);
            return false;
        }
        let other_breaks = trials.other_breaks();
        if known.other_breaks != other_breaks {
            known.alone = 0;
        }
        known.other_breaks = other_breaks;
        known.alone += 1;
        known.alone >= GUILTY_AFTER
    }

    /// Forgets a message that the Comet answered.
    pub fn answered(&mut self, comet: CometId, record: RecordId) {
        if !self.0.is_empty() {
            self.0.remove(&(comet, record));
        }
    }

    /// Forgets what is another owner's.
    pub fn forget(&mut self, assignment: Assignment) {
        self.0
            .retain(|(_, record), _| record.assignment != assignment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMET: CometId = CometId(0);

    fn record(offset: i64) -> RecordId {
        let assignment = Assignment {
            partition: 1,
            epoch: 1,
        };
        RecordId { assignment, offset }
    }

    #[test]
    fn one_trial_runs_at_a_time() {
        let trials = Trials::default();
        assert!(trials.begin() && !trials.begin());
        trials.end(Instant::now());
        assert!(trials.begin());
    }

    #[test]
    fn three_breaks_in_trials_and_none_beside_them_are_proof() {
        let (trials, start) = (Trials::default(), Instant::now());
        let mut suspects = Suspects::default();
        let mut now = start;
        for breaks in 1..=2 {
            assert!(!suspects.has(COMET, record(1)), "{breaks}");
            assert!(!suspects.broke(COMET, record(1), &trials, false, now));
        }
        assert!(suspects.has(COMET, record(1)) && !suspects.has(CometId(1), record(1)));
        let mut trial = |suspects: &mut Suspects, later: u64| {
            now += Duration::from_secs(later);
            assert!(trials.begin());
            // Another worker's connection breaks with the same crash, and hears of it late.
            suspects.broke(COMET, record(2), &trials, false, now);
            let proof = suspects.broke(COMET, record(1), &trials, true, now);
            trials.end(now);
            suspects.broke(COMET, record(3), &trials, false, now + SAME_BREAK);
            proof
        };
        let proof = [0; 3].map(|_| trial(&mut suspects, 5));
        assert_eq!(proof, [false, false, true]);

        // It breaks without a trial, too: the trials before prove nothing.
        let mut again = Suspects::default();
        assert!(!trial(&mut again, 5) && !trial(&mut again, 5));
        now += Duration::from_secs(5);
        again.broke(COMET, record(4), &trials, false, now);
        now += Duration::from_secs(5);
        let mut trial = || {
            assert!(trials.begin());
            let proof = again.broke(COMET, record(1), &trials, true, now);
            trials.end(now);
            proof
        };
        assert_eq!([trial(), trial(), trial()], [false, false, true]);
    }

    #[test]
    fn an_answer_clears_a_suspect_and_so_does_the_end_of_its_assignment() {
        let trials = Trials::default();
        let mut suspects = Suspects::default();
        for offset in [1, 1, 2, 2] {
            suspects.broke(COMET, record(offset), &trials, false, Instant::now());
        }
        suspects.answered(COMET, record(1));
        assert!(!suspects.has(COMET, record(1)) && suspects.has(COMET, record(2)));
        suspects.forget(record(2).assignment);
        assert!(!suspects.has(COMET, record(2)));
    }
}
