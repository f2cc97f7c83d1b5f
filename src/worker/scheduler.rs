//! One worker's queues, window and timers for one Comet: a KeyQueue for each ordering key, with at most one call in flight.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Instant;

use super::breaker::{Admission, Breaker};
use super::key_queue::{Carries, KeyQueue, Pace, QueueState};
use crate::comet::Verdict;
use crate::message::call::{KeyHasher, OrderingKey};

/// Names one of the worker's messages: its index in the worker's slab.
pub type Id = usize;

/// If at most this many keys wait and the Comet answers a probe, the messages are at fault, not the Comet.
const FEW: usize = 8;

pub struct Scheduler {
    pub breaker: Breaker,
    window: usize,
    in_flight: usize,
    /// Messages that are in no KeyQueue yet, in order.
    backlog: VecDeque<(OrderingKey, Id)>,
    /// How many KeyQueues are kept ready to start. To be merged, messages have to be in their KeyQueue. Otherwise only those
    /// of the next calls are: with many Comets, KeyQueues for all messages don't fit into the processor's caches.
    keep_ready: usize,
    queues: HashMap<OrderingKey, KeyQueue, BuildHasherDefault<KeyHasher>>,
    /// How many KeyQueues have no messages, and only keep their distance from their last call.
    resting: usize,
    /// Keys of KeyQueues whose first message may be sent. May name some that are gone or no longer ready.
    ready: VecDeque<OrderingKey>,
    /// When KeyQueues that wait may go on. May name some that are gone or no longer wait.
    timers: BinaryHeap<Reverse<(Instant, OrderingKey)>>,
    /// The key whose message has the turn, at a Comet that refuses everything.
    has_turn: Option<OrderingKey>,
    rng: fastrand::Rng,
}

/// The KeyQueue that is next. It stays the next one until it is started or paused.
pub struct Candidate<'a> {
    key: OrderingKey,
    queue: &'a mut KeyQueue,
    ready: &'a mut VecDeque<OrderingKey>,
    in_flight: &'a mut usize,
    has_turn: &'a mut Option<OrderingKey>,
    /// What the connection has taken so far.
    oks: u64,
    may_merge: bool,
    is_turn: bool,
}

impl Candidate<'_> {
    /// Its messages in order, one at least.
    pub fn messages(&self) -> &VecDeque<Id> {
        &self.queue.messages
    }

    /// Whether a call may carry more than the first message.
    pub fn may_merge(&self) -> bool {
        self.may_merge
    }

    /// How many of the first one's users are done, where each has a call of its own.
    pub fn keys_done(&self) -> usize {
        self.queue.keys_done
    }

    /// How many calls began with the first one so far.
    pub fn calls(&self) -> u32 {
        self.queue.calls()
    }

    /// Counts a call as in flight that carries its first messages. The next one of its key keeps the pace, if there is one. Returns
    /// how often its deadline is doubled.
    pub fn start(self, carries: Carries, pace: Option<Pace>) -> u32 {
        let carried = carries.messages();
        debug_assert!(carried == 1 || self.may_merge && carried <= self.queue.messages.len());
        self.ready.pop_front();
        self.queue.start(carries, pace, self.oks);
        *self.in_flight += 1;
        *self.has_turn = self.is_turn.then_some(self.key);
        self.queue.doublings()
    }

    /// Pauses it until [`Scheduler::resume`].
    pub fn pause(self) {
        self.ready.pop_front();
        self.queue.state = QueueState::Paused;
    }
}

/// What an answer means for the messages of the call.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They left the KeyQueue: this Comet is done with them.
    Finished,
    /// The one message left the KeyQueue: this Comet won't take it.
    Refused,
    /// The one message left the KeyQueue: it failed this often while others went through.
    GivenUp(u32),
    /// One of the message's users is done: the message stays first, for the next one.
    NextKey,
    /// They stay first in their KeyQueue and are sent again later, maybe merged in another way.
    Again,
}

impl Scheduler {
    /// `window` limits the calls in flight; `merging` says whether a call may carry more than one message.
    pub fn new(window: usize, merging: bool, breaker: Breaker, rng: fastrand::Rng) -> Self {
        Self {
            breaker,
            window,
            in_flight: 0,
            backlog: VecDeque::new(),
            keep_ready: if merging { usize::MAX } else { window },
            queues: HashMap::default(),
            resting: 0,
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            has_turn: None,
            rng,
        }
    }

    /// Limits the calls in flight to `window` from now on.
    pub fn set_window(&mut self, window: usize) {
        if self.keep_ready != usize::MAX {
            self.keep_ready = window;
        }
        self.window = window;
    }

    /// Adds a message behind the others of its key.
    pub fn push(&mut self, key: OrderingKey, id: Id) {
        self.backlog.push_back((key, id));
        self.fill_queues(self.keep_ready);
    }

    /// Moves messages from the backlog into their KeyQueues until `ready` of these are ready.
    fn fill_queues(&mut self, ready: usize) {
        while self.ready.len() < ready
            && let Some((key, id)) = self.backlog.pop_front()
        {
            let queue = self.queues.entry(key).or_insert_with(|| {
                self.ready.push_back(key);
                KeyQueue::new()
            });
            self.resting -= usize::from(queue.rests());
            queue.messages.push_back(id);
            if let Some(until) = queue.shorten_pace() {
                self.timers.push(Reverse((until, key)));
            }
        }
    }

    /// Estimates how many keys have messages that wait or are in flight.
    fn waiting(&self) -> usize {
        self.queues.len() - self.resting + self.backlog.len()
    }

    /// Whether hardly any keys wait.
    pub fn few_wait(&self) -> bool {
        self.waiting() <= FEW
    }

    /// Whether no message is left.
    pub fn is_empty(&self) -> bool {
        self.waiting() == 0
    }

    /// Says whether the window and the Breaker admit a call now. A turn is taken with that.
    pub fn admit(&mut self, now: Instant) -> Option<Admission> {
        let admission = self.breaker.admission(self.waiting());
        let free = match admission {
            Admission::Window => self.in_flight < self.window,
            Admission::OneFrom(from) => self.in_flight == 0 && now >= from,
            Admission::TurnFrom(from) => {
                let due = self.in_flight == 0 && now >= from && self.has_something_to_send();
                if due {
                    self.shuffle();
                }
                due && self.breaker.take_turn(now)
            }
            Admission::Nothing => false,
        };
        free.then_some(admission)
    }

    /// Returns the KeyQueue that is next, for a call that was admitted.
    pub fn peek(&mut self, admission: Admission) -> Option<Candidate<'_>> {
        let key = loop {
            self.fill_queues(self.keep_ready);
            let key = *self.ready.front()?;
            if self.queues.get(&key).is_some_and(KeyQueue::may_start) {
                break key;
            }
            self.ready.pop_front();
        };
        let queue = self.queues.get_mut(&key)?;
        Some(Candidate {
            // A Comet that isn't up is tried with one message at a time.
            may_merge: admission == Admission::Window && queue.may_merge(),
            is_turn: matches!(admission, Admission::TurnFrom(_)),
            oks: self.breaker.signs().oks,
            key,
            queue,
            ready: &mut self.ready,
            in_flight: &mut self.in_flight,
            has_turn: &mut self.has_turn,
        })
    }

    /// Makes any key the next one, so that good messages don't wait behind all that a Comet refuses.
    fn shuffle(&mut self) {
        self.fill_queues(usize::MAX);
        self.rng.shuffle(self.ready.make_contiguous());
    }

    /// Estimates how many calls may start now, at most.
    pub fn startable(&self) -> usize {
        let waiting = self.ready.len() + self.backlog.len();
        waiting.min(self.window.saturating_sub(self.in_flight))
    }

    /// Applies the verdict on the call in flight for `key`, and adds its messages to `called`. The caller tells the Breaker
    /// before.
    pub fn answered(
        &mut self,
        key: OrderingKey,
        verdict: Verdict,
        now: Instant,
        called: &mut Vec<Id>,
    ) -> Outcome {
        self.in_flight -= 1;
        let Some(queue) = self.queues.get_mut(&key) else {
            return Outcome::Finished;
        };
        called.extend(queue.called());
        let has_turn = self.has_turn.take_if(|turn| *turn == key).is_some();
        let mut outcome = queue.answered(verdict, &mut self.breaker, now);
        if outcome == Outcome::Refused && self.breaker.is_beyond_refusals() && !has_turn {
            // The call was in flight when the Comet began to refuse everything: its message waits for a turn like the rest.
            outcome = Outcome::Again;
        }
        if outcome == Outcome::Again && verdict == Verdict::Refused {
            // Messages refused together go one by one, without a wait of the key's own: the Breaker admits them.
            queue.state = QueueState::Ready;
            self.ready.push_back(key);
            return outcome;
        }
        if outcome == Outcome::NextKey {
            self.ready.push_back(key);
            return outcome;
        }
        if outcome == Outcome::Again {
            self.timers
                .push(Reverse((queue.wait(now, &mut self.rng), key)));
            return outcome;
        }
        queue.leave();
        let is_empty = queue.messages.is_empty();
        if outcome == Outcome::Finished
            && let Some(until) = queue.keep_pace(now)
        {
            self.resting += usize::from(is_empty);
            self.timers.push(Reverse((until, key)));
        } else if is_empty {
            self.queues.remove(&key);
        } else {
            queue.start_over();
            self.ready.push_back(key);
        }
        if is_empty && self.is_empty() {
            self.breaker.reset();
        }
        outcome
    }

    /// The messages in flight.
    pub fn called(&self) -> impl Iterator<Item = Id> {
        let calling = self.queues.values().filter(|queue| queue.in_flight() > 0);
        calling.flat_map(KeyQueue::called)
    }

    /// How many users of the message in flight for `key` are done.
    pub fn keys_done(&self, key: OrderingKey) -> usize {
        self.queues.get(&key).map_or(0, |queue| queue.keys_done)
    }

    /// How many messages the connection had taken when the call in flight for `key` started.
    pub fn oks_at_start(&self, key: OrderingKey) -> u64 {
        self.queues.get(&key).map_or(0, |queue| queue.oks_at_start)
    }

    /// See [`KeyQueue::tries`].
    pub fn tries(&self, key: OrderingKey) -> u32 {
        self.queues.get(&key).map_or(0, KeyQueue::tries)
    }

    /// Makes the KeyQueues ready whose wait is over.
    pub fn wake(&mut self, now: Instant) {
        while let Some(&Reverse((until, key))) = self.timers.peek() {
            if until > now {
                break;
            }
            self.timers.pop();
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            if queue.state == QueueState::PacedUntil(until) && queue.rests() {
                self.queues.remove(&key);
                self.resting -= 1;
            } else if let QueueState::WaitingUntil(its) | QueueState::PacedUntil(its) = queue.state
                && its == until
            {
                queue.state = QueueState::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// Makes all paused KeyQueues ready.
    pub fn resume(&mut self) {
        for (&key, queue) in &mut self.queues {
            if queue.state == QueueState::Paused {
                queue.state = QueueState::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// When to drive this again, if nothing happens until then.
    pub fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        let queue = self.timers.peek().map(|Reverse((until, _))| *until);
        // A Comet that isn't up has a time of its own, if there is something to send.
        let comet = match self.breaker.admission(self.waiting()) {
            Admission::OneFrom(from) | Admission::TurnFrom(from) => Some(from),
            Admission::Window | Admission::Nothing => None,
        };
        let comet = comet.filter(|_| self.in_flight == 0 && self.has_something_to_send());
        let look = self.breaker.look_at(now);
        queue.into_iter().chain(comet).chain(look).min()
    }

    fn has_something_to_send(&self) -> bool {
        !self.ready.is_empty() || !self.backlog.is_empty()
    }

    /// Removes and returns the messages that `which` selects, except those in flight, which it sees too: it is asked about the messages
    /// of each key in their order. Messages behind those taken move up.
    pub fn take(&mut self, mut which: impl FnMut(Id) -> bool) -> Vec<Id> {
        let mut taken = Vec::new();
        // What has no messages goes.
        self.resting = 0;
        let ready = &mut self.ready;
        self.queues.retain(|&key, queue| {
            let first = queue.messages.front().copied();
            let mut in_flight = queue.in_flight();
            queue.messages.retain(|&id| {
                let keep = !which(id) || in_flight > 0;
                in_flight = in_flight.saturating_sub(1);
                if !keep {
                    taken.push(id);
                }
                keep
            });
            if queue.messages.front().copied() != first && !queue.messages.is_empty() {
                queue.start_over();
                ready.push_back(key);
            }
            !queue.messages.is_empty()
        });
        self.backlog.retain(|&(_, id)| {
            let keep = !which(id);
            if !keep {
                taken.push(id);
            }
            keep
        });
        if self.is_empty() {
            self.breaker.reset();
        }
        taken
    }
}

#[cfg(test)]
mod tests;
