//! How one Comet fares, as one worker sees it: how many calls it may have now, and when it is left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::verdict::Verdict;
use crate::backoff::Backoff;

/// A Comet that took nothing for so long is left out while others live: its people are gone with it.
pub const LEAVE_OUT_AFTER: Duration = Duration::from_secs(30);

/// So many refusals in a row, and it is the Comet that is wrong, not the messages.
const REFUSALS_IN_A_ROW: u32 = 100;

/// Between two messages to a Comet that refuses everything, and between two looks at one that is left out.
const SLOW: Duration = Duration::from_secs(1);

/// Between two tries to reach a Comet that is down.
const DOWN_FIRST: Duration = Duration::from_millis(50);
const DOWN_MOST: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    /// One message at a time tries whether it is back.
    Down,
    /// It refuses everything: one message at a time, slowly.
    Refusing,
    /// Messages pass it by; a call that sends nobody anything tries whether it is back.
    LeftOut,
}

/// What may be sent to a Comet now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As many calls at once as the window allows.
    Window,
    /// One call at a time, not before this.
    OneFrom(Instant),
    /// Nothing.
    Nothing,
}

/// What all workers know of a Comet together.
#[derive(Debug)]
pub struct Tally {
    /// Calls that it finished. Tells whether a failure is the message's own.
    oks: AtomicU64,
    /// Messages that it refused since it finished one.
    refusals: AtomicU32,
    /// Workers for which it isn't up, and workers that leave it out.
    not_up: AtomicU32,
    left_out: AtomicU32,
    /// Messages that passed it by since it was left out.
    passed_by: AtomicU64,
    /// When it last finished a call for any worker, in milliseconds since `origin`; 0 if it never did.
    last_ok: AtomicU64,
    origin: Instant,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            oks: AtomicU64::default(),
            refusals: AtomicU32::default(),
            not_up: AtomicU32::default(),
            left_out: AtomicU32::default(),
            passed_by: AtomicU64::default(),
            last_ok: AtomicU64::default(),
            origin: Instant::now(),
        }
    }
}

impl Tally {
    /// Whether it is up for each of its workers. One that didn't try it says nothing, so one that knows better counts.
    pub fn is_up(&self) -> bool {
        self.not_up.load(Relaxed) == 0
    }

    fn finished(&self, now: Instant) {
        self.oks.fetch_add(1, Relaxed);
        if self.refusals.load(Relaxed) > 0 {
            self.refusals.store(0, Relaxed);
        }
        let at = now.saturating_duration_since(self.origin).as_millis() as u64;
        self.last_ok.store(at.max(1), Relaxed);
    }

    fn last_ok(&self) -> Option<Instant> {
        match self.last_ok.load(Relaxed) {
            0 => None,
            at => Some(self.origin + Duration::from_millis(at)),
        }
    }
}

/// A Comet that answers again: for how long it had taken nothing, and how many messages passed it by meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub struct Return {
    pub after: Duration,
    pub passed_by: u64,
}

#[derive(Debug)]
pub struct Health {
    tally: Arc<Tally>,
    state: State,
    /// When it failed for the first time since it last finished a call.
    failing_since: Option<Instant>,
    /// Not before this, in any state but `Up`.
    not_before: Instant,
    backoff: Backoff,
}

impl Health {
    pub fn new(tally: Arc<Tally>, now: Instant) -> Self {
        Self {
            tally,
            state: State::Up,
            failing_since: None,
            not_before: now,
            backoff: Backoff::new(DOWN_FIRST, DOWN_MOST),
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// How many calls it finished so far, for any worker.
    pub fn oks(&self) -> u64 {
        self.tally.oks.load(Relaxed)
    }

    pub fn pace(&self) -> Pace {
        match self.state {
            State::Up => Pace::Window,
            State::Down | State::Refusing => Pace::OneFrom(self.not_before),
            State::LeftOut => Pace::Nothing,
        }
    }

    /// It finished a call. Returns its return, when it is up again for each of the workers.
    pub fn ok(&mut self, now: Instant) -> Option<Return> {
        self.tally.finished(now);
        let since = self.failing_since.take();
        if self.state == State::Up {
            return None;
        }
        self.backoff.reset();
        self.turn(State::Up);
        (self.tally.not_up.load(Relaxed) == 0).then(|| Return {
            after: since.map_or(Duration::ZERO, |since| now.duration_since(since)),
            passed_by: self.tally.passed_by.swap(0, Relaxed),
        })
    }

    /// A call failed that was started when [`Self::oks`] was `oks_at_start`. Returns whether this is the refusal from
    /// which on it is taken for one that refuses everything.
    pub fn failed(&mut self, verdict: Verdict, oks_at_start: u64, now: Instant) -> bool {
        // One that refuses a message, or finished another's meanwhile, is there: it isn't out since the first failure.
        if self.state != State::LeftOut
            && (verdict == Verdict::Refused || self.oks() > oks_at_start)
        {
            self.failing_since = None;
        } else {
            self.failing_since.get_or_insert(now);
        }
        let since = self.failing_since.unwrap_or(now);
        match verdict {
            Verdict::Finished => {}
            // It answered others meanwhile, so it is there.
            Verdict::Down | Verdict::Misconfigured if self.oks() > oks_at_start => {}
            Verdict::Down | Verdict::Misconfigured => self.down(now),
            Verdict::Unclear if self.state == State::Down => self.down(now),
            Verdict::Unclear if now.duration_since(since) >= LEAVE_OUT_AFTER => self.down(now),
            Verdict::Unclear => {}
            Verdict::Refused => {
                let refusals = self.tally.refusals.fetch_add(1, Relaxed) + 1;
                if refusals >= REFUSALS_IN_A_ROW && self.state != State::LeftOut {
                    self.turn(State::Refusing);
                    self.not_before = now + SLOW;
                }
                return refusals == REFUSALS_IN_A_ROW;
            }
        }
        false
    }

    /// Whether it has been down for so long, for every worker, that it is to be left out if others live.
    pub fn is_given_up(&self, now: Instant) -> bool {
        let long = |since: Instant| now.saturating_duration_since(since) >= LEAVE_OUT_AFTER;
        self.state == State::Down
            && self.failing_since.is_some_and(long)
            && self.tally.last_ok().is_none_or(long)
    }

    /// Nothing is left to be sent to it: from now on nobody knows whether it would take something.
    pub fn lose_sight(&mut self) {
        if self.state != State::LeftOut {
            self.failing_since = None;
        }
    }

    /// Leaves it out. Returns whether this worker is the first to do so.
    pub fn leave_out(&mut self, now: Instant) -> bool {
        self.turn(State::LeftOut);
        self.not_before = now + SLOW;
        self.tally.left_out.load(Relaxed) == 1
    }

    /// Counts messages that pass it by.
    pub fn pass_by(&self, messages: usize) {
        self.tally.passed_by.fetch_add(messages as u64, Relaxed);
    }

    /// Whether it is time to ask a left-out Comet if it is back; asking again is due a while later.
    pub fn probe_due(&mut self, now: Instant) -> bool {
        let due = self.state == State::LeftOut && now >= self.not_before;
        if due {
            self.not_before = now + SLOW;
        }
        due
    }

    /// When something is to be done about it, if it isn't up.
    pub fn wake_at(&self) -> Option<Instant> {
        (self.state != State::Up).then_some(self.not_before)
    }

    fn down(&mut self, now: Instant) {
        if self.state != State::LeftOut {
            self.turn(State::Down);
            self.not_before = now + self.backoff.wait();
        }
    }

    fn turn(&mut self, state: State) {
        let count = |workers: &AtomicU32, was: bool, is: bool| match (was, is) {
            (false, true) => drop(workers.fetch_add(1, Relaxed)),
            (true, false) => drop(workers.fetch_sub(1, Relaxed)),
            _ => {}
        };
        let was = std::mem::replace(&mut self.state, state);
        count(&self.tally.not_up, was != State::Up, state != State::Up);
        count(
            &self.tally.left_out,
            was == State::LeftOut,
            state == State::LeftOut,
        );
    }
}

#[cfg(test)]
mod tests;
