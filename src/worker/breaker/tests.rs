use proptest::prelude::*;

use super::super::endpoint_stats::DELIVERS_FOR;
use super::*;

/// How long a Comet may fail in these tests.
const LONG: Duration = Duration::from_secs(30);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn knowing(stats: &Arc<EndpointStats>, fleet: &Arc<Fleet>, now: Instant) -> Breaker {
    Breaker::new(stats.clone(), fleet.clone(), now, fastrand::Rng::new())
}

/// `N` Comets, each as one worker sees it.
fn fleet<const N: usize>(now: Instant) -> [Breaker; N] {
    let origin = now - seconds(1);
    let comets: [_; N] = std::array::from_fn(|_| {
        let mut stats = EndpointStats::new(origin);
        stats.detach_after = LONG;
        Arc::new(stats)
    });
    let fleet = Fleet::with(origin, comets.to_vec());
    std::array::from_fn(|n| knowing(&comets[n], &fleet, now))
}

/// A Comet, as several workers see it.
fn workers<const N: usize>(now: Instant) -> [Breaker; N] {
    let [one] = fleet::<1>(now);
    std::array::from_fn(|_| knowing(&one.stats, &one.fleet, now))
}

#[test]
fn a_comet_that_is_gone_gets_one_call_at_a_time_until_it_answers() {
    let now = Instant::now();
    let [mut breaker] = fleet(now);
    breaker.failed(Verdict::Down, 0, now);
    let Admission::OneFrom(next) = breaker.admission(1) else {
        panic!("{breaker:?}")
    };
    assert!(next > now && next <= now + DOWN_MOST * 2);
    assert_eq!(breaker.ok(now + seconds(3)), Some(seconds(3)));
    assert_eq!(breaker.admission(1), Admission::Window);
}

#[test]
fn one_rooms_unavailable_does_not_stop_the_others() {
    let now = Instant::now();
    let [mut breaker] = fleet(now);
    breaker.ok(now);
    breaker.failed(Verdict::Down, 0, now);
    assert_eq!(breaker.admission(1), Admission::Window);
}

#[test]
fn one_that_fails_everything_for_long_is_like_down() {
    let start = Instant::now();
    let [mut breaker, mut other] = fleet(start);
    other.ok(start);
    breaker.failed(Verdict::Unclear, 0, start);
    breaker.failed(Verdict::Unclear, 0, start + seconds(29));
    assert_eq!(breaker.state(), BreakerState::Up);
    let later = start + FAILS_FOR_LONG;
    breaker.failed(Verdict::Unclear, 0, later);
    assert_eq!(breaker.state(), BreakerState::Down);
    other.ok(later);
    assert!(breaker.is_given_up(later));
}

#[test]
fn a_single_comet_is_never_given_up() {
    let start = Instant::now();
    let [mut breaker] = fleet(start);
    breaker.ok(start);
    breaker.failed(Verdict::Down, 1, start + seconds(1));
    assert!(!breaker.is_given_up(start + seconds(3_600)));
}

#[test]
fn it_is_given_up_only_while_another_one_delivers() {
    let start = Instant::now();
    let [mut down, mut other] = fleet(start);
    other.ok(start);
    down.failed(Verdict::Down, 0, start);
    assert!(!down.is_given_up(start + seconds(40)), "nobody delivers");
    // The other one had nothing to deliver, which is no outage.
    other.ok(start + seconds(60));
    assert!(down.is_given_up(start + seconds(60)));
    assert!(down.is_given_up(start + seconds(60) + DELIVERS_FOR));
    assert!(!down.is_given_up(start + seconds(61) + DELIVERS_FOR));
}

#[test]
fn an_answered_probe_is_no_evidence_against_others() {
    let start = Instant::now();
    let [mut down, mut other] = fleet(start);
    down.failed(Verdict::Down, 0, start);
    other.probed(true, true, start + seconds(40));
    assert!(!down.is_given_up(start + seconds(40)));
}

#[test]
fn after_an_outage_of_all_the_time_counts_from_the_first_ones_return() {
    let start = Instant::now();
    let [mut first, mut second, mut third] = fleet(start);
    for breaker in [&mut first, &mut second, &mut third] {
        breaker.ok(start);
        breaker.failed(Verdict::Down, 1, start + seconds(1));
    }
    let back = start + seconds(100);
    for n in 0..30 {
        first.ok(back + seconds(n));
        assert!(!second.is_given_up(back + seconds(n)), "{n} s");
    }
    second.ok(back + seconds(29));
    first.ok(back + seconds(30));
    assert!(!second.is_given_up(back + seconds(30)));
    assert!(third.is_given_up(back + seconds(30)));
}

/// Probes are answered before the first message is taken.
#[test]
fn an_answered_probe_does_not_hide_an_outage_of_all() {
    let start = Instant::now();
    let [mut first, mut second] = fleet(start);
    for breaker in [&mut first, &mut second] {
        breaker.ok(start);
        breaker.failed(Verdict::Unclear, 1, start + seconds(1));
    }
    let back = start + seconds(60);
    first.probed(true, true, back);
    first.ok(back);
    assert!(!second.is_given_up(back));
}

#[test]
fn before_the_first_comet_delivers_nobody_is_away() {
    let start = Instant::now();
    let [mut first, mut second] = fleet(start);
    for n in 0..38 {
        first.failed(Verdict::Down, 0, start + seconds(n));
        second.failed(Verdict::Down, 0, start + seconds(n));
    }
    first.ok(start + seconds(38));
    assert!(!second.is_given_up(start + seconds(38)));
}

#[test]
fn one_that_lives_for_another_worker_is_not_given_up() {
    let start = Instant::now();
    let [down, mut other] = fleet(start);
    let [mut cut_off, mut well] = [(); 2].map(|()| knowing(&down.stats, &down.fleet, start));
    other.ok(start);
    cut_off.failed(Verdict::Down, 0, start);
    well.ok(start + seconds(20));
    cut_off.failed(Verdict::Down, 0, start + seconds(40));
    assert_eq!(cut_off.state(), BreakerState::Down);
    other.ok(start + seconds(40));
    assert!(!cut_off.is_given_up(start + seconds(40)));
    other.ok(start + seconds(60));
    assert!(cut_off.is_given_up(start + seconds(60)));
}

#[test]
fn one_that_says_ok_now_and_then_is_up() {
    let start = Instant::now();
    let [mut breaker] = fleet(start);
    for n in 0..100 {
        let oks = breaker.signs().oks;
        breaker.failed(Verdict::Unclear, oks, start + seconds(n));
        if n % 20 == 0 {
            breaker.ok(start + seconds(n));
        }
    }
    assert_eq!(breaker.state(), BreakerState::Up);
}

/// A message that fails there for long doesn't cost the Comet its others.
#[test]
fn one_that_answers_probes_is_there_unless_much_waits() {
    let start = Instant::now();
    for few in [true, false] {
        let [mut breaker, mut other] = fleet(start);
        other.ok(start);
        breaker.failed(Verdict::Unclear, 0, start);
        breaker.ask();
        assert!(breaker.probe_due(start));
        assert!(!breaker.probe_due(start + seconds(1)), "one at a time");
        breaker.probed(true, few, start + seconds(2));
        other.ok(start + seconds(30));
        assert_eq!(breaker.is_given_up(start + seconds(30)), !few);
    }
}

#[test]
fn a_hundred_refusals_in_a_row_slow_it_down_for_all_workers_and_one_ok_ends_that() {
    let now = Instant::now();
    let [mut one, mut other] = workers(now);
    for n in 1..100 {
        let breaker = if n % 2 == 0 { &mut one } else { &mut other };
        assert!(!breaker.failed(Verdict::Refused, 0, now));
    }
    assert_eq!(one.admission(1), Admission::Window);
    assert!(one.failed(Verdict::Refused, 0, now));
    let from = |breaker: &mut Breaker| match breaker.admission(1) {
        Admission::TurnFrom(from) => from,
        admission => panic!("{admission:?}"),
    };
    let (ones, others) = (from(&mut one), from(&mut other));
    assert!(ones >= now + seconds(1) - Duration::from_millis(1) && others < now + seconds(2));
    assert!(one.take_turn(ones) && !other.take_turn(others));
    assert!(from(&mut other) >= ones + seconds(1) - Duration::from_millis(1));
    one.ok(now);
    assert!(!one.failed(Verdict::Refused, 1, now));
    assert_eq!(one.admission(1), Admission::Window);
    assert_eq!(other.admission(1), Admission::Window);
}

#[test]
fn a_worker_with_more_keys_comes_first_more_often() {
    let now = Instant::now();
    let mut won = 0;
    for _ in 0..200 {
        let [mut few, mut many] = workers(now);
        for _ in 0..100 {
            few.failed(Verdict::Refused, 0, now);
        }
        let [Admission::TurnFrom(few), Admission::TurnFrom(many)] =
            [few.admission(1), many.admission(99)]
        else {
            panic!("it refuses everything");
        };
        won += u32::from(many < few);
    }
    assert!((180..=200).contains(&won), "{won} of 200");
}

#[test]
fn an_outage_is_counted_only_while_something_is_tried() {
    let start = Instant::now();
    let later = start + seconds(60);
    let [mut breaker, mut other] = fleet(start);
    other.ok(start);
    breaker.failed(Verdict::Down, 0, start);
    breaker.reset();
    other.ok(later);
    assert!(!breaker.is_given_up(later));
    breaker.failed(Verdict::Down, 0, later);
    other.ok(later + seconds(29));
    assert!(!breaker.is_given_up(later + seconds(29)));
    other.ok(later + seconds(30));
    assert!(breaker.is_given_up(later + seconds(30)));
}

#[test]
fn time_in_which_this_process_did_not_run_is_no_outage() {
    let start = Instant::now();
    let [mut breaker, mut other] = fleet(start);
    other.ok(start);
    breaker.failed(Verdict::Down, 0, start);
    let thaw = start + seconds(60);
    breaker.count_anew(thaw);
    other.ok(thaw + seconds(29));
    assert!(!breaker.is_given_up(thaw + seconds(29)));
    other.ok(thaw + seconds(30));
    assert!(breaker.is_given_up(thaw + seconds(30)));
}

#[test]
fn an_outage_begins_after_the_last_sign_of_life() {
    let start = Instant::now();
    let later = start + seconds(60);
    for failure in [Verdict::Refused, Verdict::Unclear] {
        let [mut breaker, mut other] = fleet(start);
        breaker.ok(start);
        breaker.failed(failure, 0, start);
        let oks = breaker.signs().oks;
        breaker.failed(Verdict::Down, oks, later);
        other.ok(later);
        assert!(!breaker.is_given_up(later), "after {failure:?}");
    }
}

#[test]
fn workers_speak_of_its_return_once() {
    let now = Instant::now();
    let [mut first, mut second] = workers(now);
    for breaker in [&mut first, &mut second] {
        breaker.failed(Verdict::Down, 0, now);
    }
    assert!(first.ok(now).is_none(), "the other one doesn't know yet");
    assert!(second.ok(now).is_some());
}

#[test]
fn detached_it_is_asked_now_and_then_and_gets_nothing_until_it_is_attached() {
    let start = Instant::now();
    let [mut breaker] = fleet(start);
    breaker.failed(Verdict::Down, 0, start);
    let later = start + seconds(31);
    breaker.detach(later);
    assert_eq!(breaker.admission(1), Admission::Nothing);
    assert!(!breaker.probe_due(later));
    assert!(breaker.probe_due(later + LOOK_AGAIN));
    assert!(!breaker.probe_due(later + LOOK_AGAIN));
    assert_eq!(breaker.probed(false, true, later + LOOK_AGAIN), None);
    breaker.failed(Verdict::Down, 0, later + LOOK_AGAIN);
    assert_eq!(breaker.probed(true, false, later + seconds(9)), None);
    assert_eq!(breaker.ok(later + seconds(9)), None, "a call that was late");
    assert_eq!(breaker.admission(1), Admission::Nothing);

    let now = later + seconds(10);
    breaker.attach(now);
    assert_eq!(breaker.admission(1), Admission::OneFrom(now));
    assert_eq!(breaker.ok(now), Some(seconds(41)));
    assert_eq!(breaker.admission(1), Admission::Window);
}

proptest! {
    /// Whatever happens, a Comet is detached only while another one delivered within the last 2 s, after this one did.
    #[test]
    fn nobody_is_detached_without_evidence(events in prop::collection::vec((0usize..3, 0u8..4, 0u64..20_000), 0..200)) {
        let start = Instant::now();
        let mut now = start;
        let mut comets = fleet::<3>(start);
        let mut oks: [Option<Instant>; 3] = [None; 3];
        for (n, what, wait) in events {
            now += Duration::from_millis(wait);
            let breaker = &mut comets[n];
            match what {
                0 => {
                    breaker.ok(now);
                    oks[n] = Some(now);
                }
                1 => drop(breaker.failed(Verdict::Down, 0, now)),
                2 => drop(breaker.failed(Verdict::Unclear, 0, now)),
                _ => drop(breaker.probed(true, true, now)),
            }
            for n in 0..3 {
                if comets[n].is_given_up(now) {
                    comets[n].detach(now);
                    let evidence = (0..3).filter(|other| *other != n).filter_map(|other| oks[other]);
                    // Times are kept in whole milliseconds.
                    let fresh = DELIVERS_FOR + Duration::from_millis(1);
                    prop_assert!(evidence.into_iter().any(|ok| now - ok <= fresh && oks[n].is_none_or(|own| ok >= own)));
                }
            }
        }
    }
}
