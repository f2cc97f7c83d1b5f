use super::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn a_comet_that_is_gone_gets_one_call_at_a_time_until_it_answers() {
    let now = Instant::now();
    let mut health = Health::new(Arc::default(), now);
    health.failed(Verdict::Down, 0, now);
    let Pace::OneFrom(next) = health.pace() else {
        panic!("{health:?}")
    };
    assert!(next > now && next <= now + DOWN_MOST * 2);
    let back = Return {
        after: seconds(3),
        passed_by: 0,
    };
    assert_eq!(health.ok(now + seconds(3)), Some(back));
    assert_eq!(health.pace(), Pace::Window);
}

#[test]
fn one_rooms_unavailable_does_not_stop_the_others() {
    let now = Instant::now();
    let mut health = Health::new(Arc::default(), now);
    let started_at = health.oks();
    health.ok(now);
    health.failed(Verdict::Down, started_at, now);
    assert_eq!(health.pace(), Pace::Window);
}

#[test]
fn one_that_fails_everything_for_long_is_like_down() {
    let start = Instant::now();
    let mut health = Health::new(Arc::default(), start);
    health.failed(Verdict::Unclear, 0, start);
    health.failed(Verdict::Unclear, 0, start + seconds(29));
    assert_eq!(health.state(), State::Up);
    health.failed(Verdict::Unclear, 0, start + LEAVE_OUT_AFTER);
    assert_eq!(health.state(), State::Down);
    assert!(health.is_given_up(start + LEAVE_OUT_AFTER));
}

#[test]
fn one_that_lives_for_another_worker_is_not_given_up() {
    let start = Instant::now();
    let tally = Arc::new(Tally::default());
    let [mut cut_off, mut other] = [(); 2].map(|()| Health::new(tally.clone(), start));
    cut_off.failed(Verdict::Down, 0, start);
    other.ok(start + seconds(20));
    cut_off.failed(Verdict::Down, 1, start + seconds(40));
    assert_eq!(cut_off.state(), State::Down);
    assert!(!cut_off.is_given_up(start + seconds(40)));
    assert!(cut_off.is_given_up(start + seconds(60)));
}

#[test]
fn one_that_says_ok_now_and_then_is_up() {
    let start = Instant::now();
    let mut health = Health::new(Arc::default(), start);
    for n in 0..100 {
        health.failed(Verdict::Unclear, health.oks(), start + seconds(n));
        if n % 20 == 0 {
            health.ok(start + seconds(n));
        }
    }
    assert_eq!(health.state(), State::Up);
}

#[test]
fn a_hundred_refusals_in_a_row_slow_it_down_and_one_ok_ends_that() {
    let now = Instant::now();
    let mut health = Health::new(Arc::default(), now);
    for _ in 0..99 {
        assert!(!health.failed(Verdict::Refused, 0, now));
    }
    assert!(health.failed(Verdict::Refused, 0, now));
    assert_eq!(health.pace(), Pace::OneFrom(now + SLOW));
    health.ok(now);
    assert!(!health.failed(Verdict::Refused, 1, now));
    assert_eq!(health.pace(), Pace::Window);
}

#[test]
fn an_outage_is_counted_only_while_something_is_tried() {
    let start = Instant::now();
    let later = start + seconds(60);
    let mut health = Health::new(Arc::default(), start);
    health.failed(Verdict::Down, 0, start);
    health.lose_sight();
    assert!(!health.is_given_up(later));
    health.failed(Verdict::Down, 0, later);
    assert!(!health.is_given_up(later + seconds(29)));
    assert!(health.is_given_up(later + seconds(30)));
}

#[test]
fn an_outage_begins_after_the_last_sign_of_life() {
    let start = Instant::now();
    let later = start + seconds(60);
    for failure in [Verdict::Refused, Verdict::Unclear] {
        let tally = Arc::<Tally>::default();
        let mut health = Health::new(tally.clone(), start);
        // Another worker's message is taken meanwhile.
        Health::new(tally, start).ok(start);
        health.failed(failure, 0, start);
        health.failed(Verdict::Down, health.oks(), later);
        assert!(!health.is_given_up(later), "after {failure:?}");
    }
}

#[test]
fn one_that_is_down_for_a_worker_is_not_up_though_others_did_not_try_it() {
    let now = Instant::now();
    let tally = Arc::<Tally>::default();
    let [mut tries, _idle] = [(); 2].map(|()| Health::new(tally.clone(), now));
    assert!(tally.is_up());
    tries.failed(Verdict::Down, 0, now);
    assert!(!tally.is_up());
    tries.ok(now);
    assert!(tally.is_up());
}

#[test]
fn workers_speak_of_it_once() {
    let now = Instant::now();
    let tally = Arc::<Tally>::default();
    let mut first = Health::new(tally.clone(), now);
    let mut second = Health::new(tally, now);
    for health in [&mut first, &mut second] {
        health.failed(Verdict::Down, 0, now);
    }
    assert!(first.leave_out(now));
    assert!(!second.leave_out(now));
    assert!(first.ok(now).is_none(), "the other one doesn't know yet");
    assert!(second.ok(now).is_some());
}

#[test]
fn left_out_it_is_asked_now_and_then_and_comes_back_with_an_answer() {
    let start = Instant::now();
    let mut health = Health::new(Arc::default(), start);
    health.failed(Verdict::Down, 0, start);
    assert!(!health.is_given_up(start + seconds(29)));
    let later = start + seconds(31);
    assert!(health.is_given_up(later));
    health.leave_out(later);
    assert_eq!(health.pace(), Pace::Nothing);
    assert!(!health.probe_due(later));
    assert!(health.probe_due(later + SLOW));
    assert!(!health.probe_due(later + SLOW));
    health.failed(Verdict::Down, 0, later + SLOW);
    assert_eq!(health.state(), State::LeftOut);
    health.pass_by(7);
    let back = Return {
        after: seconds(40),
        passed_by: 7,
    };
    assert_eq!(health.ok(later + seconds(9)), Some(back));
    assert_eq!(health.state(), State::Up);
}
