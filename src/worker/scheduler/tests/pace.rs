//! Calls of one key that keep a distance, so that messages gather meanwhile.

use super::*;

const PAUSE: Duration = Duration::from_millis(100);
const PACE: Pace = Pace {
    pause: PAUSE,
    full: 3,
};

/// Starts a call with at most three messages: how many it carries.
fn start(scheduler: &mut Scheduler, now: Instant) -> Option<usize> {
    let mut carried = 0;
    start_at_pace(scheduler, now, Some(PACE), |waiting, _| {
        carried = waiting.len().min(3);
        carried
    })
    .map(|_| carried)
}

fn finish(scheduler: &mut Scheduler, now: Instant) {
    assert_eq!(
        answer(scheduler, KEY, Verdict::Finished, now),
        Outcome::Finished
    );
}

const KEY: OrderingKey = OrderingKey(1);

#[test]
fn what_comes_after_a_call_waits_and_goes_together() {
    let (mut scheduler, start_of) = scheduler(64);
    let at = |millis| start_of + Duration::from_millis(millis);
    scheduler.push(KEY, 0);
    assert_eq!(
        start(&mut scheduler, at(0)),
        Some(1),
        "the first one at once"
    );
    finish(&mut scheduler, at(1));
    assert!(scheduler.is_empty() && scheduler.few_wait());
    for id in [1, 2] {
        scheduler.push(KEY, id);
    }
    scheduler.wake(at(100));
    assert_eq!(start(&mut scheduler, at(100)), None, "it is too early");
    assert_eq!(scheduler.wake_at(at(100)), Some(at(101)));
    scheduler.wake(at(101));
    assert_eq!(start(&mut scheduler, at(101)), Some(2));
    finish(&mut scheduler, at(102));
    scheduler.wake(at(202));
    assert!(scheduler.queues.is_empty() && scheduler.resting == 0);
    assert_eq!(scheduler.wake_at(at(202)), None);
}

#[test]
fn a_full_call_waits_for_a_shorter_time() {
    let (mut scheduler, now) = scheduler(64);
    let at = |millis| now + Duration::from_millis(millis);
    scheduler.push(KEY, 0);
    start(&mut scheduler, now);
    finish(&mut scheduler, now);
    for id in [1, 2, 3, 4] {
        scheduler.push(KEY, id);
    }
    assert_eq!(start(&mut scheduler, now), None);
    assert_eq!(scheduler.wake_at(now), Some(at(10)));
    scheduler.wake(at(10));
    assert_eq!(start(&mut scheduler, at(10)), Some(3));
    // One was left when it started: there is more than a call takes.
    finish(&mut scheduler, at(10));
    scheduler.wake(at(20));
    assert_eq!(start(&mut scheduler, at(20)), Some(1));
    for id in [5, 6, 7] {
        scheduler.push(KEY, id);
    }
    finish(&mut scheduler, at(21));
    scheduler.wake(at(31));
    assert_eq!(start(&mut scheduler, at(31)), Some(3));
    finish(&mut scheduler, at(31));
    scheduler.push(KEY, 8);
    scheduler.wake(at(130));
    assert_eq!(start(&mut scheduler, at(130)), None);
    // Full at last, and later than a full call has to wait.
    for id in [9, 10] {
        scheduler.push(KEY, id);
    }
    scheduler.wake(at(130));
    assert_eq!(start(&mut scheduler, at(130)), Some(3));
    finish(&mut scheduler, at(130));
    scheduler.wake(at(230));
    assert!(scheduler.queues.is_empty() && scheduler.resting == 0);
}

#[test]
fn other_keys_do_not_wait_and_one_that_rests_can_be_given_up() {
    let (mut scheduler, now) = scheduler(64);
    let other = OrderingKey(2);
    scheduler.push(KEY, 0);
    start(&mut scheduler, now);
    finish(&mut scheduler, now);
    scheduler.push(other, 1);
    assert_eq!(start(&mut scheduler, now), Some(1));
    scheduler.push(KEY, 2);
    assert_eq!(scheduler.take(|id| id == 2), [2]);
    assert!(!scheduler.is_empty(), "the other's call is in flight");
    answer(&mut scheduler, other, Verdict::Finished, now);
    assert!(scheduler.is_empty());
    // A new queue of the key has nothing to do with the old one's timer.
    scheduler.take(|_| true);
    scheduler.push(KEY, 3);
    assert_eq!(start(&mut scheduler, now), Some(1));
    scheduler.wake(now + PAUSE);
    assert_eq!(scheduler.called().collect::<Vec<_>>(), [3]);
    finish(&mut scheduler, now + PAUSE);
}

#[test]
fn a_failure_waits_as_long_as_it_does_without_a_pace() {
    let (mut scheduler, now) = scheduler(64);
    scheduler.push(KEY, 0);
    start(&mut scheduler, now);
    let outcome = answer(&mut scheduler, KEY, Verdict::Down, now);
    assert_eq!(outcome, Outcome::Again);
    // More messages make no full call of it.
    for id in [1, 2, 3] {
        scheduler.push(KEY, id);
    }
    assert_eq!(start(&mut scheduler, now), None);
}
