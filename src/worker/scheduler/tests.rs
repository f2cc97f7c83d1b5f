mod giving_up;
mod pace;
mod together;

use super::super::endpoint_stats::{DETACH_AFTER, EndpointStats, Fleet};
use super::super::key_queue::{RETRY_MOST, TRIES};
use super::*;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const A: OrderingKey = OrderingKey(1);
const B: OrderingKey = OrderingKey(2);

fn breaker(now: Instant) -> Breaker {
    knowing(Arc::new(EndpointStats::new(now)), now)
}

/// A Breaker of a fleet's only Comet.
fn knowing(stats: Arc<EndpointStats>, now: Instant) -> Breaker {
    Breaker::new(stats, Arc::new(Fleet::new(now)), now, fastrand::Rng::new())
}

fn with(window: usize, merging: bool, breaker: Breaker) -> Scheduler {
    Scheduler::new(window, merging, breaker, fastrand::Rng::new())
}

fn scheduler(window: usize) -> (Scheduler, Instant) {
    let now = Instant::now();
    (with(window, true, breaker(now)), now)
}

/// Starts the next call as the worker does: `choose` says how many messages of a KeyQueue go together, 0 pauses it. Returns the
/// first of them and how often the deadline is doubled.
fn start_next(
    scheduler: &mut Scheduler,
    now: Instant,
    choose: impl FnMut(&VecDeque<Id>, bool) -> usize,
) -> Option<(Id, u32)> {
    start_at_pace(scheduler, now, None, choose)
}

/// As `start_next`, and the next call of the key keeps the pace.
fn start_at_pace(
    scheduler: &mut Scheduler,
    now: Instant,
    pace: Option<Pace>,
    mut choose: impl FnMut(&VecDeque<Id>, bool) -> usize,
) -> Option<(Id, u32)> {
    let admission = scheduler.admit(now)?;
    loop {
        let next = scheduler.peek(admission)?;
        let first = next.messages()[0];
        let most = match next.may_merge() {
            true => next.messages().len(),
            false => 1,
        };
        match choose(next.messages(), next.may_merge()) {
            0 => next.pause(),
            count => return Some((first, next.start(Carries::Messages(count.min(most)), pace))),
        }
    }
}

/// Starts the next call, and returns its first message.
fn next(
    scheduler: &mut Scheduler,
    now: Instant,
    choose: impl FnMut(&VecDeque<Id>, bool) -> usize,
) -> Option<Id> {
    start_next(scheduler, now, choose).map(|(first, _)| first)
}

/// Answers as the worker does: the Breaker hears of it first.
fn answer(scheduler: &mut Scheduler, key: OrderingKey, verdict: Verdict, now: Instant) -> Outcome {
    match verdict {
        Verdict::Finished => drop(scheduler.breaker.ok(now)),
        _ => drop(
            scheduler
                .breaker
                .failed(verdict, scheduler.oks_at_start(key), now),
        ),
    }
    scheduler.answered(key, verdict, now, &mut Vec::new())
}

/// Starts a call with `count` messages where as many wait.
fn start(scheduler: &mut Scheduler, count: usize, now: Instant) -> Option<Id> {
    next(scheduler, now, |waiting, _| count.min(waiting.len()))
}

/// Answers a call: what it means, and the messages that it had.
fn answer_all(
    scheduler: &mut Scheduler,
    key: OrderingKey,
    verdict: Verdict,
    now: Instant,
) -> (Outcome, Vec<Id>) {
    let mut called = Vec::new();
    match verdict {
        Verdict::Finished => drop(scheduler.breaker.ok(now)),
        _ => drop(
            scheduler
                .breaker
                .failed(verdict, scheduler.oks_at_start(key), now),
        ),
    }
    let outcome = scheduler.answered(key, verdict, now, &mut called);
    (outcome, called)
}

fn left_of(scheduler: &Scheduler) -> bool {
    !scheduler.is_empty()
}

#[test]
fn a_paused_queue_waits_until_it_is_resumed() {
    let (mut scheduler, now) = scheduler(2);
    scheduler.push(A, 0);
    scheduler.push(A, 1);
    scheduler.push(B, 2);
    let but_the_first = |waiting: &VecDeque<Id>, _| usize::from(waiting[0] != 0);
    assert_eq!(next(&mut scheduler, now, but_the_first), Some(2));
    assert_eq!(next(&mut scheduler, now, |_, _| 1), None);
    scheduler.resume();
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(0));
}

#[test]
fn a_key_has_one_call_in_flight_and_others_go_on_beside_it() {
    let (mut scheduler, now) = scheduler(64);
    for (key, id) in [(A, 0), (A, 1), (B, 2)] {
        scheduler.push(key, id);
    }
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(0));
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(2));
    assert_eq!(next(&mut scheduler, now, |_, _| 1), None);
    assert_eq!(
        answer(&mut scheduler, A, Verdict::Finished, now),
        Outcome::Finished
    );
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(1));
}

#[test]
fn the_window_bounds_the_calls() {
    let (mut scheduler, now) = scheduler(2);
    for n in 0..5 {
        scheduler.push(OrderingKey(n), n as usize);
    }
    assert!(
        next(&mut scheduler, now, |_, _| 1).is_some()
            && next(&mut scheduler, now, |_, _| 1).is_some()
    );
    assert_eq!(next(&mut scheduler, now, |_, _| 1), None);
    answer(&mut scheduler, OrderingKey(0), Verdict::Finished, now);
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(2));
}

#[test]
fn a_failed_message_is_sent_again_before_those_behind_it() {
    let (mut scheduler, now) = scheduler(64);
    scheduler.push(A, 0);
    scheduler.push(A, 1);
    next(&mut scheduler, now, |_, _| 1);
    assert_eq!(
        answer(&mut scheduler, A, Verdict::Unclear, now),
        Outcome::Again
    );
    assert_eq!(next(&mut scheduler, now, |_, _| 1), None);
    let later = scheduler.wake_at(now).expect("it waits");
    scheduler.wake(later);
    assert_eq!(next(&mut scheduler, later, |_, _| 1), Some(0));
}

#[test]
fn a_try_counts_only_where_the_comet_took_something_else_meanwhile() {
    let (mut scheduler, mut now) = scheduler(64);
    scheduler.push(A, 0);
    let mut fail = |scheduler: &mut Scheduler, other_goes_through: bool| {
        now += RETRY_MOST * 2;
        scheduler.wake(now);
        assert_eq!(next(scheduler, now, |_, _| 1), Some(0));
        if other_goes_through {
            scheduler.push(B, 9);
            assert_eq!(next(scheduler, now, |_, _| 1), Some(9));
            answer(scheduler, B, Verdict::Finished, now);
        }
        answer(scheduler, A, Verdict::Unclear, now)
    };
    for _ in 0..20 {
        assert_eq!(fail(&mut scheduler, false), Outcome::Again);
    }
    for _ in 1..TRIES {
        assert_eq!(fail(&mut scheduler, true), Outcome::Again);
    }
    assert_eq!(fail(&mut scheduler, true), Outcome::GivenUp(TRIES));
}

#[test]
fn a_comet_that_is_down_is_tried_with_one_message_of_each_key_in_turn() {
    let (mut scheduler, now) = scheduler(64);
    scheduler.push(A, 0);
    scheduler.push(B, 1);
    next(&mut scheduler, now, |_, _| 1);
    answer(&mut scheduler, A, Verdict::Down, now);
    assert_eq!(next(&mut scheduler, now, |_, _| 1), None);
    let later = now + RETRY_MOST;
    assert_eq!(next(&mut scheduler, later, |_, _| 1), Some(1));
    scheduler.push(OrderingKey(3), 2);
    assert_eq!(next(&mut scheduler, later, |_, _| 1), None, "one at a time");
}

#[test]
fn taking_messages_out_leaves_the_one_in_flight() {
    let (mut scheduler, now) = scheduler(64);
    for (key, id) in [(A, 0), (A, 1), (A, 2), (B, 3)] {
        scheduler.push(key, id);
    }
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(0));
    let mut taken = scheduler.take(|id| id != 2);
    taken.sort();
    assert_eq!(taken, [1, 3]);
    answer(&mut scheduler, A, Verdict::Finished, now);
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(2));
    assert_eq!(next(&mut scheduler, now, |_, _| 1), None);
}

#[test]
fn without_merging_few_messages_are_in_a_queue() {
    let now = Instant::now();
    let mut scheduler = with(4, false, breaker(now));
    (0..100).for_each(|id| scheduler.push(OrderingKey(id as u64), id));
    assert_eq!(scheduler.startable(), 4);
    let started: Vec<Id> = std::iter::from_fn(|| next(&mut scheduler, now, |_, _| 1)).collect();
    assert_eq!(started, [0, 1, 2, 3]);
    assert!(
        scheduler.queues.len() <= 8,
        "{} queues",
        scheduler.queues.len()
    );
    assert_eq!(scheduler.take(|id| id % 2 == 1).len(), 48);
    answer(&mut scheduler, OrderingKey(0), Verdict::Finished, now);
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(4));
    answer(&mut scheduler, OrderingKey(1), Verdict::Finished, now);
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(6));
}

#[test]
fn a_comet_that_is_down_is_tried_again_for_messages_without_a_queue() {
    let now = Instant::now();
    let mut scheduler = with(1, false, breaker(now));
    scheduler.push(A, 0);
    scheduler.push(B, 1);
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(0));
    answer(&mut scheduler, A, Verdict::Down, now);
    assert_eq!(scheduler.take(|id| id == 0), [0]);
    assert!(
        scheduler.wake_at(now).is_some(),
        "there is something to send"
    );
    let later = now + RETRY_MOST * 2;
    assert_eq!(next(&mut scheduler, later, |_, _| 1), Some(1));
}

proptest! {
    /// Whatever the answers, each key's messages leave in the order they came, and the window holds.
    #[test]
    fn order_holds_within_each_key(
        keys in prop::collection::vec(0u64..6, 1..80),
        answers in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..600),
        window in 1usize..5,
        merging in any::<bool>(),
        merges in prop::collection::vec(1usize..6, 1..20),
    ) {
        let mut now = Instant::now();
        let mut scheduler = with(window, merging, breaker(now));
        for (id, key) in keys.iter().enumerate() {
            scheduler.push(OrderingKey(*key), id);
        }
        let mut in_flight: Vec<Id> = Vec::new();
        let mut left: HashMap<u64, Vec<Id>> = HashMap::new();
        let mut settle = |scheduler: &mut Scheduler, in_flight: &mut Vec<Id>, index: usize, verdict, now| {
            let key = keys[in_flight.swap_remove(index)];
            let (outcome, called) = answer_all(scheduler, OrderingKey(key), verdict, now);
            if outcome != Outcome::Again {
                assert!(outcome == Outcome::Finished || called.len() == 1, "several were refused");
                left.entry(key).or_default().extend(called);
            }
        };
        let mut answers = answers.into_iter();
        let mut merges = merges.into_iter().cycle();
        while left_of(&scheduler) {
            now += Duration::from_millis(700);
            scheduler.wake(now);
            while let Some(id) = start(&mut scheduler, merges.next().unwrap(), now) {
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
            settle(&mut scheduler, &mut in_flight, index, verdict, now);
        }
        for (key, ids) in left {
            let expected: Vec<Id> = (0..keys.len()).filter(|id| keys[*id] == key).collect();
            prop_assert_eq!(ids, expected);
        }
    }
}
