//! Comets that are behind, and how they catch up while live records go on.
//!
//! While a Comet is behind in a partition, live records pass it by there. What it misses is read again from its lowest missing
//! offset on, and goes to it alone. Where that meets the live position the Comet is attached: the next live record follows what
//! was read again, through the same worker, so order holds.

use std::collections::{BTreeMap, BTreeSet};

use super::age::Expired;
use super::core::{Core, Effect, Notice};
use super::decode::decode;
use super::dispatch::ByWorker;
use super::lags::Lag;
use crate::kafka::fetch::{Batch, Outcome, Positions, Record};
use crate::message::call::{Delivery, Target};
use crate::message::group::ReadAgain;
use crate::message::{Assignment, CometId, Held, Message, PartitionId, RecordId, Settled, group};

/// What is read again may hold a third of each cap beside what is live, so that neither starves the other. The Comets have equal
/// parts of that: one that takes nothing doesn't keep the others from catching up. A fetch goes to a
/// Comet as a whole, so a Comet may exceed its part by one fetch. Live records may exceed their cap in the same way.
const SHARE: usize = 3;

/// How catching up stands, over all partitions.
pub(super) struct CatchUp {
    /// Comets that don't answer: nothing is read again for them.
    pub away: BTreeSet<CometId>,
    /// What is held of what was read again, by Comet.
    held: BTreeMap<CometId, Held>,
    /// Of each Comet.
    caps: Held,
    /// The partition and the Comet that the last fetch was asked for.
    asked: Option<(Assignment, CometId)>,
    /// What the last fetch brought, while Comets miss it that had no room for it. It isn't counted as held.
    kept: Option<Fetched>,
}

/// Records of one partition, all from the offset `from` up to `next`.
struct Fetched {
    assignment: Assignment,
    from: i64,
    records: Vec<Record>,
    next: i64,
}

impl Fetched {
    /// Whether a Comet misses some of it next. `position` is the live one.
    fn is_next(&self, lag: &Lag, position: i64) -> bool {
        let next = lag.next(position);
        next.is_some_and(|next| (self.from..self.next).contains(&next))
    }
}

impl CatchUp {
    pub fn new(caps: Held, comets: usize) -> Self {
        Self {
            away: BTreeSet::new(),
            held: BTreeMap::new(),
            asked: None,
            kept: None,
            caps: caps.part(SHARE * comets.max(1)),
        }
    }

    /// Other caps hold, of which this has its share.
    pub fn limit(&mut self, caps: Held, comets: usize) {
        self.caps = caps.part(SHARE * comets.max(1));
    }

    /// All that was read again and is held.
    pub fn held(&self) -> Held {
        let mut all = Held::default();
        self.held.values().for_each(|held| all += *held);
        all
    }

    /// Bytes of all that was read again and is held.
    pub fn bytes(&self) -> usize {
        self.held.values().map(|held| held.bytes).sum()
    }

    /// What was read again for one Comet and is held.
    pub fn held_for(&mut self, comet: CometId) -> &mut Held {
        self.held.entry(comet).or_default()
    }

    /// So much of it is no longer held.
    pub fn no_longer_holds(&mut self, comet: CometId, less: Held) {
        let held = self.held_for(comet);
        *held -= less;
        if *held == Held::default() {
            self.held.remove(&comet);
        }
    }

    /// Partitions, Comets or logs have changed: what is kept may be wrong, or nobody's.
    pub fn forget_kept(&mut self) {
        self.kept = None;
    }

    /// Whether something may be read again for the Comet now.
    fn may_read(&self, comet: CometId) -> bool {
        let held = self.held.get(&comet).copied().unwrap_or_default();
        !held.reaches(self.caps) && !self.away.contains(&comet)
    }
}

impl Core {
    /// Returns the position to fetch next for Comets that catch up, or `None` if there is nothing to read again now.
    ///
    /// The partitions and Comets take turns: none waits until another one has caught up. What others miss of the same records goes
    /// to them, too.
    pub fn positions_again(&mut self) -> Option<Positions> {
        if self.is_paused() {
            return None;
        }
        let place = |(assignment, comet): &(Assignment, CometId)| (assignment.partition, *comet);
        let last = self.catch_up.asked.as_ref().map(place);
        let due = self.partitions.values().flat_map(|reading| {
            let lags = reading.behind.lags.iter();
            let lags = lags.filter(|lag| self.catch_up.may_read(lag.comet));
            lags.filter_map(|lag| {
                let next = lag.next(reading.position)?;
                Some(((reading.assignment, lag.comet), next))
            })
        });
        let (asked, next) = due.min_by_key(|(of, _)| (Some(place(of)) <= last, place(of)))?;
        self.catch_up.asked = Some(asked);
        Some([(asked.0.partition, next)].into())
    }

    /// Whether something is to be read again for a Comet that answers.
    pub fn catches_up(&self) -> bool {
        self.partitions.values().any(|reading| {
            let mut lags = reading.behind.lags.iter();
            lags.any(|lag| {
                !self.catch_up.away.contains(&lag.comet) && lag.next(reading.position).is_some()
            })
        })
    }

    /// Sends what was read again to the Comets that miss it, unless it is too old `now`.
    pub(super) fn take_again(
        &mut self,
        positions: &Positions,
        batches: Vec<Batch>,
        now: i64,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
        if self.is_paused() {
            // It is asked for once more later.
            return;
        }
        for Batch { partition, outcome } in batches {
            let (Some(&from), Some(reading)) = (
                positions.get(&partition),
                self.partitions.get_mut(&partition),
            ) else {
                continue;
            };
            let assignment = reading.assignment;
            let asked = self.catch_up.asked.map(|(assignment, _)| assignment);
            if asked != Some(assignment) {
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
                    let astray = group::Event::AgainAstray(assignment);
                    perform(Effect::Group(astray));
                    continue;
                }
            };
            let fetched = Fetched {
                assignment,
                from,
                records,
                next,
            };
            self.send_again(fetched, now, perform);
        }
    }

    /// Whether a Comet has room by now for what is kept.
    ///
    /// Comets that miss the same records seldom have room for them at the same moment. If each had its own fetch, all would be
    /// fetched once for each of them.
    pub fn may_send_kept(&self) -> bool {
        let Some(kept) = &self.catch_up.kept else {
            return false;
        };
        let Some(reading) = self.partitions.get(&kept.assignment.partition) else {
            return false;
        };
        let mut lags = reading.behind.lags.iter();
        lags.any(|lag| self.catch_up.may_read(lag.comet) && kept.is_next(lag, reading.position))
    }

    /// Sends what is kept to the Comets that have room for it.
    pub(super) fn send_kept(&mut self, now: i64, perform: &mut impl FnMut(Effect<'_>)) {
        if let Some(kept) = self.catch_up.kept.take() {
            self.send_again(kept, now, perform);
        }
    }

    /// Keeps what it sends while others miss it that have no room for it.
    fn send_again(&mut self, fetched: Fetched, now: i64, perform: &mut impl FnMut(Effect<'_>)) {
        let Fetched {
            assignment,
            from,
            ref records,
            next,
        } = fetched;
        let Some(reading) = self.partitions.get_mut(&assignment.partition) else {
            return;
        };
        let position = reading.position;
        let mut routed = BTreeMap::new();
        let mut messages = ByWorker::new(self.workers);
        let mut read = Vec::new();
        let mut letters = Vec::new();
        for lag in &mut reading.behind.lags {
            // What it misses may have changed since it was asked for.
            let is_asked = lag.next(position).is_some_and(|first| first >= from);
            if !is_asked || !self.catch_up.may_read(lag.comet) {
                continue;
            }
            for offsets in lag.take_below(next.min(position)) {
                let first = records.partition_point(|record| record.offset < offsets.start);
                let wanted = records[first..].iter();
                let (mut sent, mut skipped) = (Vec::new(), Vec::new());
                for record in wanted.take_while(|record| record.offset < offsets.end) {
                    let router = &mut self.router;
                    let delivery = routed.entry(record.offset).or_insert_with(|| {
                        let push = decode(record.value.as_ref()).ok()?;
                        let mut delivery = router.route(push).ok()?;
                        router.narrow(&mut delivery);
                        Some(delivery)
                    });
                    let Some(message) = again(delivery.as_ref(), assignment, record, lag.comet)
                    else {
                        continue;
                    };
                    let is_for_it_alone =
                        delivery.as_ref().map(|of| &of.target) == Some(&Target::One(lag.comet));
                    let expired =
                        self.ages
                            .of_missed(record.timestamp, now, lag.is_limited, is_for_it_alone);
                    if expired == Some(Expired::Skipped) {
                        skipped.push(record.offset);
                        continue;
                    }
                    self.rounds.read(record.size);
                    *self.catch_up.held_for(lag.comet) += Held {
                        messages: 1,
                        bytes: message.bytes,
                    };
                    sent.push(record.offset);
                    match expired {
                        None => messages.push(message),
                        Some(expired) => letters.push(Settled {
                            record: message.record,
                            bytes: message.bytes,
                            completion: expired.completion(Some(lag.comet)),
                        }),
                    }
                }
                read.push(ReadAgain {
                    assignment,
                    comet: lag.comet,
                    offsets,
                    sent,
                    skipped,
                });
            }
        }
        let mut others = reading.behind.lags.iter();
        let away = &self.catch_up.away;
        if others.any(|lag| !away.contains(&lag.comet) && fetched.is_next(lag, position)) {
            self.catch_up.kept = Some(fetched);
        }
        for read in read {
            perform(Effect::Group(group::Event::ReadAgain(read)));
        }
        if !letters.is_empty() {
            perform(Effect::Group(group::Event::Settled(letters)));
        }
        messages.send(perform);
        self.attach(assignment.partition, perform);
    }

    /// Attaches the Comets that caught up in a partition.
    pub(super) fn attach(&mut self, partition: PartitionId, perform: &mut impl FnMut(Effect<'_>)) {
        let Some(reading) = self.partitions.get_mut(&partition) else {
            return;
        };
        let live = reading.live_from();
        for comet in reading.behind.attach(live, &self.catch_up.away) {
            let comet = self.router.name(comet);
            perform(Effect::Say(Notice::Attached { partition, comet }));
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
    delivery.target.has(comet).then(|| Message {
        record: RecordId {
            assignment,
            offset: record.offset,
        },
        bytes: record.value.as_ref().map_or(0, |value| value.len()),
        timestamp: record.timestamp,
        delivery: Delivery {
            target: Target::One(comet),
            key: delivery.key,
            call: delivery.call.clone(),
        },
        trace: record.trace.clone(),
        without: None,
        again: true,
    })
}

#[cfg(test)]
mod tests;
