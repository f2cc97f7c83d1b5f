//! A worker: takes the messages of its keys, calls the Comets, and reports what became of each message.

mod attend;
pub mod coalesce;
mod health;
mod lane;
mod link;
mod served;
mod tally;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use slab::Slab;

use crate::base::lease::Lease;
use crate::comet::{Client, FailureLog};
use crate::message::call::Target;
use crate::message::memory::Memory;
use crate::message::worker::Event;
use crate::message::{Answer, Assignment, Completion, Message, Settled, group};
use coalesce::{Coalescer, Shape};
use link::{Id, Outcome};
use served::{Served, said};
pub use tally::{Fleet, Tally};

/// So many events are taken in before calls are started and results reported.
const EVENTS_AT_ONCE: usize = 256;

pub struct Worker {
    events: Receiver<Event>,
    /// For the answers of calls, which come on gRPC's threads.
    own: Sender<Event>,
    group: Sender<group::Event>,
    comets: Vec<Served>,
    /// Comets about which something was heard since they were attended last.
    stirred: Vec<usize>,
    /// When to attend all Comets, though nothing happens until then. May be too early.
    wake_at: Option<Instant>,
    coalescer: Option<Coalescer>,
    messages: Slab<InHand>,
    /// The messages of the call that was answered last.
    called: Vec<Id>,
    /// Assignments that are over: what still comes of them is given back.
    revoked: Vec<Assignment>,
    /// Those of them after which the partition is another's.
    forgotten: Vec<Assignment>,
    /// Assignments of which nothing is sent for now.
    suspended: Vec<Assignment>,
    /// Nothing is sent unless it holds.
    lease: Arc<Lease>,
    /// How many of its lapses this worker was told of.
    lapses: u64,
    settled: Vec<Settled>,
}

/// What a worker needs to deal with one Comet: a channel of its own, and what all workers share.
pub struct Comet {
    pub client: Client,
    pub failures: Arc<FailureLog>,
    pub tally: Arc<Tally>,
}

/// A message that this worker holds.
struct InHand {
    message: Message,
    memory: Memory,
    /// Whether it can go along with others of its room.
    shape: Shape,
    /// Comets that aren't done with it.
    waiting_for: usize,
    /// Whether a Comet may have seen it.
    started: bool,
    /// Whether its partition is another's: it isn't tried again.
    forgotten: bool,
    /// Whether a Comet that should have it didn't get it, for that reason.
    dropped: bool,
    /// Whether a Comet took it.
    taken: bool,
    /// The last Comet that it passed by.
    passed_by: Option<usize>,
    /// Why it can't be delivered somewhere.
    undeliverable: Option<String>,
}

impl InHand {
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
            passed_by: None,
            undeliverable: None,
        }
    }
}

impl Worker {
    /// A worker that calls `comets`, each with `window` calls in flight at most, and with several messages in a call
    /// where there is a coalescer. `fleet` has all Comets, those that only other workers call too. Nothing is sent while
    /// `lease` doesn't hold.
    pub fn new(
        (own, events): (Sender<Event>, Receiver<Event>),
        group: Sender<group::Event>,
        comets: Vec<Comet>,
        fleet: Fleet,
        window: usize,
        coalescer: Option<Coalescer>,
        lease: Arc<Lease>,
    ) -> Self {
        let now = Instant::now();
        let comets = comets
            .into_iter()
            .map(|comet| Served::new(comet, fleet.clone(), window, coalescer.is_some(), now))
            .collect();
        Self {
            events,
            own,
            group,
            comets,
            stirred: Vec::new(),
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

    /// Works until told to stop.
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
            self.attend_comets();
            self.report();
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Messages(messages) => messages
                .into_iter()
                .for_each(|message| self.take_in(message)),
            Event::RoundEnded => {
                for (_, held) in &mut self.messages {
                    held.memory.round_ended(&mut held.message);
                }
            }
            Event::Answered { comet, id, answer } => self.answered(comet, id, answer),
            Event::Probed { comet, answer } => {
                self.comets[comet].note_probe(&answer);
                self.comets[comet].stir(comet, &mut self.stirred);
            }
            Event::Revoke(assignment) => {
                self.resume(assignment);
                self.revoked.push(assignment);
                self.drop_queued(|held| {
                    held.message.record.assignment == assignment && !held.started
                });
                // Lanes were held where another worker had given a message back before.
                self.release();
                // What was given back has to be known before the answer.
                self.report();
                let _ = self.group.send(group::Event::RevokeAck(assignment));
            }
            Event::Suspend(assignment) => self.suspended.push(assignment),
            Event::Resume(assignment) => self.resume(assignment),
            Event::Forget(assignment) => {
                self.resume(assignment);
                self.forgotten.push(assignment);
                for (_, held) in self.messages.iter_mut() {
                    held.forgotten |= held.message.record.assignment == assignment;
                }
                self.drop_queued(|held| held.forgotten);
            }
            Event::Lapsed(lapses) => {
                self.lapses = lapses;
                let now = Instant::now();
                for comet in &mut self.comets {
                    comet.link.health.count_anew(now);
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
        self.release();
    }

    /// Lets held lanes go on. Whose first message may still not be sent is held again when its turn comes.
    fn release(&mut self) {
        for (n, comet) in self.comets.iter_mut().enumerate() {
            comet.link.release();
            comet.stir(n, &mut self.stirred);
        }
    }

    fn take_in(&mut self, message: Message) {
        fail::fail_point!("worker");
        let assignment = message.record.assignment;
        let held = InHand::new(message);
        if self.forgotten.contains(&assignment)
            || self.revoked.contains(&assignment) && !held.started
        {
            self.settle(&held.message, Completion::Released);
            return;
        }
        // A new assignment of a partition ends the memory of earlier ones.
        let is_kept = |one: &Assignment| {
            one.partition != assignment.partition || one.epoch >= assignment.epoch
        };
        self.revoked.retain(is_kept);
        self.forgotten.retain(is_kept);
        let (key, target) = (held.message.delivery.key, held.message.delivery.target);
        let id = self.messages.insert(held);
        for (n, comet) in self.comets.iter_mut().enumerate() {
            if target != Target::All && target != Target::One(n) {
                continue;
            }
            comet.link.push(key, id);
            comet.stir(n, &mut self.stirred);
            self.messages[id].waiting_for += 1;
        }
        self.finish_if_done(id);
    }

    fn answered(&mut self, comet: usize, id: Id, answer: Answer) {
        let key = self.messages[id].message.delivery.key;
        let served = &mut self.comets[comet];
        served.stir(comet, &mut self.stirred);
        let verdict = served.note(served.link.oks_at_start(key), &answer);
        let Served { client, link, .. } = served;
        let address = client.address();
        let mut called = std::mem::take(&mut self.called);
        called.clear();
        match link.answered(key, verdict, Instant::now(), &mut called) {
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
                // What isn't tried again leaves its lane; the others stay there.
                called.retain(|&id| messages[id].forgotten);
                if !called.is_empty() {
                    link.take(|id| called.contains(&id));
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

    fn drop_queued(&mut self, which: impl Fn(&InHand) -> bool) {
        let mut touched = Vec::new();
        for (n, comet) in self.comets.iter_mut().enumerate() {
            touched.extend(comet.link.take(|id| which(&self.messages[id])));
            // What was behind them may be sent.
            comet.stir(n, &mut self.stirred);
        }
        for id in touched {
            self.messages[id].dropped = true;
            self.done_with(id);
        }
    }

    /// One Comet is done with the message.
    fn done_with(&mut self, id: Id) {
        self.messages[id].waiting_for -= 1;
        self.finish_if_done(id);
    }

    fn finish_if_done(&mut self, id: Id) {
        if self.messages[id].waiting_for > 0 {
            return;
        }
        let held = self.messages.remove(id);
        let completion = match (held.undeliverable, held.passed_by) {
            _ if held.dropped => Completion::Released,
            (Some(why), _) => Completion::Undeliverable(why),
            (None, Some(comet)) if !held.taken => Completion::Skipped(format!(
                "no Comet took it: it passed by Comet {}, which is left out",
                self.comets[comet].client.address()
            )),
            (None, _) => Completion::Delivered,
        };
        self.settle(&held.message, completion);
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
