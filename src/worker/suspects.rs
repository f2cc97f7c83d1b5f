//! Messages that may crash a Comet: each time its connection broke, they were in flight there.
//!
//! One that was in flight at two breaks is a suspect. It is tried alone among the suspects of all workers, so that the next
//! break tells which of them it was. Other messages go on beside it: if one of those crashes the Comet, it becomes a suspect itself.
//!
//! A break in a trial proves something only if the Comet was well before, without the suspect: a Comet that is killed now and then
//! breaks in trials, too, above all where calls are slow. So a suspect that failed in a trial waits until the Comet was well for a while.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::trial;
use crate::message::{Assignment, CometId, RecordId};

/// A message that was in flight at so many breaks is tried alone.
const SUSPECT_AFTER: u32 = 2;

/// A message whose trials ended with so many breaks, each after a time without any, crashes the Comet.
pub const GUILTY_AFTER: u32 = 3;

/// For how long the Comet has to be well before a trial that proves something.
pub const WELL_FOR: Duration = Duration::from_secs(10);

/// A suspect doesn't wait for longer than this. The trial proves nothing then.
pub const WAITS_MOST: Duration = Duration::from_secs(60);
const _: () = assert!(
    WAITS_MOST.as_secs() > WELL_FOR.as_secs(),
    "no trial would prove anything"
);

/// Limits how many messages are remembered. Those of Comets that never come back would stay.
const MOST: usize = 16_384;

/// Wait before looking whether a suspect may be tried.
pub const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The trials at one Comet, of all workers: one at a time.
#[derive(Debug, Default)]
pub struct Trials(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: bool,
    /// Since when it answers, after a connection to it or a trial failed last for any worker.
    well_since: Option<Instant>,
}

impl Trials {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a trial. Returns false while another one runs.
    fn begin(&self) -> bool {
        !std::mem::replace(&mut self.state().running, true)
    }

    pub fn end(&self) {
        self.state().running = false;
    }

    /// The Comet took a message or answered a probe.
    pub fn answered(&self, now: Instant) {
        self.state().well_since.get_or_insert(now);
    }

    /// A connection broke or can't be made, or a trial ended without an answer.
    pub fn failed(&self) {
        self.state().well_since = None;
    }

    fn was_well(&self, now: Instant) -> bool {
        let since = self.state().well_since;
        let limit = trial::limit("well-before-trial", WELL_FOR);
        since.is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }
}

/// What one worker knows of its messages. Mostly nothing.
#[derive(Debug, Default)]
pub struct Suspects(HashMap<(CometId, RecordId), Record>);

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    breaks: u32,
    /// Trials that proved something.
    proofs: u32,
    /// When its last trial ended with a break.
    tried: Option<Instant>,
    /// Whether the Comet was well for long before the trial that runs.
    proves: bool,
}

impl Suspects {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the Comet gets the message only in a trial.
    pub fn has(&self, comet: CometId, record: RecordId) -> bool {
        !self.0.is_empty()
            && self
                .0
                .get(&(comet, record))
                .is_some_and(|known| known.breaks >= SUSPECT_AFTER)
    }

    /// Begins the trial of a suspect, unless it has to wait.
    pub fn begin(
        &mut self,
        comet: CometId,
        record: RecordId,
        trials: &Trials,
        now: Instant,
    ) -> bool {
        let Some(known) = self.0.get_mut(&(comet, record)) else {
            return false;
        };
        let was_well = trials.was_well(now);
        let waits = known
            .tried
            .is_some_and(|tried| !was_well && now < tried + WAITS_MOST);
        if waits || !trials.begin() {
            return false;
        }
        known.proves = was_well;
        true
    }

    /// Notes that the connection broke with the message in flight. Returns whether that shows that it crashes the Comet.
    pub fn broke(
        &mut self,
        comet: CometId,
        record: RecordId,
        on_trial: bool,
        now: Instant,
    ) -> bool {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        let known = self.0.entry((comet, record)).or_default();
        known.breaks += 1;
        if on_trial {
            known.proofs += u32::from(known.proves);
            known.tried = Some(now);
        }
        known.proofs >= GUILTY_AFTER
    }

    /// Forgets a message that the Comet answered, or that isn't sent there any more.
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

    /// Forgets a Comet that is gone.
    pub fn forget_comet(&mut self, comet: CometId) {
        self.0.retain(|(of, _), _| *of != comet);
    }
}

/// For a dead letter.
pub fn crashed(address: &str) -> String {
    format!(
        "the connection to Comet {address} broke each time that this message was tried alone: it seems to crash that Comet"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::PartitionId;

    const COMET: CometId = CometId(0);

    fn record(offset: i64) -> RecordId {
        let assignment = Assignment {
            partition: PartitionId::of_first(1),
            epoch: 1,
        };
        RecordId { assignment, offset }
    }

    /// A suspect, and the time.
    fn suspect() -> (Suspects, Instant) {
        let (mut suspects, now) = (Suspects::default(), Instant::now());
        for breaks in 1..=2 {
            assert!(!suspects.has(COMET, record(1)), "{breaks}");
            assert!(!suspects.broke(COMET, record(1), false, now));
        }
        assert!(suspects.has(COMET, record(1)) && !suspects.has(CometId(1), record(1)));
        (suspects, now)
    }

    #[test]
    fn one_trial_runs_at_a_time() {
        let trials = Trials::default();
        let (mut suspects, now) = suspect();
        assert!(suspects.begin(COMET, record(1), &trials, now));
        assert!(!suspects.begin(COMET, record(1), &trials, now));
        trials.end();
        assert!(suspects.begin(COMET, record(1), &trials, now));
    }

    #[test]
    fn breaks_in_trials_of_a_comet_that_was_well_are_proof() {
        let trials = Trials::default();
        let (mut suspects, mut now) = suspect();
        let mut guilty = Vec::new();
        for _ in 0..4 {
            assert!(suspects.begin(COMET, record(1), &trials, now));
            guilty.push(suspects.broke(COMET, record(1), true, now));
            trials.end();
            trials.failed();
            // It comes back, and has to be well for some time.
            now += Duration::from_secs(5);
            trials.answered(now);
            now += Duration::from_secs(9);
            assert!(!suspects.begin(COMET, record(1), &trials, now));
            now += Duration::from_secs(1);
        }
        assert_eq!(guilty, [false, false, false, true]);
    }

    #[test]
    fn breaks_in_trials_of_a_comet_that_breaks_without_them_are_none() {
        let trials = Trials::default();
        let (mut suspects, mut now) = suspect();
        for _ in 0..10 {
            assert!(suspects.begin(COMET, record(1), &trials, now));
            assert!(!suspects.broke(COMET, record(1), true, now));
            trials.end();
            for _ in 0..WAITS_MOST.as_secs() / 5 {
                assert!(!suspects.begin(COMET, record(1), &trials, now));
                trials.answered(now);
                now += Duration::from_secs(5);
                trials.failed();
            }
        }
    }

    #[test]
    fn an_answer_clears_a_suspect_and_so_does_the_end_of_its_assignment() {
        let mut suspects = Suspects::default();
        for offset in [1, 1, 2, 2] {
            suspects.broke(COMET, record(offset), false, Instant::now());
        }
        suspects.answered(COMET, record(1));
        assert!(!suspects.has(COMET, record(1)) && suspects.has(COMET, record(2)));
        suspects.forget(record(2).assignment);
        assert!(!suspects.has(COMET, record(2)));
    }
}
