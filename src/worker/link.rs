//! One worker's queues for one Comet: a lane for each ordering key, and at most one call in flight in each.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::comet::{Health, Pace, Verdict};
use crate::route::{KeyHasher, OrderingKey};

/// Which of the worker's messages: its place in the worker's slab.
pub type Id = usize;

/// Waits of one key between two tries.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_millis(500);

/// So many failures that are the message's own, and it is a dead letter.
const TRIES: u32 = 5;

pub struct Link {
    pub health: Health,
    window: usize,
    in_flight: usize,
    lanes: HashMap<OrderingKey, Lane, BuildHasherDefault<KeyHasher>>,
    /// Keys of lanes whose first message may be sent. May name lanes that are gone or no longer ready.
    ready: VecDeque<OrderingKey>,
    /// When lanes that wait may go on. May name lanes that are gone or no longer wait.
    timers: BinaryHeap<Reverse<(Instant, OrderingKey)>>,
}

/// The messages of one key, in order. Exists only while there are any.
struct Lane {
    queue: VecDeque<Id>,
    state: LaneState,
    /// What the Comet had finished when the first message's call was started.
    oks_at_start: u64,
    /// What it had finished when the first message failed last, or was sent first.
    oks_before: Option<u64>,
    /// Failures of the first message that count against it.
    tries: u32,
    backoff: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LaneState {
    Ready,
    Calling,
    WaitingUntil(Instant),
}

/// What an answer means for the message that was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It left the lane: this Comet is done with it.
    Finished,
    /// It left the lane: this Comet won't take it.
    Refused,
    /// It left the lane: it failed this often while others went through.
    GivenUp(u32),
    /// It stays first in its lane and is sent again later.
    Again,
}

impl Link {
    /// `window` is the most calls in flight at once.
    pub fn new(window: usize, health: Health) -> Self {
        Self {
            health,
            window,
            in_flight: 0,
            lanes: HashMap::default(),
            ready: VecDeque::new(),
            timers: BinaryHeap::new(),
        }
    }

    /// Puts a message behind the others of its key.
    pub fn push(&mut self, key: OrderingKey, id: Id) {
        let lane = self.lanes.entry(key).or_insert_with(|| {
            self.ready.push_back(key);
            Lane::new()
        });
        lane.queue.push_back(id);
    }

    /// The next message to send now, if the window and the Comet's health allow one. It counts as in flight.
    pub fn start_next(&mut self, now: Instant) -> Option<Id> {
        let free = match self.health.pace() {
            Pace::Window => self.in_flight < self.window,
            Pace::OneFrom(from) => self.in_flight == 0 && now >= from,
            Pace::Nothing => false,
        };
        if !free {
            return None;
        }
        while let Some(key) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else {
                continue;
            };
            if lane.state == LaneState::Ready
                && let Some(&id) = lane.queue.front()
            {
                lane.state = LaneState::Calling;
                lane.oks_at_start = self.health.oks();
                lane.oks_before.get_or_insert(lane.oks_at_start);
                self.in_flight += 1;
                return Some(id);
            }
        }
        None
    }

    /// Takes in the verdict on the call in flight for `key`. The health is the caller's to be told before.
    pub fn answered(&mut self, key: OrderingKey, verdict: Verdict, now: Instant) -> Outcome {
        self.in_flight -= 1;
        let Some(lane) = self.lanes.get_mut(&key) else {
            return Outcome::Finished;
        };
        let outcome = lane.answered(verdict, self.health.oks());
        if outcome == Outcome::Again {
            let until = now + lane.backoff.wait();
            lane.state = LaneState::WaitingUntil(until);
            self.timers.push(Reverse((until, key)));
        } else {
            self.next_in_lane(key);
        }
        outcome
    }

    /// How many calls the Comet had finished when the call in flight for `key` was started.
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

    /// When to look again, though nothing happens until then.
    pub fn wake_at(&self) -> Option<Instant> {
        let lane = self.timers.peek().map(|Reverse((until, _))| *until);
        // A Comet that isn't up has its own time, if there is something to send or to ask.
        let comet = match self.health.pace() {
            Pace::OneFrom(_) if self.in_flight > 0 || self.ready.is_empty() => None,
            _ => self.health.wake_at(),
        };
        lane.into_iter().chain(comet).min()
    }

    /// Takes out the messages that `which` names, but for those in flight; what is behind them moves up.
    pub fn take(&mut self, mut which: impl FnMut(Id) -> bool) -> Vec<Id> {
        let mut taken = Vec::new();
        let ready = &mut self.ready;
        self.lanes.retain(|&key, lane| {
            let first = lane.queue.front().copied();
            let calling = lane.state == LaneState::Calling;
            lane.queue.retain(|&id| {
                let keep = (calling && Some(id) == first) || !which(id);
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
        if self.lanes.is_empty() {
            self.health.lose_sight();
        }
        taken
    }

    fn next_in_lane(&mut self, key: OrderingKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.queue.pop_front();
            if lane.queue.is_empty() {
                self.lanes.remove(&key);
            } else {
                lane.start_over();
                self.ready.push_back(key);
            }
        }
    }
}

impl Lane {
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            state: LaneState::Ready,
            oks_at_start: 0,
            oks_before: None,
            tries: 0,
            backoff: Backoff::new(RETRY_FIRST, RETRY_MOST),
        }
    }

    /// Another message is first now.
    fn start_over(&mut self) {
        self.state = LaneState::Ready;
        self.oks_before = None;
        self.tries = 0;
        self.backoff.reset();
    }

    fn answered(&mut self, verdict: Verdict, oks: u64) -> Outcome {
        match verdict {
            Verdict::Finished => Outcome::Finished,
            Verdict::Refused => Outcome::Refused,
            Verdict::Down | Verdict::Misconfigured => Outcome::Again,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: OrderingKey = OrderingKey(1);
    const B: OrderingKey = OrderingKey(2);

    fn link(window: usize) -> (Link, Instant) {
        let now = Instant::now();
        (Link::new(window, Health::new(Default::default(), now)), now)
    }

    /// The worker's part: the health hears of it first.
    fn answer(link: &mut Link, key: OrderingKey, verdict: Verdict, now: Instant) -> Outcome {
        match verdict {
            Verdict::Finished => drop(link.health.ok(now)),
            _ => drop(link.health.failed(verdict, link.oks_at_start(key), now)),
        }
        link.answered(key, verdict, now)
    }

    #[test]
    fn a_key_has_one_call_in_flight_and_others_go_on_beside_it() {
        let (mut link, now) = link(64);
        for (key, id) in [(A, 0), (A, 1), (B, 2)] {
            link.push(key, id);
        }
        assert_eq!(link.start_next(now), Some(0));
        assert_eq!(link.start_next(now), Some(2));
        assert_eq!(link.start_next(now), None);
        assert_eq!(
            answer(&mut link, A, Verdict::Finished, now),
            Outcome::Finished
        );
        assert_eq!(link.start_next(now), Some(1));
    }

    #[test]
    fn the_window_bounds_the_calls() {
        let (mut link, now) = link(2);
        for n in 0..5 {
            link.push(OrderingKey(n), n as usize);
        }
        assert!(link.start_next(now).is_some() && link.start_next(now).is_some());
        assert_eq!(link.start_next(now), None);
        answer(&mut link, OrderingKey(0), Verdict::Finished, now);
        assert_eq!(link.start_next(now), Some(2));
    }

    #[test]
    fn a_failed_message_is_sent_again_before_those_behind_it() {
        let (mut link, now) = link(64);
        link.push(A, 0);
        link.push(A, 1);
        link.start_next(now);
        assert_eq!(answer(&mut link, A, Verdict::Unclear, now), Outcome::Again);
        assert_eq!(link.start_next(now), None);
        let later = link.wake_at().expect("it waits");
        link.wake(later);
        assert_eq!(link.start_next(later), Some(0));
    }

    #[test]
    fn a_try_counts_only_where_the_comet_took_something_else_meanwhile() {
        let (mut link, mut now) = link(64);
        link.push(A, 0);
        let mut fail = |link: &mut Link, other_goes_through: bool| {
            now += RETRY_MOST * 2;
            link.wake(now);
            assert_eq!(link.start_next(now), Some(0));
            if other_goes_through {
                link.push(B, 9);
                assert_eq!(link.start_next(now), Some(9));
                answer(link, B, Verdict::Finished, now);
            }
            answer(link, A, Verdict::Unclear, now)
        };
        for _ in 0..20 {
            assert_eq!(fail(&mut link, false), Outcome::Again);
        }
        for _ in 1..TRIES {
            assert_eq!(fail(&mut link, true), Outcome::Again);
        }
        assert_eq!(fail(&mut link, true), Outcome::GivenUp(TRIES));
    }

    #[test]
    fn a_comet_that_is_down_is_tried_with_one_message_of_each_key_in_turn() {
        let (mut link, now) = link(64);
        link.push(A, 0);
        link.push(B, 1);
        link.start_next(now);
        answer(&mut link, A, Verdict::Down, now);
        assert_eq!(link.start_next(now), None);
        let later = now + RETRY_MOST;
        assert_eq!(link.start_next(later), Some(1));
        link.push(OrderingKey(3), 2);
        assert_eq!(link.start_next(later), None, "one at a time");
    }

    #[test]
    fn taking_messages_out_leaves_the_one_in_flight() {
        let (mut link, now) = link(64);
        for (key, id) in [(A, 0), (A, 1), (A, 2), (B, 3)] {
            link.push(key, id);
        }
        assert_eq!(link.start_next(now), Some(0));
        let mut taken = link.take(|id| id != 2);
        taken.sort();
        assert_eq!(taken, [1, 3]);
        answer(&mut link, A, Verdict::Finished, now);
        assert_eq!(link.start_next(now), Some(2));
        assert_eq!(link.start_next(now), None);
    }

    proptest! {
        /// Whatever the answers, each key's messages leave in the order they came, and the window holds.
        #[test]
        fn order_holds_within_each_key(
            keys in prop::collection::vec(0u64..6, 1..80),
            answers in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..600),
            window in 1usize..5,
        ) {
            let (mut link, mut now) = link(window);
            for (id, key) in keys.iter().enumerate() {
                link.push(OrderingKey(*key), id);
            }
            let mut in_flight: Vec<Id> = Vec::new();
            let mut left: HashMap<u64, Vec<Id>> = HashMap::new();
            let mut settle = |link: &mut Link, in_flight: &mut Vec<Id>, index: usize, verdict, now| {
                let id = in_flight.swap_remove(index);
                if answer(link, OrderingKey(keys[id]), verdict, now) != Outcome::Again {
                    left.entry(keys[id]).or_default().push(id);
                }
            };
            let mut answers = answers.into_iter();
            while left_of(&link) {
                now += Duration::from_millis(700);
                link.wake(now);
                while let Some(id) = link.start_next(now) {
                    prop_assert!(in_flight.iter().all(|other| keys[*other] != keys[id]), "two calls of one key");
                    in_flight.push(id);
                    prop_assert!(in_flight.len() <= window);
                }
                let (index, kind) = answers.next().map_or((0, 0), |(at, kind)| (at.index(in_flight.len().max(1)), kind));
                if in_flight.is_empty() {
                    continue;
                }
                let verdict = match kind {
                    0..=3 => Verdict::Finished,
                    4 => Verdict::Refused,
                    5 => Verdict::Down,
                    _ => Verdict::Unclear,
                };
                settle(&mut link, &mut in_flight, index, verdict, now);
            }
            for (key, ids) in left {
                let expected: Vec<Id> = (0..keys.len()).filter(|id| keys[*id] == key).collect();
                prop_assert_eq!(ids, expected);
            }
        }
    }

    fn left_of(link: &Link) -> bool {
        !link.lanes.is_empty()
    }
}
