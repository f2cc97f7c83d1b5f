//! Nothing lost: what Kafka acknowledged is in its log, and what is in its log came to each Comet that should have it.

use super::facts::{Facts, name, pid};
use super::{Evidence, Finding, context};
use crate::timeline::{Micros, SECOND};

pub fn lost(evidence: &Evidence<'_>, facts: &Facts) -> Finding {
    let mut finding = Finding::default();
    let (mut due, mut excused) = (0u64, 0u64);
    for message in &facts.messages {
        for comet in
            (0..message.at.len()).filter(|comet| evidence.streams.reaches(message.stream, *comet))
        {
            due += 1;
            if message.at[comet].first < Micros::MAX || message.letters > 0 {
                continue;
            }
            if facts.is_left_out(comet, message, Micros::MAX) {
                excused += 1;
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
    let early = left_out_early(evidence, facts);
    finding.violations.extend(early);
    let unknown = match evidence.trouble.first() {
        Some(first) => format!(
            "; {} were not acknowledged, first: {first}",
            evidence.trouble.len()
        ),
        None => String::new(),
    };
    finding.figures = format!(
        "{due} deliveries due, {lost} lost, {excused} at Comets that were left out{unknown}"
    );
    finding
}

/// Comets that were left out though they could have taken something within the time.
fn left_out_early(evidence: &Evidence<'_>, facts: &Facts) -> Vec<String> {
    let wrong = facts.left_out.iter().filter(|out| !out.is_right());
    wrong
        .map(|out| {
            let since = match out.ill_since {
                Some(since) => format!(
                    "it was out of reach only since {}",
                    evidence.timeline.at(since)
                ),
                None => "it was well".into(),
            };
            format!(
                "job process {} left Comet {} out at {}, but {since}{}",
                pid(evidence, out.life),
                out.comet,
                evidence.timeline.at(out.from),
                context(evidence, out.from.saturating_sub(30 * SECOND), out.from)
            )
        })
        .collect()
}
