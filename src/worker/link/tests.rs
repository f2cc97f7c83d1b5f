use super::super::lane::{RETRY_MOST, TRIES};
use super::*;
use crate::comet::Tally;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const A: OrderingKey = OrderingKey(1);
const B: OrderingKey = OrderingKey(2);

fn link(window: usize) -> (Link, Instant) {
    let now = Instant::now();
    (
        Link::new(window, true, Health::new(Arc::new(Tally::default()), now)),
        now,
    )
}

/// The worker's part: the health hears of it first.
fn answer(link: &mut Link, key: OrderingKey, verdict: Verdict, now: Instant) -> Outcome {
    match verdict {
        Verdict::Finished => drop(link.health.ok(now)),
        _ => drop(link.health.failed(verdict, link.oks_at_start(key), now)),
    }
    link.answered(key, verdict, now, &mut Vec::new())
}

#[test]
fn a_held_lane_waits_until_it_is_released() {
    let (mut link, now) = link(2);
    link.push(A, 0);
    link.push(A, 1);
    link.push(B, 2);
    let but_the_first = |waiting: &VecDeque<Id>, _| usize::from(waiting[0] != 0);
    assert_eq!(link.start_next(now, but_the_first), Some(2));
    assert_eq!(link.start_next(now, |_, _| 1), None);
    link.release();
    assert_eq!(link.start_next(now, |_, _| 1), Some(0));
}

#[test]
fn a_key_has_one_call_in_flight_and_others_go_on_beside_it() {
    let (mut link, now) = link(64);
    for (key, id) in [(A, 0), (A, 1), (B, 2)] {
        link.push(key, id);
    }
    assert_eq!(link.start_next(now, |_, _| 1), Some(0));
    assert_eq!(link.start_next(now, |_, _| 1), Some(2));
    assert_eq!(link.start_next(now, |_, _| 1), None);
    assert_eq!(
        answer(&mut link, A, Verdict::Finished, now),
        Outcome::Finished
    );
    assert_eq!(link.start_next(now, |_, _| 1), Some(1));
}

#[test]
fn the_window_bounds_the_calls() {
    let (mut link, now) = link(2);
    for n in 0..5 {
        link.push(OrderingKey(n), n as usize);
    }
    assert!(link.start_next(now, |_, _| 1).is_some() && link.start_next(now, |_, _| 1).is_some());
    assert_eq!(link.start_next(now, |_, _| 1), None);
    answer(&mut link, OrderingKey(0), Verdict::Finished, now);
    assert_eq!(link.start_next(now, |_, _| 1), Some(2));
}

#[test]
fn a_failed_message_is_sent_again_before_those_behind_it() {
    let (mut link, now) = link(64);
    link.push(A, 0);
    link.push(A, 1);
    link.start_next(now, |_, _| 1);
    assert_eq!(answer(&mut link, A, Verdict::Unclear, now), Outcome::Again);
    assert_eq!(link.start_next(now, |_, _| 1), None);
    let later = link.wake_at().expect("it waits");
    link.wake(later);
    assert_eq!(link.start_next(later, |_, _| 1), Some(0));
}

#[test]
fn a_try_counts_only_where_the_comet_took_something_else_meanwhile() {
    let (mut link, mut now) = link(64);
    link.push(A, 0);
    let mut fail = |link: &mut Link, other_goes_through: bool| {
        now += RETRY_MOST * 2;
        link.wake(now);
        assert_eq!(link.start_next(now, |_, _| 1), Some(0));
        if other_goes_through {
            link.push(B, 9);
            assert_eq!(link.start_next(now, |_, _| 1), Some(9));
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
    link.start_next(now, |_, _| 1);
    answer(&mut link, A, Verdict::Down, now);
    assert_eq!(link.start_next(now, |_, _| 1), None);
    let later = now + RETRY_MOST;
    assert_eq!(link.start_next(later, |_, _| 1), Some(1));
    link.push(OrderingKey(3), 2);
    assert_eq!(link.start_next(later, |_, _| 1), None, "one at a time");
}

#[test]
fn taking_messages_out_leaves_the_one_in_flight() {
    let (mut link, now) = link(64);
    for (key, id) in [(A, 0), (A, 1), (A, 2), (B, 3)] {
        link.push(key, id);
    }
    assert_eq!(link.start_next(now, |_, _| 1), Some(0));
    let mut taken = link.take(|id| id != 2);
    taken.sort();
    assert_eq!(taken, [1, 3]);
    answer(&mut link, A, Verdict::Finished, now);
    assert_eq!(link.start_next(now, |_, _| 1), Some(2));
    assert_eq!(link.start_next(now, |_, _| 1), None);
}

#[test]
fn without_merging_few_messages_have_a_lane() {
    let now = Instant::now();
    let mut link = Link::new(4, false, Health::new(Arc::new(Tally::default()), now));
    (0..100).for_each(|id| link.push(OrderingKey(id as u64), id));
    assert_eq!(link.startable(), 4);
    let started: Vec<Id> = std::iter::from_fn(|| link.start_next(now, |_, _| 1)).collect();
    assert_eq!(started, [0, 1, 2, 3]);
    assert!(link.lanes.len() <= 8, "{} lanes", link.lanes.len());
    assert_eq!(link.take(|id| id % 2 == 1).len(), 48);
    answer(&mut link, OrderingKey(0), Verdict::Finished, now);
    assert_eq!(link.start_next(now, |_, _| 1), Some(4));
    answer(&mut link, OrderingKey(1), Verdict::Finished, now);
    assert_eq!(link.start_next(now, |_, _| 1), Some(6));
}

#[test]
fn a_comet_that_is_down_is_tried_again_for_messages_without_a_lane() {
    let now = Instant::now();
    let mut link = Link::new(1, false, Health::new(Arc::new(Tally::default()), now));
    link.push(A, 0);
    link.push(B, 1);
    assert_eq!(link.start_next(now, |_, _| 1), Some(0));
    answer(&mut link, A, Verdict::Down, now);
    assert_eq!(link.take(|id| id == 0), [0]);
    assert!(link.wake_at().is_some(), "there is something to send");
    let later = now + RETRY_MOST * 2;
    assert_eq!(link.start_next(later, |_, _| 1), Some(1));
}

/// Starts a call with `count` messages where as many wait.
fn start(link: &mut Link, count: usize, now: Instant) -> Option<Id> {
    link.start_next(now, |waiting, _| count.min(waiting.len()))
}

/// Answers a call: what it means, and the messages that it had.
fn answer_all(
    link: &mut Link,
    key: OrderingKey,
    verdict: Verdict,
    now: Instant,
) -> (Outcome, Vec<Id>) {
    let mut called = Vec::new();
    match verdict {
        Verdict::Finished => drop(link.health.ok(now)),
        _ => drop(link.health.failed(verdict, link.oks_at_start(key), now)),
    }
    let outcome = link.answered(key, verdict, now, &mut called);
    (outcome, called)
}

#[test]
fn messages_that_went_together_are_answered_together() {
    let (mut link, now) = link(1);
    (0..5).for_each(|id| link.push(A, id));
    assert_eq!(start(&mut link, 3, now), Some(0));
    link.push(B, 9);
    assert_eq!(
        start(&mut link, 3, now),
        None,
        "it is one call, which fills the window"
    );
    let answered = answer_all(&mut link, A, Verdict::Finished, now);
    assert_eq!(answered, (Outcome::Finished, vec![0, 1, 2]));
    assert_eq!(start(&mut link, 3, now), Some(9));
    answer(&mut link, B, Verdict::Finished, now);
    assert_eq!(start(&mut link, 3, now), Some(3));
    let answered = answer_all(&mut link, A, Verdict::Finished, now);
    assert_eq!(answered, (Outcome::Finished, vec![3, 4]));
}

#[test]
fn a_refused_call_of_several_is_made_again_one_by_one() {
    let (mut link, now) = link(64);
    (0..6).for_each(|id| link.push(A, id));
    assert_eq!(start(&mut link, 3, now), Some(0));
    let answered = answer_all(&mut link, A, Verdict::Refused, now);
    assert_eq!(answered, (Outcome::Again, vec![0, 1, 2]));
    for (id, verdict, outcome) in [
        (0, Verdict::Finished, Outcome::Finished),
        (1, Verdict::Refused, Outcome::Refused),
        (2, Verdict::Finished, Outcome::Finished),
    ] {
        assert_eq!(start(&mut link, 3, now), Some(id));
        assert_eq!(answer_all(&mut link, A, verdict, now), (outcome, vec![id]));
    }
    assert_eq!(start(&mut link, 3, now), Some(3));
    let answered = answer_all(&mut link, A, Verdict::Finished, now);
    assert_eq!(answered, (Outcome::Finished, vec![3, 4, 5]));
}

#[test]
fn a_failure_of_several_counts_against_none_of_them() {
    let (mut link, mut now) = link(64);
    link.push(A, 0);
    link.push(A, 1);
    let mut fail = |link: &mut Link| {
        now += RETRY_MOST * 2;
        link.wake(now);
        assert_eq!(start(link, 2, now), Some(0));
        link.push(B, 9);
        assert_eq!(start(link, 2, now), Some(9));
        answer(link, B, Verdict::Finished, now);
        answer_all(link, A, Verdict::Unclear, now)
    };
    assert_eq!(fail(&mut link), (Outcome::Again, vec![0, 1]));
    for _ in 1..TRIES {
        assert_eq!(fail(&mut link), (Outcome::Again, vec![0]));
    }
    assert_eq!(fail(&mut link), (Outcome::GivenUp(TRIES), vec![0]));
}

#[test]
fn after_an_outage_one_message_tries_and_the_others_go_together_again() {
    let (mut link, now) = link(64);
    (0..4).for_each(|id| link.push(A, id));
    assert_eq!(start(&mut link, 2, now), Some(0));
    let answered = answer_all(&mut link, A, Verdict::Down, now);
    assert_eq!(answered, (Outcome::Again, vec![0, 1]));
    let later = now + RETRY_MOST * 2;
    link.wake(later);
    assert_eq!(start(&mut link, 2, later), Some(0));
    let answered = answer_all(&mut link, A, Verdict::Finished, later);
    assert_eq!(answered, (Outcome::Finished, vec![0]));
    assert_eq!(start(&mut link, 3, later), Some(1));
    let answered = answer_all(&mut link, A, Verdict::Finished, later);
    assert_eq!(answered, (Outcome::Finished, vec![1, 2, 3]));
}

#[test]
fn taking_messages_out_leaves_all_that_are_in_flight_together() {
    let (mut link, now) = link(64);
    (0..5).for_each(|id| link.push(A, id));
    assert_eq!(start(&mut link, 3, now), Some(0));
    assert_eq!(link.take(|id| id != 4), [3]);
    let answered = answer_all(&mut link, A, Verdict::Unclear, now);
    assert_eq!(answered, (Outcome::Again, vec![0, 1, 2]));
    // Now they wait, and go when they are asked for: the first one too.
    assert_eq!(link.take(|id| id < 2), [0, 1]);
    assert_eq!(start(&mut link, 3, now), Some(2));
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
        let mut link = Link::new(window, merging, Health::new(Arc::new(Tally::default()), now));
        for (id, key) in keys.iter().enumerate() {
            link.push(OrderingKey(*key), id);
        }
        let mut in_flight: Vec<Id> = Vec::new();
        let mut left: HashMap<u64, Vec<Id>> = HashMap::new();
        let mut settle = |link: &mut Link, in_flight: &mut Vec<Id>, index: usize, verdict, now| {
            let key = keys[in_flight.swap_remove(index)];
            let (outcome, called) = answer_all(link, OrderingKey(key), verdict, now);
            if outcome != Outcome::Again {
                assert!(outcome == Outcome::Finished || called.len() == 1, "several were refused");
                left.entry(key).or_default().extend(called);
            }
        };
        let mut answers = answers.into_iter();
        let mut merges = merges.into_iter().cycle();
        while left_of(&link) {
            now += Duration::from_millis(700);
            link.wake(now);
            while let Some(id) = start(&mut link, merges.next().unwrap(), now) {
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
    !link.is_empty()
}

/// A message that was given up leaves nothing to try: what fails much later is another outage.
#[test]
fn an_outage_ends_with_the_last_message_that_is_given_up() {
    let mut now = Instant::now();
    let tally = Arc::new(Tally::default());
    let mut other_worker = Health::new(tally.clone(), now);
    let mut link = Link::new(64, false, Health::new(tally, now));
    link.push(A, 0);
    loop {
        // So that the failure is the message's own.
        other_worker.ok(now);
        assert_eq!(link.start_next(now, |_, _| 1), Some(0));
        if let Outcome::GivenUp(_) = answer(&mut link, A, Verdict::Unclear, now) {
            break;
        }
        now = link.wake_at().expect("it waits");
        link.wake(now);
    }
    now += Duration::from_secs(60);
    link.push(B, 1);
    assert_eq!(link.start_next(now, |_, _| 1), Some(1));
    answer(&mut link, B, Verdict::Down, now);
    assert!(!link.health.is_given_up(now));
}
