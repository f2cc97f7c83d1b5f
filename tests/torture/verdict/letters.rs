//! Dead letters: each record that can't be delivered, as it was, and none without a reason.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use krafka::consumer::ConsumerRecord;

use super::facts::{Facts, TRIES, name};
use super::{Evidence, Finding, context};
use crate::timeline::{Micros, SECOND, Scope, now};

pub fn judge(evidence: &Evidence<'_>, facts: &Facts) -> Finding {
    let mut finding = Finding::default();
    let poisoned: HashMap<(i32, i64), u64> = evidence
        .log
        .iter()
        .filter(|logged| logged.message.is_none())
        .map(|logged| ((logged.partition, logged.offset), logged.hash))
        .collect();
    let hashes: HashMap<(i32, i64), u64> = evidence
        .log
        .iter()
        .map(|l| ((l.partition, l.offset), l.hash))
        .collect();
    let mut by_source: HashMap<(i32, i64), Vec<&ConsumerRecord>> = HashMap::new();
    for letter in evidence.letters {
        match source(letter) {
            Some(source) => by_source.entry(source).or_default().push(letter),
            None => finding.violations.push(format!(
                "the dead letter at {}/{} doesn't say where it is from",
                letter.partition, letter.offset
            )),
        }
    }
    for (partition, offset) in poisoned.keys() {
        if !by_source.contains_key(&(*partition, *offset)) {
            finding.violations.push(format!(
                "partition {partition} offset {offset} can't be delivered, and is no dead letter"
            ));
        }
    }
    let (mut twice, mut refused) = (0, 0);
    for (&(partition, offset), letters) in &by_source {
        let place = format!("partition {partition} offset {offset}");
        for letter in letters {
            if hashes.get(&(partition, offset)) != Some(&crate::hash(letter.value.as_deref())) {
                finding
                    .violations
                    .push(format!("the dead letter of {place} isn't what was there"));
            }
        }
        if let Some(Some(message)) = facts.by_offset.get(&(partition, offset)) {
            refused += 1;
            let message = &facts.messages[*message];
            if !message
                .at
                .iter()
                .any(|there| there.refused || there.calls >= TRIES)
            {
                finding.violations.push(format!(
                    "{} is a dead letter though no Comet refused it: {:?}",
                    name(evidence, message),
                    letters[0].header_str(chatroom_job::dead_letter::header::ERROR)
                ));
            }
        }
        if letters.len() > 1 {
            twice += letters.len() - 1;
            let times: Vec<Micros> = letters
                .iter()
                .filter_map(|letter| written(letter))
                .collect();
            let (from, to) = (
                times.iter().min().copied().unwrap_or(0),
                times.iter().max().copied().unwrap_or(0),
            );
            let reason = |scope| {
                matches!(
                    scope,
                    Scope::Kafka | Scope::KafkaOf { .. } | Scope::Killed { .. }
                )
            };
            if !evidence
                .timeline
                .any(from.saturating_sub(15 * SECOND), to, reason)
            {
                finding.violations.push(format!(
                    "{place} became {} dead letters, from {} to {}{}",
                    letters.len(),
                    evidence.timeline.at(from),
                    evidence.timeline.at(to),
                    context(evidence, from, to)
                ));
            }
        }
    }
    finding.figures = format!(
        "{} records couldn't be delivered, {refused} were refused by a Comet, {} letters, {twice} of them again",
        poisoned.len(),
        evidence.letters.len()
    );
    finding
}

/// Partition and offset that a letter is from.
pub fn source(letter: &ConsumerRecord) -> Option<(i32, i64)> {
    let number = |name| letter.header_str(name)?.parse::<i64>().ok();
    let partition = number(chatroom_job::dead_letter::header::PARTITION)?;
    Some((
        partition as i32,
        number(chatroom_job::dead_letter::header::OFFSET)?,
    ))
}

/// When it was written, on the campaign's clock.
fn written(letter: &ConsumerRecord) -> Option<Micros> {
    let at: u64 = letter
        .header_str(chatroom_job::dead_letter::header::TIME)?
        .parse()
        .ok()?;
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()?
        .as_micros() as u64;
    Some((at * 1000 + now()).saturating_sub(wall))
}
