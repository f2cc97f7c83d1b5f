//! Nothing lost: what Kafka acknowledged is in its log, and what is in its log came to each Comet that should have it.

use std::collections::HashSet;

use super::facts::{Facts, TRIES, name, pid};
use super::{Evidence, Finding, context};
use crate::producer::Fate;
use crate::streams::Stream;
use crate::timeline::Micros;

pub fn lost(evidence: &Evidence<'_>, facts: &Facts) -> Finding {
    let mut finding = Finding::default();
    let (mut due, mut left) = (0u64, 0u64);
    for message in &facts.messages {
        for comet in
            (0..message.at.len()).filter(|comet| evidence.streams.reaches(message.stream, *comet))
        {
            let there = message.at[comet];
            if there.first == Micros::MAX && !facts.is_due(evidence, message, comet) {
                left += 1;
                continue;
            }
            due += 1;
            // A dead letter stands for the Comets that refused it, or for all if nobody could read it.
            let is_letter = message.letters > 0
                && (there.refused
                    || there.calls >= TRIES
                    || evidence.is_corrupt(message.partition, message.offset));
            if there.first < Micros::MAX || is_letter {
                continue;
            }
            let acknowledged = message.acknowledged.unwrap_or(0);
            let elsewhere: Vec<String> = (0..message.at.len())
                .filter(|other| message.at[*other].first < Micros::MAX)
                .map(|other| {
                    let there = message.at[other];
                    format!(
                        "Comet {other} got it at {} from {}",
                        evidence.timeline.at(there.first),
                        pid(evidence, there.life)
                    )
                })
                .collect();
            let around = message
                .at
                .iter()
                .map(|there| there.first)
                .filter(|first| *first < Micros::MAX)
                .max();
            finding.violations.push(format!(
                "{} never came to Comet {comet} ({} calls); acknowledged at {}; {}{}",
                name(evidence, message),
                message.at[comet].calls,
                evidence.timeline.at(acknowledged),
                if elsewhere.is_empty() {
                    "no Comet got it".into()
                } else {
                    elsewhere.join(", ")
                },
                context(evidence, acknowledged, around.unwrap_or(acknowledged))
            ));
        }
    }
    let lost = finding.violations.len();
    finding.violations.extend(evidence.unsettled.clone());
    for sent in evidence.acknowledged {
        let there = match sent.offset {
            Some(offset) => facts.by_offset.get(&(sent.partition, offset)).map(|place| {
                place.map(|place| (facts.messages[place].stream, facts.messages[place].sequence))
                    == sent.message
            }),
            None => Some(true),
        };
        if there != Some(true) {
            finding.violations.push(format!(
                "partition {} offset {:?} isn't what Kafka acknowledged there at {}: Kafka's doing",
                sent.partition,
                sent.offset,
                evidence.timeline.at(sent.acknowledged)
            ));
        }
    }
    finding.violations.extend(facts.strange.iter().cloned());
    let untrue = transactions(evidence, facts);
    finding.violations.extend(untrue);
    let unknown = match evidence.trouble.first() {
        Some(first) => format!(
            "; {} were not acknowledged, first: {first}",
            evidence.trouble.len()
        ),
        None => String::new(),
    };
    let committed = evidence
        .transactions
        .iter()
        .filter(|t| t.fate == Fate::Committed);
    finding.figures = format!(
        "{due} deliveries due, {lost} lost, {left} not due at Comets that had left; {} of {} transactions committed, {} calls before one was known of{unknown}",
        committed.count(),
        evidence.transactions.len(),
        facts.too_early
    );
    finding
}

/// Messages of aborted transactions that Kafka has all the same.
fn transactions(evidence: &Evidence<'_>, facts: &Facts) -> Vec<String> {
    let there: HashSet<(Stream, u32)> = facts
        .messages
        .iter()
        .map(|message| (message.stream, message.sequence))
        .collect();
    let aborted = evidence
        .transactions
        .iter()
        .filter(|t| t.fate == Fate::Aborted);
    aborted
        .flat_map(|transaction| &transaction.messages)
        .filter(|message| there.contains(message))
        .map(|(stream, sequence)| {
            let name = evidence.streams.name(*stream);
            format!("{name} {sequence} was aborted, and is in the log: Kafka's doing")
        })
        .collect()
}
