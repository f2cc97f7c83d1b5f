//! A worker's calls, by Comet.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::status::place_of;
use super::{Counter, Heart, Histogram, STATUSES, Snapshot, lock};
use crate::message::call::{METHODS, Method};
use crate::message::{Answer, ByComet, CometId};

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
    comets: Mutex<ByComet<Arc<CometFigures>>>,
    /// Calls to Comets that are gone, so that sums over all Comets never get smaller.
    gone: Gone,
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

/// What is kept of Comets that are gone.
#[derive(Debug)]
struct Gone {
    /// By method and status.
    ended: [[AtomicU64; STATUSES]; METHODS.len()],
    retries: AtomicU64,
}

/// By status.
fn none() -> [AtomicU64; STATUSES] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl WorkerFigures {
    pub fn new() -> Self {
        Self {
            heart: Heart::default(),
            comets: Mutex::default(),
            gone: Gone {
                ended: METHODS.map(|_| none()),
                retries: AtomicU64::new(0),
            },
            latency: Histogram::new(LATENCIES),
            since_read: Histogram::new(SINCE_READ),
            carried: Histogram::new(CARRIED),
        }
    }

    /// The figures of a Comet, which begin with this. Who counts keeps them.
    pub fn of(&self, comet: CometId) -> Arc<CometFigures> {
        let mut comets = lock(&self.comets);
        let figures = comets.get_or_insert_with(comet, || Arc::new(CometFigures::new()));
        figures.clone()
    }

    /// The Comet is gone: from now on its calls count in the sums over all Comets alone.
    pub fn forget(&self, comet: CometId) {
        let mut comets = lock(&self.comets);
        let Some(of) = comets.remove(comet) else {
            return;
        };
        for (all, ended) in self.gone.ended.iter().zip(&of.ended) {
            for (sum, count) in all.iter().zip(ended) {
                sum.fetch_add(count.load(Relaxed), Relaxed);
            }
        }
        let retries = of.retries.iter().map(|count| count.load(Relaxed)).sum();
        self.gone.retries.fetch_add(retries, Relaxed);
    }

    /// A call starts that carries so many messages.
    pub fn carries(&self, messages: usize) {
        self.carried.add(messages as u64);
    }

    /// A message is with all Comets, so many milliseconds after its record was written.
    pub fn delivered(&self, after: u64) {
        self.latency.add(after);
    }

    /// A message is with all Comets, so many milliseconds after its record was read. When that was written isn't known.
    pub fn delivered_since_read(&self, after: u64) {
        self.since_read.add(after);
    }
}

impl Default for WorkerFigures {
    fn default() -> Self {
        Self::new()
    }
}

impl CometFigures {
    fn new() -> Self {
        Self {
            started: Counter::default(),
            ended: METHODS.map(|_| none()),
            took: [const { Histogram::new(CALL_TIMES) }; METHODS.len()],
            retries: none(),
            dropped: Counter::default(),
            seen: AtomicU64::new(0),
        }
    }

    /// A call starts.
    pub fn starts(&self) {
        self.started.add(1);
    }

    /// A call came back.
    pub fn ends(&self, method: Method, took: Duration, answer: &Answer) {
        let code = answer.as_ref().map_or_else(|status| status.code, |()| 0);
        self.ended[method as usize][place_of(code)].fetch_add(1, Relaxed);
        // Cheaper than `as_micros`, which counts in 128 bits.
        let micros = took.as_secs() * 1_000_000 + u64::from(took.subsec_micros());
        self.took[method as usize].add(micros);
    }

    /// What came back with this code is tried again.
    pub fn tries_again(&self, code: i32) {
        self.retries[place_of(code)].fetch_add(1, Relaxed);
    }

    /// The Comet dropped a message for one user.
    pub fn drops(&self) {
        self.dropped.add(1);
    }

    /// How this worker sees the Comet now.
    pub fn sees(&self, seen: Seen) {
        self.seen.store(seen as u64, Relaxed);
    }
}

/// What all workers together count.
pub struct Totals<'a>(pub &'a [WorkerFigures]);

impl Totals<'_> {
    /// Each worker's figures of a Comet, as far as there are any.
    fn of(&self, comet: CometId) -> Vec<Arc<CometFigures>> {
        let of = |worker: &WorkerFigures| lock(&worker.comets).get(comet).cloned();
        self.0.iter().filter_map(of).collect()
    }

    /// How many calls to Comets that are gone came back with each status, by its place.
    pub fn ended_at_gone(&self, method: Method) -> Vec<(usize, u64)> {
        let count = |place: usize| {
            let all = self.0.iter();
            let all = all.map(|worker| worker.gone.ended[method as usize][place].load(Relaxed));
            (place, all.sum())
        };
        let all = (0..STATUSES).map(count);
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// How many calls to Comets that are gone were tried again.
    pub fn retries_at_gone(&self) -> u64 {
        let all = self.0.iter();
        all.map(|worker| worker.gone.retries.load(Relaxed)).sum()
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
        let of = self.of(comet);
        of.iter().map(|of| of.dropped.get()).sum()
    }

    fn by_status(
        &self,
        comet: CometId,
        counts: impl Fn(&CometFigures) -> &[AtomicU64; STATUSES],
    ) -> Vec<(usize, u64)> {
        let of = self.of(comet);
        let count = |place: usize| {
            let all = of.iter().map(|of| counts(of)[place].load(Relaxed));
            (place, all.sum())
        };
        let all = (0..STATUSES).map(count);
        all.filter(|(_, count)| *count > 0).collect()
    }

    pub fn took(&self, comet: CometId, method: Method) -> Snapshot {
        let all = self.of(comet).into_iter();
        all.map(|of| of.took[method as usize].snapshot()).sum()
    }

    pub fn in_flight(&self, comet: CometId) -> u64 {
        // What ended is read first, so that a call that ends meanwhile isn't counted as less than none.
        let ended: u64 = METHODS
            .into_iter()
            .flat_map(|method| self.ended(comet, method))
            .map(|(_, count)| count)
            .sum();
        let of = self.of(comet);
        let started: u64 = of.iter().map(|of| of.started.get()).sum();
        started.saturating_sub(ended)
    }

    /// How the worker sees the Comet that sees it worst.
    pub fn seen(&self, comet: CometId) -> Seen {
        let of = self.of(comet);
        let worst = of.iter().map(|of| of.seen.load(Relaxed)).max();
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
