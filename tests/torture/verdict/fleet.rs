//! Comets that weren't in the list for a while: what they need not get.
//!
//! One that is listed again gets what is routed from then on. One that leaves loses only what waited for it: never a message
//! with a later one of its room already there.

use std::collections::HashMap;

use super::Evidence;
use super::facts::finished::CALL;
use super::facts::{Facts, Message, name};
use super::turns::Span;
use crate::streams::Stream;
use crate::timeline::{Micros, SECOND, Scope};

/// How soon each job has seen that the list is another one. It looks each second.
pub const SEEN: Micros = 5 * SECOND;
/// How long it may wait until calls under way to what the Comet was before are over.
const OVER: Micros = 30 * SECOND;
/// How long a message may wait for a Comet while all is well.
const WAITS: Micros = 10 * SECOND;
/// How long a fault may be felt after its end.
const FELT: Micros = 15 * SECOND;

/// By Comet: when it wasn't in the list, until each job had it again.
#[derive(Default)]
pub struct Outs(Vec<Vec<Span>>);

impl Outs {
    pub fn new(evidence: &Evidence<'_>) -> Self {
        let of = |comet| {
            let windows = evidence.timeline.windows.iter();
            let windows = windows.filter(|w| w.touches(|s| s == Scope::Out(comet)));
            let outs: Vec<Span> = windows.map(|w| (w.from, w.to)).collect();
            let next = outs.iter().skip(1).map(|(from, _)| *from);
            let next = next.chain([Micros::MAX]);
            let known = outs.iter().zip(next).map(|(&(from, to), next)| {
                let seen = to.saturating_add(SEEN);
                let said = joined(evidence, comet, to, next.min(to.saturating_add(OVER)));
                (from, said.map_or(seen, |at| seen.max(at + SECOND)))
            });
            known.collect()
        };
        Self((0..evidence.records.len()).map(of).collect())
    }

    pub fn of(&self, comet: usize) -> &[Span] {
        self.0.get(comet).map_or(&[], Vec::as_slice)
    }

    /// Whether the Comet left within this time.
    pub fn left_within(&self, comet: usize, from: Micros, to: Micros) -> bool {
        self.of(comet)
            .iter()
            .any(|(left, _)| (from..=to).contains(left))
    }

    /// Whether the Comet had left by then, for so long that no call may be under way, and isn't listed again.
    pub fn is_gone(&self, evidence: &Evidence<'_>, comet: usize, at: Micros) -> bool {
        let mut windows = evidence.timeline.windows.iter();
        windows.any(|w| {
            let gone = w.from + SEEN + CALL..w.to;
            w.touches(|s| s == Scope::Out(comet)) && gone.contains(&at)
        })
    }
}

/// When the last job said that it has a Comet again.
fn joined(evidence: &Evidence<'_>, comet: usize, from: Micros, to: Micros) -> Option<Micros> {
    let notes = evidence.lives.iter().flat_map(|life| &life.notes);
    let joined = notes.filter(|(at, line)| {
        (from..to).contains(at)
            && line.contains("joined the fleet")
            && super::behind::comet_of(evidence, line) == Some(comet)
    });
    joined.map(|(at, _)| *at).max()
}

impl Facts {
    /// What is for users of one Comet came to another one, though the first one was listed.
    pub fn astray(
        &self,
        evidence: &Evidence<'_>,
        places: &HashMap<(Stream, u32), usize>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for (record, here) in evidence.records.iter().zip(0..) {
            for &(at, stream, sequence) in &record.astray {
                let mut comets = 0..evidence.records.len();
                let to = comets.find(|comet| evidence.streams.reaches(stream, *comet));
                let message = places
                    .get(&(stream, sequence))
                    .map(|place| &self.messages[*place]);
                let (Some(to), Some(message)) = (to, message) else {
                    continue;
                };
                let since = message.acknowledged.unwrap_or_default();
                let mut outs = self.outs.of(to).iter();
                // All Comets get it then.
                if !outs.any(|(left, back)| *left <= at && *back >= since) {
                    wrong.push(format!(
                        "Comet {here} got {} at {}, which is for users of Comet {to} alone",
                        name(evidence, message),
                        evidence.timeline.at(at),
                    ));
                }
            }
        }
        wrong
    }

    /// Whether a Comet that is to get such messages has to get this one: it was listed.
    pub fn is_due(&self, evidence: &Evidence<'_>, message: &Message, comet: usize) -> bool {
        let outs = self.outs.of(comet);
        !outs
            .iter()
            .any(|out| self.may_lack(evidence, message, comet, *out))
    }

    fn may_lack(
        &self,
        evidence: &Evidence<'_>,
        message: &Message,
        comet: usize,
        (left, back): Span,
    ) -> bool {
        if message.at[comet].first < left {
            return false;
        }
        // Nobody knows when it was sent.
        let Some(acknowledged) = message.acknowledged else {
            return true;
        };
        if acknowledged >= left {
            return self.routed(evidence, message, acknowledged) <= back;
        }
        // It waited when the Comet left. Nothing behind it was there, and what it waited for can be named.
        let behind = self.by_stream[message.stream].iter();
        let mut behind = behind.map(|place| &self.messages[*place]);
        let overtaken = behind.any(|m| m.offset > message.offset && m.at[comet].first < left);
        let trouble = |s| !matches!(s, Scope::Nothing | Scope::Out(_));
        let had_reason = acknowledged + WAITS >= left
            || evidence
                .timeline
                .any(acknowledged.saturating_sub(FELT), left, trouble);
        !overtaken && had_reason
    }

    /// The earliest time at which a job may have routed it: Kafka may say late that it has a record.
    fn routed(&self, evidence: &Evidence<'_>, message: &Message, acknowledged: Micros) -> Micros {
        let first = message.at.iter().map(|there| there.first).min();
        let windows = evidence.timeline.windows.iter();
        let of_kafka = windows.filter(|w| {
            w.touches(|s| matches!(s, Scope::Kafka | Scope::Broker))
                && w.overlaps(acknowledged.saturating_sub(SECOND), acknowledged)
        });
        let held_up = of_kafka.map(|w| w.from).min();
        acknowledged
            .min(first.unwrap_or(Micros::MAX))
            .min(held_up.unwrap_or(Micros::MAX))
    }
}
