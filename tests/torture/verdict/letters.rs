//! Dead letters: each record that can't be delivered, as it was, and none without a reason.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use chatroom_job::dead_letter::header;
use krafka::consumer::ConsumerRecord;

use super::facts::{Facts, Message, TRIES, name};
use super::repeats::had_full_map;
use super::{Evidence, Finding, context};
use crate::corrupt::Corrupt;
use crate::timeline::{Micros, SECOND, Scope, now};

/// All letters, by what they stand for.
pub struct Letters<'a> {
    /// Of one record, by its partition and offset.
    of_records: HashMap<(i32, i64), Vec<&'a ConsumerRecord>>,
    /// Of what could not be read, by its partition, first and last offset.
    of_batches: HashMap<(i32, i64, i64), Vec<&'a ConsumerRecord>>,
    /// Those that don't say where they are from.
    lost: Vec<&'a ConsumerRecord>,
}

impl<'a> Letters<'a> {
    pub fn new(letters: &'a [ConsumerRecord]) -> Letters<'a> {
        let mut all = Letters {
            of_records: HashMap::new(),
            of_batches: HashMap::new(),
            lost: Vec::new(),
        };
        for letter in letters {
            let number = |name| letter.header_str(name)?.parse::<i64>().ok();
            let (partition, first) = (number(header::PARTITION), number(header::OFFSET));
            let (Some(partition), Some(first)) = (partition, first) else {
                all.lost.push(letter);
                continue;
            };
            let partition = partition as i32;
            match number(header::LAST) {
                Some(last) => all.of_batches.entry((partition, first, last)).or_default(),
                None => all.of_records.entry((partition, first)).or_default(),
            }
            .push(letter);
        }
        all
    }

    /// Partition and offsets of all that they stand for.
    pub fn sources(&self) -> impl Iterator<Item = (i32, RangeInclusive<i64>)> {
        let records = self.of_records.keys().map(|(p, at)| (*p, *at..=*at));
        let batches = self.of_batches.keys();
        records.chain(batches.map(|(p, first, last)| (*p, *first..=*last)))
    }
}

pub fn judge(evidence: &Evidence<'_>, facts: &Facts) -> Finding {
    let mut finding = Finding::default();
    let violations = &mut finding.violations;
    let letters = Letters::new(evidence.letters);
    for letter in &letters.lost {
        violations.push(format!(
            "the dead letter at {}/{} doesn't say where it is from",
            letter.partition, letter.offset
        ));
    }
    let mut poisoned = 0;
    for logged in evidence.log.iter().filter(|l| l.message.is_none()) {
        poisoned += 1;
        let (partition, offset) = (logged.partition, logged.offset);
        let of_batch = letters.of_batches.keys().any(|(p, first, last)| {
            *p == partition && (*first..=*last).contains(&offset) && evidence.is_corrupt(*p, *first)
        });
        if !letters.of_records.contains_key(&(partition, offset)) && !of_batch {
            violations.push(format!(
                "partition {partition} offset {offset} can't be delivered, and is no dead letter"
            ));
        }
    }
    let hashes: HashMap<(i32, i64), u64> = evidence
        .log
        .iter()
        .map(|l| ((l.partition, l.offset), l.hash))
        .collect();
    let (mut again, mut refused) = (0, 0);
    for (&(partition, offset), letters) in &letters.of_records {
        let place = format!("partition {partition} offset {offset}");
        for letter in letters {
            if hashes.get(&(partition, offset)) != Some(&crate::hash(letter.value.as_deref())) {
                violations.push(format!("the dead letter of {place} isn't what was there"));
            }
        }
        if let Some(Some(message)) = facts.by_offset.get(&(partition, offset)) {
            refused += 1;
            let message = &facts.messages[*message];
            let had = |there: &super::facts::Delivery| there.refused || there.calls >= TRIES;
            // Who doesn't verify a changed batch may find one record of it that makes no sense.
            let has_reason = message.at.iter().any(had)
                || evidence.is_corrupt(partition, offset)
                || is_left(evidence, facts, message);
            if !has_reason {
                violations.push(format!(
                    "{} is a dead letter though no Comet refused it: {:?}",
                    name(evidence, message),
                    letters[0].header_str(header::ERROR)
                ));
            }
        }
        again += letters.len() - 1;
        violations.extend(too_often(evidence, partition, &place, letters));
    }
    for (&(partition, first, last), letters) in &letters.of_batches {
        let place = format!("partition {partition} offsets {first} to {last}");
        let is_it = |c: &Corrupt| (c.partition, c.first, c.last) == (partition, first, last);
        if !evidence.corrupt.iter().any(is_it) {
            violations.push(format!(
                "{place} became a dead letter, and are no batch that can't be read: {:?}",
                letters[0].header_str(header::ERROR)
            ));
        }
        again += letters.len() - 1;
        violations.extend(too_often(evidence, partition, &place, letters));
    }
    finding.figures = format!(
        "{poisoned} records couldn't be delivered, {refused} were refused by a Comet, {} of {} changed batches couldn't be read, {} letters, {again} of them again",
        letters.of_batches.len(),
        evidence.corrupt.len(),
        evidence.letters.len()
    );
    finding
}

/// Whether it is for users of a Comet that had left.
fn is_left(evidence: &Evidence<'_>, facts: &Facts, message: &Message) -> bool {
    let mut to = (0..message.at.len()).filter(|c| evidence.streams.reaches(message.stream, *c));
    match (to.next(), to.next()) {
        (Some(only), None) => !facts.is_due(evidence, message, only),
        _ => false,
    }
}

/// How much later than its job's line about it a partition may be found to be gone.
const HEARD_WITHIN: Micros = SECOND / 10;

/// How long a letter may be on its way.
const ON_ITS_WAY: Micros = 10 * SECOND;

/// What is wrong with several letters of the same, if anything is.
fn too_often(
    evidence: &Evidence<'_>,
    partition: i32,
    place: &str,
    letters: &[&ConsumerRecord],
) -> Option<String> {
    if letters.len() < 2 {
        return None;
    }
    let mut times: Vec<Micros> = letters.iter().filter_map(|l| written(l)).collect();
    times.sort_unstable();
    let from = times.first().copied().unwrap_or(0);
    let to = times.last().copied().unwrap_or(0);
    let reason = |scope| {
        matches!(
            scope,
            Scope::Kafka | Scope::Broker | Scope::KafkaOf { .. } | Scope::Killed { .. }
        )
    };
    let since = from.saturating_sub(15 * SECOND);
    let each_has_reason = || {
        let mut pairs = times.windows(2);
        pairs.all(|two| was_left_over(evidence, partition, two[0], two[1]))
    };
    if evidence.timeline.any(since, to, reason) || each_has_reason() {
        return None;
    }
    Some(format!(
        "{place} became {} dead letters, from {} to {}{}",
        letters.len(),
        evidence.timeline.at(from),
        evidence.timeline.at(to),
        context(evidence, from, to)
    ))
}

/// Whether a letter may be followed by another one: it was on its way when its partition's hand-over ended at its limit, or the
/// commits of a job had no room for it. A letter that was begun after the hand-over is the next owner's.
fn was_left_over(evidence: &Evidence<'_>, partition: i32, first: Micros, next: Micros) -> bool {
    let left = format!("partition {partition}: ");
    let on_its_way = first.saturating_sub(HEARD_WITHIN)..=next.min(first + ON_ITS_WAY);
    evidence.lives.iter().any(|life| {
        let was_left = |(at, line): &(Micros, String)| {
            line.contains(&left) && line.contains("not finished in time") && on_its_way.contains(at)
        };
        life.notes.iter().any(was_left) || had_full_map(life, partition, first, next)
    })
}

/// When it was written, on the campaign's clock.
fn written(letter: &ConsumerRecord) -> Option<Micros> {
    let at: u64 = letter.header_str(header::TIME)?.parse().ok()?;
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_micros() as u64;
    Some((at * 1000 + now()).saturating_sub(wall))
}
