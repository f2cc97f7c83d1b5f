//! Does what the core wants done: calls over connections, reports to the group, lines in the log.

mod again;
mod told;
mod wall;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::effects::{Effects, Figure, Said};
use super::scheduler::Id;
use crate::comet::caller::{Caller, Ended, Tell};
use crate::comet::{self, Directory, Known};
use crate::figures::{CometFigures, Figures, Seen, WorkerFigures};
use crate::message::call::Call;
use crate::message::coordinates::Coordinates;
use crate::message::fleet::Node;
use crate::message::worker::Event;
use crate::message::{Assignment, ByComet, CometId, Message, RecordId, Settled, Status, group};
use told::Told;
use wall::Wall;

/// How a worker's calls are made and counted.
pub struct Calling {
    pub caller: Caller,
    /// Where the Comets are.
    pub directory: Arc<Directory>,
    /// Answers that come on other threads go here.
    pub own: Sender<Event>,
    pub figures: Arc<Figures>,
    /// Which of the workers this is.
    pub number: usize,
}

/// Counts what ended. The event is what the worker's core is to hear.
fn counted(ended: Ended, figures: &Figures, of: &CometFigures) -> Event {
    match ended {
        Ended::Call {
            comet,
            id,
            method,
            took,
            answer,
        } => {
            of.ends(method, took, &answer);
            if let Err(status) = &answer {
                let name = &*figures.comets.name(comet);
                log::debug!(
                    comet = name, method = method.name(), status = status.code, latency_ms = took.as_secs_f64() * 1e3;
                    "{} at Comet {name} failed after {took:.1?}: {}",
                    method.name(),
                    comet::said(status)
                );
            }
            if answer.is_ok() {
                figures.answered();
            }
            Event::Answered { comet, id, answer }
        }
        Ended::Probe { comet, answer } => Event::Probed { comet, answer },
        // Workers don't ask for it. It says that the Comet is there.
        Ended::Rooms { comet, reply, .. } => Event::Probed {
            comet,
            answer: reply.map(drop),
        },
    }
}

/// A Comet that this worker calls.
struct Called {
    known: Known,
    figures: Arc<CometFigures>,
}

pub struct Shell {
    group: Sender<group::Event>,
    calling: Calling,
    comets: ByComet<Called>,
    settled: Vec<Settled>,
    /// How many messages the next call carries.
    carries: usize,
    /// What the next call tells of its records, if anything.
    tells: Option<Told>,
    /// When the event came that is being handled.
    now: Instant,
    wall: Wall,
}

impl Shell {
    pub fn new(group: Sender<group::Event>, calling: Calling, now: Instant) -> Self {
        Self {
            group,
            calling,
            comets: ByComet::default(),
            settled: Vec::new(),
            carries: 1,
            tells: None,
            now,
            wall: Wall::new(now),
        }
    }

    pub fn caller(&mut self) -> &mut Caller {
        &mut self.calling.caller
    }

    /// The worker sees a Comet so.
    pub fn sees(&self, comet: CometId, seen: Seen) {
        if let Some(called) = self.comets.get(comet) {
            called.figures.sees(seen);
        }
    }

    /// An event is handled now.
    pub fn handles(&mut self, now: Instant) {
        self.now = now;
    }

    /// This worker's figures.
    pub fn figures(&self) -> &WorkerFigures {
        &self.calling.figures.workers[self.calling.number]
    }

    /// What ended in the worker's own hands, if it has any.
    pub fn next_ended(&mut self, now: Instant) -> Option<Event> {
        let Caller::Lean(direct) = &mut self.calling.caller else {
            return None;
        };
        loop {
            let ended = direct.next_ended(now)?;
            // A probe of one that left may come back later.
            if let Some(called) = self.comets.get(ended.comet()) {
                return Some(counted(ended, &self.calling.figures, &called.figures));
            }
        }
    }

    /// Tells the group what was settled.
    pub fn report(&mut self) {
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            let _ = self.group.send(group::Event::Settled(settled));
        }
    }
}

impl Effects for Shell {
    fn call(&mut self, comet: CometId, id: Id, call: &Call, doublings: u32, now: Instant) {
        if let Some(called) = self.comets.get(comet) {
            called.figures.starts();
        }
        self.figures().carries(self.carries);
        let caller = &mut self.calling.caller;
        let told = self.tells.take();
        let along = told.as_ref().map_or_else(Vec::new, Told::fields);
        caller.call(comet, id, call, doublings, now, &along);
    }

    fn tells(&mut self, coordinates: &Coordinates<'_>) {
        self.tells = Some(Told::new(coordinates));
    }

    fn probe(&mut self, comet: CometId) {
        self.calling.caller.probe(comet, self.now);
    }

    fn settled(&mut self, settled: Settled) {
        self.settled.push(settled);
    }

    fn revoke_ack(&mut self, assignment: Assignment) {
        // The group has to know what was given back before it hears the answer.
        self.report();
        let _ = self.group.send(group::Event::RevokeAck(assignment));
    }

    fn joined(&mut self, comet: CometId, _: &Node) {
        let Some(known) = self.calling.directory.get(comet) else {
            return;
        };
        let before = self.comets.get(comet);
        if before.is_some_and(|before| Arc::ptr_eq(&before.known.location, &known.location)) {
            return;
        }
        let figures = self.figures().of(comet);
        let (own, all) = (self.calling.own.clone(), self.calling.figures.clone());
        let of = figures.clone();
        let tell: Tell = Arc::new(move |ended| {
            let _ = own.send(counted(ended, &all, &of));
        });
        let location = known.location.clone();
        self.calling.caller.join(comet, location, tell);
        self.comets.insert(comet, Called { known, figures });
    }

    fn left(&mut self, comet: CometId, unsent: usize) {
        self.calling.caller.leave(comet);
        self.comets.remove(comet);
        // The group has to know what was settled before it hears that this was all.
        self.report();
        let _ = self.group.send(group::Event::CometLeft { comet, unsent });
    }

    fn away(&mut self, comet: CometId) {
        let _ = self.group.send(group::Event::Away(comet));
    }

    fn detached(&mut self, comet: CometId) {
        // The group has to know what the Comet lacks before it hears the answer.
        self.report();
        let _ = self.group.send(group::Event::Detached(comet));
    }

    fn answers(&mut self, comet: CometId) {
        let _ = self.group.send(group::Event::Answers(comet));
    }

    fn skipped(&mut self, record: RecordId, queued: Vec<CometId>, in_flight: Vec<CometId>) {
        let _ = self.group.send(group::Event::Skipped {
            record,
            queued,
            in_flight,
        });
    }

    fn say(&mut self, comet: CometId, said: Said<'_>) {
        if let Some(called) = self.comets.get(comet) {
            say(&called.known, said);
        }
    }

    fn again(&mut self, comet: CometId, status: &Status, message: &Message, tries: u32) {
        let Some(called) = self.comets.get(comet) else {
            return;
        };
        called.figures.tries_again(status.code);
        again::note(
            &self.calling.figures,
            (comet, &called.known.location.node().name),
            status,
            (message, tries),
            self.now,
        );
    }

    fn count(&mut self, figure: Figure) {
        match figure {
            Figure::Carries(messages) => self.carries = messages,
            Figure::Dropped { comet } => {
                if let Some(called) = self.comets.get(comet) {
                    called.figures.drops();
                }
            }
            Figure::Delivered { timestamp } => {
                let age = self.wall.age(timestamp.unsigned_abs(), self.now);
                match timestamp {
                    0.. => self.figures().delivered(age),
                    // Of others not even that is known.
                    ..-1 => self.figures().delivered_since_read(age),
                    -1 => {}
                }
            }
        }
    }
}

fn say(known: &Known, said: Said<'_>) {
    let node = known.location.node();
    let comet = &node.name;
    match said {
        Said::Failed { status, detached } => known.failures.failed(node, status, detached),
        Said::Dropped { status, key } => known.failures.dropped(comet, key, status),
        Said::RefusesAll(status) => log::error!(
            comet, status = comet::said(status);
            "Comet {comet} refuses message after message: going on with one a second until it takes one. \
             Last answer: {}",
            comet::said(status)
        ),
        Said::Crashes(record) => log::error!(
            comet, topic = record.assignment.partition.topic_name(), partition = record.assignment.partition.index, offset = record.offset;
            "partition {}, offset {}: the connection to Comet {comet} broke each time that this message was tried alone. It seems \
             to crash that Comet, and becomes a dead letter",
            record.assignment.partition,
            record.offset
        ),
        Said::Returned(after) => log::info!(
            comet;
            "Comet {comet} answers again after {:.1} s",
            after.as_secs_f64()
        ),
    }
}
