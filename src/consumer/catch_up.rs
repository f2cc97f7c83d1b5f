//! Comets that are behind, and how they catch up while live records go on.
//!
//! While a Comet is behind in a partition, live records pass it by there. What it misses is read again from its lowest missing
//! offset on, and goes to it alone. Where that meets the live position the Comet is attached: the next live record follows what
//! was read again, through the same worker, so order holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::age::{applies, is_too_old, reason};
use super::core::{Core, Effect};
use super::decode::decode;
use super::dispatch::ByWorker;
use crate::kafka::fetch::{Batch, Outcome, Positions, Record};
use crate::message::call::{Delivery, Target};
use crate::message::consumer::Behind;
use crate::message::group::ReadAgain;
use crate::message::{Assignment, CometId, Completion, Held, Message, RecordId, Settled, group};
use crate::settings;

/// What is read again may hold a third of each cap beside what is live, so that neither starves the other. The Comets have equal
/// parts of that: one that takes nothing doesn't keep the others from catching up. A Comet gets a fetch as a whole, so it
/// exceeds its part by one fetch at most, as what is live does.
const SHARE: usize = 3;

/// How catching up stands, over all partitions.
pub(super) struct CatchUp {
    /// Comets that don't answer: nothing is read again for them.
    pub away: BTreeSet<CometId>,
    /// What is held of what was read again, by Comet.
    held: BTreeMap<CometId, Held>,
    /// Of each Comet.
    caps: Held,
    /// What is too old isn't sent.
    limit: settings::CatchUp,
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
    pub fn new(caps: Held, comets: usize, limit: settings::CatchUp) -> Self {
        Self {
            away: BTreeSet::new(),
            held: BTreeMap::new(),
            limit,
            asked: None,
            kept: None,
            caps: caps.part(SHARE * comets.max(1)),
        }
    }

    /// Bytes of all that was read again and is held.
    pub fn bytes(&self) -> usize {
        self.held.values().map(|held| held.bytes).sum()
    }

    /// Whether a Comet that was away for this long (`None`: unknown) doesn't get what is too old.
    pub fn is_limited(&self, away: Option<Duration>) -> bool {
        applies(self.limit, away)
    }

    /// What was read again for one Comet and is held.
    pub fn held_for(&mut self, comet: CometId) -> &mut Held {
        self.held.entry(comet).or_default()
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

/// The Comets that are behind in one partition.
#[derive(Default)]
pub struct Lags {
    lags: Vec<Lag>,
    /// Their ids, to go along with each message. `None` where there are none.
    comets: Option<Arc<Vec<CometId>>>,
}

/// A Comet that is behind.
struct Lag {
    comet: CometId,
    /// What it misses and wasn't read again, in ascending ranges. The last one has no end.
    missing: VecDeque<Range<i64>>,
    /// Whether Kafka has deleted the first of it. Nothing is read until the group says what is left.
    is_astray: bool,
    /// Whether it doesn't get what is too old.
    is_limited: bool,
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
            // How long it was away isn't known.
            lags.put(one, true);
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
            self.put(Behind { comet, missing }, true);
            self.list();
        }
    }

    /// The Comet answers: this is what it misses. `is_limited`: without what is too old. `live` and `away`: see [`Self::attach`].
    pub fn catch_up(
        &mut self,
        behind: Behind,
        is_limited: bool,
        live: i64,
        away: &BTreeSet<CometId>,
    ) {
        self.put(behind, is_limited);
        self.attach(live, away);
    }

    fn put(&mut self, Behind { comet, missing }: Behind, is_limited: bool) {
        self.lags.retain(|lag| lag.comet != comet);
        let missing = missing.into();
        self.lags.push(Lag {
            comet,
            missing,
            is_astray: false,
            is_limited,
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
    /// Returns the position to fetch next for Comets that catch up, or `None` if there is nothing to read again now.
    ///
    /// The partitions and Comets take turns: none waits until another one has caught up. What others miss of the same records goes
    /// to them, too.
    pub fn positions_again(&mut self) -> Option<Positions> {
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

    /// Sends what was read again to the Comets that miss it, unless it is too old `now`.
    pub(super) fn take_again(
        &mut self,
        positions: &Positions,
        batches: Vec<Batch>,
        now: i64,
        perform: &mut impl FnMut(Effect<'_>),
    ) {
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
                    let router = &self.router;
                    let delivery = routed.entry(record.offset).or_insert_with(|| {
                        let push = decode(record.value.as_ref()).ok()?;
                        router.route(push).ok()
                    });
                    let Some(message) = again(delivery.as_ref(), assignment, record, lag.comet)
                    else {
                        continue;
                    };
                    let too_old =
                        lag.is_limited && is_too_old(self.catch_up.limit, record.timestamp, now);
                    let is_for_it_alone =
                        delivery.as_ref().map(|of| of.target) == Some(Target::One(lag.comet));
                    if too_old && !is_for_it_alone {
                        skipped.push(record.offset);
                        continue;
                    }
                    self.rounds.read(record.size);
                    *self.catch_up.held_for(lag.comet) += Held {
                        messages: 1,
                        bytes: message.bytes,
                    };
                    sent.push(record.offset);
                    if too_old {
                        letters.push(Settled {
                            record: message.record,
                            bytes: message.bytes,
                            completion: Completion::Undeliverable {
                                why: reason(self.catch_up.limit, lag.comet),
                                at: Some(lag.comet),
                            },
                        });
                    } else {
                        messages.push(message);
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
        let live = reading.live_from();
        reading.behind.attach(live, &self.catch_up.away);
        for read in read {
            perform(Effect::Group(group::Event::ReadAgain(read)));
        }
        if !letters.is_empty() {
            perform(Effect::Group(group::Event::Settled(letters)));
        }
        messages.send(perform);
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
