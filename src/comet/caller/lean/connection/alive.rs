//! Time: deadlines of calls, the peer's greeting, and whether it is still there (RFC 9113, section 6.7).

use std::time::{Duration, Instant};

use super::super::frame::{self, PING};
use super::{Config, Connection, State};

/// PINGs that are sent on without anything of a call coming in between. Servers of gRPC take one that sends more for an attacker.
const PINGS: u32 = 2;

/// When the peer was heard, and asked.
pub struct Alive {
    greeted_until: Instant,
    ask_after: Duration,
    answer_within: Duration,
    /// When anything came last.
    heard: Instant,
    /// Since when something should have come.
    silent_since: Instant,
    asked: Option<Instant>,
    pings: u32,
}

impl Alive {
    pub fn new(config: &Config, now: Instant) -> Self {
        Self {
            greeted_until: now + config.greeted_within,
            ask_after: config.ask_after,
            answer_within: config.answer_within,
            heard: now,
            silent_since: now,
            asked: None,
            pings: 0,
        }
    }

    /// A call is made, where none was.
    pub fn begin(&mut self, now: Instant) {
        self.silent_since = now;
    }

    pub fn heard(&mut self, now: Instant) {
        (self.heard, self.silent_since) = (now, now);
        self.asked = None;
    }

    /// Something of a call came.
    pub fn served(&mut self) {
        self.pings = 0;
    }

    /// When the peer is to be asked or is given up, while calls wait.
    fn due(&self) -> Option<Instant> {
        match self.asked {
            Some(asked) => Some(asked + self.answer_within),
            None => (self.pings < PINGS).then_some(self.silent_since + self.ask_after),
        }
    }
}

impl Connection {
    /// When [`Self::advance`] is due, though nothing happens until then. May be too early.
    pub fn wake_at(&self) -> Option<Instant> {
        let of_state = match self.state {
            State::Closed => return None,
            State::Greeting => Some(self.alive.greeted_until),
            State::Open | State::Retiring if self.waits() => self.alive.due(),
            State::Open | State::Retiring => None,
        };
        of_state.into_iter().chain(self.first_deadline).min()
    }

    /// Whether something should come, or leave.
    fn waits(&self) -> bool {
        self.streams.opened() > 0 || self.alive.asked.is_some() || self.is_full()
    }

    /// Takes the time: ends calls whose deadline has passed, asks the peer for a sign of life, gives it up.
    pub fn advance(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.end_overdue(now);
        // Calls that begin in place of those that ended wait for the peer, too.
        self.go_on(now);
        if self.state == State::Greeting {
            if now >= self.alive.greeted_until {
                let within = self.alive.greeted_within_text(self.config.greeted_within);
                self.give_up(within);
            }
        } else if self.waits() && self.alive.due().is_some_and(|due| due <= now) {
            if self.alive.asked.is_some() {
                let within = self.alive.answer_within.as_secs_f64();
                return self.give_up(format!("no sign of life came within {within} s"));
            }
            self.ask(now);
        }
        self.close_if_done();
    }

    /// Asks the peer for a sign of life, unless it is being asked. [`Self::heard`] tells when one came; if none comes in time,
    /// the connection is lost.
    pub fn ask(&mut self, now: Instant) {
        if matches!(self.state, State::Open | State::Retiring) && self.alive.asked.is_none() {
            self.alive.asked = Some(now);
            self.alive.pings += 1;
            frame::write(&mut self.output, PING, 0, 0, b"alive?\r\n");
        }
    }

    /// When anything came last.
    pub fn heard(&self) -> Instant {
        self.alive.heard
    }

    /// Looks at all calls, but seldom: when the earliest deadline passes that there was at the last look, or was set since.
    fn end_overdue(&mut self, now: Instant) {
        if self.first_deadline.is_none_or(|first| first > now) {
            return;
        }
        for key in self.streams.keys(|stream| stream.deadline <= now) {
            self.overdue(key);
        }
        self.first_deadline = self.streams.iter().map(|(_, stream)| stream.deadline).min();
    }
}

impl Alive {
    fn greeted_within_text(&self, within: Duration) -> String {
        let within = within.as_secs_f64();
        format!("what answers there didn't say within {within} s that it speaks HTTP/2")
    }
}
