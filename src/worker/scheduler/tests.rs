use super::super::endpoint_stats::{DETACH_AFTER, EndpointStats};
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
    Breaker::new(stats, Arc::from([]), now, fastrand::Rng::new())
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
            count => return Some((first, next.start(count.min(most)))),
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

#[test]
fn messages_that_went_together_are_answered_together() {
    let (mut scheduler, now) = scheduler(1);
    (0..5).for_each(|id| scheduler.push(A, id));
    assert_eq!(start(&mut scheduler, 3, now), Some(0));
    scheduler.push(B, 9);
    assert_eq!(
        start(&mut scheduler, 3, now),
        None,
        "it is one call, which fills the window"
    );
    let answered = answer_all(&mut scheduler, A, Verdict::Finished, now);
    assert_eq!(answered, (Outcome::Finished, vec![0, 1, 2]));
    assert_eq!(start(&mut scheduler, 3, now), Some(9));
    answer(&mut scheduler, B, Verdict::Finished, now);
    assert_eq!(start(&mut scheduler, 3, now), Some(3));
    let answered = answer_all(&mut scheduler, A, Verdict::Finished, now);
    assert_eq!(answered, (Outcome::Finished, vec![3, 4]));
}

#[test]
fn a_refused_call_of_several_is_made_again_one_by_one() {
    let (mut scheduler, now) = scheduler(64);
    (0..6).for_each(|id| scheduler.push(A, id));
    assert_eq!(start(&mut scheduler, 3, now), Some(0));
    let answered = answer_all(&mut scheduler, A, Verdict::Refused, now);
    assert_eq!(answered, (Outcome::Again, vec![0, 1, 2]));
    for (id, verdict, outcome) in [
        (0, Verdict::Finished, Outcome::Finished),
        (1, Verdict::Refused, Outcome::Refused),
        (2, Verdict::Finished, Outcome::Finished),
    ] {
        assert_eq!(start(&mut scheduler, 3, now), Some(id));
        assert_eq!(
            answer_all(&mut scheduler, A, verdict, now),
            (outcome, vec![id])
        );
    }
    assert_eq!(start(&mut scheduler, 3, now), Some(3));
    let answered = answer_all(&mut scheduler, A, Verdict::Finished, now);
    assert_eq!(answered, (Outcome::Finished, vec![3, 4, 5]));
}

#[test]
fn a_failure_of_several_counts_against_none_of_them() {
    let (mut scheduler, mut now) = scheduler(64);
    scheduler.push(A, 0);
    scheduler.push(A, 1);
    let mut fail = |scheduler: &mut Scheduler| {
        now += RETRY_MOST * 2;
        scheduler.wake(now);
        assert_eq!(start(scheduler, 2, now), Some(0));
        scheduler.push(B, 9);
        assert_eq!(start(scheduler, 2, now), Some(9));
        answer(scheduler, B, Verdict::Finished, now);
        answer_all(scheduler, A, Verdict::Unclear, now)
    };
    assert_eq!(fail(&mut scheduler), (Outcome::Again, vec![0, 1]));
    for _ in 1..TRIES {
        assert_eq!(fail(&mut scheduler), (Outcome::Again, vec![0]));
    }
    assert_eq!(fail(&mut scheduler), (Outcome::GivenUp(TRIES), vec![0]));
}

#[test]
fn after_an_outage_one_message_tries_and_the_others_go_together_again() {
    let (mut scheduler, now) = scheduler(64);
    (0..4).for_each(|id| scheduler.push(A, id));
    assert_eq!(start(&mut scheduler, 2, now), Some(0));
    let answered = answer_all(&mut scheduler, A, Verdict::Down, now);
    assert_eq!(answered, (Outcome::Again, vec![0, 1]));
    let later = now + RETRY_MOST * 2;
    scheduler.wake(later);
    assert_eq!(start(&mut scheduler, 2, later), Some(0));
    let answered = answer_all(&mut scheduler, A, Verdict::Finished, later);
    assert_eq!(answered, (Outcome::Finished, vec![0]));
    assert_eq!(start(&mut scheduler, 3, later), Some(1));
    let answered = answer_all(&mut scheduler, A, Verdict::Finished, later);
    assert_eq!(answered, (Outcome::Finished, vec![1, 2, 3]));
}

#[test]
fn taking_messages_out_leaves_all_that_are_in_flight_together() {
    let (mut scheduler, now) = scheduler(64);
    (0..5).for_each(|id| scheduler.push(A, id));
    assert_eq!(start(&mut scheduler, 3, now), Some(0));
    assert_eq!(scheduler.take(|id| id != 4), [3]);
    let answered = answer_all(&mut scheduler, A, Verdict::Unclear, now);
    assert_eq!(answered, (Outcome::Again, vec![0, 1, 2]));
    // Now they wait, and go when they are asked for: the first one too.
    assert_eq!(scheduler.take(|id| id < 2), [0, 1]);
    assert_eq!(start(&mut scheduler, 3, now), Some(2));
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

fn left_of(scheduler: &Scheduler) -> bool {
    !scheduler.is_empty()
}

/// Fails the only message, one of A, after each wait until it is given up, or 100 times. Probes go as often as they are due,
/// and `answers` says whether they are answered. Returns the outcomes by their time since the first.
fn fail_alone(
    scheduler: &mut Scheduler,
    start: Instant,
    answers: bool,
) -> Vec<(Duration, Outcome)> {
    let mut now = start;
    let mut outcomes = Vec::new();
    while outcomes.len() < 100 {
        scheduler.wake(now);
        if next(scheduler, now, |_, _| 1).is_some() {
            let outcome = answer(scheduler, A, Verdict::Unclear, now);
            let is_last = outcome != Outcome::Again;
            outcomes.push((now - start, outcome));
            if is_last {
                break;
            }
        }
        if scheduler.breaker.probe_due(now) {
            let few = scheduler.few_wait();
            scheduler.breaker.probed(answers, few, now);
        }
        now = scheduler.wake_at(now).expect("it waits");
    }
    outcomes
}

#[test]
fn alone_it_is_given_up_after_a_minute_in_which_probes_are_answered() {
    let (mut scheduler, start) = scheduler(64);
    scheduler.push(A, 0);
    let outcomes = fail_alone(&mut scheduler, start, true);
    let (took, outcome) = outcomes.last().unwrap();
    assert!(matches!(outcome, Outcome::GivenUp(TRIES..)), "{outcomes:?}");
    assert!((seconds(60)..seconds(90)).contains(took), "{outcomes:?}");
    assert!((6..12).contains(&outcomes.len()), "{outcomes:?}");
}

#[test]
fn alone_it_is_never_given_up_while_probes_fail_too() {
    let (mut scheduler, start) = scheduler(64);
    scheduler.push(A, 0);
    let outcomes = fail_alone(&mut scheduler, start, false);
    assert!(
        outcomes
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Again)
    );
    let (took, _) = outcomes.last().unwrap();
    assert!(
        *took < seconds(100),
        "it waits no longer than after other failures: {took:?}"
    );
}

#[test]
fn messages_that_are_given_up_for_probes_leave_one_a_second() {
    let start = Instant::now();
    let stats = Arc::new(EndpointStats::new(Instant::now()));
    let mut schedulers: Vec<Scheduler> = (0..5)
        .map(|_| with(64, true, knowing(stats.clone(), start)))
        .collect();
    let mut given_up = Vec::new();
    for scheduler in &mut schedulers {
        scheduler.push(A, 0);
        let outcomes = fail_alone(scheduler, start, true);
        given_up.push(outcomes.last().unwrap().0);
    }
    given_up.sort();
    let apart = given_up
        .windows(2)
        .all(|two| two[1] - two[0] >= Duration::from_millis(900));
    assert!(apart, "{given_up:?}");
}

#[test]
fn what_other_connections_finish_counts_against_no_message() {
    let mut now = Instant::now();
    let stats = Arc::new(EndpointStats::new(Instant::now()));
    let mut other_worker = knowing(stats.clone(), now);
    let mut scheduler = with(64, false, knowing(stats, now));
    scheduler.push(A, 0);
    for _ in 0..20 {
        other_worker.ok(now);
        assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(0));
        assert_eq!(
            answer(&mut scheduler, A, Verdict::Unclear, now),
            Outcome::Again
        );
        now += RETRY_MOST * 2;
        scheduler.wake(now);
    }
}

#[test]
fn a_message_that_takes_long_gets_longer() {
    let (mut scheduler, mut now) = scheduler(64);
    scheduler.push(A, 0);
    scheduler.push(A, 1);
    for doublings in [0, 1, 2, 2] {
        assert_eq!(
            start_next(&mut scheduler, now, |_, _| 1),
            Some((0, doublings))
        );
        answer(&mut scheduler, A, Verdict::Unclear, now);
        now += RETRY_MOST * 2;
        scheduler.wake(now);
    }
    assert_eq!(next(&mut scheduler, now, |_, _| 1), Some(0));
    answer(&mut scheduler, A, Verdict::Finished, now);
    assert_eq!(start_next(&mut scheduler, now, |_, _| 1), Some((1, 0)));
}

/// A message that was given up leaves nothing to try: what fails much later is another outage.
#[test]
fn an_outage_ends_with_the_last_message_that_is_given_up() {
    let (mut scheduler, start) = scheduler(64);
    scheduler.push(A, 0);
    let outcomes = fail_alone(&mut scheduler, start, true);
    let later = start + outcomes.last().unwrap().0 + seconds(60);
    scheduler.push(B, 1);
    assert_eq!(next(&mut scheduler, later, |_, _| 1), Some(1));
    answer(&mut scheduler, B, Verdict::Down, later);
    let look = scheduler.breaker.look_at(later).unwrap();
    assert!(look >= later + DETACH_AFTER, "{:?}", look - later);
}

/// Refuses what is sent until nothing more may be sent. Gives how many became dead letters.
fn refuse_all(
    scheduler: &mut Scheduler,
    now: Instant,
    key_of: impl Fn(Id) -> OrderingKey,
) -> usize {
    let mut in_flight = Vec::new();
    let mut refused = 0;
    loop {
        in_flight.extend(std::iter::from_fn(|| next(scheduler, now, |_, _| 1)));
        let Some(id) = in_flight.pop() else {
            return refused;
        };
        refused +=
            usize::from(answer(scheduler, key_of(id), Verdict::Refused, now) == Outcome::Refused);
    }
}

#[test]
fn a_comet_that_refuses_everything_gets_a_message_a_second_from_all_workers() {
    let start = Instant::now();
    let stats = Arc::new(EndpointStats::new(Instant::now()));
    let mut schedulers: Vec<Scheduler> = (0..4)
        .map(|_| with(64, false, knowing(stats.clone(), start)))
        .collect();
    let key_of = |id: Id| OrderingKey(id as u64);
    for scheduler in &mut schedulers {
        (0..500).for_each(|id| scheduler.push(key_of(id), id));
    }
    let mut now = start;
    let mut refused = 0;
    while now < start + seconds(10) {
        for scheduler in &mut schedulers {
            refused += refuse_all(scheduler, now, key_of);
        }
        let wake = schedulers
            .iter_mut()
            .filter_map(|scheduler| scheduler.wake_at(now))
            .min();
        now = wake
            .expect("there is something to send")
            .max(now + Duration::from_millis(1));
    }
    assert!((105..=112).contains(&refused), "{refused} refused");

    // Once it takes one, all go on.
    while next(&mut schedulers[0], now, |_, _| 1).is_none() {
        now += Duration::from_millis(100);
    }
    let taken = schedulers[0].has_turn.expect("it has the turn");
    answer(&mut schedulers[0], taken, Verdict::Finished, now);
    for scheduler in &mut schedulers {
        let started = std::iter::from_fn(|| next(scheduler, now, |_, _| 1)).count();
        assert_eq!(started, 64);
    }
}

#[test]
fn good_messages_have_their_chance_beside_all_that_is_refused() {
    let (mut scheduler, mut now) = scheduler(64);
    let key_of = |id: Id| OrderingKey(id as u64);
    (0..500).for_each(|id| scheduler.push(key_of(id), id));
    refuse_all(&mut scheduler, now, key_of);
    (500..700).for_each(|id| scheduler.push(key_of(id), id));
    // A third of the keys are good ones: twenty turns without one are a chance of 1 in 3,000, and 100 of 1 in 10^17.
    for _ in 0..100 {
        now += seconds(2);
        let id = next(&mut scheduler, now, |_, _| 1).expect("its turn");
        if id >= 500 {
            return;
        }
        answer(&mut scheduler, key_of(id), Verdict::Refused, now);
    }
    panic!("no good one was tried");
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
