//! A worker's calls, by Comet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::status::place_of;
use super::{Counter, Heart, Histogram, STATUSES, Snapshot};
use crate::message::call::{METHODS, Method};
use crate::message::{Answer, CometId};

/// How a worker sees a Comet. The last one is the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    #[default]
    Up,
    /// It gets one message a second, from all workers together.
    RefusesAll,
    /// It is tried with one message at a time.
    Down,
}

/// Microseconds.
const CALL_TIMES: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 20_000_000,
];

/// Milliseconds.
const LATENCIES: &[u64] = &[
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000,
];

/// Milliseconds. What job does takes less than what Kafka adds.
const SINCE_READ: &[u64] = &[
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
];

const CARRIED: &[u64] = &[1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000];

/// A worker's figures. Each worker has its own, so that none waits for a cache line that another one writes.
#[derive(Debug)]
pub struct WorkerFigures {
    pub heart: Heart,
    comets: Box<[CometFigures]>,
    /// Milliseconds from a record's timestamp to its end.
    latency: Histogram,
    /// Milliseconds from when a record was read to its end, of those whose timestamp isn't known.
    since_read: Histogram,
    carried: Histogram,
}

/// A worker's calls to one Comet. Answers are counted on gRPC's threads.
#[derive(Debug)]
#[repr(align(64))]
pub struct CometFigures {
    started: Counter,
    /// By method and status.
    ended: [[AtomicU64; STATUSES]; METHODS.len()],
    /// By method, in microseconds.
    took: [Histogram; METHODS.len()],
    /// By status.
    retries: [AtomicU64; STATUSES],
    /// Messages that the Comet dropped for one user.
    dropped: Counter,
    /// How this worker sees the Comet.
    seen: AtomicU64,
}

impl WorkerFigures {
    pub fn new(comets: usize) -> Self {
        let comet = |_| CometFigures {
            started: Counter::default(),
            ended: [const { [const { AtomicU64::new(0) }; STATUSES] }; METHODS.len()],
            took: [const { Histogram::new(CALL_TIMES) }; METHODS.len()],
            retries: [const { AtomicU64::new(0) }; STATUSES],
            dropped: Counter::default(),
            seen: AtomicU64::new(0),
        };
        Self {
            heart: Heart::default(),
            comets: (0..comets).map(comet).collect(),
            latency: Histogram::new(LATENCIES),
            since_read: Histogram::new(SINCE_READ),
            carried: Histogram::new(CARRIED),
        }
    }

    /// A call starts, which carries so many messages.
    pub fn starts(&self, comet: CometId, carried: usize) {
        self.comet(comet).started.add(1);
        self.carried.add(carried as u64);
    }

    /// A call came back.
    pub fn ends(&self, comet: CometId, method: Method, took: Duration, answer: &Answer) {
        let code = answer.as_ref().map_or_else(|status| status.code, |()| 0);
        let of = self.comet(comet);
        of.ended[method as usize][place_of(code)].fetch_add(1, Relaxed);
        // Cheaper than `as_micros`, which counts in 128 bits.
        let micros = took.as_secs() * 1_000_000 + u64::from(took.subsec_micros());
        of.took[method as usize].add(micros);
    }

    /// What came back with this code is tried again.
    pub fn tries_again(&self, comet: CometId, code: i32) {
        self.comet(comet).retries[place_of(code)].fetch_add(1, Relaxed);
    }

    /// The Comet dropped a message for one user.
    pub fn drops(&self, comet: CometId) {
        self.comet(comet).dropped.add(1);
    }

    /// A message is with all Comets, so many milliseconds after its record was written.
    pub fn delivered(&self, after: u64) {
        self.latency.add(after);
    }

    /// A message is with all Comets, so many milliseconds after its record was read. When that was written isn't known.
    pub fn delivered_since_read(&self, after: u64) {
        self.since_read.add(after);
    }

    /// How this worker sees the Comet now.
    pub fn sees(&self, comet: CometId, seen: Seen) {
        self.comet(comet).seen.store(seen as u64, Relaxed);
    }

    fn comet(&self, comet: CometId) -> &CometFigures {
        &self.comets[comet.0 as usize]
    }
}

/// What all workers together count.
pub struct Totals<'a>(pub &'a [WorkerFigures]);

impl Totals<'_> {
    fn of(&self, comet: CometId) -> impl Iterator<Item = &CometFigures> {
        self.0.iter().map(move |worker| worker.comet(comet))
    }

    /// How many calls came back with each status, by its place. Statuses that never came are left out.
    pub fn ended(&self, comet: CometId, method: Method) -> Vec<(usize, u64)> {
        self.by_status(comet, |of| &of.ended[method as usize])
    }

    /// How many calls that came back with each status are tried again.
    pub fn retries(&self, comet: CometId) -> Vec<(usize, u64)> {
        self.by_status(comet, |of| &of.retries)
    }

    /// How many messages the Comet dropped for one user.
    pub fn dropped(&self, comet: CometId) -> u64 {
        self.of(comet).map(|of| of.dropped.get()).sum()
    }

    fn by_status(
        &self,
        comet: CometId,
        counts: impl Fn(&CometFigures) -> &[AtomicU64; STATUSES],
    ) -> Vec<(usize, u64)> {
        let count = |place: usize| {
            let all = self.of(comet).map(|of| counts(of)[place].load(Relaxed));
            (place, all.sum())
        };
        let all = (0..STATUSES).map(count);
        all.filter(|(_, count)| *count > 0).collect()
    }

    pub fn took(&self, comet: CometId, method: Method) -> Snapshot {
        let all = self.of(comet).map(|of| of.took[method as usize].snapshot());
        all.sum()
    }

    pub fn in_flight(&self, comet: CometId) -> u64 {
        // What ended is read first, so that a call that ends meanwhile isn't counted as less than none.
        let ended: u64 = METHODS
            .into_iter()
            .flat_map(|method| self.ended(comet, method))
            .map(|(_, count)| count)
            .sum();
        let started: u64 = self.of(comet).map(|of| of.started.get()).sum();
        started.saturating_sub(ended)
    }

    /// How the worker sees the Comet that sees it worst.
    pub fn seen(&self, comet: CometId) -> Seen {
        let worst = self.of(comet).map(|of| of.seen.load(Relaxed)).max();
        let seen = [Seen::Up, Seen::RefusesAll, Seen::Down];
        seen.into_iter()
            .find(|seen| Some(*seen as u64) == worst)
            .unwrap_or_default()
    }

    pub fn latency(&self) -> Snapshot {
        self.0.iter().map(|worker| worker.latency.snapshot()).sum()
    }

    pub fn since_read(&self) -> Snapshot {
        let workers = self.0.iter();
        workers.map(|worker| worker.since_read.snapshot()).sum()
    }

    pub fn carried(&self) -> Snapshot {
        self.0.iter().map(|worker| worker.carried.snapshot()).sum()
    }
}
