//! Driving the core's endpoints: what wakes when, which Comets are given up, and which calls start.
//!
//! The order for one loop of the worker: [`Core::wake`], then for each [`Core::next_ready`] one [`Core::drive`], as many
//! [`Core::start_calls`] as it asks for, and [`Core::rest`]. The loop sleeps until [`Core::wake_at`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;

use super::breaker::BreakerState;
use super::coalesce::Coalescer;
use super::core::{Core, Pending};
use super::effects::{Effects, Figure};
use super::key_queue::Carries;
use super::one_key::next_of_several;
use super::scheduler::Id;
use super::suspects::LOOK_AGAIN;
use crate::figures::Seen;
use crate::message::CometId;
use crate::message::call::Call;

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
        for (n, endpoint) in self.endpoints.iter_mut().enumerate() {
            endpoint.mark_ready(n, &mut self.ready);
        }
    }

    /// Takes one of the endpoints that are to be driven now.
    pub fn next_ready(&mut self) -> Option<CometId> {
        let n = self.ready.pop()?;
        Some(self.endpoints[n].comet)
    }

    /// Gives the Comet up if it was gone for long; wakes what waited long enough; probes if that is due.
    pub fn drive(&mut self, comet: CometId, now: Instant, effects: &mut impl Effects) {
        let place = self.place(comet);
        self.give_up(place, now, effects);
        self.endpoints[place].look_at_suspects();
        let scheduler = &mut self.endpoints[place].scheduler;
        scheduler.wake(now);
        if scheduler.breaker.probe_due(now) {
            effects.probe(comet);
        }
    }

    /// How this worker sees the Comet.
    pub fn sees(&self, comet: CometId) -> Seen {
        let endpoint = &self.endpoints[self.place(comet)];
        match endpoint.scheduler.breaker.state() {
            BreakerState::Up if endpoint.stats.refuses_all() => Seen::RefusesAll,
            BreakerState::Up => Seen::Up,
            BreakerState::Down | BreakerState::Detached => Seen::Down,
        }
    }

    /// Estimates how many calls to the Comet may start now, at most.
    pub fn startable(&self, comet: CometId) -> usize {
        self.endpoints[self.place(comet)].scheduler.startable()
    }

    /// Starts the calls to the Comet that may start, `most` at most. Returns whether there may be more.
    pub fn start_calls(
        &mut self,
        comet: CometId,
        most: usize,
        now: Instant,
        effects: &mut impl Effects,
    ) -> bool {
        let place = self.place(comet);
        (0..most).all(|_| self.start_call(place, now, effects))
    }

    /// Ends what [`Self::next_ready`] began: notes when to drive the endpoint again, at `also` at the latest.
    pub fn rest(&mut self, comet: CometId, also: Option<Instant>, now: Instant) {
        let place = self.place(comet);
        let endpoint = &mut self.endpoints[place];
        endpoint.ready = false;
        let look = (self.full && !endpoint.scheduler.is_empty()).then_some(now + FULL_LIMIT);
        let trial = endpoint.suspects_wait.then_some(now + LOOK_AGAIN);
        let wake_at = endpoint.scheduler.wake_at(now);
        let times = [self.wake_at, wake_at, also, look, trial];
        self.wake_at = times.into_iter().flatten().min();
    }

    /// Starts the next call of endpoint `n`. Returns false if there was none.
    fn start_call(&mut self, n: usize, now: Instant, effects: &mut impl Effects) -> bool {
        let (messages, endpoint) = (&mut self.messages, &mut self.endpoints[n]);
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
            let pace = (self.coalescer.as_ref()).and_then(|coalescer| coalescer.pace_of(call));
            let doublings = next.start(carries, pace);
            effects.count(Figure::Carries(count));
            effects.call(endpoint.comet, first, call, doublings, now);
            return true;
        }
        false
    }

    /// Asks the group to detach the Comet if it took nothing for long while another one delivers, or if all else waits for it.
    fn give_up(&mut self, n: usize, now: Instant, effects: &mut impl Effects) {
        let is_alone = self.full && self.endpoints.iter().any(|other| other.is_idle(now));
        let endpoint = &mut self.endpoints[n];
        let holds_up = self.full && endpoint.holds_up(is_alone, FULL_LIMIT, now);
        let breaker = &mut endpoint.scheduler.breaker;
        if breaker.is_given_up(now) || holds_up && breaker.state() != BreakerState::Detached {
            breaker.detach(now);
            effects.away(endpoint.comet);
        }
    }
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
