//! A worker: takes the messages of its keys, calls the Comets, and reports what became of each message.

mod breaker;
pub mod coalesce;
mod drive;
mod endpoint;
mod endpoint_stats;
mod key_queue;
mod scheduler;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use slab::Slab;

use crate::base::lease::Lease;
use crate::message::call::Target;
use crate::message::memory::Memory;
use crate::message::worker::Event;
use crate::message::{Answer, Assignment, CometId, Completion, Message, Settled, group};
use coalesce::{Coalescer, Shape};
pub use endpoint::Endpoint;
use endpoint::said;
pub use endpoint_stats::{EndpointStats, Fleet};
use scheduler::{Id, Outcome};

/// Limits how many events are handled before calls start and results are reported.
const EVENTS_AT_ONCE: usize = 256;

pub struct Worker {
    events: Receiver<Event>,
    /// For the answers to calls, which come on gRPC's threads.
    own: Sender<Event>,
    group: Sender<group::Event>,
    endpoints: Vec<Endpoint>,
    /// Endpoints that something happened to since they were driven last.
    ready: Vec<usize>,
    /// When to drive all endpoints if nothing happens until then. May be too early.
    wake_at: Option<Instant>,
    coalescer: Option<Coalescer>,
    messages: Slab<Pending>,
    /// The messages of the call answered last: a buffer.
    called: Vec<Id>,
    /// Assignments that are over: what still comes of them is given back.
    revoked: Vec<Assignment>,
    /// Assignments that are over and whose partition is another's.
    forgotten: Vec<Assignment>,
    /// Assignments of which nothing is sent for now.
    suspended: Vec<Assignment>,
    /// The worker sends only while it holds.
    lease: Arc<Lease>,
    /// How many of its lapses this worker was told of.
    lapses: u64,
    settled: Vec<Settled>,
}

/// A message that this worker holds.
struct Pending {
    message: Message,
    memory: Memory,
    /// Whether it can be merged with others of its room.
    shape: Shape,
    /// Comets that aren't done with it.
    waiting_for: usize,
    /// Whether a Comet may have seen it.
    started: bool,
    /// Whether its partition is another's: it isn't tried again.
    forgotten: bool,
    /// Whether a Comet didn't get it because its partition goes, or went, to another owner.
    dropped: bool,
    /// Whether a Comet took it.
    taken: bool,
    /// The last Comet where it was skipped.
    skipped: Option<CometId>,
    /// Why a Comet can't get it.
    undeliverable: Option<String>,
}

impl Pending {
    fn new(message: Message) -> Self {
        Self {
            message,
            memory: Memory::default(),
            shape: Shape::default(),
            waiting_for: 0,
            started: false,
            forgotten: false,
            dropped: false,
            taken: false,
            skipped: None,
            undeliverable: None,
        }
    }
}

impl Worker {
    /// A worker that calls `endpoints`, one for each Comet in the order of their ids, and merges messages if there is a
    /// `coalescer`. It sends only while `lease` holds.
    pub fn new(
        (own, events): (Sender<Event>, Receiver<Event>),
        group: Sender<group::Event>,
        endpoints: Vec<Endpoint>,
        coalescer: Option<Coalescer>,
        lease: Arc<Lease>,
    ) -> Self {
        Self {
            events,
            own,
            group,
            endpoints,
            ready: Vec::new(),
            wake_at: None,
            coalescer,
            messages: Slab::new(),
            called: Vec::new(),
            revoked: Vec::new(),
            forgotten: Vec::new(),
            suspended: Vec::new(),
            lease,
            lapses: 0,
            settled: Vec::new(),
        }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        loop {
            let first = match self.wake_at {
                Some(wake_at) => self.events.recv_deadline(wake_at),
                None => self
                    .events
                    .recv()
                    .map_err(|_| RecvTimeoutError::Disconnected),
            };
            let mut next = match first {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut taken = 0;
            while let Some(event) = next {
                if let Event::Stop = event {
                    return;
                }
                self.handle(event);
                taken += 1;
                next = if taken < EVENTS_AT_ONCE {
                    self.events.try_recv().ok()
                } else {
                    None
                };
            }
            self.drive();
            self.report();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Messages(messages) => messages
                .into_iter()
                .for_each(|message| self.take_in(message)),
            Event::RoundEnded => {
                for (_, pending) in &mut self.messages {
                    pending.memory.round_ended(&mut pending.message);
                }
            }
            Event::Answered { comet, id, answer } => self.answered(comet, id, answer),
            Event::Probed { comet, answer } => {
                let place = self.place(comet);
                self.endpoints[place].on_probe(&answer);
                self.endpoints[place].mark_ready(place, &mut self.ready);
            }
            Event::Revoke(assignment) => {
                self.resume(assignment);
                self.revoked.push(assignment);
                self.drop_queued(|pending| {
                    pending.message.record.assignment == assignment && !pending.started
                });
                // What was paused for this assignment is gone or may be sent.
                self.resume_paused();
                // The group has to know what was given back before it hears the answer.
                self.report();
                let _ = self.group.send(group::Event::RevokeAck(assignment));
            }
            Event::Suspend(assignment) => self.suspended.push(assignment),
            Event::Resume(assignment) => self.resume(assignment),
            Event::Forget(assignment) => {
                self.resume(assignment);
                self.forgotten.push(assignment);
                for (_, pending) in self.messages.iter_mut() {
                    pending.forgotten |= pending.message.record.assignment == assignment;
                }
                self.drop_queued(|pending| pending.forgotten);
            }
            Event::Lapsed(lapses) => {
                self.lapses = lapses;
                let now = Instant::now();
                for endpoint in &mut self.endpoints {
                    endpoint.scheduler.breaker.count_anew(now);
                }
            }
            Event::Stop => {}
        }
    }

    /// Where the Comet's endpoint is. The fleet is fixed: Comets are named in the order of their endpoints.
    fn place(&self, comet: CometId) -> usize {
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

    fn take_in(&mut self, message: Message) {
        fail::fail_point!("worker");
        let assignment = message.record.assignment;
        let pending = Pending::new(message);
        if self.forgotten.contains(&assignment)
            || self.revoked.contains(&assignment) && !pending.started
        {
            self.settle(&pending.message, Completion::Released);
            return;
        }
        // With a new assignment of a partition the earlier ones are forgotten.
        let is_kept = |one: &Assignment| {
            one.partition != assignment.partition || one.epoch >= assignment.epoch
        };
        self.revoked.retain(is_kept);
        self.forgotten.retain(is_kept);
        let (key, target) = (
            pending.message.delivery.key,
            pending.message.delivery.target,
        );
        let id = self.messages.insert(pending);
        for (n, endpoint) in self.endpoints.iter_mut().enumerate() {
            if target != Target::All && target != Target::One(endpoint.comet) {
                continue;
            }
            endpoint.scheduler.push(key, id);
            endpoint.mark_ready(n, &mut self.ready);
            self.messages[id].waiting_for += 1;
        }
        self.finish_if_done(id);
    }

    fn answered(&mut self, comet: CometId, id: Id, answer: Answer) {
        let key = self.messages[id].message.delivery.key;
        let place = self.place(comet);
        let endpoint = &mut self.endpoints[place];
        endpoint.mark_ready(place, &mut self.ready);
        let verdict = endpoint.on_answer(endpoint.scheduler.oks_at_start(key), &answer);
        let Endpoint {
            client, scheduler, ..
        } = endpoint;
        let address = client.address();
        let mut called = std::mem::take(&mut self.called);
        called.clear();
        match scheduler.answered(key, verdict, Instant::now(), &mut called) {
            Outcome::Finished => {
                for &id in &called {
                    self.messages[id].taken = true;
                }
            }
            Outcome::Refused => {
                self.messages[id].undeliverable =
                    Some(format!("refused by Comet {address}: {}", said(&answer)));
            }
            Outcome::GivenUp(tries) => {
                self.messages[id].undeliverable = Some(format!(
                    "failed {tries} times at Comet {address} while it answered others: {}",
                    said(&answer)
                ));
            }
            Outcome::Again => {
                let messages = &mut self.messages;
                // What isn't tried again leaves its KeyQueue; the others stay there.
                called.retain(|&id| messages[id].forgotten);
                if !called.is_empty() {
                    scheduler.take(|id| called.contains(&id));
                }
                for &id in &called {
                    messages[id].dropped = true;
                }
            }
        }
        for &id in &called {
            self.done_with(id);
        }
        self.called = called;
    }

    fn drop_queued(&mut self, which: impl Fn(&Pending) -> bool) {
        let mut touched = Vec::new();
        for (n, endpoint) in self.endpoints.iter_mut().enumerate() {
            touched.extend(endpoint.scheduler.take(|id| which(&self.messages[id])));
            // Messages behind them may be sent now.
            endpoint.mark_ready(n, &mut self.ready);
        }
        for id in touched {
            self.messages[id].dropped = true;
            self.done_with(id);
        }
    }

    /// Notes that one Comet is done with the message.
    fn done_with(&mut self, id: Id) {
        self.messages[id].waiting_for -= 1;
        self.finish_if_done(id);
    }

    fn finish_if_done(&mut self, id: Id) {
        if self.messages[id].waiting_for > 0 {
            return;
        }
        let pending = self.messages.remove(id);
        let completion = match (pending.undeliverable, pending.skipped) {
            _ if pending.dropped => Completion::Released,
            (Some(why), _) => Completion::Undeliverable(why),
            (None, Some(comet)) if !pending.taken => Completion::Skipped(format!(
                "no Comet took it: it passed by Comet {}, which is left out",
                self.endpoints[self.place(comet)].client.address()
            )),
            (None, _) => Completion::Delivered,
        };
        self.settle(&pending.message, completion);
    }

    fn settle(&mut self, message: &Message, completion: Completion) {
        self.settled.push(Settled {
            record: message.record,
            bytes: message.bytes,
            completion,
        });
    }

    fn report(&mut self) {
        if !self.settled.is_empty() {
            let _ = self
                .group
                .send(group::Event::Settled(std::mem::take(&mut self.settled)));
        }
    }
}
