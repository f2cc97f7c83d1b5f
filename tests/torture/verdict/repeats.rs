//! Few repeats: each one has a reason.

use std::collections::BTreeMap;

use super::facts::finished::answer_lost;
use super::facts::{Facts, Repeat, name, pid};
use super::turns::lists;
use super::{Evidence, Finding, context};
use crate::children::{End, Life};
use crate::timeline::{Micros, SECOND, Scope};

/// Between two commits there is a second; writing one down takes its time on a busy machine.
const COMMITTED_WITHIN: Micros = 2 * SECOND + SECOND / 2;

/// How long after Kafka was out of reach a member may still be without its group.
const OUT_OF_REACH: Micros = 15 * SECOND;

pub fn judge(evidence: &Evidence<'_>, facts: &Facts) -> Finding {
    let mut finding = Finding::default();
    let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
    for repeat in &facts.repeats {
        match reason(evidence, facts, repeat) {
            Some(reason) => *reasons.entry(reason).or_default() += 1,
            None => finding.violations.push(spell_out(evidence, facts, repeat)),
        }
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    finding.figures = format!(
        "{} repeats: {}{} without a reason",
        facts.repeats.len(),
        reasons.iter().map(|r| format!("{r}, ")).collect::<String>(),
        finding.violations.len()
    );
    finding
}

fn reason(evidence: &Evidence<'_>, facts: &Facts, repeat: &Repeat) -> Option<&'static str> {
    let ((before, earlier), (again, later)) = (repeat.before, repeat.again);
    let (Some(old), Some(new)) = (evidence.lives.get(earlier), evidence.lives.get(later)) else {
        return Some("of a job that isn't known");
    };
    if answer_lost(evidence, before, earlier, repeat.comet).is_some() {
        return Some("whose answer was lost on the way");
    }
    let finished = facts.finished(evidence, repeat);
    let committed = finished.saturating_add(COMMITTED_WITHIN);
    let killed = old
        .ended
        .filter(|ended| *ended <= again && old.end != End::Stopped);
    match killed {
        Some(ended) if finished > ended => return Some("that another Comet lacked at a kill"),
        Some(ended) if committed >= ended => return Some("not committed before a kill"),
        _ => {}
    }
    let kafka = |scope| match scope {
        Scope::Kafka | Scope::Broker => true,
        // Either may not have heard yet who has the partition.
        Scope::KafkaOf { slot } => slot == old.slot || slot == new.slot,
        _ => false,
    };
    let since = before.saturating_sub(OUT_OF_REACH);
    if evidence.timeline.any(since, again.min(committed), kafka) {
        return Some("while Kafka was out of reach");
    }
    let unfinished_when = |said: &str| {
        old.notes.iter().any(|(at, line)| {
            line.contains(said)
                && *at >= before.saturating_sub(SECOND)
                && *at <= again
                && finished.saturating_add(SECOND) >= *at
        })
    };
    if unfinished_when("not finished in time") || unfinished_when("time is up") {
        return Some("not finished at each Comet within the time of a hand-over");
    }
    if unfinished_when("lost partitions") {
        return Some("not finished at each Comet when its job was taken for lost");
    }
    // What one owner finished, the map of a later one may leave out.
    let partition = facts.messages[repeat.message].partition;
    let mut owners = evidence.lives.iter();
    owners
        .any(|life| had_full_map(life, partition, before, again))
        .then_some("behind more separate runs than the metadata of a commit names")
}

/// Whether commits of this job had no room for all that was finished of the partition, at any time between these.
pub fn had_full_map(life: &Life, partition: i32, from: Micros, to: Micros) -> bool {
    let says = |line: &str, what: &str| line.contains(&format!("partition {partition}: {what}"));
    let mut is_full = false;
    for (at, line) in life.notes.iter().filter(|(at, _)| *at <= to) {
        let is_over = says(line, "the metadata of a commit has room again")
            || (says(line, "reading from offset") && !line.contains("still ours"))
            || (line.contains("are released") && lists(line, partition));
        if is_over && is_full && *at >= from {
            return true;
        }
        is_full = says(line, "too many separate runs") || (is_full && !is_over);
    }
    is_full && life.ended.is_none_or(|ended| ended >= from)
}

fn spell_out(evidence: &Evidence<'_>, facts: &Facts, repeat: &Repeat) -> String {
    let message = &facts.messages[repeat.message];
    let ((before, earlier), (again, later)) = (repeat.before, repeat.again);
    let end = |life: usize| match evidence.lives.get(life) {
        Some(life) => match life.ended {
            Some(at) => format!("{:?} at {}", life.end, evidence.timeline.at(at)),
            None => "which runs".into(),
        },
        None => String::new(),
    };
    let finished = match facts.finished(evidence, repeat) {
        Micros::MAX => "the first of them was never through with it".into(),
        at => format!(
            "the first of them was through with it at {}",
            evidence.timeline.at(at)
        ),
    };
    format!(
        "{} came to Comet {} at {} from job process {} ({}), and again at {} from {}; {finished}{}",
        name(evidence, message),
        repeat.comet,
        evidence.timeline.at(before),
        pid(evidence, earlier),
        end(earlier),
        evidence.timeline.at(again),
        pid(evidence, later),
        context(evidence, before, again)
    )
}
