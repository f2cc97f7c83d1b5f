//! What job counts while it works, for whoever looks: plain numbers, each written where the thing happens.
//!
//! Writing costs a few nanoseconds and waits for nobody. Nothing in the service reads them: they decide nothing. Nothing here knows
//! Kafka, gRPC or HTTP; `observe` gives the numbers their public names.

mod calls;
mod histogram;
mod log_end;
mod partitions;
mod roster;
mod status;
mod troubles;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use crate::base::heart::{Heart, Working};
pub use crate::message::call::{METHODS, Method};
use crate::message::fleet::Node;
use crate::message::{ByComet, Cause, CometId, Held, PartitionId, TopicId};
pub use calls::{CometFigures, Seen, Totals, WorkerFigures};
pub use histogram::{Histogram, Snapshot};
use partitions::Known;
pub use partitions::{Account, Behind, CometAccount, GroupAccount, Reading, Standing};
pub use roster::Roster;
pub use status::{STATUSES, TOOK, status_name};
pub use troubles::{Trouble, Troubles};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Where several threads have a part of it: one of them has `now` in place of `before`.
    pub fn replace(&self, before: u64, now: u64) {
        self.0.fetch_add(now.wrapping_sub(before), Relaxed);
    }
}

/// All figures of a service.
#[derive(Debug)]
pub struct Figures {
    pub comets: Roster,
    /// A worker's figures, in the order of the workers.
    pub workers: Vec<WorkerFigures>,
    pub consumer: ConsumerFigures,
    pub group: GroupFigures,
    pub letters: LetterFigures,
    /// Written by the workers.
    pub troubles: Troubles,
    /// Of the thread that keeps the membership of the group.
    pub membership: Arc<Heart>,
    /// 1 when a Comet ever answered.
    answered: Gauge,
}

/// Written by the consumer's thread.
#[derive(Debug, Default)]
pub struct ConsumerFigures {
    pub heart: Heart,
    partitions: Mutex<BTreeMap<PartitionId, Known>>,
    /// Of all partitions, those too that are another's by now.
    pub records: Counter,
    by_topic: Mutex<BTreeMap<TopicId, u64>>,
    pub undecodable: Counter,
    /// Fetches that failed.
    pub failures: Counter,
    /// Times that fetching worked again after it had failed.
    pub reconnects: Counter,
    held: (Gauge, Gauge),
    limit: (Gauge, Gauge),
    /// Calls that were not made, as the Comets don't have the rooms.
    pub spared: Counter,
    /// When the Comets were asked for the lists of rooms that count.
    room_lists: Mutex<ByComet<Instant>>,
    /// 1 while an operator wants nothing read.
    pub paused: Gauge,
}

/// Written by the group's thread.
#[derive(Debug, Default)]
pub struct GroupFigures {
    pub heart: Heart,
    account: Mutex<GroupAccount>,
    pub assigned: Counter,
    pub revoked: Counter,
    pub lost: Counter,
    pub failed_commits: Counter,
    /// Commits that worked again after some had failed.
    pub reconnects: Counter,
}

/// Written by the DeadLetterWriter.
#[derive(Debug, Default)]
pub struct LetterFigures {
    pub heart: Heart,
    written: [Counter; Cause::ALL.len()],
    pub waiting: Gauge,
    undecided: Mutex<BTreeMap<TopicId, Undecided>>,
}

/// Messages in a dead-letter topic that were neither replayed nor discarded, of its newest letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undecided {
    pub messages: u64,
    /// When the first of them became a dead letter, in milliseconds since 1970.
    pub oldest_ms: Option<i64>,
}

impl Figures {
    /// `comets` are in the fleet from the start, with ids from 0 on; `limit` is what may be held.
    pub fn new(comets: &[Node], workers: usize, limit: Held) -> Self {
        let figures = Self {
            workers: (0..workers).map(|_| WorkerFigures::new()).collect(),
            consumer: ConsumerFigures::default(),
            group: GroupFigures::default(),
            letters: LetterFigures::default(),
            troubles: Troubles::default(),
            membership: Arc::default(),
            answered: Gauge::default(),
            comets: Roster::new(comets),
        };
        figures.consumer.may_hold(limit);
        figures
    }

    /// A Comet answered.
    pub fn answered(&self) {
        if self.answered.get() == 0 {
            self.answered.set(1);
        }
    }

    /// Whether any Comet ever answered.
    pub fn has_answer(&self) -> bool {
        self.answered.get() > 0
    }

    /// A Comet that left is gone, and its figures with it.
    pub fn forget(&self, comet: CometId) {
        self.comets.forget(comet);
        for worker in &self.workers {
            worker.forget(comet);
        }
    }

    /// The threads that must not stand still, by their names.
    pub fn hearts(&self) -> impl Iterator<Item = (String, &Heart)> {
        let workers = self.workers.iter().enumerate();
        let workers = workers.map(|(n, worker)| (format!("worker-{n}"), &worker.heart));
        let own = [
            ("consumer", &self.consumer.heart),
            ("group", &self.group.heart),
            ("membership", &*self.membership),
            ("dead-letter", &self.letters.heart),
        ];
        own.map(|(name, heart)| (name.to_owned(), heart))
            .into_iter()
            .chain(workers)
    }
}

impl ConsumerFigures {
    /// Notes what a fetch brought of a partition.
    pub fn read(&self, partition: PartitionId, records: u64, bytes: u64) {
        self.records.add(records);
        *lock(&self.by_topic).entry(partition.topic).or_default() += records;
        let mut partitions = lock(&self.partitions);
        let reading = &mut partitions.entry(partition).or_default().reading;
        reading.records += records;
        reading.bytes += bytes;
    }

    /// Notes where the logs end.
    pub fn ends(&self, ends: impl IntoIterator<Item = (PartitionId, i64)>, now: Instant) {
        let mut partitions = lock(&self.partitions);
        for (partition, end) in ends {
            if let Some(known) = partitions.get_mut(&partition) {
                known.log.hear(end, now);
            }
        }
    }

    /// Notes when the record at an offset was written, by its own timestamp.
    pub fn written(&self, partition: PartitionId, offset: i64, at: Instant) {
        if let Some(known) = lock(&self.partitions).get_mut(&partition) {
            known.told = Some((offset, at));
        }
    }

    /// Where the log of a partition ends, and how far behind it is with all below `watermark` finished. Forgets what is only
    /// about records below.
    pub fn lag(
        &self,
        partition: PartitionId,
        watermark: i64,
        now: Instant,
    ) -> (Option<i64>, Behind) {
        let mut partitions = lock(&self.partitions);
        let Some(known) = partitions.get_mut(&partition) else {
            return (None, Behind::Unknown);
        };
        known.log.forget_below(watermark);
        (known.log.end(), known.behind(watermark, now))
    }

    /// Whether nobody has heard for `long` where the log of a partition ends.
    pub fn is_unheard(&self, partition: PartitionId, long: Duration, now: Instant) -> bool {
        let partitions = lock(&self.partitions);
        let heard = partitions
            .get(&partition)
            .and_then(|known| known.log.heard());
        heard.is_none_or(|heard| now.saturating_duration_since(heard) >= long)
    }

    /// Whether the record at `offset` is there since before anybody looked, so that only its timestamp tells since when.
    pub fn is_older_than_looks(&self, partition: PartitionId, offset: i64) -> bool {
        let partitions = lock(&self.partitions);
        partitions.get(&partition).is_some_and(|known| {
            matches!(known.log.came(offset), Some(log_end::Came::Before(_)))
                && known.told.is_none_or(|(told, _)| told != offset)
        })
    }

    /// Begins to count a partition.
    pub fn begin(&self, partition: PartitionId) {
        lock(&self.partitions).entry(partition).or_default();
    }

    /// Forgets a partition that is another's.
    pub fn forget(&self, partition: PartitionId) {
        lock(&self.partitions).remove(&partition);
    }

    /// Records of a topic, those too of partitions that are another's by now.
    pub fn records_of(&self, topic: TopicId) -> u64 {
        lock(&self.by_topic)
            .get(&topic)
            .copied()
            .unwrap_or_default()
    }

    pub fn partitions(&self) -> BTreeMap<PartitionId, Reading> {
        let partitions = lock(&self.partitions);
        let readings = partitions.iter().map(|(n, known)| (*n, known.reading));
        readings.collect()
    }

    /// Notes when a Comet was asked for the rooms that it told; `None` where it told nothing that counts.
    pub fn room_list(&self, comet: CometId, asked: Option<Instant>) {
        let mut lists = lock(&self.room_lists);
        match asked {
            Some(asked) => lists.insert(comet, asked),
            None => drop(lists.remove(comet)),
        }
    }

    /// When the Comets were asked for the lists of rooms that count.
    pub fn room_lists(&self) -> ByComet<Instant> {
        lock(&self.room_lists).clone()
    }

    pub fn holds(&self, held: Held) {
        self.held.0.set(held.messages as u64);
        self.held.1.set(held.bytes as u64);
    }

    /// Sets how much may be held.
    pub fn may_hold(&self, limit: Held) {
        self.limit.0.set(limit.messages as u64);
        self.limit.1.set(limit.bytes as u64);
    }

    /// What is held, and how much that may be: messages and bytes each.
    pub fn held(&self) -> [[u64; 2]; 2] {
        [&self.held, &self.limit].map(|(messages, bytes)| [messages.get(), bytes.get()])
    }
}

impl GroupFigures {
    /// Puts a new account in the place of the last one.
    pub fn publish(&self, account: GroupAccount) {
        *lock(&self.account) = account;
    }

    pub fn account(&self) -> GroupAccount {
        lock(&self.account).clone()
    }
}

impl LetterFigures {
    pub fn written(&self, cause: Cause) {
        self.written[cause as usize].add(1);
    }

    /// Notes what waits for a decision in the dead-letter topic of a topic.
    pub fn undecided(&self, topic: TopicId, undecided: Undecided) {
        lock(&self.undecided).insert(topic, undecided);
    }

    /// What waits for a decision, of each topic where that is known.
    pub fn by_topic(&self) -> BTreeMap<TopicId, Undecided> {
        lock(&self.undecided).clone()
    }

    /// How many were written for each cause.
    pub fn by_cause(&self) -> impl Iterator<Item = (Cause, u64)> {
        let counts = self.written.iter().map(Counter::get);
        Cause::ALL.into_iter().zip(counts)
    }
}

/// Nothing under these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub mod tests;
