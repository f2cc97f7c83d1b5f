use super::*;

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const SIX: &str = "fd00::1";

/// An inquiry with a clock.
struct Trial {
    inquiry: Inquiry,
    now: Instant,
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

fn moved(list: &[&str]) -> Option<News> {
    Some(News::Moved(ips(list)))
}

fn missing(why: &str) -> Option<News> {
    Some(News::Missing(why.into()))
}

const NO_SUCH_NAME: &str = "no such name";

fn no_such_name() -> Result<Vec<IpAddr>, NotFound> {
    Err(NotFound {
        said: NO_SUCH_NAME.into(),
        certain: true,
    })
}

fn no_answer() -> Result<Vec<IpAddr>, NotFound> {
    Err(NotFound {
        said: "no answer".into(),
        certain: false,
    })
}

impl Trial {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            inquiry: Inquiry::new(now),
            now,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// The number of the round that begins now, with both families.
    fn round(&mut self) -> u64 {
        let lookups = self.inquiry.round(self.now).expect("a round is due");
        let [v4, v6] = lookups[..] else {
            panic!("not both families: {lookups:?}")
        };
        assert_eq!((v4.family, v6.family), (Family::V4, Family::V6));
        assert_eq!(v4.number, v6.number);
        v4.number
    }

    fn answer(
        &mut self,
        family: Family,
        number: u64,
        answer: Result<Vec<IpAddr>, NotFound>,
    ) -> Option<News> {
        let lookup = Lookup { family, number };
        self.inquiry.answered(lookup, answer, self.now);
        self.inquiry.settle(self.now)
    }

    /// A round in which IPv4 is answered so, and that there is no IPv6.
    fn whole_round(&mut self, v4: Result<Vec<IpAddr>, NotFound>) -> Option<News> {
        let number = self.round();
        self.inquiry.answered(
            Lookup {
                family: Family::V6,
                number,
            },
            no_such_name(),
            self.now,
        );
        self.answer(Family::V4, number, v4)
    }
}

#[test]
fn a_name_is_looked_up_at_once_and_then_only_when_its_comet_fails() {
    let mut trial = Trial::new();
    assert_eq!(trial.whole_round(Ok(ips(&[A]))), moved(&[A]));
    assert_eq!(trial.inquiry.wake_at(), None);

    trial.pass(Duration::from_secs(3600));
    trial.inquiry.failed(trial.now);
    assert_eq!(trial.whole_round(Ok(ips(&[A]))), None);
    // Again a second later, for some seconds.
    let mut rounds = 0;
    while let Some(at) = trial.inquiry.wake_at() {
        assert!(trial.inquiry.round(trial.now).is_none());
        trial.now = at;
        assert_eq!(trial.whole_round(Ok(ips(&[A]))), None);
        rounds += 1;
    }
    assert_eq!(rounds, 10);
}

#[test]
fn new_addresses_end_the_lookups() {
    let mut trial = Trial::new();
    trial.whole_round(Ok(ips(&[A])));
    trial.pass(AGAIN);
    trial.inquiry.failed(trial.now);
    assert_eq!(trial.whole_round(Ok(ips(&[A]))), None);
    trial.pass(AGAIN);
    assert_eq!(trial.whole_round(Ok(ips(&[B]))), moved(&[B]));
    assert_eq!(trial.inquiry.wake_at(), None);
    // Within the same second there is no second round.
    trial.inquiry.failed(trial.now);
    assert_eq!(trial.inquiry.wake_at(), Some(trial.now + AGAIN));
}

#[test]
fn ipv4_does_not_wait_for_a_dropped_question_about_ipv6() {
    let mut trial = Trial::new();
    let first = trial.round();
    assert_eq!(trial.answer(Family::V4, first, Ok(ips(&[A]))), None);
    trial.now = trial.inquiry.settle_at.expect("it settles soon");
    assert_eq!(trial.inquiry.settle(trial.now), moved(&[A]));
    // Much later.
    trial.pass(Duration::from_secs(10));
    assert_eq!(trial.answer(Family::V6, first, no_answer()), None);
    trial.pass(TOGETHER);
    assert_eq!(trial.inquiry.settle(trial.now), None);
}

#[test]
fn both_families_come_together_where_both_are_quick() {
    let mut trial = Trial::new();
    let first = trial.round();
    assert_eq!(trial.answer(Family::V6, first, Ok(ips(&[SIX]))), None);
    assert_eq!(
        trial.answer(Family::V4, first, Ok(ips(&[A]))),
        moved(&[A, SIX])
    );
}

#[test]
fn a_name_that_is_missing_is_said_once_and_looked_up_while_its_comet_fails() {
    let mut trial = Trial::new();
    assert_eq!(trial.whole_round(no_such_name()), missing(NO_SUCH_NAME));
    for _ in 0..90 {
        trial.pass(AGAIN);
        trial.inquiry.failed(trial.now);
        assert_eq!(trial.whole_round(no_such_name()), None);
    }
    trial.pass(AGAIN);
    assert_eq!(trial.whole_round(Ok(ips(&[A]))), moved(&[A]));
}

#[test]
fn what_was_known_stays_in_use_where_the_name_is_lost() {
    let mut trial = Trial::new();
    trial.whole_round(Ok(ips(&[A])));
    trial.pass(AGAIN);
    trial.inquiry.failed(trial.now);
    assert_eq!(trial.whole_round(no_such_name()), missing(NO_SUCH_NAME));
    trial.pass(AGAIN);
    // The same again is no move.
    assert_eq!(trial.whole_round(Ok(ips(&[A]))), None);
}

#[test]
fn no_answer_is_no_reason_to_forget_a_family() {
    let mut trial = Trial::new();
    let first = trial.round();
    trial.answer(Family::V4, first, Ok(ips(&[A])));
    trial.answer(Family::V6, first, Ok(ips(&[SIX])));
    trial.pass(AGAIN);
    trial.inquiry.failed(trial.now);
    let second = trial.round();
    trial.answer(Family::V4, second, no_answer());
    assert_eq!(trial.answer(Family::V6, second, Ok(ips(&[SIX]))), None);
    trial.pass(AGAIN);
    let third = trial.round();
    trial.answer(Family::V4, third, no_such_name());
    assert_eq!(
        trial.answer(Family::V6, third, Ok(ips(&[SIX]))),
        moved(&[SIX])
    );
}

#[test]
fn a_late_answer_does_not_undo_a_newer_one() {
    let mut trial = Trial::new();
    let first = trial.round();
    trial.pass(AGAIN);
    let second = trial.round();
    trial.answer(Family::V6, second, no_such_name());
    assert_eq!(trial.answer(Family::V4, second, Ok(ips(&[B]))), moved(&[B]));
    trial.answer(Family::V4, first, Ok(ips(&[A])));
    trial.pass(TOGETHER);
    assert_eq!(trial.inquiry.settle(trial.now), None);
}

#[test]
fn a_resolver_that_hangs_gets_few_lookups_and_failures_are_still_heard() {
    let mut trial = Trial::new();
    let mut lookups = 0;
    for _ in 0..30 {
        trial.inquiry.failed(trial.now);
        lookups += trial.inquiry.round(trial.now).expect("a round").len();
        trial.pass(AGAIN);
    }
    assert_eq!(lookups, 2 * UNDER_WAY);
    // One comes back: there is room for another.
    trial.answer(Family::V4, 1, no_answer());
    let more = trial.inquiry.round(trial.now).expect("a round");
    assert_eq!(more.len(), 1);
    assert!(!trial.inquiry.is_settled());
}

/// Whenever the name changes, and whether or not the name server answers about IPv6.
#[test]
fn a_comet_that_fails_is_found_within_two_seconds_of_its_names_change() {
    for (changes_after, answers_v6) in (0..5_000)
        .step_by(130)
        .flat_map(|at| [(at, true), (at, false)])
    {
        let mut trial = Trial::new();
        let begun = trial.now;
        let changes = begun + Duration::from_millis(changes_after);
        let mut found = None;
        while found.is_none() {
            let now = trial.now;
            if now >= begun + Duration::from_millis(500) {
                // Its old address answers no more: the next try fails, too.
                trial.inquiry.failed(now);
            }
            for Lookup { family, number } in trial.inquiry.round(now).unwrap_or_default() {
                let ip = if now < changes { A } else { B };
                let answer = match family {
                    Family::V4 => Ok(ips(&[ip])),
                    Family::V6 => no_such_name(),
                };
                if family == Family::V4 || answers_v6 {
                    trial
                        .inquiry
                        .answered(Lookup { family, number }, answer, now);
                }
            }
            if trial.inquiry.settle(now) == moved(&[B]) {
                found = Some(now);
            }
            trial.pass(Duration::from_millis(50));
        }
        let since = found.map(|at| at - changes.max(begun + Duration::from_millis(500)).min(at));
        assert!(
            since <= Some(Duration::from_secs(2)),
            "{changes_after} ms: {since:?}"
        );
    }
}
