//! The Breaker of one Comet in one worker: how many calls it admits now, and when the Comet is detached.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::endpoint_stats::{EndpointStats, Fleet, REFUSALS_IN_A_ROW, TURN};
use crate::base::backoff::{Backoff, grows};
use crate::comet::Verdict;

/// A Comet at which everything fails for this long is tried with one message at a time.
const FAILS_FOR_LONG: Duration = Duration::from_secs(30);

/// Wait between two looks at a Comet that is detached, or may be soon.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Limits of the wait between two tries to reach a Comet that is down.
const DOWN_FIRST: Duration = Duration::from_millis(50);
const DOWN_MOST: Duration = Duration::from_millis(500);
const _: () = grows(DOWN_FIRST, DOWN_MOST);

/// Wait between two probes of a Comet at which something failed.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long a worker with one key leaves a turn to other workers: on average, and at most.
const LOT: Duration = Duration::from_millis(200);
const LONGEST_LOT: Duration = Duration::from_millis(500);
const _: () = assert!(
    LONGEST_LOT.as_millis() < TURN.as_millis(),
    "turns would come later than one after the other"
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Up,
    /// Tried with one message at a time.
    Down,
    /// Gets probes, and nothing else until [`Breaker::attach`].
    Detached,
}

/// Which calls a Comet may get now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As many at once as the window allows.
    Window,
    /// One at a time, not before this.
    OneFrom(Instant),
    /// One at a time, not before this, and only with [`Breaker::take_turn`]: it refuses everything.
    TurnFrom(Instant),
    /// Nothing.
    Nothing,
}

/// What a connection has answered so far. An answer between two of these shows that the connection and its Comet work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Messages that were taken.
    pub oks: u64,
    /// Calls that send nobody anything.
    pub probes: u64,
}

#[derive(Debug)]
pub struct Breaker {
    stats: Arc<EndpointStats>,
    fleet: Arc<Fleet>,
    state: BreakerState,
    /// When it first failed since it last took something from this worker.
    failing_since: Option<Instant>,
    /// When it was `Up` last.
    away_since: Instant,
    /// The next try is not before this, in any state but `Up`.
    not_before: Instant,
    backoff: Backoff,
    signs: Signs,
    /// Whether a failure is unclear until a probe is answered, and when the next probe may go.
    ask: bool,
    ask_from: Instant,
    /// Probes in flight.
    asked: u32,
    /// While it refuses everything: the next turn, and when this worker tries to take it.
    lot: Option<(u64, Instant)>,
    rng: fastrand::Rng,
}

impl Breaker {
    /// `stats` is the Comet's, one of those in `fleet`.
    pub fn new(
        stats: Arc<EndpointStats>,
        fleet: Arc<Fleet>,
        now: Instant,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            stats,
            fleet,
            state: BreakerState::Up,
            failing_since: None,
            away_since: now,
            not_before: now,
            backoff: Backoff::new(DOWN_FIRST, DOWN_MOST),
            signs: Signs::default(),
            ask: false,
            ask_from: now,
            asked: 0,
            lot: None,
            rng,
        }
    }

    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// What the Comet answered on this worker's connection.
    pub fn signs(&self) -> Signs {
        self.signs
    }

    /// Says which calls are admitted now. `waiting` is about how many keys wait at this worker: while the Comet refuses
    /// everything, a worker with more keys gets more of the turns.
    pub fn admission(&mut self, waiting: usize) -> Admission {
        match self.state {
            BreakerState::Up if self.stats.refuses_all() => {
                Admission::TurnFrom(self.draw_lot(waiting))
            }
            BreakerState::Up => Admission::Window,
            BreakerState::Down => Admission::OneFrom(self.not_before),
            BreakerState::Detached => Admission::Nothing,
        }
    }

    /// Notes that it took a message. Returns the outage's length when this makes the Comet up for all workers.
    pub fn ok(&mut self, now: Instant) -> Option<Duration> {
        self.signs.oks += 1;
        self.stats.took(now);
        self.is_there(now)
    }

    /// Notes the answer to a probe. `few`: hardly anything waits, so that an answered probe means that the messages are at
    /// fault, not the Comet. Returns the same as [`Self::ok`].
    pub fn probed(&mut self, answers: bool, few: bool, now: Instant) -> Option<Duration> {
        self.asked = self.asked.saturating_sub(1);
        if !answers {
            return None;
        }
        self.signs.probes += 1;
        if self.state == BreakerState::Detached || !few {
            return None;
        }
        self.is_there(now)
    }

    fn is_there(&mut self, now: Instant) -> Option<Duration> {
        self.failing_since = None;
        // A call may still be answered while it is detached. It is tried again when the group says so.
        if self.state != BreakerState::Down {
            return None;
        }
        self.backoff.reset();
        let since = self.away_since;
        self.enter(BreakerState::Up, now);
        (self.stats.not_up.load(Relaxed) == 0).then(|| now.saturating_duration_since(since))
    }

    /// Notes that a call failed that started when [`Self::signs`] had `oks_at_start`. Returns true for the refusal after which
    /// the Comet is taken for one that refuses everything.
    pub fn failed(&mut self, verdict: Verdict, oks_at_start: u64, now: Instant) -> bool {
        // A Comet that refuses a message, or took another one meanwhile, is there: its outage doesn't begin with the first failure.
        let is_there = verdict == Verdict::Refused || self.signs.oks > oks_at_start;
        if self.state != BreakerState::Detached && is_there {
            self.failing_since = None;
        } else {
            self.failing_since.get_or_insert(now);
        }
        if verdict == Verdict::Refused {
            if self.state == BreakerState::Down {
                self.backoff.reset();
                self.enter(BreakerState::Up, now);
            }
            return self.stats.refused(now) == REFUSALS_IN_A_ROW;
        }
        self.stats.fails();
        let long = self.is_failing_for_long(now);
        match verdict {
            Verdict::Down | Verdict::Misconfigured if !is_there => self.down(now),
            Verdict::Unclear if self.state == BreakerState::Down || long => self.down(now),
            _ => {}
        }
        false
    }

    /// Whether to detach it: it took nothing for long, from any worker, and another one delivers for as long. If all were away, the
    /// time counts from the return of the first.
    pub fn is_given_up(&self, now: Instant) -> bool {
        let is_long =
            |since: Instant| now.saturating_duration_since(since) >= self.stats.detach_after;
        let others = || self.stats.others_deliver_since(&self.fleet, now);
        self.state != BreakerState::Detached
            && self.failing_since.is_some_and(is_long)
            && self.stats.last_ok().is_none_or(is_long)
            && others().is_some_and(is_long)
    }

    /// Whether it failed since it last took something.
    pub fn is_failing(&self) -> bool {
        self.failing_since.is_some()
    }

    /// Whether it takes messages, as far as anybody knows.
    pub fn seems_well(&self, now: Instant) -> bool {
        self.state == BreakerState::Up && self.stats.seems_well(now)
    }

    fn is_failing_for_long(&self, now: Instant) -> bool {
        let is_long = |since| now.saturating_duration_since(since) >= FAILS_FOR_LONG;
        self.failing_since.is_some_and(is_long)
    }

    /// Forgets an outage because nothing is left to send: from now on nobody knows whether it would take something.
    pub fn reset(&mut self) {
        if self.state != BreakerState::Detached {
            self.failing_since = None;
        }
    }

    /// Counts an outage from now: this process didn't run for a while, which says nothing about the Comet.
    pub fn count_anew(&mut self, now: Instant) {
        if self.state != BreakerState::Detached {
            self.failing_since = self.failing_since.map(|_| now);
        }
    }

    /// Stops all calls until [`Self::attach`].
    pub fn detach(&mut self, now: Instant) {
        self.enter(BreakerState::Detached, now);
        self.not_before = now + LOOK_AGAIN;
    }

    /// Tries it with one message at a time, if it was detached.
    pub fn attach(&mut self, now: Instant) {
        if self.state == BreakerState::Detached {
            self.enter(BreakerState::Down, now);
            self.failing_since = None;
            self.backoff.reset();
            self.not_before = now;
            self.ask();
        }
    }

    /// Asks for a probe: something failed, and nothing else was answered on this connection. The probe tells whether it is the
    /// message or the Comet.
    pub fn ask(&mut self) {
        self.ask = true;
    }

    /// Whether a probe is due. If so, the caller sends one.
    pub fn probe_due(&mut self, now: Instant) -> bool {
        let due = match self.state {
            BreakerState::Detached => now >= self.not_before,
            BreakerState::Up | BreakerState::Down => {
                self.ask && self.asked == 0 && now >= self.ask_from
            }
        };
        if due {
            self.ask = false;
            self.asked += 1;
            self.ask_from = now + ASK_AGAIN;
            if self.state == BreakerState::Detached {
                self.not_before = now + LOOK_AGAIN;
            }
        }
        due
    }

    /// When to look again whether to detach it, or whether it is back.
    pub fn look_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            BreakerState::Detached => Some(self.not_before),
            BreakerState::Up | BreakerState::Down => {
                let since = self.failing_since?;
                Some((since + self.stats.detach_after).max(now + LOOK_AGAIN))
            }
        }
    }

    /// Whether it refused so many messages in a row that another refusal says nothing about the message.
    pub fn is_beyond_refusals(&self) -> bool {
        self.stats.is_beyond_refusals()
    }

    /// Takes the turn that this worker drew a lot for. Returns false if another worker was first.
    pub fn take_turn(&mut self, now: Instant) -> bool {
        let Some((turn, _)) = self.lot.take() else {
            return false;
        };
        self.stats.take_turn(turn, now)
    }

    /// Draws when this worker tries to take the next turn. The times are exponential with the number of the worker's keys as
    /// rate, so that the earliest one belongs to each key of all workers with the same probability.
    fn draw_lot(&mut self, waiting: usize) -> Instant {
        let (turn, from) = self.stats.next_turn();
        match self.lot {
            Some((of, at)) if of == turn => at,
            _ => {
                let share = -(1.0 - self.rng.f64()).ln() / waiting.max(1) as f64;
                let at = from + LOT.mul_f64(share).min(LONGEST_LOT);
                self.lot = Some((turn, at));
                at
            }
        }
    }

    /// Whether one more message may become a dead letter though this Comet takes nothing else.
    pub fn may_give_up(&self, now: Instant) -> bool {
        self.stats.may_give_up(now)
    }

    fn down(&mut self, now: Instant) {
        if self.state != BreakerState::Detached {
            self.enter(BreakerState::Down, now);
            self.not_before = now + self.backoff.wait_with(&mut self.rng);
        }
    }

    fn enter(&mut self, state: BreakerState, now: Instant) {
        if self.state == BreakerState::Up {
            self.away_since = self.failing_since.unwrap_or(now);
        }
        let was = std::mem::replace(&mut self.state, state);
        match (was == BreakerState::Up, state == BreakerState::Up) {
            (true, false) => drop(self.stats.not_up.fetch_add(1, Relaxed)),
            (false, true) => drop(self.stats.not_up.fetch_sub(1, Relaxed)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
