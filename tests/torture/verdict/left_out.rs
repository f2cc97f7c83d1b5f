//! Comets that jobs left out: whether they may, and who may miss what for it.
//!
//! A Comet may be left out when it could take nothing for so long while another one delivered. Where none delivers,
//! nobody may be left out.

use super::{Evidence, Ok};
use crate::timeline::{Micros, SECOND, Scope};

/// Clocks and busy machines go so wrong.
const SLACK: Micros = SECOND;

/// So soon after its return a Comet has to be used again: what it gets later than that is lost.
const BACK_WITHIN: Micros = 3 * SECOND;

/// A Comet delivers for so long after each of its answers: 2 s, and one until a job looks.
const DELIVERS_FOR: Micros = 3 * SECOND;

/// After so long without an answer of any other Comet because these were away, the time begins anew: 5 s, and a little
/// until a job looks. Others to whom nothing was sent for as long count as delivering.
const ANEW_AFTER: Micros = 13 * SECOND / 2;

/// A Comet that a job left out for a time.
pub struct LeftOut {
    pub life: usize,
    pub comet: usize,
    pub from: Micros,
    /// Until when that was right.
    pub to: Micros,
    /// Since when the Comet could take nothing, if it couldn't.
    pub ill_since: Option<Micros>,
    /// For how long of that another one delivered.
    pub others: Micros,
    pub is_right: bool,
}

/// The times for which jobs said that they left a Comet out. `signs` are by Comet the times at which it answered well.
pub fn left_out(evidence: &Evidence<'_>, signs: &[Vec<Ok>]) -> Vec<LeftOut> {
    let comet_of = |line: &str| {
        let address = line.split("Comet ").nth(1)?.split(' ').next()?;
        (0..evidence.records.len())
            .find(|comet| address.starts_with(&format!("{}:", crate::streams::comet_host(*comet))))
    };
    let mut all: Vec<LeftOut> = Vec::new();
    for (place, life) in evidence.lives.iter().enumerate() {
        for (at, line) in &life.notes {
            if let (true, Some(comet)) = (line.contains("pass it by until"), comet_of(line)) {
                all.push(left_out_from(evidence, signs, place, comet, *at));
            }
        }
    }
    all
}

fn left_out_from(
    evidence: &Evidence<'_>,
    signs: &[Vec<Ok>],
    life: usize,
    comet: usize,
    from: Micros,
) -> LeftOut {
    let slot = evidence.lives[life].slot;
    let ill = |comet| {
        let scopes = [Scope::Comet(comet), Scope::CometOf { comet, slot }];
        let windows = evidence.timeline.windows.iter();
        windows
            .filter(move |w| w.touches(|s| scopes.contains(&s)))
            .map(|w| (w.from, w.to.saturating_add(w.echo + BACK_WITHIN)))
    };
    let were_away = |from, to| {
        let others = (0..signs.len()).filter(|other| *other != comet);
        others
            .map(ill)
            .all(|mut ill| ill.any(|(begin, end)| begin <= to && end >= from))
    };
    let outage = outage(ill(comet).collect(), from);
    let mut others: Vec<Micros> = signs
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != comet)
        .flat_map(|(_, signs)| signs)
        .filter(|(_, of)| *of == life)
        .map(|(at, _)| *at)
        .collect();
    others.sort();
    let since = outage.map_or(from, |(since, _)| since);
    let (delivered, until) = delivering(&others, since, from, were_away);
    let (ill_since, to) = outage.unzip();
    LeftOut {
        life,
        comet,
        from,
        to: to.unwrap_or(from).min(until),
        ill_since,
        others: delivered,
        is_right: delivered + SLACK >= evidence.leave_out_after,
    }
}

/// The outage that goes on at `from`. Outages that follow each other are one: in between there may have been too little
/// time to come back.
fn outage(mut ill: Vec<(Micros, Micros)>, from: Micros) -> Option<(Micros, Micros)> {
    ill.sort();
    let mut outage = (0, 0);
    for (begin, end) in ill {
        if begin > from {
            break;
        }
        outage = if begin <= outage.1 {
            (outage.0, outage.1.max(end))
        } else {
            (begin, end)
        };
    }
    (outage.1 >= from).then_some(outage)
}

/// For how long of the time between `since` and `at` some Comet delivered, without a pause after which that counts anew;
/// and when the first such pause after `at` ends it. `answers` are ascending. `were_away` says whether the pause between
/// two times was an outage of those who answered.
fn delivering(
    answers: &[Micros],
    since: Micros,
    at: Micros,
    were_away: impl Fn(Micros, Micros) -> bool,
) -> (Micros, Micros) {
    let is_outage = |from: Micros, to: Micros| to > from + ANEW_AFTER && were_away(from, to);
    let next = answers.partition_point(|answer| *answer <= at);
    let mut delivered = 0;
    // What was counted already begins here.
    let mut counted = at;
    for answer in answers[..next].iter().rev() {
        if is_outage(*answer, counted) {
            break;
        }
        let idle = counted > answer + ANEW_AFTER;
        let delivers_for = if idle { counted - answer } else { DELIVERS_FOR };
        let (begin, end) = (*answer.max(&since), (answer + delivers_for).min(counted));
        delivered += end.saturating_sub(begin);
        counted = *answer;
        if *answer <= since {
            break;
        }
    }
    let mut until = at;
    if let Some(before) = next.checked_sub(1) {
        until = answers[before];
    }
    for answer in &answers[next..] {
        if is_outage(until, *answer) {
            break;
        }
        until = *answer;
    }
    (delivered, until + ANEW_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One answer each 100 ms.
    fn answers(from: Micros, to: Micros) -> impl Iterator<Item = Micros> {
        (from * 10..to * 10).map(|n| n * SECOND / 10)
    }

    fn away(_: Micros, _: Micros) -> bool {
        true
    }

    #[test]
    fn others_that_had_nothing_to_take_were_there() {
        let all: Vec<Micros> = answers(0, 20).chain([50 * SECOND]).collect();
        let (delivered, until) = delivering(&all, 10 * SECOND, 50 * SECOND, |_, _| false);
        assert_eq!(delivered, 40 * SECOND);
        assert!(until >= 50 * SECOND);
    }

    #[test]
    fn only_the_time_in_which_another_one_delivers_counts() {
        let all: Vec<Micros> = answers(0, 20).chain(answers(60, 100)).collect();
        let (delivered, _) = delivering(&all, 5 * SECOND, 15 * SECOND, away);
        assert_eq!(delivered, 10 * SECOND);
        // All were away for 40 s: it counts from the first one's return.
        let (delivered, until) = delivering(&all, 5 * SECOND, 70 * SECOND, away);
        assert_eq!(delivered, 10 * SECOND);
        assert!((100 * SECOND..107 * SECOND).contains(&until));
        let (delivered, _) = delivering(&all, 5 * SECOND, 59 * SECOND, away);
        assert_eq!(delivered, 0);
        assert_eq!(delivering(&[], 0, 40 * SECOND, away).0, 0);
    }

    #[test]
    fn a_short_pause_counts_for_what_it_is() {
        let all: Vec<Micros> = answers(0, 20).chain(answers(26, 40)).collect();
        let (delivered, _) = delivering(&all, 0, 40 * SECOND, away);
        let expected = 20 * SECOND + DELIVERS_FOR + 14 * SECOND;
        assert!(delivered.abs_diff(expected) <= SECOND / 5, "{delivered}");
    }

    #[test]
    fn outages_that_follow_each_other_are_one() {
        let ill = vec![(50, 60), (10, 20), (18, 30), (70, 80)];
        assert_eq!(outage(ill.clone(), 25), Some((10, 30)));
        assert_eq!(outage(ill.clone(), 40), None);
        assert_eq!(outage(ill.clone(), 55), Some((50, 60)));
        assert_eq!(outage(ill, 5), None);
    }
}
