//! What a worker sends: it drives its endpoints, which starts the calls that may be made.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;

use super::breaker::BreakerState;
use super::coalesce::Coalescer;
use super::scheduler::{Id, Start};
use super::{Event, Pending, Worker};
use crate::base::lease::Moment;
use crate::comet::Cork;
use crate::message::call::Call;

/// Limits how many calls leave together: the first waits for the last, some microseconds each.
const CALLS_AT_ONCE: usize = 64;

/// Wait before looking whether a lapsed lease holds again. Mostly the group says so before.
const LEASE_AGAIN: Duration = Duration::from_millis(100);

impl Worker {
    /// Drives the endpoints that are ready or whose time has come. Driving all of them each time would cost more than a call
    /// if there are many.
    pub(super) fn drive(&mut self) {
        let now = Instant::now();
        if !self.may_send() {
            return;
        }
        let all = self.wake_at.is_some_and(|wake_at| wake_at <= now);
        if all {
            self.wake_at = None;
            for n in 0..self.endpoints.len() {
                self.endpoints[n].mark_ready(n, &mut self.ready);
            }
        }
        while let Some(n) = self.ready.pop() {
            self.drive_one(n, now);
            let endpoint = &mut self.endpoints[n];
            endpoint.ready = false;
            let times = [
                self.wake_at,
                endpoint.scheduler.wake_at(now),
                endpoint.client.look_at(),
            ];
            self.wake_at = times.into_iter().flatten().min();
        }
    }

    /// Detaches the Comet if it was gone for long, or attaches it, wakes what waited long enough, and starts the calls that may
    /// be made.
    fn drive_one(&mut self, n: usize, now: Instant) {
        self.detach_or_attach(n, now);
        let endpoint = &mut self.endpoints[n];
        endpoint.scheduler.wake(now);
        if endpoint.scheduler.breaker.probe_due(now) {
            let (own, comet) = (self.own.clone(), endpoint.comet);
            endpoint.client.probe(move |answer| {
                let _ = own.send(Event::Probed { comet, answer });
            });
        }
        endpoint.client.look_after(now);
        // Looks at the clock before each lot of calls: a process that was halted sends no more than the rest of one.
        while self.may_send() {
            // A single call leaves at once.
            let several = self.endpoints[n].scheduler.startable() > 1;
            let _cork = several.then(Cork::put_in);
            if (0..CALLS_AT_ONCE).any(|_| !self.start_call(n, now)) {
                break;
            }
        }
    }

    /// Whether the lease holds. If not, all endpoints are driven when it may hold again: what happened to them meanwhile, such as
    /// a long silence, says nothing about them.
    fn may_send(&mut self) -> bool {
        let holds = self.lease.holds(Moment::now(), self.lapses);
        if !holds {
            self.wake_at = Some(Instant::now() + LEASE_AGAIN);
        }
        holds
    }

    /// Starts the next call of endpoint `n`. Returns false if there was none.
    fn start_call(&mut self, n: usize, now: Instant) -> bool {
        let endpoint = &mut self.endpoints[n];
        let (messages, suspended) = (&mut self.messages, &self.suspended);
        let mut merged = None;
        let started = endpoint.scheduler.start_next(now, |waiting, several| {
            let first = waiting
                .front()
                .map(|&id| messages[id].message.record.assignment);
            if first.is_some_and(|first| suspended.contains(&first)) {
                return 0;
            }
            if several {
                merged = merge(self.coalescer.as_ref(), messages, waiting);
            }
            let count = merged.as_ref().map_or(1, |(count, _)| *count);
            for &id in waiting.iter().take(count) {
                messages[id].started = true;
            }
            count
        });
        let Some(Start { id, doublings }) = started else {
            return false;
        };
        let pending = &self.messages[id];
        let call = match &merged {
            Some((_, call)) => call,
            None => &pending.message.delivery.call,
        };
        let (own, comet) = (self.own.clone(), endpoint.comet);
        endpoint.client.call(call, doublings, now, move |answer| {
            let _ = own.send(Event::Answered { comet, id, answer });
        });
        true
    }

    /// Detaches or attaches the Comet, and finishes without it the messages that are skipped there.
    fn detach_or_attach(&mut self, n: usize, now: Instant) {
        let endpoint = &mut self.endpoints[n];
        let (comet, scheduler) = (endpoint.comet, &mut endpoint.scheduler);
        let address = endpoint.client.address();
        if scheduler.breaker.is_given_up(now) {
            if let Some(limit) = scheduler.breaker.detach(now) {
                log::error!(
                    "Comet {address} took nothing for {:.0} s while others live: messages pass it by until it answers again \
                     (its people are gone with it)",
                    limit.as_secs_f64()
                );
            }
        } else if scheduler.breaker.is_excused(now) && scheduler.breaker.attach(now) {
            log::warn!(
                "Comet {address} is not left out any more, though it doesn't answer: the others were away too. \
                 Messages wait for it again"
            );
        }
        if scheduler.breaker.state() != BreakerState::Detached || !scheduler.breaker.skips(now) {
            return;
        }
        let queued = scheduler.take(|_| true);
        scheduler.breaker.skip(queued.len());
        for id in queued {
            self.messages[id].skipped = Some(comet);
            self.done_with(id);
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
