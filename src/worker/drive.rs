//! Driving the core's endpoints: what wakes when, which Comets are given up, and which calls start.
//!
//! The order for one loop of the worker: [`Core::wake`], then for each [`Core::next_ready`] one [`Core::drive`], as many
//! [`Core::start_calls`] as it asks for, and [`Core::rest`]. The loop sleeps until [`Core::wake_at`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;

use super::breaker::BreakerState;
use super::coalesce::Coalescer;
use super::core::Core;
use super::effects::{Effects, Figure};
use super::key_queue::Carries;
use super::one_key::next_of_several;
use super::pending::Pending;
use super::scheduler::Id;
use super::suspects::LOOK_AGAIN;
use crate::figures::Seen;
use crate::message::call::Call;
use crate::message::coordinates::Coordinates;
use crate::message::{CometId, Message};

/// How long others may wait for a Comet while nothing is read because as much is held as may be.
const FULL_LIMIT: Duration = Duration::from_secs(1);

impl Core {
    /// When to drive again if nothing happens until then. May be too early.
    pub fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Drives nothing for now, but all endpoints at `until`.
    pub fn pause_until(&mut self, until: Instant) {
        self.wake_at = Some(until);
    }

    /// Makes all endpoints ready if their time has come. Driving all of them each time would cost more than a call if there are
    /// many.
    pub fn wake(&mut self, now: Instant) {
        if self.wake_at.is_some_and(|wake_at| wake_at <= now) {
            self.wake_at = None;
            self.wake_all();
        }
    }

    /// Makes all endpoints ready.
    pub(super) fn wake_all(&mut self) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.mark_ready(&mut self.ready);
        }
    }

    /// Takes one of the endpoints that are to be driven now.
    pub fn next_ready(&mut self) -> Option<CometId> {
        self.ready.pop()
    }

    /// Gives the Comet up if it was gone for long; wakes what waited long enough; probes if that is due.
    pub fn drive(&mut self, comet: CometId, now: Instant, effects: &mut impl Effects) {
        self.give_up(comet, now, effects);
        // One that left gets no probes.
        let endpoint = self.endpoints.get_mut(comet);
        let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.leaving) else {
            return;
        };
        endpoint.look_at_suspects();
        endpoint.scheduler.wake(now);
        if endpoint.scheduler.breaker.probe_due(now) {
            effects.probe(comet);
        }
    }

    /// How this worker sees the Comet.
    pub fn sees(&self, comet: CometId) -> Seen {
        let Some(endpoint) = self.endpoints.get(comet) else {
            return Seen::Down;
        };
        match endpoint.scheduler.breaker.state() {
            BreakerState::Up if endpoint.stats.refuses_all() => Seen::RefusesAll,
            BreakerState::Up => Seen::Up,
            BreakerState::Down | BreakerState::Detached => Seen::Down,
        }
    }

    /// Estimates how many calls to the Comet may start now, at most.
    pub fn startable(&self, comet: CometId) -> usize {
        let endpoint = self.endpoints.get(comet);
        endpoint.map_or(0, |endpoint| endpoint.scheduler.startable())
    }

    /// Starts the calls to the Comet that may start, `most` at most. Returns whether there may be more.
    pub fn start_calls(
        &mut self,
        comet: CometId,
        most: usize,
        now: Instant,
        effects: &mut impl Effects,
    ) -> bool {
        (0..most).all(|_| self.start_call(comet, now, effects))
    }

    /// Ends what [`Self::next_ready`] began: notes when to drive the endpoint again, at `also` at the latest.
    pub fn rest(&mut self, comet: CometId, also: Option<Instant>, now: Instant) {
        let Some(endpoint) = self.endpoints.get_mut(comet) else {
            return;
        };
        endpoint.ready = false;
        if endpoint.leaving {
            // Nothing is due there: an answer comes.
            return;
        }
        let look = (self.full && !endpoint.scheduler.is_empty()).then_some(now + FULL_LIMIT);
        let trial = endpoint.suspects_wait.then_some(now + LOOK_AGAIN);
        let wake_at = endpoint.scheduler.wake_at(now);
        let times = [self.wake_at, wake_at, also, look, trial];
        self.wake_at = times.into_iter().flatten().min();
    }

    /// Starts the next call to the Comet. Returns false if there was none.
    fn start_call(&mut self, comet: CometId, now: Instant, effects: &mut impl Effects) -> bool {
        let messages = &mut self.messages;
        let Some(endpoint) = self.endpoints.get_mut(comet) else {
            return false;
        };
        let Some(admission) = endpoint.scheduler.admit(now) else {
            return false;
        };
        while let Some(next) = endpoint.scheduler.peek(admission) {
            let first = next.messages()[0];
            if (self.suspended).contains(&messages[first].message.record.assignment) {
                next.pause();
                continue;
            }
            let record = messages[first].message.record;
            let is_suspect = self.suspects.has(endpoint.comet, record);
            if is_suspect {
                let trials = &endpoint.stats.trials;
                if !self.suspects.begin(endpoint.comet, record, trials, now) {
                    next.pause();
                    endpoint.suspects_wait = true;
                    continue;
                }
                endpoint.on_trial = Some(first);
            }
            let may_merge = next.may_merge() && !is_suspect;
            let coalescer = self.coalescer.as_ref().filter(|_| may_merge);
            let merged = merge(coalescer, messages, next.messages());
            let count = merged.as_ref().map_or(1, |(count, _)| *count);
            for &id in next.messages().iter().take(count) {
                messages[id].started = true;
            }
            let call = &messages[first].message.delivery.call;
            let of_one = match self.dialect.has_one_key_a_call() {
                true => next_of_several(call, next.keys_done()),
                false => None,
            };
            let (call, carries) = match (&merged, &of_one) {
                (Some((_, call)), _) => (call, Carries::Messages(count)),
                (None, Some((call, carries))) => (call, *carries),
                (None, None) => (call, Carries::Messages(1)),
            };
            if self.tells_records {
                let carried = next.messages().iter().take(count);
                let attempt = next.calls() + 1;
                tell(carried.map(|id| &messages[*id].message), attempt, effects);
            }
            let pace = (self.coalescer.as_ref()).and_then(|coalescer| coalescer.pace_of(call));
            let doublings = next.start(carries, pace);
            effects.count(Figure::Carries(count));
            effects.call(endpoint.comet, first, call, doublings, now);
            return true;
        }
        false
    }

    /// Asks the group to detach the Comet if it took nothing for long while another one delivers, or if all else waits for it.
    /// One that drains is detached as soon as it fails.
    fn give_up(&mut self, comet: CometId, now: Instant, effects: &mut impl Effects) {
        let is_alone = self.full && self.endpoints.values().any(|other| other.is_idle(now));
        let endpoint = self.endpoints.get_mut(comet);
        let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.leaving) else {
            return;
        };
        let holds_up = self.full && endpoint.holds_up(is_alone, FULL_LIMIT, now);
        let breaker = &mut endpoint.scheduler.breaker;
        let is_due = holds_up || endpoint.node.drains && breaker.is_failing();
        if breaker.is_given_up(now) || is_due && breaker.state() != BreakerState::Detached {
            breaker.detach(now);
            effects.away(endpoint.comet);
        }
    }
}

/// Has the next call tell which records it carries.
fn tell<'a>(
    carried: impl Iterator<Item = &'a Message> + Clone,
    attempt: u32,
    effects: &mut impl Effects,
) {
    let records: Vec<_> = carried.clone().map(|message| message.record).collect();
    let trace = carried.filter_map(|message| message.trace.clone()).next();
    effects.tells(&Coordinates {
        records: &records,
        attempt,
        trace,
    });
}

/// Merges the first of the messages that wait: returns how many go together, and their call. Returns None if the first one goes
/// alone.
fn merge(
    coalescer: Option<&Coalescer>,
    messages: &Slab<Pending>,
    waiting: &VecDeque<Id>,
) -> Option<(usize, Call)> {
    let look = |id: &Id| (&messages[*id].message.delivery.call, &messages[*id].shape);
    coalescer?.merge(waiting.iter().map(look))
}
