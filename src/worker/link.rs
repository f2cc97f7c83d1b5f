//! One worker's queues for one Comet: a lane for each ordering key, and at most one call in flight in each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Instant;

use super::health::{Health, Pace};
use super::lane::{Lane, LaneState};
use crate::comet::Verdict;
use crate::message::call::{KeyHasher, OrderingKey};

/// Which of the worker's messages: its place in the worker's slab.
pub type Id = usize;

/// Where so few keys wait, and the Comet answers a probe, it is their messages that fail.
const FEW: usize = 8;

pub struct Link {
    pub health: Health,
    window: usize,
    in_flight: usize,
    /// Messages that are in no lane yet, in order.
    backlog: VecDeque<(OrderingKey, Id)>,
    /// So many lanes are kept ready to start. What is to be merged has to lie in its lane; otherwise only the messages of
    /// the next calls do: with many Comets, lanes for all of them are more than the processor's caches hold.
    keep_ready: usize,
    lanes: HashMap<OrderingKey, Lane, BuildHasherDefault<KeyHasher>>,
    /// Keys of lanes whose first message may be sent. May name lanes that are gone or no longer ready.
    ready: VecDeque<OrderingKey>,
    /// When lanes that wait may go on. May name lanes that are gone or no longer wait.
    timers: BinaryHeap<Reverse<(Instant, OrderingKey)>>,
    /// The key whose message has the turn, at a Comet that refuses everything.
    has_turn: Option<OrderingKey>,
}

/// A call to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The first of its messages.
    pub id: Id,
    /// How often its deadline is doubled.
    pub doublings: u32,
}

/// What an answer means for the messages that were sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They left the lane: this Comet is done with them.
    Finished,
    /// It left the lane, a single message: this Comet won't take it.
    Refused,
    /// It left the lane, a single message: it failed this often while others went through.
    GivenUp(u32),
    /// They stay first in their lane and are sent again later, maybe otherwise put together.
    Again,
}

impl Link {
    /// `window` is the most calls in flight at once, and `merging` whether a call may carry more than one message.
    pub fn new(window: usize, merging: bool, health: Health) -> Self {
        Self {
            health,
            window,
            in_flight: 0,
            backlog: VecDeque::new(),
            keep_ready: if merging { usize::MAX } else { window },
            lanes: HashMap::default(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
            has_turn: None,
        }
    }

    /// Puts a message behind the others of its key.
    pub fn push(&mut self, key: OrderingKey, id: Id) {
        self.backlog.push_back((key, id));
        self.fill_lanes(self.keep_ready);
    }

    /// Puts messages into their lanes, until so many of those are ready.
    fn fill_lanes(&mut self, ready: usize) {
        while self.ready.len() < ready
            && let Some((key, id)) = self.backlog.pop_front()
        {
            let lane = self.lanes.entry(key).or_insert_with(|| {
                self.ready.push_back(key);
                Lane::new()
            });
            lane.queue.push_back(id);
        }
    }

    /// About how many keys have messages that wait or are in flight.
    fn waiting(&self) -> usize {
        self.lanes.len() + self.backlog.len()
    }

    /// Whether that is hardly any.
    pub fn few_wait(&self) -> bool {
        self.waiting() <= FEW
    }

    /// Whether no message is left.
    fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.backlog.is_empty()
    }

    /// The next call to make now, if the window and the Comet's health allow one. `choose` is shown the messages of a
    /// lane, and whether more than one may go: it says how many of the first go together. They count as in flight. Where it says none the lane is held, until [`Self::release`].
    pub fn start_next(
        &mut self,
        now: Instant,
        mut choose: impl FnMut(&VecDeque<Id>, bool) -> usize,
    ) -> Option<Start> {
        let pace = self.health.pace(self.waiting());
        let free = match pace {
            Pace::Window => self.in_flight < self.window,
            Pace::OneFrom(from) => self.in_flight == 0 && now >= from,
            Pace::TurnFrom(from) => {
                let due = self.in_flight == 0 && now >= from && self.has_something_to_send();
                if due {
                    self.shuffle();
                }
                due && self.health.take_turn(now)
            }
            Pace::Nothing => false,
        };
        if !free {
            return None;
        }
        let is_turn = matches!(pace, Pace::TurnFrom(_));
        loop {
            self.fill_lanes(self.keep_ready);
            let key = self.ready.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            if lane.state == LaneState::Ready
                && let Some(&id) = lane.queue.front()
            {
                // One that isn't up is tried with one message at a time.
                let several = pace == Pace::Window && lane.may_merge();
                let most = if several { lane.queue.len() } else { 1 };
                let carried = choose(&lane.queue, several).min(most);
                if carried == 0 {
                    lane.state = LaneState::Held;
                    continue;
                }
                lane.start(carried, self.health.signs().oks);
                self.in_flight += 1;
                self.has_turn = is_turn.then_some(key);
                let doublings = lane.doublings();
                return Some(Start { id, doublings });
            }
        }
    }

    /// Good messages are not to wait behind all that a Comet refuses: any key may be next.
    fn shuffle(&mut self) {
        self.fill_lanes(usize::MAX);
        fastrand::shuffle(self.ready.make_contiguous());
    }

    /// About how many calls may be started now, at most.
    pub fn startable(&self) -> usize {
        let waiting = self.ready.len() + self.backlog.len();
        waiting.min(self.window.saturating_sub(self.in_flight))
    }

    /// Takes in the verdict on the call in flight for `key`, and adds its messages to `called`. The health is the
    /// caller's to be told before.
    pub fn answered(
        &mut self,
        key: OrderingKey,
        verdict: Verdict,
        now: Instant,
        called: &mut Vec<Id>,
    ) -> Outcome {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Outcome::Finished;
        };
        called.extend(lane.called());
        let has_turn = self.has_turn.take_if(|turn| *turn == key).is_some();
        let mut outcome = lane.answered(verdict, &mut self.health, now);
        if outcome == Outcome::Refused && self.health.is_beyond_refusals() && !has_turn {
            // Many calls were in flight when it began to refuse everything: they wait for their turn like the rest.
            outcome = Outcome::Again;
        }
        if outcome == Outcome::Again && verdict == Verdict::Refused {
            // Refused together, they go one by one; and it is the Comet's pace that makes the others wait.
            lane.state = LaneState::Ready;
            self.ready.push_back(key);
            return outcome;
        }
        if outcome == Outcome::Again {
            self.timers.push(Reverse((lane.wait(now), key)));
            return outcome;
        }
        lane.leave();
        if lane.queue.is_empty() {
            self.lanes.remove(&key);
            if self.is_empty() {
                self.health.lose_sight();
            }
        } else {
            lane.start_over();
            self.ready.push_back(key);
        }
        outcome
    }

    /// How many messages the connection had taken when the call in flight for `key` was started.
    pub fn oks_at_start(&self, key: OrderingKey) -> u64 {
        self.lanes.get(&key).map_or(0, |lane| lane.oks_at_start)
    }

    /// Lets the lanes go on whose wait is over.
    pub fn wake(&mut self, now: Instant) {
        while let Some(&Reverse((until, key))) = self.timers.peek() {
            if until > now {
                break;
            }
            self.timers.pop();
            if let Some(lane) = self.lanes.get_mut(&key)
                && lane.state == LaneState::WaitingUntil(until)
            {
                lane.state = LaneState::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// Lets held lanes go on.
    pub fn release(&mut self) {
        for (&key, lane) in &mut self.lanes {
            if lane.state == LaneState::Held {
                lane.state = LaneState::Ready;
                self.ready.push_back(key);
            }
        }
    }

    /// When to look again, though nothing happens until then.
    pub fn wake_at(&mut self, now: Instant) -> Option<Instant> {
        let lane = self.timers.peek().map(|Reverse((until, _))| *until);
        // A Comet that isn't up has its own time, if there is something to send.
        let comet = match self.health.pace(self.waiting()) {
            Pace::OneFrom(from) | Pace::TurnFrom(from) => Some(from),
            Pace::Window | Pace::Nothing => None,
        };
        let comet = comet.filter(|_| self.in_flight == 0 && self.has_something_to_send());
        let look = self.health.look_at(now);
        lane.into_iter().chain(comet).chain(look).min()
    }

    fn has_something_to_send(&self) -> bool {
        !self.ready.is_empty() || !self.backlog.is_empty()
    }

    /// Takes out the messages that `which` names, but for those in flight; what is behind them moves up.
    pub fn take(&mut self, mut which: impl FnMut(Id) -> bool) -> Vec<Id> {
        let mut taken = Vec::new();
        let ready = &mut self.ready;
        self.lanes.retain(|&key, lane| {
            let first = lane.queue.front().copied();
            let mut in_flight = lane.in_flight();
            lane.queue.retain(|&id| {
                let keep = in_flight > 0 || !which(id);
                in_flight = in_flight.saturating_sub(1);
                if !keep {
                    taken.push(id);
                }
                keep
            });
            if lane.queue.front().copied() != first && !lane.queue.is_empty() {
                lane.start_over();
                ready.push_back(key);
            }
            !lane.queue.is_empty()
        });
        self.backlog.retain(|&(_, id)| {
            let keep = !which(id);
            if !keep {
                taken.push(id);
            }
            keep
        });
        if self.is_empty() {
            self.health.lose_sight();
        }
        taken
    }
}

#[cfg(test)]
mod tests;
