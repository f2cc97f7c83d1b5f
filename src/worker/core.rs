//! The worker's decisions: which messages it holds, what an answer means for them, and when each is done.
//!
//! Pure: time comes in as an argument, randomness from a seed, and what is to be done leaves through [`Effects`]. So a test can
//! run hours of a message's life in no time, and the same way again.

use std::sync::Arc;
use std::time::Instant;

use slab::Slab;

use super::coalesce::Coalescer;
use super::effects::{Effects, Figure, Said};
use super::endpoint::{Endpoint, said};
use super::endpoint_stats::Fleet;
use super::one_key::{for_user, note_drop, user_of};
use super::pending::Pending;
use super::scheduler::{Id, Outcome};
use super::suspects::{Suspects, crashed};
use crate::comet::Verdict;
use crate::message::call::Target;
use crate::message::worker::Event;
use crate::message::{
    Answer, Assignment, ByComet, Cause, CometId, Completion, Dialect, Message, RecordId, Settled,
};
use crate::settings::Window;

pub struct Core {
    pub(super) endpoints: ByComet<Endpoint>,
    /// Endpoints that something happened to since they were driven last.
    pub(super) ready: Vec<CometId>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) window: Window,
    pub(super) rng: fastrand::Rng,
    /// When to drive all endpoints if nothing happens until then. May be too early.
    pub(super) wake_at: Option<Instant>,
    pub(super) coalescer: Option<Coalescer>,
    pub dialect: Dialect,
    pub tells_records: bool,
    pub(super) messages: Slab<Pending>,
    /// The messages of the call answered last: a buffer.
    called: Vec<Id>,
    /// Assignments that are over: what still comes of them is given back.
    revoked: Vec<Assignment>,
    /// Assignments that are over and whose partition is another's.
    forgotten: Vec<Assignment>,
    /// Assignments of which nothing is sent for now.
    pub(super) suspended: Vec<Assignment>,
    /// Whether the process holds as much as it may.
    pub(super) full: bool,
    /// What came back as taken after its Comet was detached. It may be read again all the same, and isn't sent then.
    pub(super) came_late: Vec<(CometId, RecordId)>,
    pub(super) suspects: Suspects,
}

impl Core {
    /// A core for no Comet so far. `fleet` is what all workers know of the Comets. `window` limits the calls in flight at each
    /// Comet. Messages are merged if there is a `coalescer`.
    pub fn new(
        fleet: Arc<Fleet>,
        window: Window,
        coalescer: Option<Coalescer>,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            endpoints: ByComet::default(),
            ready: Vec::new(),
            fleet,
            window,
            rng,
            wake_at: None,
            coalescer,
            dialect: Dialect::default(),
            tells_records: false,
            messages: Slab::new(),
            called: Vec::new(),
            revoked: Vec::new(),
            forgotten: Vec::new(),
            suspended: Vec::new(),
            full: false,
            came_late: Vec::new(),
            suspects: Suspects::default(),
        }
    }

    /// Takes in what happened. Calls start only when the endpoints are driven.
    pub fn step(&mut self, event: Event, now: Instant, effects: &mut impl Effects) {
        match event {
            Event::Messages(messages) => messages
                .into_iter()
                .for_each(|message| self.accept(message, effects)),
            Event::RoundEnded => {
                for (_, pending) in &mut self.messages {
                    pending.memory.round_ended(&mut pending.message);
                }
            }
            Event::Answered { comet, id, answer } => {
                self.answered(comet, id, answer, now, effects);
            }
            Event::Probed { comet, answer } => {
                let endpoint = self.endpoints.get_mut(comet);
                // The answer of one that left may come later.
                if let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.leaving) {
                    let verdict = endpoint.on_probe(&answer, now, effects);
                    endpoint.note_well(verdict, !self.suspects.is_empty(), false, now);
                    endpoint.mark_ready(&mut self.ready);
                }
            }
            Event::Fleet(change) => self.change(change, now, effects),
            Event::Expire { before, letter } => self.expire(before, letter.as_deref(), effects),
            Event::Skip { record, uid } => self.skip(record, uid, effects),
            Event::Detach(comet) => self.detach(comet, now, effects),
            Event::Return(comet) => {
                if let Some(endpoint) = self.endpoints.get_mut(comet) {
                    endpoint.attach(now);
                    endpoint.mark_ready(&mut self.ready);
                }
            }
            Event::Full(full) => {
                self.full = full;
                if full {
                    for endpoint in self.endpoints.values_mut() {
                        endpoint.waits_anew();
                    }
                    self.wake_all();
                }
            }
            Event::Revoke(assignment) => {
                self.resume(assignment);
                self.revoked.push(assignment);
                for (_, pending) in self.messages.iter_mut() {
                    // Another owner tries again what was read again.
                    pending.forgotten |=
                        pending.message.again && pending.message.record.assignment == assignment;
                }
                self.give_back(assignment, effects);
                // What was paused for this assignment is gone or may be sent.
                self.resume_paused();
                effects.revoke_ack(assignment);
            }
            Event::Suspend(assignment) => self.suspended.push(assignment),
            Event::Resume(assignment) => self.resume(assignment),
            Event::Forget(assignment) => {
                self.resume(assignment);
                self.suspects.forget(assignment);
                self.forgotten.push(assignment);
                for (_, pending) in self.messages.iter_mut() {
                    pending.forgotten |= pending.message.record.assignment == assignment;
                }
                self.drop_queued(effects, |pending| pending.forgotten);
            }
            Event::Lapsed(_) => {
                for endpoint in self.endpoints.values_mut() {
                    endpoint.scheduler.breaker.count_anew(now);
                }
            }
            Event::Stop => {}
        }
    }

    fn resume(&mut self, assignment: Assignment) {
        let before = self.suspended.len();
        self.suspended.retain(|suspended| *suspended != assignment);
        if self.suspended.len() == before {
            return;
        }
        self.resume_paused();
    }

    /// Resumes the paused KeyQueues. One whose first message may still not be sent is paused again when its turn comes.
    fn resume_paused(&mut self) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.scheduler.resume();
            endpoint.mark_ready(&mut self.ready);
        }
    }

    fn accept(&mut self, message: Message, effects: &mut impl Effects) {
        fail::fail_point!("worker");
        let assignment = message.record.assignment;
        if let Some(comet) = message.again_for()
            && self.came_late.contains(&(comet, message.record))
        {
            settle(&message, Completion::Again { comet, took: true }, effects);
            return;
        }
        let is_over = self.revoked.contains(&assignment);
        if self.forgotten.contains(&assignment) || is_over && message.without.is_none() {
            let completion = message.given_back();
            settle(&message, completion, effects);
            return;
        }
        if !is_over {
            // With a new assignment of a partition the earlier ones are forgotten.
            let is_kept = |one: &Assignment| {
                one.partition != assignment.partition || one.epoch >= assignment.epoch
            };
            self.revoked.retain(is_kept);
            self.forgotten.retain(is_kept);
        }
        let (key, target) = (message.delivery.key, message.delivery.target.clone());
        let without = message.without.clone();
        let mut pending = Pending::new(message);
        let vacant = self.messages.vacant_entry();
        let id = vacant.key();
        let mut give = |comet: CometId, endpoint: &mut Endpoint| {
            let is_behind = without.as_ref().is_some_and(|all| all.contains(&comet));
            if is_behind || endpoint.leaving {
                return;
            }
            if is_over {
                return pending.lacks(comet, false, effects);
            }
            endpoint.scheduler.push(key, id);
            endpoint.mark_ready(&mut self.ready);
            pending.waiting_for += 1;
        };
        let endpoints = &mut self.endpoints;
        let several = match &target {
            Target::All => {
                endpoints.iter_mut().for_each(|(of, at)| give(of, at));
                &[][..]
            }
            Target::One(comet) => std::slice::from_ref(comet),
            Target::Some(comets) => comets,
        };
        for comet in several {
            endpoints
                .get_mut(*comet)
                .into_iter()
                .for_each(|at| give(*comet, at));
        }
        vacant.insert(pending);
        self.finish_if_done(id, effects);
    }

    fn answered(
        &mut self,
        comet: CometId,
        id: Id,
        answer: Answer,
        now: Instant,
        effects: &mut impl Effects,
    ) {
        // It stays for as long as a call is under way.
        let Some(endpoint) = self.endpoints.get_mut(comet) else {
            return;
        };
        let key = self.messages[id].message.delivery.key;
        endpoint.mark_ready(&mut self.ready);
        let leaving = endpoint.leaving;
        let oks_at_start = endpoint.scheduler.oks_at_start(key);
        let on_trial = endpoint.end_trial(id);
        let verdict = endpoint.on_answer(oks_at_start, &answer, now, effects);
        endpoint.note_well(verdict, !self.suspects.is_empty(), on_trial, now);
        let (node, scheduler) = (&endpoint.node, &mut endpoint.scheduler);
        let name = &node.name;
        let mut called = std::mem::take(&mut self.called);
        called.clear();
        let messages = &mut self.messages;
        let call = &messages[id].message.delivery.call;
        let user = user_of(call, &answer, || scheduler.keys_done(key));
        note_drop(comet, &answer, &user, effects);
        let mut took = false;
        match scheduler.answered(key, verdict, now, &mut called) {
            Outcome::Finished => took = true,
            Outcome::Refused => {
                let said = said(&answer);
                let why = format!(
                    "refused by Comet {name}{}: {said}",
                    for_user(&user, self.dialect)
                );
                messages[id].cannot_go_to(comet, Cause::Refused, why);
            }
            Outcome::GivenUp(tries) => {
                let why = format!(
                    "failed {tries} times at Comet {name}{} while it answered others: {}",
                    for_user(&user, self.dialect),
                    said(&answer)
                );
                messages[id].cannot_go_to(comet, Cause::Failed, why);
            }
            outcome @ (Outcome::Again | Outcome::NextKey) => {
                if let (Outcome::Again, Err(status)) = (outcome, &answer) {
                    effects.again(comet, status, &messages[id].message, scheduler.tries(key));
                }
                let mut crashes = false;
                if answer.as_ref().is_err_and(|status| status.broke) {
                    for &id in &called {
                        let record = messages[id].message.record;
                        crashes |= self.suspects.broke(comet, record, on_trial, now);
                    }
                }
                if crashes {
                    // A suspect is alone in its call.
                    let record = messages[id].message.record;
                    self.suspects.answered(comet, record);
                    effects.say(comet, Said::Crashes(record));
                    messages[id].cannot_go_to(comet, Cause::Crashes, crashed(name));
                }
                // What isn't tried again leaves its KeyQueue; the others stay there.
                called.retain(|&id| {
                    let pending = &messages[id];
                    crashes || leaving || pending.is_given_up(comet)
                });
                if !called.is_empty() {
                    scheduler.take(|id| called.contains(&id));
                }
                for &id in &called {
                    messages[id].dropped |= messages[id].forgotten;
                    if !crashes {
                        messages[id].skip_at(comet);
                    }
                    if leaving {
                        let counts = messages[id].is_left_by(comet, node);
                        endpoint.unsent += usize::from(counts);
                    }
                }
            }
        }
        for &id in &called {
            if verdict != Verdict::Down {
                let record = self.messages[id].message.record;
                self.suspects.answered(comet, record);
            }
            if self.messages[id].late.contains(&comet) {
                self.came_back(id, comet, took, effects);
                continue;
            }
            let message = &self.messages[id].message;
            let is_late = message.again && self.messages[id].forgotten;
            let again = (took && is_late).then_some(message.record);
            self.done_with(id, effects);
            if let Some(record) = again {
                self.forget_again(record, comet, effects);
            }
        }
        self.called = called;
        self.end_if_left(comet, effects);
    }

    fn drop_queued(&mut self, effects: &mut impl Effects, which: impl Fn(&Pending) -> bool) {
        let mut touched = Vec::new();
        for endpoint in self.endpoints.values_mut() {
            touched.extend(endpoint.scheduler.take(|id| which(&self.messages[id])));
            // Messages behind them may be sent now.
            endpoint.mark_ready(&mut self.ready);
        }
        for id in touched {
            self.messages[id].dropped = true;
            self.done_with(id, effects);
        }
    }

    /// Notes that one Comet is done with the message.
    pub(super) fn done_with(&mut self, id: Id, effects: &mut impl Effects) {
        self.messages[id].waiting_for -= 1;
        self.finish_if_done(id, effects);
    }

    fn finish_if_done(&mut self, id: Id, effects: &mut impl Effects) {
        let pending = &mut self.messages[id];
        if pending.waiting_for > 0 {
            return;
        }
        let completion = match pending.undeliverable.take() {
            _ if pending.dropped => pending.message.given_back(),
            Some(why) => Completion::Undeliverable {
                why,
                at: pending.message.again_for(),
            },
            None if pending.too_old => Completion::TooOld {
                at: pending.message.again_for(),
            },
            None => match pending.message.again_for() {
                Some(comet) => Completion::Again { comet, took: true },
                None => Completion::Delivered,
            },
        };
        if completion == Completion::Delivered {
            let timestamp = pending.message.timestamp;
            effects.count(Figure::Delivered { timestamp });
        }
        settle(&pending.message, completion, effects);
        if pending.is_done() {
            self.messages.remove(id);
        }
    }
}

pub(super) fn settle(message: &Message, completion: Completion, effects: &mut impl Effects) {
    effects.settled(Settled {
        record: message.record,
        bytes: message.bytes,
        completion,
    });
}

#[cfg(test)]
mod tests;
