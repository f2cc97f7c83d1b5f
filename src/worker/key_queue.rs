//! A KeyQueue: the messages of one key that wait for one Comet, and the call in flight for the first of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::breaker::{Breaker, Signs};
use super::scheduler::{Id, Outcome};
use crate::base::backoff::{Backoff, grows};
use crate::base::trial;
use crate::comet::Verdict;

/// Limits of the wait between two tries of one key.
const RETRY_FIRST: Duration = Duration::from_millis(50);
pub const RETRY_MOST: Duration = Duration::from_millis(500);
const _: () = grows(RETRY_FIRST, RETRY_MOST);

/// After this many failures of its own, a message becomes a dead letter.
pub const TRIES: u32 = 5;

/// Spreads the tries over this time where only probes show that the failures are the message's own: a sick Comet may still
/// answer probes. The first wait and the longest one are parts of it.
const QUIET_TRIES_TAKE: Duration = Duration::from_secs(60);
const QUIET_RETRY_FIRST: u32 = 30;
const QUIET_RETRY_MOST: u32 = 4;
const _: () = assert!(
    QUIET_RETRY_FIRST >= QUIET_RETRY_MOST,
    "the first wait is longer than the longest one"
);

/// Limits how often the deadline of a call doubles.
const DOUBLINGS: u32 = 2;

/// The messages of one key, in order. Exists only while there are any.
pub struct KeyQueue {
    pub messages: VecDeque<Id>,
    pub state: QueueState,
    /// How many of the first messages the last call carried.
    carried: usize,
    /// How many of the first messages go one by one, because a call that carried them together failed.
    one_by_one: usize,
    /// How many of the first message's users are done, where each has a call of its own.
    pub keys_done: usize,
    /// Whether others of them come after the one in flight.
    has_more_keys: bool,
    /// Of the next call.
    pace: Option<Pace>,
    /// Whether more messages waited than the call in flight could take.
    left_some: bool,
    /// When the next call may start if it is full.
    full_from: Option<Instant>,
    /// How many messages the connection had taken when the call in flight started.
    pub oks_at_start: u64,
    /// How many calls began with the first message, for its user whose turn it is.
    calls: u32,
    /// Of the first message, once it failed.
    tries: Option<Box<Tries>>,
    backoff: Backoff,
}

/// Unclear failures of a message.
struct Tries {
    all: u32,
    /// Failures that count against it: since the try before, the same connection took another message, or answered a probe.
    beside_messages: u32,
    beside_probes: u32,
    /// What the connection had answered when the message failed last.
    before: Signs,
    first_counted: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueState {
    Ready,
    Calling,
    WaitingUntil(Instant),
    /// Its last call ended a short time ago. It may have no messages meanwhile.
    PacedUntil(Instant),
    /// Its first message must not be sent for now.
    Paused,
}

/// How far apart the calls of one key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pub pause: Duration,
    /// A call with so many messages waits for a shorter time.
    pub full: usize,
}

/// The pause before a full call, at most.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// What a call carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// So many messages.
    Messages(usize),
    /// A message for one of its users; the others come after that.
    OneOfItsKeys,
}

impl Carries {
    pub fn messages(self) -> usize {
        match self {
            Self::Messages(count) => count,
            Self::OneOfItsKeys => 1,
        }
    }
}

impl KeyQueue {
    pub fn new() -> Self {
        Self {
            messages: VecDeque::new(),
            state: QueueState::Ready,
            carried: 0,
            one_by_one: 0,
            keys_done: 0,
            has_more_keys: false,
            pace: None,
            left_some: false,
            full_from: None,
            oks_at_start: 0,
            calls: 0,
            tries: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
        }
    }

    /// Whether its first message may be sent.
    pub fn may_start(&self) -> bool {
        self.state == QueueState::Ready && !self.messages.is_empty()
    }

    /// Whether a call may carry more than the first message.
    pub fn may_merge(&self) -> bool {
        self.one_by_one == 0 && self.messages.len() > 1
    }

    /// Notes that a call with this starts, on a connection that has taken `oks` so far. The call after it keeps the pace, if there is
    /// one.
    pub fn start(&mut self, carries: Carries, pace: Option<Pace>, oks: u64) {
        self.state = QueueState::Calling;
        self.carried = carries.messages();
        self.calls += 1;
        self.pace = pace;
        self.left_some = self.carried < self.messages.len();
        self.has_more_keys = carries == Carries::OneOfItsKeys;
        self.oks_at_start = oks;
    }

    /// How often the deadline of the next call is doubled. A Comet may need longer for this message.
    pub fn doublings(&self) -> u32 {
        self.tries().min(DOUBLINGS)
    }

    /// How many tries of the first message failed, other than for a Comet that is down.
    pub fn tries(&self) -> u32 {
        self.tries.as_ref().map_or(0, |tries| tries.all)
    }

    /// How many calls began with the first message so far.
    pub fn calls(&self) -> u32 {
        self.calls
    }

    /// How many of the first messages are in flight.
    pub fn in_flight(&self) -> usize {
        match self.state {
            QueueState::Calling => self.carried,
            QueueState::Ready
            | QueueState::WaitingUntil(_)
            | QueueState::PacedUntil(_)
            | QueueState::Paused => 0,
        }
    }

    /// The messages of the call in flight.
    pub fn called(&self) -> impl Iterator<Item = Id> {
        self.messages.iter().copied().take(self.carried)
    }

    /// Removes the messages of the call.
    pub fn leave(&mut self) {
        self.messages.drain(..self.carried);
        self.one_by_one = self.one_by_one.saturating_sub(self.carried);
    }

    /// Keeps its distance from the call that ended, if there is a pace. Returns until when.
    pub fn keep_pace(&mut self, now: Instant) -> Option<Instant> {
        let pace = self.pace?;
        let full_from = now + pace.pause.min(FULL_PAUSE);
        let is_full = self.left_some || self.messages.len() >= pace.full;
        let until = if is_full { full_from } else { now + pace.pause };
        self.start_over();
        self.full_from = Some(full_from);
        self.state = QueueState::PacedUntil(until);
        Some(until)
    }

    /// Keeps a shorter distance if the next call is full by now. Returns until when, where that is news.
    pub fn shorten_pace(&mut self) -> Option<Instant> {
        let (QueueState::PacedUntil(until), Some(pace)) = (self.state, self.pace) else {
            return None;
        };
        let full_from = self.full_from.filter(|from| *from < until)?;
        if self.messages.len() < pace.full {
            return None;
        }
        self.state = QueueState::PacedUntil(full_from);
        Some(full_from)
    }

    /// Whether it only keeps its distance, and has nothing to send.
    pub fn rests(&self) -> bool {
        self.messages.is_empty() && matches!(self.state, QueueState::PacedUntil(_))
    }

    /// Starts over with the message that is first now.
    pub fn start_over(&mut self) {
        self.keys_done = 0;
        self.start_anew();
    }

    /// Goes on with the next user of the first message.
    fn next_key(&mut self) {
        self.keys_done += 1;
        self.start_anew();
    }

    fn start_anew(&mut self) {
        self.calls = 0;
        self.state = QueueState::Ready;
        self.tries = None;
        self.backoff = Backoff::new(RETRY_FIRST, RETRY_MOST);
    }

    /// Waits before the first message is tried again. Returns until when.
    pub fn wait(&mut self, now: Instant, rng: &mut fastrand::Rng) -> Instant {
        let until = now + self.backoff.wait_with(rng);
        self.state = QueueState::WaitingUntil(until);
        until
    }

    /// Says what the verdict on the call means for its messages. The caller has told `breaker` of the verdict before.
    pub fn answered(&mut self, verdict: Verdict, breaker: &mut Breaker, now: Instant) -> Outcome {
        match verdict {
            Verdict::Finished if self.has_more_keys => {
                self.next_key();
                Outcome::NextKey
            }
            Verdict::Finished => Outcome::Finished,
            Verdict::Down | Verdict::Misconfigured => Outcome::Again,
            // Only a call for each message tells which of them it was.
            Verdict::Refused | Verdict::Unclear if self.carried > 1 => {
                self.one_by_one = self.carried;
                self.tries = None;
                Outcome::Again
            }
            Verdict::Refused => Outcome::Refused,
            Verdict::Unclear => self.unclear(breaker, now),
        }
    }

    /// Counts a try against the message only if the connection took another message, or answered a probe, since the try before.
    /// Only a try that counts gives the message up.
    fn unclear(&mut self, breaker: &mut Breaker, now: Instant) -> Outcome {
        let signs = breaker.signs();
        let tries = self.tries.get_or_insert_with(|| {
            // A probe tells only about failures before it.
            let before = Signs {
                oks: self.oks_at_start,
                ..signs
            };
            Box::new(Tries {
                all: 0,
                beside_messages: 0,
                beside_probes: 0,
                before,
                first_counted: None,
            })
        });
        let before = std::mem::replace(&mut tries.before, signs);
        let take = trial::limit("quiet-tries-take", QUIET_TRIES_TAKE);
        tries.all += 1;
        if signs.oks > before.oks {
            tries.beside_messages += 1;
        } else {
            breaker.ask();
            if signs.probes == before.probes {
                // The connection may be at fault. That is no reason to give up, however many tries counted before.
                return Outcome::Again;
            }
            tries.beside_probes += 1;
            if tries.beside_probes == 1 {
                self.backoff = Backoff::new(take / QUIET_RETRY_FIRST, take / QUIET_RETRY_MOST);
            }
        }
        let counted = tries.beside_messages + tries.beside_probes;
        let first = *tries.first_counted.get_or_insert(now);
        let took = now.saturating_duration_since(first);
        let is_enough = tries.beside_messages >= TRIES
            || counted >= TRIES && took >= take && breaker.may_give_up(now);
        match is_enough {
            true => Outcome::GivenUp(counted),
            false => Outcome::Again,
        }
    }
}
