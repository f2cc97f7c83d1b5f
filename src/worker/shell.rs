//! Does what the core wants done: calls over connections, reports to the group, lines in the log.

mod wall;

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::effects::{Effects, Figure, Said};
use super::scheduler::Id;
use crate::comet::{self, Client, FailureLog};
use crate::figures::{Figures, WorkerFigures, method_of};
use crate::message::call::Call;
use crate::message::worker::Event;
use crate::message::{Assignment, CometId, RecordId, Settled, group};
use wall::Wall;

/// One Comet's connection of this worker, and what all workers' lines about it have in common.
pub struct Connection {
    pub client: Client,
    pub failures: Arc<FailureLog>,
}

pub struct Shell {
    /// For the answers to calls, which come on gRPC's threads.
    own: Sender<Event>,
    group: Sender<group::Event>,
    connections: Vec<Connection>,
    settled: Vec<Settled>,
    figures: Arc<Figures>,
    /// Which of the workers this is.
    number: usize,
    /// How many messages the next call carries.
    carries: usize,
    /// When the event came that is being handled.
    now: Instant,
    wall: Wall,
}

impl Shell {
    /// `connections` are in the order of the Comets' ids. This is the worker of that `number`.
    pub fn new(
        own: Sender<Event>,
        group: Sender<group::Event>,
        connections: Vec<Connection>,
        (figures, number): (Arc<Figures>, usize),
        now: Instant,
    ) -> Self {
        Self {
            own,
            group,
            connections,
            settled: Vec::new(),
            figures,
            number,
            carries: 1,
            now,
            wall: Wall::new(now),
        }
    }

    pub fn connection(&mut self, comet: CometId) -> &mut Connection {
        &mut self.connections[comet.0 as usize]
    }

    /// An event is handled now.
    pub fn handles(&mut self, now: Instant) {
        self.now = now;
    }

    /// This worker's figures.
    pub fn figures(&self) -> &WorkerFigures {
        &self.figures.workers[self.number]
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
        let (own, figures, number) = (self.own.clone(), self.figures.clone(), self.number);
        self.figures().starts(comet, self.carries);
        let method = method_of(call);
        let client = &mut self.connection(comet).client;
        client.call(call, doublings, now, move |answer| {
            figures.workers[number].ends(comet, method, now.elapsed(), &answer);
            if answer.is_ok() {
                figures.answered(comet);
            }
            let _ = own.send(Event::Answered { comet, id, answer });
        });
    }

    fn probe(&mut self, comet: CometId) {
        let own = self.own.clone();
        self.connection(comet).client.probe(move |answer| {
            let _ = own.send(Event::Probed { comet, answer });
        });
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
        let Connection { client, failures } = self.connection(comet);
        say(client.address(), failures, said);
    }

    fn count(&mut self, figure: Figure) {
        match figure {
            Figure::Carries(messages) => self.carries = messages,
            Figure::Again { comet, code } => self.figures().tries_again(comet, code),
            Figure::Delivered { timestamp } => {
                if let Some(age) = self.wall.age(timestamp, self.now) {
                    self.figures().delivered(age);
                }
            }
        }
    }
}

fn say(address: &str, failures: &FailureLog, said: Said<'_>) {
    match said {
        Said::Failed { status, detached } => failures.failed(address, status, detached),
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
