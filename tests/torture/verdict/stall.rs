//! No stall: where Kafka, a job and the Comet are well, messages flow.

use super::behind::Behind;
use super::facts::{Facts, name};
use super::older::Older;
use super::turns::{Span, Turn, apart, covered, gaps, turns};
use super::{Evidence, Finding, context};
use crate::timeline::{Micros, SECOND, Scope, Timeline, Window};

/// How long the next message of a room may wait while all is well and no older one is before it.
const AT_MOST: Micros = 5 * SECOND;

/// How soon messages flow when a Comet, or Kafka, is back.
const COMET_BACK: Micros = SECOND;
const KAFKA_BACK: Micros = 5 * SECOND;

/// How long after its cause a fault may be felt.
const AFTER_KAFKA: Micros = 5 * SECOND;
/// How soon the other brokers have taken over from one that is gone: they notice it after 3 s.
const TAKEN_OVER: Micros = 3 * SECOND;
const AFTER_COMET: Micros = 3 * SECOND / 2;
/// A Comet that is detached gets messages so soon when it is back: it is asked once a second, and what it missed is read
/// first. One that answered and took nothing waits for up to 10 s before it is tried again.
const DETACHED_BACK: Micros = 3 * SECOND;
const TRIED_AGAIN: Micros = 10 * SECOND;
/// How soon it has caught up at the latest: so long, and as long again as it was away.
const CAUGHT_UP: Micros = 20 * SECOND;
const AFTER_ASSIGNMENT: Micros = 2 * SECOND;
/// What a dead address adds to that.
const DEAD_ADDRESS: Micros = 5 * SECOND;
const AFTER_TRANSACTION: Micros = 2 * SECOND;
const REBALANCE: Micros = 3 * SECOND;
/// How soon somebody reads a partition that was added, and how long somebody tries to read what can't be read.
/// [`AT_MOST`] comes on top of either.
const FOUND_WITHIN: Micros = 10 * SECOND;
const UNREADABLE: Micros = 15 * SECOND;
/// Until Kafka notices that a member is gone.
const SESSION: Micros = 10 * SECOND;
/// How long a hand-over may take while a Comet answers nothing.
const HAND_OVER: Micros = 9 * SECOND;

pub fn judge(evidence: &Evidence<'_>, facts: &Facts) -> Finding {
    let mut finding = Finding::default();
    let (mut longest, mut longest_in_all) = (0, (0, 0));
    let mut excused = 0.0;
    let partitions = evidence
        .log
        .iter()
        .map(|l| l.partition + 1)
        .max()
        .unwrap_or(0);
    let turns: Vec<Vec<Turn>> = (0..partitions).map(|p| turns(evidence, p)).collect();
    for comet in 0..evidence.records.len() {
        let spans: Vec<Vec<Span>> = turns
            .iter()
            .zip(0..)
            .map(|(turns, partition)| excuses(evidence, facts, comet, partition, turns))
            .collect();
        for spans in &spans {
            excused += covered(spans, evidence.timeline.origin, evidence.quiet) as f64
                / f64::from(partitions);
        }
        let older = Older::at(facts, comet);
        for of_stream in &facts.by_stream {
            // When the one before came. What waited while all was starting isn't judged.
            let mut before = evidence.timeline.origin;
            for message in of_stream.iter().map(|place| &facts.messages[*place]) {
                let there = &message.at[comet];
                let (first, Some(acknowledged)) = (there.first, message.acknowledged) else {
                    continue;
                };
                // Refused, it was a dead letter. It came after all because that letter was lost in a crash.
                // One that came to a Comet that wasn't listed when it was due came as a repeat.
                let is_due = || facts.is_due(evidence, message, comet);
                if first == Micros::MAX || there.refused || !is_due() {
                    continue;
                }
                let from = acknowledged.max(before);
                before = before.max(first);
                if first <= from {
                    continue;
                }
                longest_in_all = longest_in_all.max((first - from, from));
                let here = &spans[message.partition as usize];
                let mut waited = (first - from) - covered(here, from, first);
                if waited > AT_MOST {
                    let before = older.before(message, message.at[comet].life, (from, first));
                    let spans = here.iter().copied().chain(before);
                    waited = (first - from) - covered(&apart(spans.collect()), from, first);
                }
                longest = longest.max(waited);
                if waited > AT_MOST {
                    finding.violations.push(format!(
                        "{} waited for Comet {comet} from {} to {}, {:.1} s of it while all was well{}",
                        name(evidence, message),
                        evidence.timeline.at(from),
                        evidence.timeline.at(first),
                        seconds(waited),
                        context(evidence, from, first)
                    ));
                }
            }
        }
    }
    let whole = (evidence.quiet - evidence.timeline.origin) as f64 * evidence.records.len() as f64;
    let violations = &mut finding.violations;
    let is_comets = |w: &Window| w.touches(|s| matches!(s, Scope::Comet(_)));
    let comet = back(evidence, facts, "Comet", COMET_BACK, is_comets, violations);
    let is_kafkas = |w: &Window| w.touches(|s| s == Scope::Kafka);
    let kafka = back(evidence, facts, "Kafka", KAFKA_BACK, is_kafkas, violations);
    finding.figures = format!(
        "the longest wait of a room's next message {:.1} s while all was well ({:.0} % of the time), {} allowed, {:.1} s in all (at {}); {comet}; {kafka}",
        seconds(longest),
        100.0 * (1.0 - excused / whole.max(1.0)),
        AT_MOST / SECOND,
        seconds(longest_in_all.0),
        evidence.timeline.at(longest_in_all.1),
    );
    finding
}

/// How soon the first message came after the repair of such faults, where no other fault is to blame.
fn back(
    evidence: &Evidence<'_>,
    facts: &Facts,
    whose: &str,
    allowed: Micros,
    which: impl Fn(&Window) -> bool,
    violations: &mut Vec<String>,
) -> String {
    let mut times = Vec::new();
    for window in evidence
        .timeline
        .windows
        .iter()
        .filter(|w| which(w) && w.to < Micros::MAX)
    {
        let to = window.to;
        let comet = window.scopes.iter().find_map(|scope| match scope {
            Scope::Comet(comet) => Some(*comet),
            _ => None,
        });
        let first = (0..facts.oks.len())
            .filter(|c| comet.is_none_or(|comet| comet == *c))
            .filter_map(|c| facts.oks[c].iter().map(|(at, _)| *at).find(|at| *at >= to))
            .min();
        let Some(first) = first else { continue };
        let others = evidence
            .timeline
            .windows
            .iter()
            .filter(|other| other.from != window.from && !other.touches(|s| s == Scope::Nothing))
            .any(|other| other.overlaps(to.saturating_sub(SESSION + REBALANCE), first));
        if others {
            continue;
        }
        times.push(first - to);
        let was_behind = |b: &&Behind| {
            comet == Some(b.comet) && b.from <= to && b.to >= to && b.from >= window.from
        };
        let allowed = match facts.behind.iter().find(was_behind) {
            None => allowed,
            Some(behind) if behind.detached > 1 => DETACHED_BACK + TRIED_AGAIN,
            Some(_) => DETACHED_BACK,
        };
        if first - to > allowed {
            violations.push(format!(
                "{whose} was back at {}, and the first message came at {}{}",
                evidence.timeline.at(to),
                evidence.timeline.at(first),
                context(evidence, to, first)
            ));
        }
    }
    times.sort();
    match (times.get(times.len() / 2), times.last()) {
        (Some(middle), Some(most)) => format!(
            "first message after {whose}'s return in {:.1} s (median), {:.1} s at most of {}",
            seconds(*middle),
            seconds(*most),
            times.len()
        ),
        _ => format!("{whose} never returned while all else was well"),
    }
}

/// The times in which nothing can be asked of what a Comet should get from a partition, ascending and apart.
fn excuses(
    evidence: &Evidence<'_>,
    facts: &Facts,
    comet: usize,
    partition: i32,
    turns: &[Turn],
) -> Vec<Span> {
    let timeline = evidence.timeline;
    let ill = |from, to| {
        timeline.any(from, to, |s| {
            matches!(s, Scope::Comet(_) | Scope::CometOf { .. })
        })
    };
    let hand_over = |from, to| if ill(from, to) { HAND_OVER } else { 0 };
    let owned = |slot: usize, from: Micros, to: Micros| {
        turns
            .iter()
            .any(|t| t.slot == slot && t.from <= to && t.to >= from)
    };
    let is_gone = |s| {
        matches!(
            s,
            Scope::Killed { .. } | Scope::Stopped { .. } | Scope::KafkaOf { .. }
        )
    };
    let mut spans: Vec<Span> = Vec::new();
    for window in &timeline.windows {
        for scope in &window.scopes {
            let (from, to) = (window.from, window.to.saturating_add(window.echo));
            let span = match *scope {
                Scope::Kafka => {
                    // A broker that comes back gives those who are gone their session anew, and waits for its end.
                    let gone = timeline.any(from.saturating_sub(SESSION), to, is_gone);
                    let more = if gone {
                        SESSION + REBALANCE
                    } else {
                        AFTER_KAFKA
                    };
                    (from, to.saturating_add(more))
                }
                Scope::Broker => {
                    let gone = timeline.any(from.saturating_sub(SESSION), to, is_gone);
                    let more = if gone {
                        SESSION + REBALANCE
                    } else {
                        AFTER_KAFKA
                    };
                    // After that, what it led is with the others, and stays there when it comes back.
                    spans.push((from, from + TAKEN_OVER + more));
                    (to, to.saturating_add(AFTER_KAFKA))
                }
                Scope::Comet(c) if c == comet => (
                    from,
                    there_again(facts, turns, (comet, partition), (from, to)),
                ),
                Scope::CometOf { comet: c, slot } if c == comet && owned(slot, from, to) => (
                    from,
                    there_again(facts, turns, (comet, partition), (from, to)),
                ),
                Scope::KafkaOf { slot } if owned(slot, from, to) => {
                    (from, to.saturating_add(AFTER_KAFKA))
                }
                Scope::Added(p) if p == partition => (from, to.saturating_add(FOUND_WITHIN)),
                Scope::Open(p) if p == partition => (from, to.saturating_add(AFTER_TRANSACTION)),
                // Its partitions go to others, or to itself again, once Kafka has noticed.
                Scope::Killed { slot } | Scope::Stopped { slot } if owned(slot, from, from) => {
                    let to = from + SESSION + REBALANCE;
                    (from, to + hand_over(from, to))
                }
                _ => continue,
            };
            spans.push(span);
        }
    }
    spans.extend(facts.outs.of(comet));
    for corrupt in evidence.corrupt.iter().filter(|c| c.partition == partition) {
        spans.push((corrupt.back, corrupt.back + UNREADABLE));
    }
    for turn in turns {
        let more = if turn.has_dead_address {
            DEAD_ADDRESS
        } else {
            0
        };
        spans.push((turn.from, turn.from + AFTER_ASSIGNMENT + more));
        if turn.to < Micros::MAX {
            let before = hand_over(turn.to.saturating_sub(HAND_OVER), turn.to).max(SECOND);
            spans.push((
                turn.to.saturating_sub(before),
                turn.to + REBALANCE + hand_over(turn.to, turn.to + REBALANCE),
            ));
        }
    }
    for (from, to) in gaps(turns) {
        spans.extend(
            unnoticed(timeline)
                .map(|(gone, noticed)| (gone.max(from), noticed.min(to)))
                .filter(|(from, to)| from < to),
        );
    }
    apart(spans)
}

/// When a Comet must get what is new of a partition again after such a fault: at once, or when it has caught up if it was
/// behind there.
fn there_again(
    facts: &Facts,
    turns: &[Turn],
    (comet, partition): (usize, i32),
    (from, to): Span,
) -> Micros {
    let mut until = to.saturating_add(AFTER_COMET);
    let at_most = to.saturating_add(CAUGHT_UP).saturating_add(to - from);
    let behind = facts.behind.iter();
    let behind = behind.filter(|b| b.comet == comet && b.is_in(partition));
    let mut parts: Vec<(Span, bool)> = behind
        .flat_map(|b| {
            let of_life = turns.iter().filter(|t| t.life == b.life);
            of_life.map(|t| {
                let part = (b.from.max(t.from), b.to.min(t.to));
                (part, b.caught_up && b.to <= t.to)
            })
        })
        .filter(|((begin, end), _)| begin <= end && *end >= from)
        .collect();
    parts.sort();
    // Who has the partition next goes on with it.
    let mut begins_until = until;
    for ((begin, end), caught_up) in parts {
        if begin <= begins_until {
            until = until.max(end.saturating_add(AFTER_COMET));
            let next = if caught_up { 0 } else { SESSION + REBALANCE };
            begins_until = begins_until.max(end.saturating_add(next));
        }
    }
    until.min(at_most)
}

/// The times in which Kafka may take a member that is gone for a living one: it hands nothing over until that one's
/// session is over, whoever it is that waits for a partition.
fn unnoticed(timeline: &Timeline) -> impl Iterator<Item = Span> {
    timeline.windows.iter().filter_map(|window| {
        let gone = window
            .touches(|s| matches!(s, Scope::Killed { .. } | Scope::Stopped { .. }))
            .then_some(window.from);
        let out_of_reach = window
            .touches(|s| matches!(s, Scope::Kafka | Scope::Broker | Scope::KafkaOf { .. }))
            .then(|| window.to.saturating_add(window.echo));
        let since = gone.max(out_of_reach)?;
        Some((window.from, since.saturating_add(SESSION + REBALANCE)))
    })
}

fn seconds(time: Micros) -> f64 {
    time as f64 / SECOND as f64
}
