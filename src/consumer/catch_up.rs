//! Comets that are behind, and what is read again for them beside the live records.
//!
//! While a Comet is behind in a partition, live records pass it by there. What it misses is read again from its lowest missing
//! offset on, and goes to it alone. Where that meets the live position the Comet is attached: the next live record follows what
//! was read again, through the same worker, so order holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::core::{Core, Effect, Held};
use super::decode::decode;
use super::dispatch::worker_of;
use crate::kafka::fetch::{Batch, Outcome, Positions, Record};
use crate::message::call::{Delivery, Target};
use crate::message::consumer::Behind;
use crate::message::group::ReadAgain;
use crate::message::{Assignment, CometId, Message, RecordId, group, worker};

/// What is read again may hold one part in so many of each cap beside what is live, so that neither starves the other. The Comets
/// share it equally, so that one that takes nothing doesn't keep the others from catching up.
const SHARE: usize = 3;

/// What is known of all partitions together.
pub(super) struct CatchUp {
    /// Comets that don't answer: nothing is read again for them.
    pub away: BTreeSet<CometId>,
    /// What was read again and is held, by Comet.
    pub held: BTreeMap<CometId, Held>,
    /// Of each Comet.
    caps: Held,
    /// What the fetch on its way was asked for.
    asked: BTreeMap<i32, Assignment>,
}

impl CatchUp {
    pub fn new(caps: Held, comets: usize) -> Self {
        let share = SHARE * comets.max(1);
        Self {
            away: BTreeSet::new(),
            held: BTreeMap::new(),
            asked: BTreeMap::new(),
            caps: Held {
                messages: (caps.messages / share).max(1),
                bytes: (caps.bytes / share).max(1),
            },
        }
    }

    /// Bytes of all that was read again and is held.
    pub fn bytes(&self) -> usize {
        self.held.values().map(|held| held.bytes).sum()
    }

    /// The Comets for which something may be read again now, of those in `lags`.
    fn may_read<'a>(&self, lags: &'a mut Lags) -> impl Iterator<Item = &'a mut Lag> {
        lags.lags.iter_mut().filter(|lag| {
            let held = self.held.get(&lag.comet).copied().unwrap_or_default();
            let is_full = held.messages >= self.caps.messages || held.bytes >= self.caps.bytes;
            !is_full && !self.away.contains(&lag.comet)
        })
    }
}

/// The Comets that are behind in one partition.
#[derive(Default)]
pub(super) struct Lags {
    lags: Vec<Lag>,
    /// Their ids, to go along with each message. `None` where there are none.
    comets: Option<Arc<Vec<CometId>>>,
}

/// A Comet that is behind.
struct Lag {
    comet: CometId,
    /// What it misses and wasn't read again, in ascending ranges. The last one has no end.
    missing: VecDeque<Range<i64>>,
    /// Whether Kafka doesn't hold the first of it. The group finds out what is left.
    is_astray: bool,
}

impl Lag {
    /// The next offset to read again, if any is below the live `position`.
    fn next(&self, position: i64) -> Option<i64> {
        let first = self.missing.front()?.start;
        (first < position && !self.is_astray).then_some(first)
    }

    /// Takes what it misses below `end`, in ascending ranges.
    fn take_below(&mut self, end: i64) -> Vec<Range<i64>> {
        let mut taken = Vec::new();
        while let Some(first) = self.missing.front_mut()
            && first.start < end
        {
            taken.push(first.start..first.end.min(end));
            if first.end > end {
                first.start = end;
                break;
            }
            self.missing.pop_front();
        }
        taken
    }
}

impl Lags {
    /// `live` and `away`: see [`Self::attach`].
    pub fn new(behind: Vec<Behind>, live: i64, away: &BTreeSet<CometId>) -> Self {
        let mut lags = Self::default();
        for one in behind {
            lags.put(one);
        }
        lags.attach(live, away);
        lags
    }

    /// The Comets that live records pass by.
    pub fn comets(&self) -> Option<Arc<Vec<CometId>>> {
        self.comets.clone()
    }

    /// The Comet gets nothing from `position` on.
    pub fn detach(&mut self, comet: CometId, position: i64) {
        if self.lags.iter().all(|lag| lag.comet != comet) {
            let missing = std::iter::once(position..i64::MAX).collect();
            self.put(Behind { comet, missing });
            self.list();
        }
    }

    /// The Comet answers: this is what it misses. `live` and `away`: see [`Self::attach`].
    pub fn catch_up(&mut self, behind: Behind, live: i64, away: &BTreeSet<CometId>) {
        self.put(behind);
        self.attach(live, away);
    }

    fn put(&mut self, Behind { comet, missing }: Behind) {
        self.lags.retain(|lag| lag.comet != comet);
        let missing = missing.into();
        self.lags.push(Lag {
            comet,
            missing,
            is_astray: false,
        });
    }

    /// Forgets the Comets that caught up. From the offset `live` on, each record is read for all. Those that are `away` get
    /// nothing, though there may be nothing yet that they miss.
    fn attach(&mut self, live: i64, away: &BTreeSet<CometId>) {
        let misses = |lag: &Lag| lag.missing.front().is_some_and(|first| first.start < live);
        self.lags
            .retain(|lag| away.contains(&lag.comet) || misses(lag));
        self.list();
    }

    fn list(&mut self) {
        let comets: Vec<_> = self.lags.iter().map(|lag| lag.comet).collect();
        self.comets = (!comets.is_empty()).then(|| Arc::new(comets));
    }
}

impl Core {
    /// Returns the positions to fetch next for Comets that catch up, or `None` if there is nothing to read again now.
    pub fn positions_again(&mut self) -> Option<Positions> {
        let mut asked = BTreeMap::new();
        let mut positions = Positions::new();
        for (&partition, reading) in &mut self.partitions {
            let (assignment, position) = (reading.assignment, reading.position);
            let lags = self.catch_up.may_read(&mut reading.behind);
            if let Some(lowest) = lags.filter_map(|lag| lag.next(position)).min() {
                positions.insert(partition, lowest);
                asked.insert(partition, assignment);
            }
        }
        self.catch_up.asked = asked;
        (!positions.is_empty()).then_some(positions)
    }

    /// Sends what was read again to the Comets that miss it.
    pub(super) fn take_again(
        &mut self,
        positions: &Positions,
        batches: Vec<Batch>,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        for Batch { partition, outcome } in batches {
            let (Some(&from), Some(reading)) = (
                positions.get(&partition),
                self.partitions.get_mut(&partition),
            ) else {
                continue;
            };
            if self.catch_up.asked.get(&partition) != Some(&reading.assignment) {
                continue;
            }
            let (records, next) = match outcome {
                Outcome::Records { records, next } => (records, next),
                // Its dead letter is written where it is read for all.
                Outcome::Unreadable {
                    last: Some(last), ..
                } => (Vec::new(), last + 1),
                Outcome::Unreadable { last: None, .. } => continue,
                Outcome::OutOfRange => {
                    for lag in &mut reading.behind.lags {
                        lag.is_astray |= lag.next(i64::MAX) == Some(from);
                    }
                    let astray = group::Event::AgainAstray(reading.assignment);
                    perform(Effect::Group(astray));
                    continue;
                }
            };
            self.send_again(partition, from, &records, next, perform);
        }
    }

    fn send_again(
        &mut self,
        partition: i32,
        from: i64,
        records: &[Record],
        next: i64,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        let (assignment, position) = (reading.assignment, reading.position);
        let mut routed = BTreeMap::new();
        let mut messages: Vec<Vec<Message>> = (0..self.workers).map(|_| Vec::new()).collect();
        let mut read = Vec::new();
        let mut sent_to = BTreeMap::<CometId, Held>::new();
        for lag in self.catch_up.may_read(&mut reading.behind) {
            let held = sent_to.entry(lag.comet).or_default();
            // What it misses may have changed since it was asked for.
            if lag.next(position).is_none_or(|first| first < from) {
                continue;
            }
            for offsets in lag.take_below(next.min(position)) {
                let first = records.partition_point(|record| record.offset < offsets.start);
                let wanted = records[first..].iter();
                let mut sent = Vec::new();
                for record in wanted.take_while(|record| record.offset < offsets.end) {
                    let router = &self.router;
                    let delivery = routed.entry(record.offset).or_insert_with(|| {
                        let push = decode(record.value.as_ref()).ok()?;
                        router.route(push).ok()
                    });
                    let Some(message) = again(delivery.as_ref(), assignment, record, lag.comet)
                    else {
                        continue;
                    };
                    self.rounds.read(record.size);
                    held.messages += 1;
                    held.bytes += message.bytes;
                    sent.push(record.offset);
                    let worker = worker_of(message.delivery.key, self.workers);
                    messages[worker.0 as usize].push(message);
                }
                read.push(ReadAgain {
                    assignment,
                    comet: lag.comet,
                    offsets,
                    sent,
                });
            }
        }
        for (comet, sent) in sent_to {
            let held = self.catch_up.held.entry(comet).or_default();
            held.messages += sent.messages;
            held.bytes += sent.bytes;
        }
        let live = reading.live_from();
        reading.behind.attach(live, &self.catch_up.away);
        for read in read {
            perform(Effect::Group(group::Event::ReadAgain(read)));
        }
        for (worker, messages) in messages.into_iter().enumerate() {
            if !messages.is_empty() {
                perform(Effect::Worker(worker, worker::Event::Messages(messages)));
            }
        }
    }
}

/// The record's message for one Comet; `None` if it isn't for that one.
fn again(
    delivery: Option<&Delivery>,
    assignment: Assignment,
    record: &Record,
    comet: CometId,
) -> Option<Message> {
    let delivery = delivery?;
    let is_for_it = [Target::All, Target::One(comet)].contains(&delivery.target);
    is_for_it.then(|| Message {
        record: RecordId {
            assignment,
            offset: record.offset,
        },
        bytes: record.value.as_ref().map_or(0, |value| value.len()),
        delivery: Delivery {
            target: Target::One(comet),
            ..delivery.clone()
        },
        without: None,
        again: true,
    })
}

#[cfg(test)]
mod tests;
