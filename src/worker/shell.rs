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
use crate::comet::{self, FailureLog};
use crate::figures::{Figures, WorkerFigures};
use crate::message::call::Call;
use crate::message::coordinates::Coordinates;
use crate::message::worker::Event;
use crate::message::{Assignment, CometId, Message, RecordId, Settled, Status, group};
use told::Told;
use wall::Wall;

/// Counts what ended on another thread, and tells the worker of that number.
pub fn tell(own: Sender<Event>, figures: Arc<Figures>, number: usize) -> Tell {
    Arc::new(move |ended| {
        let _ = own.send(counted(ended, &figures, number));
    })
}

/// Counts what ended. The event is what the worker's core is to hear.
fn counted(ended: Ended, figures: &Figures, number: usize) -> Event {
    match ended {
        Ended::Call {
            comet,
            id,
            method,
            took,
            answer,
        } => {
            figures.workers[number].ends(comet, method, took, &answer);
            if let Err(status) = &answer {
                log::debug!(
                    comet = figures.comets[comet.0 as usize], method = method.name(), status = status.code,
                    latency_ms = took.as_secs_f64() * 1e3;
                    "{} at Comet {} failed after {took:.1?}: {}",
                    method.name(),
                    figures.comets[comet.0 as usize],
                    comet::said(status)
                );
            }
            if answer.is_ok() {
                figures.answered(comet);
            }
            Event::Answered { comet, id, answer }
        }
        Ended::Probe { comet, answer } => Event::Probed { comet, answer },
    }
}

pub struct Shell {
    group: Sender<group::Event>,
    pub caller: Caller,
    /// By Comet. All workers' lines about one have it in common.
    comets: Vec<(String, Arc<FailureLog>)>,
    settled: Vec<Settled>,
    figures: Arc<Figures>,
    /// Which of the workers this is.
    number: usize,
    /// How many messages the next call carries.
    carries: usize,
    /// What the next call tells of its records, if anything.
    tells: Option<Told>,
    /// When the event came that is being handled.
    now: Instant,
    wall: Wall,
}

impl Shell {
    /// `failures` are in the order of the Comets' ids. This is the worker of that `number`.
    pub fn new(
        group: Sender<group::Event>,
        caller: Caller,
        failures: &[Arc<FailureLog>],
        (figures, number): (Arc<Figures>, usize),
        now: Instant,
    ) -> Self {
        let comets = caller.addresses().into_iter().zip(failures.to_vec());
        Self {
            comets: comets.collect(),
            group,
            caller,
            settled: Vec::new(),
            figures,
            number,
            carries: 1,
            tells: None,
            now,
            wall: Wall::new(now),
        }
    }

    /// An event is handled now.
    pub fn handles(&mut self, now: Instant) {
        self.now = now;
    }

    /// This worker's figures.
    pub fn figures(&self) -> &WorkerFigures {
        &self.figures.workers[self.number]
    }

    /// What ended in the worker's own hands, if it has any.
    pub fn next_ended(&mut self, now: Instant) -> Option<Event> {
        let Caller::Lean(direct) = &mut self.caller else {
            return None;
        };
        let ended = direct.next_ended(now)?;
        Some(counted(ended, &self.figures, self.number))
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
        self.figures().starts(comet, self.carries);
        match self.tells.take() {
            None => self.caller.call(comet, id, call, doublings, now, &[]),
            Some(told) => told.with(|along| {
                self.caller.call(comet, id, call, doublings, now, along);
            }),
        }
    }

    fn tells(&mut self, coordinates: &Coordinates<'_>) {
        self.tells = Some(Told::new(coordinates));
    }

    fn probe(&mut self, comet: CometId) {
        self.caller.probe(comet, self.now);
    }

    fn settled(&mut self, settled: Settled) {
        self.settled.push(settled);
    }

    fn revoke_ack(&mut self, assignment: Assignment) {
        // The group has to know what was given back before it hears the answer.
        self.report();
        let _ = self.group.send(group::Event::RevokeAck(assignment));
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
        let (address, failures) = &self.comets[comet.0 as usize];
        say(address, failures, said);
    }

    fn again(&mut self, comet: CometId, status: &Status, message: &Message, tries: u32) {
        self.figures().tries_again(comet, status.code);
        again::note(
            &self.figures,
            (comet, &self.comets[comet.0 as usize].0),
            status,
            (message, tries),
            self.now,
        );
    }

    fn count(&mut self, figure: Figure) {
        match figure {
            Figure::Carries(messages) => self.carries = messages,
            Figure::Dropped { comet } => self.figures().drops(comet),
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

fn say(address: &str, failures: &FailureLog, said: Said<'_>) {
    match said {
        Said::Failed { status, detached } => failures.failed(address, status, detached),
        Said::Dropped { status, key } => failures.dropped(address, key, status),
        Said::RefusesAll(status) => log::error!(
            comet = address, status = comet::said(status);
            "Comet {address} refuses message after message: going on with one a second until it takes one. \
             Last answer: {}",
            comet::said(status)
        ),
        Said::Crashes(record) => log::error!(
            comet = address, topic = record.assignment.partition.topic_name(), partition = record.assignment.partition.index, offset = record.offset;
            "partition {}, offset {}: the connection to Comet {address} broke each time that this message was tried alone. It seems \
             to crash that Comet, and becomes a dead letter",
            record.assignment.partition,
            record.offset
        ),
        Said::Returned(after) => log::info!(
            comet = address;
            "Comet {address} answers again after {:.1} s",
            after.as_secs_f64()
        ),
    }
}
