//! One Comet in one worker: its queues, and what each answer says about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerState};
use super::effects::{Effects, Said};
use super::endpoint_stats::{EndpointStats, Fleet};
use super::scheduler::{Id, Scheduler};
use crate::comet::{self, Verdict, verdict_on};
use crate::message::fleet::Node;
use crate::message::{Answer, CometId};

/// The log names a Comet's return only after an outage this long. One that fails now and then would fill the log.
const WORTH_SAYING: Duration = Duration::from_secs(1);

pub struct Endpoint {
    pub comet: CometId,
    /// For dead letters.
    pub node: Node,
    /// Whether it left the fleet, and is here for what is in flight alone.
    pub leaving: bool,
    /// What waited for it then.
    pub unsent: usize,
    pub scheduler: Scheduler,
    pub stats: Arc<EndpointStats>,
    /// Since when something waits here, and another Comet has nothing to do.
    waits_since: Option<Instant>,
    /// Whether it is among those to drive.
    pub ready: bool,
    /// The suspect that is being tried here.
    pub on_trial: Option<Id>,
    /// Whether suspects wait until they may be tried.
    pub suspects_wait: bool,
}

impl Endpoint {
    /// `window` limits the calls in flight; `merging` says whether a call may carry more than one message.
    /// `stats` are the Comet's, one of those in `fleet`, which has all Comets.
    pub fn new(
        (comet, node): (CometId, Node),
        (stats, fleet): (Arc<EndpointStats>, Arc<Fleet>),
        (window, merging): (usize, bool),
        now: Instant,
        mut rng: fastrand::Rng,
    ) -> Self {
        let breaker = Breaker::new(stats.clone(), fleet, now, rng.fork());
        Self {
            comet,
            node,
            leaving: false,
            unsent: 0,
            scheduler: Scheduler::new(window, merging, breaker, rng),
            stats,
            waits_since: None,
            ready: false,
            on_trial: None,
            suspects_wait: false,
        }
    }

    /// Whether all else has waited for this Comet for `limit`. `is_alone`: another one has nothing to do.
    pub fn holds_up(&mut self, is_alone: bool, limit: Duration, now: Instant) -> bool {
        if self.scheduler.is_empty() || !is_alone {
            self.waits_since = None;
            return false;
        }
        let since = *self.waits_since.get_or_insert(now);
        now.saturating_duration_since(since) >= limit
    }

    /// Whether it has nothing to do, and would take something.
    pub fn is_idle(&self, now: Instant) -> bool {
        !self.leaving && self.scheduler.is_empty() && self.scheduler.breaker.seems_well(now)
    }

    /// Ends a trial. Returns whether this was the suspect.
    pub fn end_trial(&mut self, suspect: Id) -> bool {
        let was_on_trial = self.on_trial.take_if(|id| *id == suspect).is_some();
        if was_on_trial {
            self.stats.trials.end();
        }
        was_on_trial
    }

    /// Notes for the trials whether the Comet is well. `has_suspects`: somebody wants to know; `on_trial`: a trial ended so.
    pub fn note_well(&self, verdict: Verdict, has_suspects: bool, on_trial: bool, now: Instant) {
        match verdict {
            Verdict::Finished if has_suspects => self.stats.trials.answered(now),
            Verdict::Down => self.stats.trials.failed(),
            // The Comet may still be at the suspect, and crash in the next one's trial.
            Verdict::Unclear if on_trial => self.stats.trials.failed(),
            _ => {}
        }
    }

    /// Looks again whether suspects may be tried. Where nothing else is sent, probes tell whether it is well.
    pub fn look_at_suspects(&mut self) {
        if std::mem::take(&mut self.suspects_wait) {
            self.scheduler.resume();
            self.scheduler.breaker.ask();
        }
    }

    /// Counts from now on how long something waits.
    pub fn waits_anew(&mut self) {
        self.waits_since = None;
    }

    /// Tries it with one message at a time, if it was detached.
    pub fn attach(&mut self, now: Instant) {
        self.waits_since = None;
        self.scheduler.breaker.attach(now);
    }

    /// Puts it among those to drive.
    pub fn mark_ready(&mut self, ready: &mut Vec<CometId>) {
        if !self.ready {
            self.ready = true;
            ready.push(self.comet);
        }
    }

    /// Tells the Breaker and the log of the answer to a call.
    pub fn on_answer(
        &mut self,
        oks_at_start: u64,
        answer: &Answer,
        now: Instant,
        effects: &mut impl Effects,
    ) -> Verdict {
        let verdict = verdict_on(answer);
        let (false, Err(status)) = (verdict == Verdict::Finished, answer) else {
            let back = self.scheduler.breaker.ok(now);
            self.say_return(back, effects);
            return verdict;
        };
        let detached = self.scheduler.breaker.state() == BreakerState::Detached;
        effects.say(self.comet, Said::Failed { status, detached });
        if self.scheduler.breaker.failed(verdict, oks_at_start, now) {
            effects.say(self.comet, Said::RefusesAll(status));
        }
        verdict
    }

    /// Does the same for a probe. Its failure is news only if nothing else is sent.
    pub fn on_probe(
        &mut self,
        answer: &Answer,
        now: Instant,
        effects: &mut impl Effects,
    ) -> Verdict {
        let detached = self.scheduler.breaker.state() == BreakerState::Detached;
        if let (true, Err(status)) = (detached, answer) {
            effects.say(self.comet, Said::Failed { status, detached });
        }
        let few = self.scheduler.few_wait();
        let verdict = verdict_on(answer);
        let answers = verdict == Verdict::Finished;
        if detached && answers {
            effects.answers(self.comet);
        }
        let back = self.scheduler.breaker.probed(answers, few, now);
        self.say_return(back, effects);
        verdict
    }

    fn say_return(&self, after: Option<Duration>, effects: &mut impl Effects) {
        if let Some(after) = after.filter(|after| *after >= WORTH_SAYING) {
            effects.say(self.comet, Said::Returned(after));
        }
    }
}

/// The answer's text for a dead letter.
pub fn said(answer: &Answer) -> String {
    match answer {
        Ok(()) => "OK".into(),
        Err(status) => comet::said(status),
    }
}
