//! How one Comet fares, as one worker sees it: how many calls it may have now, and when it is left out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::tally::{Fleet, REFUSALS_IN_A_ROW, TURN, Tally};
use crate::base::backoff::{Backoff, grows};
use crate::comet::Verdict;

/// Between two looks at a Comet that is left out, or might be.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Between two tries to reach a Comet that is down.
const DOWN_FIRST: Duration = Duration::from_millis(50);
const DOWN_MOST: Duration = Duration::from_millis(500);
const _: () = grows(DOWN_FIRST, DOWN_MOST);

/// Between two questions whether a Comet is there at which something failed.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How long a worker with one key leaves a turn to others, on an average and at most.
const LOT: Duration = Duration::from_millis(200);
const LONGEST_LOT: Duration = Duration::from_millis(500);
const _: () = assert!(
    LONGEST_LOT.as_millis() < TURN.as_millis(),
    "turns would come later than one after the other"
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Up,
    /// One message at a time tries whether it is back.
    Down,
    /// Messages pass it by while others deliver; a call that sends nobody anything tries whether it is back.
    LeftOut,
}

/// What may be sent to a Comet now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As many calls at once as the window allows.
    Window,
    /// One call at a time, not before this.
    OneFrom(Instant),
    /// It refuses everything. One call at a time, not before this, and only with [`Health::take_turn`].
    TurnFrom(Instant),
    /// Nothing.
    Nothing,
}

/// What a connection has answered so far. What it answers between two of these shows that it works, and its Comet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Messages that were taken.
    pub oks: u64,
    /// Calls that send nobody anything.
    pub probes: u64,
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
    fleet: Fleet,
    state: State,
    /// When it failed for the first time since it last took something from this worker.
    failing_since: Option<Instant>,
    /// Not before this, in any state but `Up`.
    not_before: Instant,
    backoff: Backoff,
    signs: Signs,
    /// Whether something failed about which only a probe can tell, and not before when.
    ask: bool,
    ask_from: Instant,
    /// Probes that aren't answered.
    asked: u32,
    /// While it refuses everything: the turn that comes next, and when this worker reaches for it.
    lot: Option<(u64, Instant)>,
}

impl Health {
    /// `tally` is the Comet's, one of those in `fleet`.
    pub fn new(tally: Arc<Tally>, fleet: Fleet, now: Instant) -> Self {
        Self {
            tally,
            fleet,
            state: State::Up,
            failing_since: None,
            not_before: now,
            backoff: Backoff::new(DOWN_FIRST, DOWN_MOST),
            signs: Signs::default(),
            ask: false,
            ask_from: now,
            asked: 0,
            lot: None,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// What it answered on this worker's connection.
    pub fn signs(&self) -> Signs {
        self.signs
    }

    /// `waiting` is about how many keys wait for it at this worker: while it refuses everything, a worker with more of
    /// them comes first more often.
    pub fn pace(&mut self, waiting: usize) -> Pace {
        match self.state {
            State::Up if self.tally.refuses_all() => Pace::TurnFrom(self.draw_lot(waiting)),
            State::Up => Pace::Window,
            State::Down => Pace::OneFrom(self.not_before),
            State::LeftOut => Pace::Nothing,
        }
    }

    /// It took a message. Returns its return, when it is up again for each of the workers.
    pub fn ok(&mut self, now: Instant) -> Option<Return> {
        self.signs.oks += 1;
        self.tally.took(now);
        self.is_there(now)
    }

    /// A probe came back. `few` is whether hardly anything waits for it: if it answers then, it is the messages that fail,
    /// not the Comet. Returns its return, as [`Self::ok`] does.
    pub fn probed(&mut self, answers: bool, few: bool, now: Instant) -> Option<Return> {
        self.asked = self.asked.saturating_sub(1);
        if !answers {
            return None;
        }
        self.signs.probes += 1;
        if self.state != State::LeftOut && !few {
            return None;
        }
        self.is_there(now)
    }

    fn is_there(&mut self, now: Instant) -> Option<Return> {
        let since = self.failing_since.take();
        if self.state == State::Up {
            return None;
        }
        self.backoff.reset();
        self.enter(State::Up);
        (self.tally.not_up.load(Relaxed) == 0).then(|| Return {
            after: since.map_or(Duration::ZERO, |since| now.duration_since(since)),
            passed_by: self.tally.passed_by.swap(0, Relaxed),
        })
    }

    /// A call failed that was started when [`Self::signs`] had `oks_at_start`. Returns whether this is the refusal from
    /// which on it is taken for one that refuses everything.
    pub fn failed(&mut self, verdict: Verdict, oks_at_start: u64, now: Instant) -> bool {
        // One that refuses a message, or took another's meanwhile, is there: it isn't out since the first failure.
        let is_there = verdict == Verdict::Refused || self.signs.oks > oks_at_start;
        if self.state != State::LeftOut && is_there {
            self.failing_since = None;
        } else {
            self.failing_since.get_or_insert(now);
        }
        if verdict == Verdict::Refused {
            if self.state == State::Down {
                self.backoff.reset();
                self.enter(State::Up);
            }
            return self.tally.refused(now) == REFUSALS_IN_A_ROW;
        }
        self.tally.fails();
        let long = self.is_failing_for_long(now);
        match verdict {
            Verdict::Down | Verdict::Misconfigured if !is_there => self.down(now),
            Verdict::Unclear if self.state == State::Down || long => self.down(now),
            _ => {}
        }
        false
    }

    /// Whether it is to be left out: it took nothing for long, from any worker, and another one delivers. Where all were away,
    /// the time counts from the return of the first.
    pub fn is_given_up(&self, now: Instant) -> bool {
        self.state != State::LeftOut && self.is_failing_for_long(now) && self.is_passed_by(now)
    }

    /// Whether messages pass it by, if it is left out: another one delivers, and has for long, and this one takes nothing
    /// from other workers either. Otherwise they wait.
    pub fn is_passed_by(&self, now: Instant) -> bool {
        let others = || self.tally.others_deliver_since(&self.fleet, now);
        let last_ok = self.tally.last_ok();
        last_ok.is_none_or(|ok| self.is_long(ok, now))
            && others().is_some_and(|since| self.is_long(since, now))
    }

    /// Whether it is left out and gets another chance: the others were away too, and one of them is back.
    pub fn is_excused(&self, now: Instant) -> bool {
        let others = || self.tally.others_deliver_since(&self.fleet, now);
        self.state == State::LeftOut && others().is_some_and(|since| !self.is_long(since, now))
    }

    fn is_failing_for_long(&self, now: Instant) -> bool {
        self.failing_since
            .is_some_and(|since| self.is_long(since, now))
    }

    fn is_long(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.tally.leave_out_after
    }

    /// Nothing is left to be sent to it: from now on nobody knows whether it would take something.
    pub fn lose_sight(&mut self) {
        if self.state != State::LeftOut {
            self.failing_since = None;
        }
    }

    /// This process itself did not run for a while, which says nothing about the Comet: an outage counts from now.
    pub fn count_anew(&mut self, now: Instant) {
        if self.state != State::LeftOut {
            self.failing_since = self.failing_since.map(|_| now);
        }
    }

    /// Leaves it out. Returns for how long it took nothing, to the first worker that does so.
    pub fn leave_out(&mut self, now: Instant) -> Option<Duration> {
        self.enter(State::LeftOut);
        self.not_before = now + LOOK_AGAIN;
        (self.tally.left_out.load(Relaxed) == 1).then_some(self.tally.leave_out_after)
    }

    /// No longer leaves it out, though it doesn't answer. Returns whether this worker is the last to do so.
    pub fn take_back(&mut self, now: Instant) -> bool {
        self.enter(State::Down);
        self.not_before = now;
        self.tally.left_out.load(Relaxed) == 0
    }

    /// Counts messages that pass it by.
    pub fn pass_by(&self, messages: usize) {
        self.tally.passed_by.fetch_add(messages as u64, Relaxed);
    }

    /// Something failed, and nothing else was answered on this connection: a probe is to tell the message from the Comet.
    pub fn ask(&mut self) {
        self.ask = true;
    }

    /// Whether it is time to ask it whether it is there; then the caller does.
    pub fn probe_due(&mut self, now: Instant) -> bool {
        let due = match self.state {
            State::LeftOut => now >= self.not_before,
            State::Up | State::Down => self.ask && self.asked == 0 && now >= self.ask_from,
        };
        if due {
            self.ask = false;
            self.asked += 1;
            self.ask_from = now + ASK_AGAIN;
            if self.state == State::LeftOut {
                self.not_before = now + LOOK_AGAIN;
            }
        }
        due
    }

    /// When to look again whether it is to be left out, or whether it is back.
    pub fn look_at(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::LeftOut => Some(self.not_before),
            State::Up | State::Down => {
                let since = self.failing_since?;
                Some((since + self.tally.leave_out_after).max(now + LOOK_AGAIN))
            }
        }
    }

    /// Whether it refused so many messages in a row that one more refusal says nothing about the message.
    pub fn is_beyond_refusals(&self) -> bool {
        self.tally.is_beyond_refusals()
    }

    /// Takes the turn that this worker drew a lot for, if no other worker was first.
    pub fn take_turn(&mut self, now: Instant) -> bool {
        let Some((turn, _)) = self.lot.take() else {
            return false;
        };
        self.tally.take_turn(turn, now)
    }

    /// When this worker reaches for the next turn. The first of several such times is each worker's with a probability that
    /// grows as its rate does, which is the number of its keys: so each key of all workers is as likely.
    fn draw_lot(&mut self, waiting: usize) -> Instant {
        let (turn, from) = self.tally.next_turn();
        match self.lot {
            Some((of, at)) if of == turn => at,
            _ => {
                let share = -(1.0 - fastrand::f64()).ln() / waiting.max(1) as f64;
                let at = from + LOT.mul_f64(share).min(LONGEST_LOT);
                self.lot = Some((turn, at));
                at
            }
        }
    }

    /// Whether one more message may be given up though this Comet takes nothing else.
    pub fn may_give_up(&self, now: Instant) -> bool {
        self.tally.may_give_up(now)
    }

    fn down(&mut self, now: Instant) {
        if self.state != State::LeftOut {
            self.enter(State::Down);
            self.not_before = now + self.backoff.wait();
        }
    }

    fn enter(&mut self, state: State) {
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
