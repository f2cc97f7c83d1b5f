//! What the consumer decides, without a clock, channel, thread, Kafka client or log line: positions, credit, rounds of
//! memory, and where each record goes.
//!
//! [`Core::step`] takes an event and hands its effects to the caller, in the order in which they have to happen. An effect
//! is handed over, not returned: a list of them would cost an allocation for each message.
//!
//! Of the Kafka room the core uses the plain data of `kafka::fetch` alone: [`Batch`], [`Outcome`], `Record`,
//! [`Positions`] and the two waits. They name no type of a Kafka client; a record's value is `bytes::Bytes`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::age::Ages;
use super::catch_up::CatchUp;
use super::homes::Homes;
use super::lags::Lags;
use super::reading::Reading;
use super::route::Router;
use crate::kafka::fetch::{Batch, MAX_WAIT, Outcome, Positions, SHORT_WAIT};
use crate::message::consumer::{Behind, Control};
use crate::message::fleet::Change;
use crate::message::memory::Rounds;
use crate::message::proto::push::PushMsg;
use crate::message::rooms::RoomList;
use crate::message::{CometId, Held, PartitionId, RecordId, WorkerId, group, worker};

/// What the core is told.
pub enum Event<'a> {
    /// A control message, but for `Stop` and `Pause`, which are the thread's.
    Control(Control),
    /// Nothing is read from now on; or reading goes on.
    Pause(bool),
    /// Other limits hold.
    Limits { caps: Held, ages: Ages },
    /// A fetch from `positions` brought these batches. `now` is in milliseconds since 1970.
    Fetched {
        positions: &'a Positions,
        batches: Vec<Batch>,
        now: i64,
    },
    /// A fetch of what Comets miss, from `positions`, brought these batches.
    FetchedAgain {
        positions: &'a Positions,
        batches: Vec<Batch>,
        now: i64,
    },
    /// A Comet has room for what is kept: see [`Core::may_send_kept`]. `now` is in milliseconds since 1970.
    SendKept { now: i64 },
    /// What a Comet told of its rooms; `None`: it no longer counts.
    Rooms(CometId, Option<Arc<RoomList>>),
    /// A fetch failed, or works again after failures. The logs may have changed meanwhile.
    Interrupted,
    /// Some time went by.
    Tick { now: i64 },
}

/// What the core wants done.
pub enum Effect<'a> {
    /// Tell the group what was read. This precedes every event about these records.
    Read(group::Read),
    Group(group::Event),
    Worker(WorkerId, worker::Event),
    Say(Notice<'a>),
    /// So many calls are not made, as the Comets don't have the messages' rooms.
    Spared(usize),
}

/// What the log says.
#[derive(Debug)]
pub enum Notice<'a> {
    /// What a Comet missed of a partition is on its way to it: what is new goes there again, behind that.
    Attached {
        partition: PartitionId,
        comet: &'a str,
    },
    /// A record was decoded.
    Received(&'a PushMsg),
    /// A record is no `PushMsg`. It becomes a dead letter.
    Undecodable { record: RecordId, why: &'a str },
    /// A record names nobody. It becomes a dead letter.
    Unroutable { record: RecordId, why: &'a str },
    /// A room comes from two partitions, so its order is lost. Said once, of one room.
    Scattered {
        room: &'a str,
        partitions: [PartitionId; 2],
    },
    /// Offsets `first` to `last` can't be read and are skipped.
    Unreadable {
        partition: PartitionId,
        first: i64,
        last: i64,
        why: &'a str,
        /// An earlier owner finished them, so they need no dead letter.
        is_known: bool,
    },
}

/// Which partitions are read and from where, and what is held.
pub struct Core {
    pub(super) workers: usize,
    pub(super) router: Router,
    pub(super) partitions: BTreeMap<PartitionId, Reading>,
    pub(super) held: Held,
    caps: Held,
    pub(super) rounds: Rounds,
    pub(super) catch_up: CatchUp,
    pub(super) ages: Ages,
    /// Whether an operator wants nothing read.
    paused: bool,
    /// Whether the workers know that a cap is reached.
    said_full: bool,
    pub(super) homes: Homes,
}

impl Core {
    /// A core without partitions, for `workers` workers. It reads until one of the `caps` is reached. What is too old by `ages`
    /// isn't sent.
    pub fn new(workers: usize, router: Router, caps: Held, ages: Ages) -> Self {
        let comets = router.comets();
        Self {
            workers,
            router,
            partitions: BTreeMap::new(),
            held: Held::default(),
            caps,
            rounds: Rounds::default(),
            catch_up: CatchUp::new(caps, comets),
            ages,
            paused: false,
            said_full: false,
            homes: Homes::new(),
        }
    }

    /// Returns the positions to fetch next, or `None` while no partition is assigned, there is no Comet, a cap is reached or reading
    /// is paused. Only a control message changes that.
    pub fn positions(&self) -> Option<Positions> {
        let nobody = self.router.comets() == 0;
        if self.paused || nobody || self.partitions.is_empty() || self.is_full() {
            return None;
        }
        let positions = self.partitions.iter();
        Some(positions.map(|(p, r)| (*p, r.position)).collect())
    }

    /// Has a room's messages go to the Comets alone that have it.
    pub fn by_rooms(&mut self) {
        self.router.by_rooms();
    }

    /// How long a fetch may wait for new records. What Comets missed is handed on between two fetches.
    pub fn wait(&self) -> Duration {
        match self.catches_up() {
            true => SHORT_WAIT,
            false => MAX_WAIT,
        }
    }

    /// Whether an operator wants nothing read.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Tells the workers when a cap is reached, and when half of it is free.
    fn say_full(&mut self, perform: &mut impl FnMut(Effect<'_>)) {
        let is_full = match self.said_full {
            false => self.is_full(),
            true => self.held.reaches(self.caps.part(2)),
        };
        if std::mem::replace(&mut self.said_full, is_full) != is_full {
            self.tell_workers(|| worker::Event::Full(is_full), perform);
        }
    }

    fn tell_workers(
        &self,
        event: impl Fn() -> worker::Event,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        for worker in (0..self.workers as u32).map(WorkerId) {
            perform(Effect::Worker(worker, event()));
        }
    }

    fn is_full(&self) -> bool {
        self.held.reaches(self.caps)
    }

    /// Takes an event, and calls `perform` with each effect, in order.
    pub fn step(&mut self, event: Event<'_>, perform: &mut impl FnMut(Effect<'_>)) {
        match event {
            Event::Control(control) => self.apply(control, perform),
            Event::Pause(paused) => {
                self.catch_up.forget_kept();
                self.paused = paused;
            }
            Event::Limits { caps, ages } => {
                self.caps = caps;
                self.catch_up.limit(caps, self.router.comets());
                self.ages = ages;
            }
            Event::Fetched {
                positions,
                batches,
                now,
            } => {
                for batch in batches {
                    self.take(batch, positions, now, perform);
                }
                self.end_round(perform);
            }
            Event::FetchedAgain {
                positions,
                batches,
                now,
            } => {
                self.take_again(positions, batches, now, perform);
                self.end_round(perform);
            }
            Event::SendKept { now } => {
                self.send_kept(now, perform);
                self.end_round(perform);
            }
            Event::Rooms(comet, rooms) => self.router.rooms(comet, rooms),
            Event::Interrupted => {
                self.catch_up.forget_kept();
                let reached = self.partitions.values().map(|reading| group::Reached {
                    assignment: reading.assignment,
                    position: reading.position,
                });
                let interrupted = group::Event::Interrupted(reached.collect());
                perform(Effect::Group(interrupted));
            }
            Event::Tick { now } => {
                if let Some(before) = self.ages.oldest(now) {
                    let letter = self.ages.letter();
                    let expire = || worker::Event::Expire {
                        before,
                        letter: letter.clone(),
                    };
                    self.tell_workers(expire, perform);
                }
            }
        }
        self.say_full(perform);
    }

    /// What is held, with what was read again.
    pub fn held(&self) -> Held {
        let mut held = self.held;
        held += self.catch_up.held();
        held
    }

    fn end_round(&mut self, perform: &mut impl FnMut(Effect<'_>)) {
        if self.rounds.end(self.held.bytes + self.catch_up.bytes()) {
            self.tell_workers(|| worker::Event::RoundEnded, perform);
        }
    }

    fn apply(&mut self, control: Control, perform: &mut impl FnMut(Effect<'_>)) {
        if !matches!(control, Control::Credit { .. }) {
            self.catch_up.forget_kept();
        }
        match control {
            Control::Assign {
                assignment,
                position,
                finished,
                behind,
            } => {
                let reading = Reading {
                    assignment,
                    position,
                    finished: finished.into(),
                    behind: Lags::new(behind),
                };
                self.partitions.insert(assignment.partition, reading);
                self.attach(assignment.partition, perform);
            }
            Control::Detach(comet) => {
                self.catch_up.away.insert(comet);
                for reading in self.partitions.values_mut() {
                    reading.behind.detach(comet, reading.position);
                }
                self.tell_workers(|| worker::Event::Detach(comet), perform);
            }
            Control::CatchUp {
                comet,
                missing,
                away,
            } => {
                self.catch_up.away.remove(&comet);
                let is_limited = self.ages.is_limited(away);
                for (assignment, missing) in missing {
                    if let Some(reading) = self.partitions.get_mut(&assignment.partition)
                        && reading.assignment == assignment
                    {
                        reading.behind.put(Behind { comet, missing }, is_limited);
                        self.attach(assignment.partition, perform);
                    }
                }
                self.tell_workers(|| worker::Event::Return(comet), perform);
            }
            Control::Fleet(change) => self.change(change, perform),
            Control::Revoke { partition } => {
                self.partitions.remove(&partition);
            }
            Control::Suspend(assignment) => {
                self.partitions.remove(&assignment.partition);
                perform(Effect::Group(group::Event::Suspended(assignment)));
            }
            Control::Credit {
                messages,
                bytes,
                again,
            } => {
                let less = Held { messages, bytes };
                match again {
                    None => self.held -= less,
                    Some(comet) => self.catch_up.no_longer_holds(comet, less),
                }
            }
            Control::Pause { .. } | Control::Stop => {}
        }
    }

    /// The fleet is another one from the next record on.
    fn change(&mut self, change: Change, perform: &mut impl FnMut(Effect<'_>)) {
        self.router.change(&change);
        if let Change::Leave(comet) = change {
            self.catch_up.away.remove(&comet);
            for reading in self.partitions.values_mut() {
                reading.behind.forget(comet);
            }
        }
        self.catch_up.limit(self.caps, self.router.comets());
        self.tell_workers(|| worker::Event::Fleet(change.clone()), perform);
    }

    /// Whether what a fetch from `positions` brought of a partition is what is to be read next. If the partition went away and
    /// came back during the fetch, it belongs to an earlier assignment. If reading was paused meanwhile, it is fetched once more
    /// later.
    pub fn is_next(&self, partition: PartitionId, positions: &Positions) -> bool {
        let reading = self.partitions.get(&partition).filter(|_| !self.paused);
        reading.is_some_and(|reading| positions.get(&partition) == Some(&reading.position))
    }

    fn take(
        &mut self,
        batch: Batch,
        positions: &Positions,
        now: i64,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        let Batch { partition, outcome } = batch;
        if !self.is_next(partition, positions) {
            return;
        }
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        match outcome {
            Outcome::Records { records, next } => {
                self.dispatch(partition, (records, next), now, perform);
            }
            Outcome::Unreadable {
                last: Some(last),
                why,
            } => self.skip_unreadable(partition, last, &why, perform),
            // Reading on behind it needs its end.
            Outcome::Unreadable { last: None, .. } => {}
            Outcome::OutOfRange => {
                let assignment = reading.assignment;
                self.partitions.remove(&partition);
                perform(Effect::Group(group::Event::Astray(assignment)));
            }
        }
    }

    /// Continues behind unreadable offsets, which become one dead letter.
    fn skip_unreadable(
        &mut self,
        partition: PartitionId,
        last: i64,
        why: &str,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        let position = reading.position;
        // An earlier owner may have finished some of them, or written the letter.
        let open = reading.skip_to(last + 1);
        let is_known = open > last;
        let first = if is_known { position } else { open };
        perform(Effect::Say(Notice::Unreadable {
            partition,
            first,
            last,
            why,
            is_known,
        }));
        let record = RecordId {
            assignment: reading.assignment,
            offset: first,
        };
        perform(Effect::Read(group::Read {
            assignment: record.assignment,
            offsets: vec![first],
            next: last + 1,
            // Nobody gets them.
            behind: Vec::new(),
        }));
        if !is_known {
            self.held.messages += 1;
            let why = format!("offsets {first} to {last} can't be read: {why}");
            let unreadable = group::Event::Unreadable { record, last, why };
            perform(Effect::Group(unreadable));
        }
    }
}

#[cfg(test)]
mod tests;
