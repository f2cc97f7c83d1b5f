//! What all workers know of one Comet together: when it delivered last, and the turns they take if it refuses everything.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::suspects::Trials;
use crate::base::trial;
use crate::message::{ByComet, CometId};
use Ordering::{Acquire, Relaxed, Release};

/// A Comet that took nothing for this long is detached while others deliver, and catches up later. A restart is mostly over by then.
pub const DETACH_AFTER: Duration = Duration::from_secs(3);

/// A Comet counts as delivering for this long after each message that it took. A longer pause with failed calls is an outage.
pub const DELIVERS_FOR: Duration = Duration::from_secs(2);
const _: () = assert!(
    DELIVERS_FOR.as_millis() < DETACH_AFTER.as_millis(),
    "where all Comets are gone, the one that went last would count as delivering, and the others be detached"
);

/// One that has nothing to do counts as well for this long after the last message that it took.
const WELL_FOR: Duration = Duration::from_secs(60);

/// After this many refusals in a row the Comet is at fault, not the messages.
pub const REFUSALS_IN_A_ROW: u32 = 100;

/// Wait between two messages to a Comet that refuses everything, and between two dead letters at one that takes nothing.
pub(super) const TURN: Duration = Duration::from_secs(1);

/// What all workers know of all Comets.
#[derive(Debug)]
pub struct Fleet {
    origin: Instant,
    comets: RwLock<ByComet<Arc<EndpointStats>>>,
}

impl Fleet {
    /// Without Comets. No time that it is told of is before `origin`.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            comets: RwLock::default(),
        }
    }

    #[cfg(test)]
    pub fn with(origin: Instant, comets: Vec<Arc<EndpointStats>>) -> Arc<Self> {
        Arc::new(Self {
            origin,
            comets: RwLock::new(comets.into()),
        })
    }

    /// What is known of a Comet. A worker may be the first to hear that it joined.
    pub fn join(&self, comet: CometId) -> Arc<EndpointStats> {
        let mut comets = self.comets.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(EndpointStats::new(self.origin));
        comets.get_or_insert_with(comet, new).clone()
    }

    /// What a Comet takes that left says nothing about the others.
    pub fn leave(&self, comet: CometId) {
        let mut comets = self.comets.write().unwrap_or_else(PoisonError::into_inner);
        comets.remove(comet);
    }

    fn all(&self) -> RwLockReadGuard<'_, ByComet<Arc<EndpointStats>>> {
        self.comets.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Times are in milliseconds since `origin`; 0 is never.
#[derive(Debug)]
pub struct EndpointStats {
    origin: Instant,
    pub(super) detach_after: Duration,
    last_ok: OwnLine<AtomicU64>,
    /// When it took the first message after its last outage.
    delivers_since: AtomicU64,
    /// Whether a call failed since it last took a message.
    failing: AtomicBool,
    /// Messages that it refused since it took one.
    refusals: AtomicU32,
    /// When the next message may go, while it refuses everything.
    next_turn: AtomicU64,
    /// When the next message may become a dead letter, while it takes nothing else.
    next_giving_up: AtomicU64,
    /// Workers for which it isn't up.
    pub(super) not_up: AtomicU32,
    pub(super) trials: Trials,
}

/// Keeps what all workers write with each call on a cache line of its own, so that the rest stays in each processor's cache.
#[derive(Debug, Default)]
#[repr(align(64))]
struct OwnLine<T>(T);

impl EndpointStats {
    /// Starts without any knowledge. No time that it is told of is before `origin`.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            detach_after: trial::limit("detach-after", DETACH_AFTER),
            last_ok: OwnLine::default(),
            delivers_since: AtomicU64::default(),
            failing: AtomicBool::default(),
            refusals: AtomicU32::default(),
            next_turn: AtomicU64::default(),
            next_giving_up: AtomicU64::default(),
            not_up: AtomicU32::default(),
            trials: Trials::default(),
        }
    }

    /// Notes that it took a message.
    pub(super) fn took(&self, now: Instant) {
        if self.refusals.load(Relaxed) > 0 {
            self.refusals.store(0, Relaxed);
        }
        let (before, at) = (self.last_ok.0.load(Relaxed), self.millis(now));
        if before == 0 || self.failing.load(Relaxed) {
            let pause = Duration::from_millis(at.saturating_sub(before));
            if before == 0 || pause > DELIVERS_FOR {
                self.delivers_since.store(at, Relaxed);
            }
            self.failing.store(false, Relaxed);
        }
        if at > before {
            self.last_ok.0.store(at, Release);
        }
    }

    /// Notes that a call failed and wasn't refused.
    pub(super) fn fails(&self) {
        if !self.failing.load(Relaxed) {
            self.failing.store(true, Relaxed);
        }
    }

    /// When it last took a message, from any worker.
    pub(super) fn last_ok(&self) -> Option<Instant> {
        self.instant(self.last_ok.0.load(Acquire))
    }

    /// Whether it took the last message that it got, not too long ago.
    pub(super) fn seems_well(&self, now: Instant) -> bool {
        let is_young = |last| now.saturating_duration_since(last) <= WELL_FOR;
        !self.failing.load(Relaxed) && self.last_ok().is_some_and(is_young)
    }

    /// Since when one of the others in `fleet` delivers without an outage. Without this evidence the Comet isn't detached.
    pub(super) fn others_deliver_since(&self, fleet: &Fleet, now: Instant) -> Option<Instant> {
        let own = self.last_ok();
        let since = |other: &EndpointStats| {
            let last = other.last_ok()?;
            let delivers = now.saturating_duration_since(last) <= DELIVERS_FOR
                && own.is_none_or(|own| last > own);
            let since = other.instant(other.delivers_since.load(Relaxed));
            since.filter(|_| delivers)
        };
        let all = fleet.all();
        let others = all.values().filter(|other| !std::ptr::eq(&***other, self));
        others.filter_map(|other| since(other)).min()
    }

    /// Notes a refusal. Returns how many there were since it took a message.
    pub(super) fn refused(&self, now: Instant) -> u32 {
        let refusals = self.refusals.fetch_add(1, Relaxed).saturating_add(1);
        if refusals == REFUSALS_IN_A_ROW {
            self.next_turn.store(self.millis(now + TURN), Relaxed);
        }
        refusals
    }

    /// Whether it refuses everything: messages go to it by turns.
    pub(super) fn refuses_all(&self) -> bool {
        self.refusals.load(Relaxed) >= REFUSALS_IN_A_ROW
    }

    /// Whether it refused more than it takes to be one that refuses everything.
    pub(super) fn is_beyond_refusals(&self) -> bool {
        self.refusals.load(Relaxed) > REFUSALS_IN_A_ROW
    }

    /// The next turn, and when it is.
    pub(super) fn next_turn(&self) -> (u64, Instant) {
        let turn = self.next_turn.load(Relaxed);
        (turn, self.origin + Duration::from_millis(turn))
    }

    /// Takes a turn. Returns false if another worker has it.
    pub(super) fn take_turn(&self, turn: u64, now: Instant) -> bool {
        let next = self.millis(now + TURN);
        self.next_turn
            .compare_exchange(turn, next, Relaxed, Relaxed)
            .is_ok()
    }

    /// Whether one more message may become a dead letter while it takes nothing else. If so, the next one waits for its turn.
    pub(super) fn may_give_up(&self, now: Instant) -> bool {
        let (at, next) = (self.millis(now), self.millis(now + TURN));
        let due = |turn: u64| (at >= turn).then_some(next);
        self.next_giving_up
            .fetch_update(Relaxed, Relaxed, due)
            .is_ok()
    }

    fn millis(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.origin).as_millis() as u64).max(1)
    }

    fn instant(&self, millis: u64) -> Option<Instant> {
        (millis > 0).then(|| self.origin + Duration::from_millis(millis))
    }
}

#[cfg(test)]
mod tests;
