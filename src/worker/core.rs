//! The worker's decisions: which messages it holds, what an answer means for them, and when each is done.
//!
//! Pure: time comes in as an argument, randomness from a seed, and what is to be done leaves through [`Effects`]. So a test can
//! run hours of a message's life in no time, and the same way again.

use std::time::Instant;

use slab::Slab;

use super::coalesce::{Coalescer, Shape};
use super::effects::{Effects, Figure, Said};
use super::endpoint::{Endpoint, said};
use super::endpoint_stats::Fleet;
use super::one_key::{for_user, note_drop, user_of};
use super::scheduler::{Id, Outcome};
use super::suspects::{Suspects, crashed};
use crate::comet::Verdict;
use crate::message::call::Target;
use crate::message::memory::Memory;
use crate::message::worker::Event;
use crate::message::{
    Answer, Assignment, Cause, CometId, Completion, Dialect, Message, Reason, RecordId, Settled,
};

pub struct Core {
    pub(super) endpoints: Vec<Endpoint>,
    /// Endpoints that something happened to since they were driven last.
    pub(super) ready: Vec<usize>,
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

/// A message that this worker holds.
pub(super) struct Pending {
    pub message: Message,
    memory: Memory,
    /// Whether it can be merged with others of its room.
    pub shape: Shape,
    /// Comets that aren't done with it.
    waiting_for: usize,
    /// Whether a Comet may have seen it.
    pub started: bool,
    /// Whether some Comets don't get it from here: they are behind, and read it again.
    pub is_split: bool,
    /// Whether it isn't tried again: its partition is another's, or its Comet is detached.
    pub forgotten: bool,
    /// Whether a Comet didn't get it because of that.
    pub dropped: bool,
    /// Whether a Comet doesn't get it because it is too old.
    pub too_old: bool,
    /// The operator's user id, where one skipped it: what is in flight isn't tried again.
    pub skipped_by: Option<u32>,
    /// Why Comets can't get it, and which.
    undeliverable: Option<Box<Reason>>,
    /// Comets that were detached while a call with it was in flight. It stays until these calls are back.
    pub late: Vec<CometId>,
}

impl Pending {
    fn new(message: Message) -> Self {
        Self {
            is_split: message.without.is_some(),
            message,
            memory: Memory::default(),
            shape: Shape::default(),
            waiting_for: 0,
            started: false,
            forgotten: false,
            dropped: false,
            too_old: false,
            skipped_by: None,
            undeliverable: None,
            late: Vec::new(),
        }
    }

    /// Notes that this Comet can't get it. The last one's reason is the one that is told.
    pub(super) fn cannot_go_to(&mut self, comet: CometId, cause: Cause, why: String) {
        let reason = self.undeliverable.get_or_insert_default();
        reason.text = why;
        reason.comets.push(comet);
        reason.cause = cause;
    }

    /// Whether nothing is left to hear of it.
    pub fn is_done(&self) -> bool {
        self.waiting_for == 0 && self.late.is_empty()
    }
}

impl Core {
    /// `addresses` (`host:port`) and `fleet` are the Comets', in the order of their ids. `window` limits the calls in flight at
    /// each Comet. Messages are merged if there is a `coalescer`.
    pub fn new(
        addresses: impl IntoIterator<Item = String>,
        fleet: &Fleet,
        window: usize,
        coalescer: Option<Coalescer>,
        now: Instant,
        mut rng: fastrand::Rng,
    ) -> Self {
        let limits = (window, coalescer.is_some());
        let endpoint = |(id, address)| {
            let comet = (CometId(id), address);
            let stats = (fleet[id as usize].clone(), fleet.clone());
            Endpoint::new(comet, stats, limits, now, rng.fork())
        };
        Self {
            endpoints: (0..).zip(addresses).map(endpoint).collect(),
            ready: Vec::new(),
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
                let place = self.place(comet);
                let verdict = self.endpoints[place].on_probe(&answer, now, effects);
                self.endpoints[place].note_well(verdict, !self.suspects.is_empty(), false, now);
                self.endpoints[place].mark_ready(place, &mut self.ready);
            }
            Event::Expire { before, letter } => self.expire(before, letter.as_deref(), effects),
            Event::Skip { record, uid } => self.skip(record, uid, effects),
            Event::Detach(comet) => self.detach(comet, now, effects),
            Event::Return(comet) => {
                let place = self.place(comet);
                self.endpoints[place].attach(now);
                self.endpoints[place].mark_ready(place, &mut self.ready);
            }
            Event::Full(full) => {
                self.full = full;
                if full {
                    for endpoint in &mut self.endpoints {
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
                for endpoint in &mut self.endpoints {
                    endpoint.scheduler.breaker.count_anew(now);
                }
            }
            Event::Stop => {}
        }
    }

    /// Where the Comet's endpoint is. The fleet is fixed: Comets are named in the order of their endpoints.
    pub(super) fn place(&self, comet: CometId) -> usize {
        comet.0 as usize
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
        for (n, endpoint) in self.endpoints.iter_mut().enumerate() {
            endpoint.scheduler.resume();
            endpoint.mark_ready(n, &mut self.ready);
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
        let (key, target) = (message.delivery.key, message.delivery.target);
        let without = message.without.clone();
        let id = self.messages.insert(Pending::new(message));
        for place in 0..self.endpoints.len() {
            let endpoint = &mut self.endpoints[place];
            let comet = endpoint.comet;
            let is_behind = without.as_ref().is_some_and(|all| all.contains(&comet));
            if is_behind || target != Target::All && target != Target::One(comet) {
                continue;
            }
            if is_over {
                self.lacks(id, comet, false, effects);
                continue;
            }
            endpoint.scheduler.push(key, id);
            endpoint.mark_ready(place, &mut self.ready);
            self.messages[id].waiting_for += 1;
        }
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
        let key = self.messages[id].message.delivery.key;
        let place = self.place(comet);
        let endpoint = &mut self.endpoints[place];
        endpoint.mark_ready(place, &mut self.ready);
        let oks_at_start = endpoint.scheduler.oks_at_start(key);
        let on_trial = endpoint.end_trial(id);
        let verdict = endpoint.on_answer(oks_at_start, &answer, now, effects);
        endpoint.note_well(verdict, !self.suspects.is_empty(), on_trial, now);
        let (address, scheduler) = (&endpoint.address, &mut endpoint.scheduler);
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
                    "refused by Comet {address}{}: {said}",
                    for_user(&user, self.dialect)
                );
                messages[id].cannot_go_to(comet, Cause::Refused, why);
            }
            Outcome::GivenUp(tries) => {
                let why = format!(
                    "failed {tries} times at Comet {address}{} while it answered others: {}",
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
                    messages[id].cannot_go_to(comet, Cause::Crashes, crashed(address));
                }
                // What isn't tried again leaves its KeyQueue; the others stay there.
                called.retain(|&id| {
                    let pending = &messages[id];
                    crashes || pending.is_given_up(comet)
                });
                if !called.is_empty() {
                    scheduler.take(|id| called.contains(&id));
                }
                for &id in &called {
                    messages[id].dropped |= messages[id].forgotten;
                    if !crashes {
                        messages[id].skip_at(comet);
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
    }

    fn drop_queued(&mut self, effects: &mut impl Effects, which: impl Fn(&Pending) -> bool) {
        let mut touched = Vec::new();
        for (n, endpoint) in self.endpoints.iter_mut().enumerate() {
            touched.extend(endpoint.scheduler.take(|id| which(&self.messages[id])));
            // Messages behind them may be sent now.
            endpoint.mark_ready(n, &mut self.ready);
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
