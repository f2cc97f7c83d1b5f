//! Messages that go in one call.

use super::*;

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
