//! When a message is given up, and when it waits on.

use super::*;

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

/// Fails the only message, one of A, at this time. Then a probe is answered, or not.
fn fail_once(scheduler: &mut Scheduler, answers: bool, now: Instant) -> Outcome {
    scheduler.wake(now);
    assert_eq!(next(scheduler, now, |_, _| 1), Some(0));
    let outcome = answer(scheduler, A, Verdict::Unclear, now);
    scheduler.breaker.probed(answers, true, now);
    outcome
}

#[test]
fn a_try_that_does_not_count_gives_nothing_up() {
    let (mut scheduler, start) = scheduler(64);
    scheduler.push(A, 0);
    // Five tries count within 39 s. The connection breaks after the last one.
    for at in [0, 1, 4, 10, 20, 39] {
        let outcome = fail_once(&mut scheduler, at < 39, start + seconds(at));
        assert_eq!(outcome, Outcome::Again, "{at}");
    }
    for n in 0..10 {
        let outcome = fail_once(&mut scheduler, false, start + seconds(70 + 20 * n));
        assert_eq!(outcome, Outcome::Again, "{n}");
    }
    // It works again.
    let outcome = fail_once(&mut scheduler, true, start + seconds(300));
    assert_eq!(outcome, Outcome::Again);
    let outcome = fail_once(&mut scheduler, true, start + seconds(320));
    assert_eq!(outcome, Outcome::GivenUp(TRIES + 1));
}

#[test]
fn the_minute_begins_with_the_first_try_that_counts() {
    let (mut scheduler, start) = scheduler(64);
    scheduler.push(A, 0);
    // The connection fails for some minutes. From then on it answers probes.
    for n in 0..=10 {
        let outcome = fail_once(&mut scheduler, n == 10, start + seconds(20 * n));
        assert_eq!(outcome, Outcome::Again, "{n}");
    }
    for at in [201, 204, 210, 220, 239, 258] {
        let outcome = fail_once(&mut scheduler, true, start + seconds(at));
        assert_eq!(outcome, Outcome::Again, "{at}");
    }
    let outcome = fail_once(&mut scheduler, true, start + seconds(277));
    assert_eq!(outcome, Outcome::GivenUp(7));
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
