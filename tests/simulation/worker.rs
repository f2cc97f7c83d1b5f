//! A job's worker threads. They decide nothing.

use std::time::{Duration, Instant};

use super::comet::{BROKE, Call, UNAVAILABLE};
use super::job::Thread;
use super::judge::{Begun, Place};
use super::kafka::Member;
use super::tries::Connection;
use super::world::{What, World};
use crate::message::call::Call as Wanted;
use crate::message::fleet::Node;
use crate::message::group::Event;
use crate::message::worker::Event as Told;
use crate::message::{
    Answer, Assignment, Cause, CometId, Completion, PartitionId, RecordId, Settled, Status, TopicId,
};
use crate::worker::effects::{Effects, Said};
/// A Comet that hangs leaves a probe unanswered for this long.
const PROBE: Duration = Duration::from_secs(3);

/// What a worker wants done.
#[derive(Default)]
struct Outbox {
    calls: Vec<(CometId, usize, Place, u32)>,
    probes: Vec<CometId>,
    settled: Vec<Settled>,
    events: Vec<Event>,
    said: Vec<String>,
}

impl Outbox {
    fn report(&mut self) {
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            self.events.push(Event::Settled(settled));
        }
    }
}

impl Effects for Outbox {
    fn call(&mut self, comet: CometId, id: usize, call: &Wanted, doublings: u32, _now: Instant) {
        let body = call.clone().body_mut().clone();
        let text = std::str::from_utf8(&body).expect("a place");
        let mut words = text.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok());
        let mut number = || number().expect("a place");
        let topic = TopicId(number() as u16);
        let index = number() as i32;
        let place = (PartitionId { topic, index }, number());
        self.calls.push((comet, id, place, doublings));
    }
    fn probe(&mut self, comet: CometId) {
        self.probes.push(comet);
    }
    fn settled(&mut self, settled: Settled) {
        self.settled.push(settled);
    }
    fn revoke_ack(&mut self, assignment: Assignment) {
        self.report();
        self.events.push(Event::RevokeAck(assignment));
    }
    fn joined(&mut self, comet: CometId, node: &Node) {
        self.said.push(format!("{comet:?} joins: {node}"));
    }
    fn left(&mut self, comet: CometId, unsent: usize) {
        self.report();
        self.events.push(Event::CometLeft { comet, unsent });
    }
    fn away(&mut self, comet: CometId) {
        self.events.push(Event::Away(comet));
    }
    fn detached(&mut self, comet: CometId) {
        self.report();
        self.events.push(Event::Detached(comet));
    }
    fn answers(&mut self, comet: CometId) {
        self.events.push(Event::Answers(comet));
    }
    fn skipped(&mut self, record: RecordId, queued: Vec<CometId>, in_flight: Vec<CometId>) {
        self.report();
        self.events.push(Event::Skipped {
            record,
            queued,
            in_flight,
        });
    }
    fn say(&mut self, comet: CometId, said: Said<'_>) {
        self.said.push(format!("Comet {}: {said:?}", comet.0));
    }
}

impl World<'_> {
    pub fn tell_worker(&mut self, member: Member, n: usize, event: Told) {
        if let Some(cores) = self.cores(member) {
            cores.inboxes[n].push_back(event);
            self.poke(member, Thread::Worker(n));
        }
    }

    pub fn run_worker(&mut self, member: Member, n: usize) {
        let now = self.instant();
        let Some(cores) = self.cores(member) else {
            return;
        };
        let mut outbox = Outbox::default();
        let worker = &mut cores.workers[n];
        while let Some(event) = cores.inboxes[n].pop_front() {
            worker.step(event, now, &mut outbox);
        }
        worker.wake(now);
        while let Some(comet) = worker.next_ready() {
            worker.drive(comet, now, &mut outbox);
            while worker.start_calls(comet, 64, now, &mut outbox) {}
            worker.rest(comet, None, now);
        }
        outbox.report();
        if let Some(at) = worker.wake_at()
            && cores.timers[n].is_none_or(|timer| timer <= now || at < timer)
        {
            cores.timers[n] = Some(at);
            let wait = at
                .saturating_duration_since(now)
                .max(Duration::from_micros(10));
            self.later(wait, What::Runs(member, Thread::Worker(n)));
        }
        for (comet, id, place, doublings) in outbox.calls {
            self.tell(|| {
                format!(
                    "job {member:?} worker {n} calls Comet {} with {place:?}",
                    comet.0
                )
            });
            let call = Call {
                job: member.0,
                life: member.1,
                worker: n,
                comet: comet.0 as usize,
                id,
                place,
                begun: self.begins((member, n, comet.0 as usize), place),
                waits: true,
            };
            self.call(call, doublings);
        }
        for comet in outbox.probes {
            let comet = comet.0 as usize;
            let (wait, answer) = match self.probed(comet, (member.0, n)) {
                Some(answer) => (self.some_micros(2_000), answer),
                None => (PROBE, Err(4)),
            };
            let worker = n;
            self.later(
                wait,
                What::Probed {
                    member,
                    worker,
                    comet,
                    answer,
                },
            );
        }
        for said in outbox.said {
            self.tell(|| format!("job {member:?} worker {n}: {said}"));
        }
        for event in outbox.events {
            if let Event::Settled(settled) = &event {
                for one in settled {
                    self.tell(|| format!("job {member:?} worker {n}: {one:?}"));
                    if let Completion::Undeliverable { why, at } = &one.completion {
                        let place = (one.record.assignment.partition, one.record.offset);
                        if why.cause == Cause::Skipped {
                            self.judge.gives_up_skipped(self.now, place);
                        } else if why.cause == Cause::CometLeft {
                            self.judge.gives_up_left(self.now, place);
                        } else {
                            self.gives_up((member, n), place, &why.comets, at.is_some());
                        }
                    }
                }
            }
            if let Event::Away(CometId(comet)) = event {
                let holds_few = self.plan.holds_few();
                self.judge
                    .detaches(self.now, member, comet as usize, holds_few);
            }
            self.tell_group(member, event);
        }
    }

    /// What is known when a call begins.
    fn begins(&self, connection: Connection, place: Place) -> Begun {
        let now = self.now;
        let (_, _, comet) = connection;
        Begun {
            at: now,
            is_committed: self.judge.is_committed(comet, place),
            taken: self.judge.tries.taken(connection),
            may_be_late: self.comets[comet].may_lack(self.judge.written_at(place), now),
        }
    }

    /// A worker gives a message up. `again`: it was read again for one Comet.
    fn gives_up(
        &mut self,
        (member, worker): (Member, usize),
        place: Place,
        comets: &[CometId],
        again: bool,
    ) {
        let now = self.now;
        for comet in comets.iter().map(|comet| comet.0 as usize) {
            let is_refused = self.refused_by(place) == Some(comet);
            if is_refused || self.crashing.contains(&place) {
                continue;
            }
            let refused_all = self.comets[comet].refused_until.is_some();
            if !refused_all {
                self.judge
                    .gives_up_failing(now, (member, worker, comet), place);
            }
            // When a message waited for others too, it isn't known when this one gave it up.
            if (again || self.judge.is_for_one(place)) && !refused_all {
                self.judge.gives_up(now, member, comet, place);
            }
        }
    }
}

pub fn status(answer: Result<(), i32>) -> Answer {
    answer.map_err(|code| match code {
        BROKE => Status {
            broke: true,
            ..Status::new(UNAVAILABLE, "Socket closed")
        },
        code => Status::new(code, "made up"),
    })
}
