//! What a worker sends: it attends its Comets, and starts the calls that may be made.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use slab::Slab;

use super::coalesce::Coalescer;
use super::health::State;
use super::link::{Id, Start};
use super::served::Served;
use super::{Event, InHand, Worker};
use crate::base::lease::Moment;
use crate::comet::Cork;
use crate::message::call::Call;

/// So many calls at most leave together: the first of them waits for the last, some microseconds each.
const CALLS_AT_ONCE: usize = 64;

/// How often it is looked whether a lease that ran out holds again. Mostly the group says so before.
const LEASE_AGAIN: Duration = Duration::from_millis(100);

impl Worker {
    /// Attends the Comets that were heard of or whose time has come. Not all of them each time: with many Comets that
    /// alone would cost more than a call.
    pub(super) fn attend_comets(&mut self) {
        let now = Instant::now();
        if !self.may_send() {
            return;
        }
        let all = self.wake_at.is_some_and(|wake_at| wake_at <= now);
        if all {
            self.wake_at = None;
            for n in 0..self.comets.len() {
                self.comets[n].stir(n, &mut self.stirred);
            }
        }
        while let Some(n) = self.stirred.pop() {
            self.attend(n, now);
            let comet = &mut self.comets[n];
            comet.stirred = false;
            let times = [
                self.wake_at,
                comet.link.wake_at(now),
                comet.client.look_at(),
            ];
            self.wake_at = times.into_iter().flatten().min();
        }
    }

    /// Wakes what waited long enough for a Comet, leaves it out if it is gone for long, and starts what may be sent.
    fn attend(&mut self, n: usize, now: Instant) {
        self.leave_out_or_in(n, now);
        let comet = &mut self.comets[n];
        comet.link.wake(now);
        if comet.link.health.probe_due(now) {
            let own = self.own.clone();
            comet.client.probe(move |answer| {
                let _ = own.send(Event::Probed { comet: n, answer });
            });
        }
        comet.client.look_after(now);
        // A look at the clock for each lot of calls: what a process was halted in the middle of is no more than one.
        while self.may_send() {
            // One alone leaves at once.
            let several = self.comets[n].link.startable() > 1;
            let _cork = several.then(Cork::put_in);
            if (0..CALLS_AT_ONCE).any(|_| !self.start_call(n, now)) {
                break;
            }
        }
    }

    /// Whether the lease holds. Otherwise all Comets are attended when it may hold again: what happened to them meanwhile, such
    /// as a long silence, says nothing about them.
    fn may_send(&mut self) -> bool {
        let holds = self.lease.holds(Moment::now(), self.lapses);
        if !holds {
            self.wake_at = Some(Instant::now() + LEASE_AGAIN);
        }
        holds
    }

    /// Starts the next call to Comet `n`, and returns whether there was one to start.
    fn start_call(&mut self, n: usize, now: Instant) -> bool {
        let comet = &mut self.comets[n];
        let (messages, suspended) = (&mut self.messages, &self.suspended);
        let mut merged = None;
        let started = comet.link.start_next(now, |waiting, several| {
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
        let held = &self.messages[id];
        let call = match &merged {
            Some((_, call)) => call,
            None => &held.message.delivery.call,
        };
        let own = self.own.clone();
        comet.client.call(call, doublings, now, move |answer| {
            let _ = own.send(Event::Answered {
                comet: n,
                id,
                answer,
            });
        });
        true
    }

    /// Leaves the Comet out or takes it back, and finishes without it what passes it by.
    fn leave_out_or_in(&mut self, n: usize, now: Instant) {
        let Served { client, link, .. } = &mut self.comets[n];
        let address = client.address();
        if link.health.is_given_up(now) {
            if let Some(limit) = link.health.leave_out(now) {
                log::error!(
                    "Comet {address} took nothing for {:.0} s while others live: messages pass it by until it answers again \
                     (its people are gone with it)",
                    limit.as_secs_f64()
                );
            }
        } else if link.health.is_excused(now) && link.health.take_back(now) {
            log::warn!(
                "Comet {address} is not left out any more, though it doesn't answer: the others were away too. \
                 Messages wait for it again"
            );
        }
        if link.health.state() != State::LeftOut || !link.health.is_passed_by(now) {
            return;
        }
        let queued = link.take(|_| true);
        link.health.pass_by(queued.len());
        for id in queued {
            self.messages[id].passed_by = Some(n);
            self.done_with(id);
        }
    }
}

/// How many of the messages that wait go together, and their call; `None` where the first one goes alone.
fn merge(
    coalescer: Option<&Coalescer>,
    messages: &Slab<InHand>,
    waiting: &VecDeque<Id>,
) -> Option<(usize, Call)> {
    let look = |id: &Id| (&messages[*id].message.delivery.call, &messages[*id].shape);
    coalescer?.merge(waiting.iter().map(look))
}
