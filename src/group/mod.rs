//! The owner of what this process has of the consumer group: partitions, their ledgers, commits, revocations.
//!
//! [`Group`] is the core: it takes an event and the time, and returns what there is to do. It knows no clock, channel,
//! thread or log. [`run`] is the shell around it: one thread, one queue of events. Kafka's part (joining, heartbeats,
//! sending commits) is `kafka::membership`'s, which decides nothing about offsets.

mod account;
mod begin;
mod catch_up;
mod comets;
mod commit;
mod debug;
pub(crate) mod effect;
mod fleet;
mod identity;
pub mod ledger;
mod look;
mod lost;
pub(crate) mod notice;
mod partition;
mod revoke;
mod settle;
mod shell;
mod skip;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::vec::Drain;

use crate::base::backoff::Outage;
use crate::base::lease::Lapse;
use crate::message::consumer::Control;
use crate::message::fleet::Node;
use crate::message::group::{Event, Read, Written};
use crate::message::membership::Command;
use crate::message::{Assignment, Cause, Held, PartitionId, Reason, RecordId, offset_map};
use comets::Comets;
pub use commit::COMMIT_EVERY;
use commit::{SAY_FIRST, SAY_LAST};
use effect::{Effect, Effects, Order, RequestId};
use look::Looks;
pub use lost::GRACE;
use partition::{Partition, Phase};
use revoke::Revocation;
pub use shell::{Channels, run};
use skip::Asked;

/// Of the time for a stop, this much is kept for the last commit and for leaving the group.
pub const LEAVING: Duration = Duration::from_millis(1500);

/// What was done, for the last line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub delivered: u64,
    pub dead_letters: u64,
    /// Not sent to a Comet, or to none, since they were too old.
    pub too_old: u64,
    /// Read, and left to be read again: by another member, or after a restart.
    pub given_back: u64,
    /// Messages that were not settled when time was up.
    pub unfinished: u64,
}

/// What the core is stepped with.
pub(crate) enum Input {
    /// What another thread tells. Not what is a request, nor the membership's end: these are the shell's.
    Told(Event),
    /// Kafka wants partitions back, and waits for [`Effect::Reply`].
    Revoked {
        request: RequestId,
        partitions: Vec<PartitionId>,
    },
    /// krafka lost partitions. The reply says what was finished of them, for the parting commit.
    Lost {
        request: RequestId,
        partitions: Vec<PartitionId>,
    },
    /// An operator doesn't want a record sent, and waits for [`Effect::Skipped`].
    Skip {
        request: RequestId,
        partition: PartitionId,
        offset: i64,
        uid: u32,
    },
    /// Other bounds hold for a stop, and for each revocation that begins.
    ShutdownWithin(Duration),
    /// Comes every [`COMMIT_EVERY`]; `lapse` where this process did not run for so long that the lease ran out.
    Tick { lapse: Option<Lapse> },
    /// This process is to end.
    Stop,
    /// The time of [`Group::wake_at`] is reached.
    Due,
}

pub(crate) struct Group {
    /// How many workers there are. Each answers each revocation.
    workers: usize,
    /// Limit for a revocation.
    timeout: Duration,
    partitions: BTreeMap<PartitionId, Partition>,
    /// Partitions that krafka lost and that were given up, and when. Where one comes back after all, what was finished
    /// and not committed isn't sent again.
    lost: BTreeMap<PartitionId, (Instant, Partition)>,
    revocations: Vec<Revocation>,
    /// What the workers were told to skip, and have not all answered yet.
    skips: Vec<Asked>,
    /// When lost partitions that are not back by then are given up.
    grace_until: Option<Instant>,
    /// Counts the assignments of any partition.
    epochs: u64,
    commit_in_flight: bool,
    /// Whether the commit in flight began before this process did not run for a while. Its answer doesn't say how things
    /// are now.
    commit_is_older: bool,
    commit_outage: Outage,
    looks: Looks,
    comets: Comets,
    /// Limit for the offset map that goes along with a commit, in bytes.
    map_len: usize,
    /// How many partitions Kafka gave this process as a member. `None` where it isn't one, as far as is known.
    joined: Option<usize>,
    /// How many members the group had, and the topic partitions, when that was last known.
    size: Option<[usize; 2]>,
    /// Whether this process is to end.
    stopping: bool,
    /// Messages finished since the last commit began.
    uncommitted: u64,
    /// Messages skipped as too old, and not said yet.
    too_old: u64,
    /// Of dead letters, the same.
    too_old_letters: u64,
    /// What Comets missed and don't get, since it is too old, or was deleted.
    missed_too_old: u64,
    missed_deleted: u64,
    /// What waited for Comets that left.
    comet_left: u64,
    counts: Counts,
    effects: Effects,
}

/// The next assignment of a partition. `epochs` counts the assignments of any.
fn next_assignment(epochs: &mut u64, partition: PartitionId) -> Assignment {
    *epochs += 1;
    Assignment {
        partition,
        epoch: *epochs,
    }
}

/// What a revocation may take of the time for a stop.
fn revocation_timeout(shutdown_timeout: Duration) -> Duration {
    shutdown_timeout
        .saturating_sub(LEAVING)
        .max(shutdown_timeout / 2)
}

impl Group {
    /// `comets` are in the fleet at first, with ids from 0 on. `shutdown_timeout` bounds a stop, and with it each revocation.
    pub(crate) fn new(workers: usize, comets: Vec<Node>, shutdown_timeout: Duration) -> Self {
        let comets = Comets::new(comets);
        Self {
            workers,
            timeout: revocation_timeout(shutdown_timeout),
            partitions: BTreeMap::new(),
            lost: BTreeMap::new(),
            revocations: Vec::new(),
            skips: Vec::new(),
            grace_until: None,
            epochs: 0,
            commit_in_flight: false,
            commit_is_older: false,
            commit_outage: Outage::new(SAY_FIRST, SAY_LAST),
            looks: Looks::new(),
            comets,
            map_len: offset_map::MAX_LEN,
            joined: None,
            size: None,
            stopping: false,
            uncommitted: 0,
            too_old: 0,
            too_old_letters: 0,
            missed_too_old: 0,
            missed_deleted: 0,
            comet_left: 0,
            counts: Counts::default(),
            effects: Effects::default(),
        }
    }

    /// Notes what the consumer read. This has to come before what became of it.
    pub(crate) fn read(&mut self, read: Read) {
        let Read {
            assignment,
            offsets,
            next,
            mut behind,
        } = read;
        behind.retain(|comet| self.comets.member(*comet).is_some());
        if let Some(owned) = self.owned(assignment) {
            owned.ledger.read(offsets, next, &behind);
        }
    }

    /// Takes in what happened, and returns what follows, in the order in which it is to be done.
    pub(crate) fn step(&mut self, input: Input, now: Instant) -> Drain<'_, Effect> {
        match input {
            Input::Told(event) => self.handle(event, now),
            Input::Revoked {
                request,
                partitions,
            } => self.revoke(request, partitions, now),
            Input::Lost {
                request,
                partitions,
            } => {
                self.joined = None;
                self.lose(request, partitions, now);
            }
            Input::Skip {
                request,
                partition,
                offset,
                uid,
            } => self.skip(request, (partition, offset), uid),
            Input::ShutdownWithin(timeout) => self.timeout = revocation_timeout(timeout),
            Input::Tick { lapse } => {
                if let Some(lapse) = lapse {
                    self.was_halted(lapse, now);
                }
                self.commit();
                self.look(now);
                self.say_caught_up(now);
                self.say_too_old();
            }
            Input::Stop => {
                self.stopping = true;
                self.say_missing();
                self.effects.push(Effect::Membership(Command::Leave));
            }
            Input::Due => {}
        }
        self.settle_revocations(now);
        self.end_grace(now);
        self.effects.drain()
    }

    /// When the next step is due, whatever happens until then; `None`: with the next tick.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let deadlines = self
            .revocations
            .iter()
            .map(|revocation| revocation.deadline);
        deadlines.chain(self.grace_until).min()
    }

    /// Ends it. What is still in hand is unfinished.
    fn finish(self) -> Counts {
        let pending = self.partitions.values().map(|p| p.ledger.pending() as u64);
        Counts {
            unfinished: self.counts.unfinished + pending.sum::<u64>(),
            ..self.counts
        }
    }

    fn handle(&mut self, event: Event, now: Instant) {
        match event {
            Event::Assigned {
                partition,
                position,
                metadata,
                leader_epoch,
                standing,
            } => {
                if !self.is_back(partition, position, &metadata, now) {
                    self.assign(partition, (position, metadata), leader_epoch, standing, now);
                }
            }
            Event::Joined { partitions } => self.joined = Some(partitions),
            Event::Stable {
                members,
                partitions,
            } => self.size = Some([members, partitions]),
            Event::PartingCommit(commits) => self.note_committed(commits),
            Event::Suspended(assignment) => self.is_suspended(assignment),
            Event::Astray(assignment) => self.is_astray(assignment, now),
            Event::Interrupted(reached) => self.interrupted(reached, now),
            Event::Looked(answer) => self.looked(answer),
            Event::Settled(settled) => self.settle(settled),
            Event::Unreadable { record, last, why } => {
                if self.owner(record).is_some() {
                    let why = Reason::new(Cause::Unreadable, why);
                    self.write_letter(record, (0, None), why, Some(last));
                } else {
                    self.credit(
                        Held {
                            messages: 1,
                            bytes: 0,
                        },
                        None,
                    );
                }
            }
            Event::Written(letters) => {
                self.counts.dead_letters += letters.len() as u64;
                for Written { record, bytes, at } in letters {
                    self.credit(Held { messages: 1, bytes }, at);
                    match at {
                        None => self.finished(record),
                        Some(comet) => {
                            if let Some(ledger) = self.ledger_of(record) {
                                ledger.took(comet, record.offset);
                            }
                        }
                    }
                }
            }
            Event::Away(comet) => self.is_away(comet, now),
            Event::Detached(comet) => self.is_detached(comet),
            Event::Answers(comet) => self.answers(comet, now),
            Event::Fleet(change) => self.change(change),
            Event::CometLeft { comet, unsent } => self.is_left(comet, unsent),
            Event::ReadAgain(read) => self.read_again(read),
            Event::AgainAstray(assignment) => self.is_again_astray(assignment, now),
            Event::Skipped {
                record,
                queued,
                in_flight,
            } => self.skipped(record, queued, in_flight),
            Event::RevokeAck(assignment) => {
                if let Some(owned) = self.partitions.get_mut(&assignment.partition)
                    && owned.assignments().any(|one| one == assignment)
                    && let Phase::Draining { workers } = &mut owned.phase
                {
                    *workers -= 1;
                }
            }
            Event::Committed(outcome) => self.committed(outcome, now),
            Event::ShorterMaps(map_len) => self.shorten_maps(map_len),
            // The shell's.
            Event::Revoked { .. }
            | Event::Lost { .. }
            | Event::Skip(_)
            | Event::ShutdownWithin(_)
            | Event::Left
            | Event::Impossible(_) => {}
        }
    }

    /// The partition, if this assignment still holds.
    fn owned(&mut self, assignment: Assignment) -> Option<&mut Partition> {
        self.partitions
            .get_mut(&assignment.partition)
            .filter(|owned| owned.assignment == assignment)
    }

    /// The partition in whose account a record is.
    fn owner(&mut self, record: RecordId) -> Option<&mut Partition> {
        let owned = self.partitions.get_mut(&record.assignment.partition);
        owned.filter(|owned| owned.counts(record))
    }

    /// Whether a record was read from a log that is not there any longer.
    fn is_of_log_before(&self, record: RecordId) -> bool {
        let owned = self.partitions.get(&record.assignment.partition);
        owned.is_some_and(|owned| owned.assignments().any(|one| one == record.assignment))
    }

    /// Drops a partition with all that is held of it.
    fn forget(&mut self, partition: PartitionId) -> Option<Partition> {
        let owned = self.partitions.remove(&partition)?;
        self.counts.given_back += owned.ledger.pending() as u64;
        self.effects.consumer(Control::Revoke { partition });
        self.effects.workers(&owned, Order::Forget);
        self.behind_elsewhere(owned.ledger.missing().keys().copied());
        Some(owned)
    }
}
