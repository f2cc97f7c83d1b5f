//! A worker's core without its thread, and a clock that the test moves on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::super::effects::{Effects, Said};
use super::super::super::endpoint_stats::Fleet;
use super::super::super::scheduler::Id;
use super::super::Core;
use crate::message::call::{Call, Delivery, Frame, OrderingKey, Target};
use crate::message::coordinates::Coordinates;
use crate::message::fleet::Node;
use crate::message::worker::Event;
use crate::message::{
    Answer, Assignment, CometId, Message, PartitionId, RecordId, Settled, Status,
};
use crate::settings::Window;

pub const OURS: Assignment = Assignment {
    partition: PartitionId::of_first(3),
    epoch: 1,
};

/// What the core wanted done. Messages are named by their offsets.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    Called {
        comet: u32,
        offset: i64,
        doublings: u32,
    },
    Probed(u32),
    Settled(i64, String),
    Acked(Assignment),
    Joined(u32, String),
    /// And how much waited for it.
    Left(u32, usize),
    Away(u32),
    Detached(u32),
    Answers(u32),
    /// Where it was queued, and where a call is under way.
    Skipped(i64, Vec<u32>, Vec<u32>),
    Said(u32, String),
}

/// Notes what is done. Nothing is: the test answers calls as it likes.
#[derive(Default)]
pub struct Recorder {
    pub done: Vec<Done>,
    pub calls: Vec<(CometId, Id, i64)>,
    pub probes: Vec<CometId>,
    /// Whom the calls to users were for, in their order.
    pub users: Vec<String>,
    /// Of each call that tells which records it carries: their offsets, the attempt and the trace's parent.
    pub told: Vec<(Vec<i64>, u32, Option<String>)>,
}

impl Effects for Recorder {
    fn call(&mut self, comet: CometId, id: Id, call: &Call, doublings: u32, _now: Instant) {
        let body = call.clone().body_mut().clone();
        // Of several that were merged, the last one's.
        let last = body.len() - size_of::<i64>();
        let offset = i64::from_be_bytes(body[last..].try_into().expect("an offset"));
        if let Call::PushMsg { keys, .. } = call {
            self.users.push(keys.join(","));
        }
        self.calls.push((comet, id, offset));
        self.done.push(Done::Called {
            comet: comet.0,
            offset,
            doublings,
        });
    }

    fn tells(&mut self, coordinates: &Coordinates<'_>) {
        let offsets = coordinates.records.iter().map(|record| record.offset);
        let trace = coordinates.trace.as_ref().map(|trace| trace.parent.clone());
        self.told
            .push((offsets.collect(), coordinates.attempt, trace));
    }

    fn probe(&mut self, comet: CometId) {
        self.probes.push(comet);
        self.done.push(Done::Probed(comet.0));
    }

    fn settled(&mut self, settled: Settled) {
        let offset = settled.record.offset;
        self.done
            .push(Done::Settled(offset, format!("{:?}", settled.completion)));
    }

    fn revoke_ack(&mut self, assignment: Assignment) {
        self.done.push(Done::Acked(assignment));
    }

    fn joined(&mut self, comet: CometId, node: &Node) {
        self.done.push(Done::Joined(comet.0, node.name.clone()));
    }

    fn left(&mut self, comet: CometId, unsent: usize) {
        self.done.push(Done::Left(comet.0, unsent));
    }

    fn away(&mut self, comet: CometId) {
        self.done.push(Done::Away(comet.0));
    }

    fn detached(&mut self, comet: CometId) {
        self.done.push(Done::Detached(comet.0));
    }

    fn answers(&mut self, comet: CometId) {
        self.done.push(Done::Answers(comet.0));
    }

    fn skipped(&mut self, record: RecordId, queued: Vec<CometId>, in_flight: Vec<CometId>) {
        let [queued, in_flight] =
            [queued, in_flight].map(|comets| comets.iter().map(|comet| comet.0).collect());
        self.done
            .push(Done::Skipped(record.offset, queued, in_flight));
    }

    fn say(&mut self, comet: CometId, said: Said<'_>) {
        self.done.push(Done::Said(comet.0, format!("{said:?}")));
    }
}

/// A worker without a thread: time goes on as far as the test says.
pub struct Sim {
    pub core: Core,
    pub start: Instant,
    pub now: Instant,
    pub recorder: Recorder,
    /// All that was done, and when since the start.
    pub trace: Vec<(Duration, Done)>,
}

impl Sim {
    pub fn new(comets: usize, window: usize) -> Self {
        let start = Instant::now();
        let fleet = Arc::new(Fleet::new(start));
        let rng = fastrand::Rng::with_seed(7);
        let mut core = Core::new(fleet, Window::Calls(window), None, rng);
        let mut recorder = Recorder::default();
        for n in 0..comets as u32 {
            core.join(CometId(n), node(n), start, &mut recorder);
        }
        recorder.done.clear();
        Self {
            core,
            start,
            now: start,
            recorder,
            trace: Vec::new(),
        }
    }

    /// Tells the core of an event, as one loop of the worker does. Returns what was done then.
    pub fn tell(&mut self, event: Event) -> Vec<Done> {
        self.core.step(event, self.now, &mut self.recorder);
        self.drive()
    }

    pub fn drive(&mut self) -> Vec<Done> {
        let (core, now) = (&mut self.core, self.now);
        core.wake(now);
        while let Some(comet) = core.next_ready() {
            core.drive(comet, now, &mut self.recorder);
            while core.start_calls(comet, 2, now, &mut self.recorder) {}
            core.rest(comet, None, now);
        }
        let done = std::mem::take(&mut self.recorder.done);
        let since = now - self.start;
        self.trace
            .extend(done.iter().map(|done| (since, done.clone())));
        done
    }

    pub fn answer(&mut self, comet: u32, offset: i64, answer: Answer) -> Vec<Done> {
        let calls = &mut self.recorder.calls;
        let call = calls
            .iter()
            .position(|call| call.0 == CometId(comet) && call.2 == offset);
        let (comet, id, _) = calls.swap_remove(call.expect("such a call is in flight"));
        self.tell(Event::Answered { comet, id, answer })
    }

    /// Lets time go on to `end`. Whatever is in flight is answered at once, by each Comet as `answers` says.
    pub fn run_until(&mut self, end: Instant, answers: impl Fn(u32) -> Answer) {
        loop {
            if let Some(&(comet, _, offset)) = self.recorder.calls.first() {
                self.answer(comet.0, offset, answers(comet.0));
            } else if let Some(comet) = self.recorder.probes.pop() {
                let answer = answers(comet.0);
                self.tell(Event::Probed { comet, answer });
            } else {
                let next = self.core.wake_at().filter(|at| *at < end);
                self.now = next.map_or(end, |at| at.max(self.now + Duration::from_millis(1)));
                self.drive();
                if next.is_none() {
                    return;
                }
            }
        }
    }

    /// Lets time go on until something is called; probes hang meanwhile. Returns how long that took.
    pub fn run_to_call(&mut self) -> Duration {
        let before = self.now;
        while self.recorder.calls.is_empty() {
            self.now = self.core.wake_at().expect("something waits");
            self.drive();
        }
        self.now - before
    }

    /// The offsets that were settled and how, in offset order.
    pub fn settled(&self) -> Vec<(i64, &str)> {
        let settled = self.trace.iter().filter_map(|(_, done)| match done {
            Done::Settled(offset, completion) => Some((*offset, completion.as_str())),
            _ => None,
        });
        let mut settled: Vec<_> = settled.collect();
        settled.sort_unstable();
        settled
    }

    /// When such a thing was done first.
    pub fn when(&self, is_it: impl Fn(&Done) -> bool) -> Option<Duration> {
        let first = self.trace.iter().find(|(_, done)| is_it(done));
        first.map(|(at, _)| *at)
    }
}

pub fn node(comet: u32) -> Node {
    format!("comet-{comet}:1").into()
}

pub fn message(key: u64, offset: i64, target: Target) -> Message {
    let body = Bytes::copy_from_slice(&offset.to_be_bytes());
    Message {
        timestamp: -1,
        record: RecordId {
            assignment: OURS,
            offset,
        },
        bytes: body.len(),
        trace: None,
        without: None,
        again: false,
        delivery: Delivery {
            key: OrderingKey(key),
            target,
            call: Call::BroadcastRoom {
                room: key.to_string(),
                frame: Frame::new(4, body),
            },
        },
    }
}

/// A message of each key, the offsets count from `first`.
pub fn messages(first: i64, keys: &[u64]) -> Event {
    let message = |(offset, key): (i64, &u64)| message(*key, offset, Target::All);
    Event::Messages((first..).zip(keys).map(message).collect())
}

pub fn failed(code: i32) -> Answer {
    Err(Status::new(code, "no"))
}

pub fn called(comet: u32, offset: i64) -> Done {
    Done::Called {
        comet,
        offset,
        doublings: 0,
    }
}

pub fn delivered(offset: i64) -> Done {
    Done::Settled(offset, "Delivered".into())
}

pub fn released(offset: i64) -> Done {
    Done::Settled(offset, "Released".into())
}
