//! The owner of what this process has of the consumer group: partitions, their ledgers, commits, revocations.
//!
//! One thread, one queue of events, one owner. Kafka's part (joining, heartbeats, sending commits) is
//! `kafka::membership`'s; it hears and tells, and decides nothing about offsets.

mod begin;
mod commit;
mod identity;
pub mod ledger;
mod look;
mod lost;
mod partition;
mod revoke;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use tokio::sync::mpsc::UnboundedSender;

use crate::base::backoff::Outage;
use crate::base::lease::Lease;
use crate::base::text::counted;
use crate::message::consumer::Control;
use crate::message::dead_letter::Letter;
use crate::message::group::{Event, Read};
use crate::message::membership::Command;
use crate::message::{Assignment, Completion, RecordId, Settled, offset_map, worker};
pub use commit::COMMIT_EVERY;
use commit::{SAY_FIRST, SAY_LAST};
use look::Looks;
pub use lost::GRACE;
use partition::{Partition, Phase};
use revoke::Revocation;

/// Of the time for a stop, this much is kept for the last commit and for leaving the group.
pub const LEAVING: Duration = Duration::from_millis(1500);

/// What was done, for the last line of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub delivered: u64,
    pub dead_letters: u64,
    /// Read, and left to be read again: by another member, or after a restart.
    pub given_back: u64,
    /// Messages whose fate was still open when time was up.
    pub unfinished: u64,
}

/// How the group reaches the other threads.
pub struct Channels {
    pub consumer: Sender<Control>,
    pub workers: Vec<Sender<worker::Event>>,
    pub dead_letters: Sender<Letter>,
    pub membership: UnboundedSender<Command>,
    /// Under which the workers send.
    pub lease: Arc<Lease>,
}

impl Channels {
    /// Each worker with each of these assignments.
    fn workers_and(
        &self,
        assignments: impl Iterator<Item = Assignment>,
    ) -> impl Iterator<Item = (&Sender<worker::Event>, Assignment)> {
        assignments
            .flat_map(|assignment| self.workers.iter().map(move |worker| (worker, assignment)))
    }

    /// Has the consumer read a partition from where its account stands.
    fn read(&self, owned: &Partition) {
        let position = owned.ledger.next();
        let _ = self.consumer.send(Control::Assign {
            assignment: owned.assignment,
            position,
            finished: owned.ledger.finished_from(position),
        });
    }
}

pub struct Group {
    events: Receiver<Event>,
    /// What was read. Nothing waits for it, so it wakes nobody: it is taken in before whatever comes next.
    reads: Receiver<Read>,
    channels: Channels,
    /// Limit for a revocation.
    timeout: Duration,
    partitions: BTreeMap<i32, Partition>,
    /// Partitions that Kafka took without a word, and when. Often they come back at once, and what was finished and
    /// not committed need not be sent again.
    lost: BTreeMap<i32, (Instant, Partition)>,
    revocations: Vec<Revocation>,
    /// When lost partitions that are not back by then are given up.
    grace_until: Option<Instant>,
    /// Counts the assignments of any partition.
    epochs: u64,
    commit_in_flight: bool,
    /// Whether that was on its way before this process did not run for a while: its answer doesn't say how things are now.
    commit_is_older: bool,
    commit_outage: Outage,
    looks: Looks,
    /// The longest map of what is finished, in bytes, that goes along with a commit.
    map_len: usize,
    /// Whether this process is to end.
    stopping: bool,
    /// Messages finished since the last commit was begun.
    uncommitted: u64,
    counts: Counts,
}

impl Group {
    /// `shutdown_timeout` bounds a stop, and with it each revocation.
    pub fn new(
        events: Receiver<Event>,
        reads: Receiver<Read>,
        channels: Channels,
        shutdown_timeout: Duration,
    ) -> Self {
        Self {
            events,
            reads,
            channels,
            timeout: shutdown_timeout
                .saturating_sub(LEAVING)
                .max(shutdown_timeout / 2),
            partitions: BTreeMap::new(),
            lost: BTreeMap::new(),
            revocations: Vec::new(),
            grace_until: None,
            epochs: 0,
            commit_in_flight: false,
            commit_is_older: false,
            commit_outage: Outage::new(SAY_FIRST, SAY_LAST),
            looks: Looks::new(),
            map_len: offset_map::MAX_LEN,
            stopping: false,
            uncommitted: 0,
            counts: Counts::default(),
        }
    }

    /// Runs until `stop` says so and what follows from it is done, `shutdown_timeout` later at most.
    ///
    /// # Errors
    /// When the membership can't be: a sentence that says why.
    pub fn run(
        mut self,
        stop: &Receiver<()>,
        shutdown_timeout: Duration,
    ) -> Result<Counts, String> {
        let tick = crossbeam_channel::tick(COMMIT_EVERY);
        let mut stop = stop.clone();
        let mut end = crossbeam_channel::never();
        loop {
            let revocations = self
                .revocations
                .iter()
                .map(|revocation| revocation.deadline);
            let deadline = match revocations.chain(self.grace_until).min() {
                Some(deadline) => crossbeam_channel::at(deadline),
                None => crossbeam_channel::never(),
            };
            select! {
                recv(self.events) -> event => match event {
                    Ok(Event::Left) | Err(_) => break,
                    Ok(Event::Impossible(why)) => return Err(why),
                    Ok(event) => {
                        self.take_reads();
                        self.handle(event);
                    }
                },
                recv(tick) -> _ => {
                    self.take_reads();
                    self.renew_lease();
                    self.commit();
                    self.look();
                }
                recv(stop) -> _ => {
                    stop = crossbeam_channel::never();
                    self.stopping = true;
                    end = crossbeam_channel::after(shutdown_timeout);
                    let _ = self.channels.membership.send(Command::Leave);
                }
                recv(end) -> _ => {
                    log::warn!("time is up: leaving without a last word to Kafka");
                    break;
                }
                recv(deadline) -> _ => {}
            }
            self.settle_revocations();
            self.end_grace();
        }
        self.take_reads();
        self.counts.unfinished += self
            .partitions
            .values()
            .map(|p| p.ledger.in_hand() as u64)
            .sum::<u64>();
        Ok(self.counts)
    }

    /// The ledgers have to know of a record before they hear what became of it.
    fn take_reads(&mut self) {
        while let Ok(Read {
            assignment,
            offsets,
            next,
        }) = self.reads.try_recv()
        {
            if let Some(owned) = self.owned(assignment) {
                owned.ledger.read(offsets, next);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Assigned {
                partition,
                position,
                metadata,
                leader_epoch,
                standing,
            } => {
                if !self.is_back(partition, position, &metadata) {
                    self.assign(partition, (position, metadata), leader_epoch, standing);
                }
            }
            Event::Revoked { partitions, reply } => self.revoke(partitions, reply),
            Event::Lost { partitions, reply } => {
                let list: Vec<_> = partitions.iter().map(ToString::to_string).collect();
                log::warn!(
                    "lost partitions {}: stopped sending their messages",
                    list.join(", ")
                );
                let _ = reply.send(self.lose(partitions));
            }
            Event::PartingCommit(commits) => self.note_committed(commits),
            Event::Suspended(assignment) => self.is_suspended(assignment),
            Event::Astray(assignment) => self.is_astray(assignment),
            Event::Interrupted(reached) => self.interrupted(reached),
            Event::Looked(answer) => self.looked(answer),
            Event::Settled(settled) => self.settle(settled),
            Event::Unreadable { record, last, why } => {
                if self.owner(record).is_some() {
                    self.write_letter(record, 0, why, Some(last));
                } else {
                    self.credit(1, 0);
                }
            }
            Event::Written(letters) => {
                self.counts.dead_letters += letters.len() as u64;
                self.credit(letters.len(), letters.iter().map(|(_, bytes)| bytes).sum());
                for (record, _) in letters {
                    if let Some(owned) = self.owner(record) {
                        owned.ledger.finish(record.offset);
                    }
                }
            }
            Event::RevokeAck(assignment) => {
                if let Some(owned) = self.partitions.get_mut(&assignment.partition)
                    && owned.assignments().any(|one| one == assignment)
                    && let Phase::Draining { workers } = &mut owned.phase
                {
                    *workers -= 1;
                }
            }
            Event::Committed(outcome) => self.committed(outcome),
            Event::ShorterMaps(map_len) => self.shorten_maps(map_len),
            Event::Left | Event::Impossible(_) => {}
        }
    }

    /// The partition, if this assignment still holds.
    fn owned(&mut self, assignment: Assignment) -> Option<&mut Partition> {
        self.partitions
            .get_mut(&assignment.partition)
            .filter(|owned| owned.assignment == assignment)
    }

    /// The next assignment of a partition.
    fn next_assignment(&mut self, partition: i32) -> Assignment {
        self.epochs += 1;
        Assignment {
            partition,
            epoch: self.epochs,
        }
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
    fn forget(&mut self, partition: i32) -> Option<Partition> {
        let owned = self.partitions.remove(&partition)?;
        self.counts.given_back += owned.ledger.in_hand() as u64;
        let _ = self.channels.consumer.send(Control::Revoke { partition });
        for (worker, assignment) in self.channels.workers_and(owned.assignments()) {
            let _ = worker.send(worker::Event::Forget(assignment));
        }
        Some(owned)
    }

    fn settle(&mut self, settled: Vec<Settled>) {
        let (mut messages, mut bytes, mut gone) = (0, 0, 0u64);
        for Settled {
            record,
            bytes: size,
            completion,
        } in settled
        {
            match completion {
                Completion::Undeliverable(why) | Completion::Skipped(why)
                    if self.owner(record).is_some() =>
                {
                    self.write_letter(record, size, why, None);
                    continue;
                }
                Completion::Delivered => {
                    self.counts.delivered += 1;
                    self.uncommitted += 1;
                    if let Some(owned) = self.owner(record) {
                        owned.ledger.finish(record.offset);
                    } else if let Some((_, lost)) = self.lost.get_mut(&record.assignment.partition)
                        && lost.counts(record)
                    {
                        lost.ledger.finish(record.offset);
                    }
                }
                // What can't be delivered of a partition that is another's is the other's dead letter.
                Completion::Released | Completion::Undeliverable(_) | Completion::Skipped(_) => {
                    if let Some(owned) = self.owner(record) {
                        owned.ledger.release(record.offset);
                        self.counts.given_back += 1;
                    } else if self.is_of_log_before(record) {
                        gone += 1;
                    }
                }
            }
            messages += 1;
            bytes += size;
        }
        if gone > 0 {
            log::error!(
                "{} that Kafka no longer has could not be delivered, and can't be read again",
                counted(gone, "message")
            );
        }
        self.credit(messages, bytes);
        self.commit_if_many();
    }

    /// It is held until the letter is written: letters that wait count against the cap too.
    fn write_letter(&self, record: RecordId, bytes: usize, why: String, last: Option<i64>) {
        let _ = self.channels.dead_letters.send(Letter {
            record,
            last,
            bytes,
            why,
        });
    }

    fn credit(&self, messages: usize, bytes: usize) {
        if messages > 0 {
            let _ = self
                .channels
                .consumer
                .send(Control::Credit { messages, bytes });
        }
    }
}
