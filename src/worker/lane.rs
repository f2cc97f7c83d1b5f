//! The messages of one key that wait for one Comet, and the call that is in flight for the first of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::link::{Id, Outcome};
use crate::backoff::Backoff;
use crate::comet::Verdict;

/// Waits of one key between two tries.
const RETRY_FIRST: Duration = Duration::from_millis(50);
pub const RETRY_MOST: Duration = Duration::from_millis(500);

/// So many failures that are the message's own, and it is a dead letter.
pub const TRIES: u32 = 5;

/// The messages of one key, in order. Exists only while there are any.
pub struct Lane {
    pub queue: VecDeque<Id>,
    pub state: LaneState,
    /// How many of the first messages the last call carried.
    carried: usize,
    /// So many of the first messages go one by one: a call that carried them together failed.
    one_by_one: usize,
    /// What the Comet had finished when the first message's call was started.
    pub oks_at_start: u64,
    /// What it had finished when the first message failed last, or was sent first.
    oks_before: Option<u64>,
    /// Failures of the first message that count against it.
    tries: u32,
    pub backoff: Backoff,
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
            oks_before: None,
            tries: 0,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
        }
    }

    /// Whether a call may carry more than the first message.
    pub fn may_merge(&self) -> bool {
        self.one_by_one == 0 && self.queue.len() > 1
    }

    /// A call starts that carries so many of the first messages. The Comet has finished `oks` calls so far.
    pub fn start(&mut self, carried: usize, oks: u64) {
        self.state = LaneState::Calling;
        self.carried = carried;
        self.oks_at_start = oks;
        self.oks_before.get_or_insert(oks);
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
        self.oks_before = None;
        self.tries = 0;
        self.backoff.reset();
    }

    /// What the verdict on the call means for its messages. The Comet has finished `oks` calls so far.
    pub fn answered(&mut self, verdict: Verdict, oks: u64) -> Outcome {
        match verdict {
            Verdict::Finished => Outcome::Finished,
            Verdict::Down | Verdict::Misconfigured => Outcome::Again,
            // Which of them it was, only calls of their own can tell.
            Verdict::Refused | Verdict::Unclear if self.carried > 1 => {
                self.one_by_one = self.carried;
                self.oks_before = None;
                Outcome::Again
            }
            Verdict::Refused => Outcome::Refused,
            Verdict::Unclear => {
                // Only where the Comet finished another call since the try before is it this message.
                let before = self.oks_before.replace(oks);
                self.tries += u32::from(before.is_some_and(|before| oks > before));
                if self.tries < TRIES {
                    Outcome::Again
                } else {
                    Outcome::GivenUp(self.tries)
                }
            }
        }
    }
}
