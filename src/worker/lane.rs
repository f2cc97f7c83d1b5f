//! The messages of one key that wait for one Comet, and the call that is in flight for the first of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::health::{Health, Signs};
use super::link::{Id, Outcome};
use crate::base::backoff::{Backoff, grows};
use crate::base::trial;
use crate::comet::Verdict;

/// Waits of one key between two tries.
const RETRY_FIRST: Duration = Duration::from_millis(50);
pub const RETRY_MOST: Duration = Duration::from_millis(500);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// So many failures that are the message's own, and it is a dead letter.
pub const TRIES: u32 = 5;

/// They are spread over so long where only probes show that they are the message's own: a Comet may be sick that answers
/// these. The first wait and the longest one are parts of it.
const QUIET_TRIES_TAKE: Duration = Duration::from_secs(60);
const QUIET_RETRY_FIRST: u32 = 30;
const QUIET_RETRY_MOST: u32 = 4;
const _: () = assert!(
    QUIET_RETRY_FIRST >= QUIET_RETRY_MOST,
    "the first wait is longer than the longest one"
);

/// The deadline of a call doubles so often at most.
const DOUBLINGS: u32 = 2;

/// The messages of one key, in order. Exists only while there are any.
pub struct Lane {
    pub queue: VecDeque<Id>,
    pub state: LaneState,
    /// How many of the first messages the last call carried.
    carried: usize,
    /// So many of the first messages go one by one: a call that carried them together failed.
    one_by_one: usize,
    /// What the connection had taken when the first message's call was started.
    pub oks_at_start: u64,
    /// The first message's, once it failed.
    tries: Option<Box<Tries>>,
    backoff: Backoff,
}

/// Unclear failures of a message.
struct Tries {
    all: u32,
    /// Those that count against it: the same connection took another message, or answered a probe, since the try before.
    beside_messages: u32,
    beside_probes: u32,
    /// What the connection had answered when it failed last.
    before: Signs,
    first: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneState {
    Ready,
    Calling,
    WaitingUntil(Instant),
    /// Its first message isn't to be sent for now.
    Held,
}

impl Lane {
    pub fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            state: LaneState::Ready,
            carried: 0,
            one_by_one: 0,
            oks_at_start: 0,
            tries: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
        }
    }

    /// Whether a call may carry more than the first message.
    pub fn may_merge(&self) -> bool {
        self.one_by_one == 0 && self.queue.len() > 1
    }

    /// A call starts that carries so many of the first messages, on a connection that has taken `oks` so far.
    pub fn start(&mut self, carried: usize, oks: u64) {
        self.state = LaneState::Calling;
        self.carried = carried;
        self.oks_at_start = oks;
    }

    /// How often the deadline of the next call is doubled: a Comet may need longer for this message.
    pub fn doublings(&self) -> u32 {
        let failures = self.tries.as_ref().map_or(0, |tries| tries.all);
        failures.min(DOUBLINGS)
    }

    /// How many of the first messages are in flight.
    pub fn in_flight(&self) -> usize {
        match self.state {
            LaneState::Calling => self.carried,
            LaneState::Ready | LaneState::WaitingUntil(_) | LaneState::Held => 0,
        }
    }

    /// The messages of the call in flight.
    pub fn called(&self) -> impl Iterator<Item = Id> {
        self.queue.iter().copied().take(self.carried)
    }

    /// The messages of the call leave.
    pub fn leave(&mut self) {
        self.queue.drain(..self.carried);
        self.one_by_one = self.one_by_one.saturating_sub(self.carried);
    }

    /// Another message is first now.
    pub fn start_over(&mut self) {
        self.state = LaneState::Ready;
        self.tries = None;
        self.backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    }

    /// The first message fails: until when its lane waits.
    pub fn wait(&mut self, now: Instant) -> Instant {
        let until = now + self.backoff.wait();
        self.state = LaneState::WaitingUntil(until);
        until
    }

    /// What the verdict on the call means for its messages. `health` is that of the Comet, which has heard of it.
    pub fn answered(&mut self, verdict: Verdict, health: &mut Health, now: Instant) -> Outcome {
        match verdict {
            Verdict::Finished => Outcome::Finished,
            Verdict::Down | Verdict::Misconfigured => Outcome::Again,
            // Which of them it was, only calls of their own can tell.
            Verdict::Refused | Verdict::Unclear if self.carried > 1 => {
                self.one_by_one = self.carried;
                self.tries = None;
                Outcome::Again
            }
            Verdict::Refused => Outcome::Refused,
            Verdict::Unclear => self.unclear(health, now),
        }
    }

    /// Only where the connection took another message, or answered a probe, since the try before is it this message.
    fn unclear(&mut self, health: &mut Health, now: Instant) -> Outcome {
        let signs = health.signs();
        let tries = self.tries.get_or_insert_with(|| {
            // Probes tell only about what failed before them.
            let before = Signs {
                oks: self.oks_at_start,
                ..signs
            };
            Box::new(Tries {
                all: 0,
                beside_messages: 0,
                beside_probes: 0,
                before,
                first: now,
            })
        });
        let before = std::mem::replace(&mut tries.before, signs);
        let take = trial::limit("quiet-tries-take", QUIET_TRIES_TAKE);
        tries.all += 1;
        if signs.oks > before.oks {
            tries.beside_messages += 1;
        } else {
            health.ask();
            if signs.probes > before.probes {
                tries.beside_probes += 1;
                if tries.beside_probes == 1 {
                    self.backoff = Backoff::new(take / QUIET_RETRY_FIRST, take / QUIET_RETRY_MOST);
                }
            }
        }
        let counted = tries.beside_messages + tries.beside_probes;
        let took = now.saturating_duration_since(tries.first);
        let is_enough = tries.beside_messages >= TRIES
            || counted >= TRIES && took >= take && health.may_give_up(now);
        match is_enough {
            true => Outcome::GivenUp(counted),
            false => Outcome::Again,
        }
    }
}
