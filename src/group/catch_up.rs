//! Comets that are behind: when one is detached, when it catches up, and what it misses meanwhile.
//!
//! A Comet is detached when a worker finds that it takes nothing while another one delivers. The consumer hears of it first, and
//! tells the workers behind the last message that was for it. Each worker then says what the Comet lacks, and confirms. From
//! then on the ledgers know all that it misses, and it may catch up as soon as it answers.

use std::time::{Duration, Instant};

use super::Group;
use super::comets::{Away, State, WAIT_FIRST, WAIT_MOST};
use super::ledger::Ledger;
use super::notice::Notice;
use super::partition::Partition;
use crate::message::consumer::{Behind, Control};
use crate::message::group::ReadAgain;
use crate::message::{Assignment, CometId, Completion, PartitionId, RecordId};

impl Partition {
    /// The Comets that are behind here, and what is to be read again for each. `detached` are behind in all partitions.
    pub(super) fn behind(&self, detached: impl Iterator<Item = CometId>) -> Vec<Behind> {
        let mut comets: Vec<_> = self.ledger.missing().keys().copied().collect();
        comets.extend(detached);
        comets.sort_unstable();
        comets.dedup();
        let behind = |comet| Behind {
            comet,
            missing: self.ledger.to_send_again(comet),
        };
        comets.into_iter().map(behind).collect()
    }
}

impl Group {
    /// A worker found that the Comet takes nothing while another one delivers.
    pub(super) fn is_away(&mut self, comet: CometId, now: Instant) {
        let workers = self.workers;
        let Some(of) = self.comets.member_mut(comet) else {
            return;
        };
        let wait = match of.state {
            State::Detached { .. } => return,
            State::Attached => Duration::ZERO,
            // It answers probes and takes no message.
            State::Returning { messages: 0, .. } => {
                let wait = of.wait;
                of.wait = (2 * wait).min(WAIT_MOST);
                wait
            }
            State::Returning { .. } => Duration::ZERO,
        };
        if wait.is_zero() {
            of.wait = WAIT_FIRST;
        }
        // One that comes back and takes nothing, or not all, is away since the first time.
        of.away.get_or_insert(Away::Since(now));
        of.state = State::Detached {
            since: now,
            workers,
            not_before: now + wait,
        };
        self.effects.consumer(Control::Detach(comet));
        let name = self.comets.name(comet);
        self.effects.say(Notice::CometDetached { comet: name });
        self.say_skipped(comet);
    }

    /// Comets missed something of a partition before it was ours. Those that are not known to be away get it from now on.
    pub(super) fn began_behind(&mut self, partition: PartitionId, ledger: &Ledger, now: Instant) {
        for (&comet, missing) in ledger.missing() {
            if let Some(of) = self.comets.member_mut(comet)
                && matches!(of.state, State::Attached)
            {
                of.away = Some(Away::Unknown);
                of.state = State::Returning {
                    since: now,
                    messages: 0,
                    elsewhere: false,
                };
            }
            self.effects.say(Notice::BeganBehind {
                partition,
                comet: self.comets.name(comet),
                records: missing.count(),
            });
        }
    }

    /// A worker holds nothing more for the Comet but calls in flight.
    pub(super) fn is_detached(&mut self, comet: CometId) {
        if let Some(of) = self.comets.member_mut(comet)
            && let State::Detached { workers, .. } = &mut of.state
        {
            *workers = workers.saturating_sub(1);
        }
    }

    /// A Comet that is detached answers a probe. There will be more probes.
    pub(super) fn answers(&mut self, comet: CometId, now: Instant) {
        let Some(of) = self.comets.member_mut(comet) else {
            return;
        };
        let State::Detached {
            since,
            workers: 0,
            not_before,
        } = of.state
        else {
            return;
        };
        if now < not_before {
            return;
        }
        of.state = State::Returning {
            since: now,
            messages: 0,
            elsewhere: false,
        };
        let away = of.away;
        let mut messages = 0;
        let partitions = self.partitions.values();
        let missing = partitions.map(|owned| {
            let missing = owned.ledger.missing().get(&comet);
            messages += missing.map_or(0, |missing| missing.count());
            (owned.assignment, owned.ledger.to_catch_up(comet))
        });
        let missing = missing.collect();
        let time = |since| now.saturating_duration_since(since);
        let away = match away {
            Some(Away::Since(first)) => Some(time(first)),
            Some(Away::Unknown) | None => None,
        };
        self.effects.consumer(Control::CatchUp {
            comet,
            missing,
            away,
        });
        self.effects.say(Notice::CometReturns {
            comet: self.comets.name(comet),
            after: time(since),
            messages,
        });
    }

    /// The consumer read again for a Comet.
    pub(super) fn read_again(&mut self, read: ReadAgain) {
        let ReadAgain {
            assignment,
            comet,
            offsets,
            sent,
            skipped,
        } = read;
        if self.comets.member(comet).is_none() {
            return;
        }
        // Of a partition that isn't ours any more the workers give it back.
        if let Some(owned) = self.owned(assignment) {
            owned.ledger.sent_again(comet, offsets, &sent, &skipped);
            self.missed_too_old += skipped.len() as u64;
            if let Some(of) = self.comets.member_mut(comet) {
                of.skipped += skipped.len() as u64;
            }
        }
    }

    /// Takes in what became of a message at one Comet.
    pub(super) fn at_comet(&mut self, record: RecordId, completion: &Completion) {
        let mut took_one = None;
        if let Completion::Lacks { comet, .. } = completion
            && self.comets.member(*comet).is_none()
        {
            // It left: nobody misses anything there.
            return;
        }
        if let Some(ledger) = self.ledger_of(record) {
            match *completion {
                Completion::Lacks { comet, in_flight } => {
                    ledger.lacks(record.offset, comet, in_flight);
                }
                Completion::CameBack { comet, took: true }
                | Completion::Again { comet, took: true } => {
                    ledger.took(comet, record.offset);
                    took_one = Some(comet);
                }
                Completion::CameBack { comet, took: false }
                | Completion::Again { comet, took: false } => {
                    ledger.still_lacks(comet, record.offset);
                }
                _ => {}
            }
        }
        if let Some(comet) = took_one
            && let Some(of) = self.comets.member_mut(comet)
            && let State::Returning { messages, .. } = &mut of.state
        {
            *messages += 1;
        }
    }

    /// The ledger that a record counts in: of a partition that is ours, or was a moment ago.
    pub(super) fn ledger_of(&mut self, record: RecordId) -> Option<&mut Ledger> {
        let partition = record.assignment.partition;
        let lost = self.lost.get_mut(&partition).map(|(_, lost)| lost);
        let owned = self.partitions.get_mut(&partition).into_iter().chain(lost);
        let mut owned = owned.filter(|owned| owned.counts(record));
        owned.next().map(|owned| &mut owned.ledger)
    }

    /// Says which Comets have caught up.
    pub(super) fn say_caught_up(&mut self, now: Instant) {
        let partitions = &self.partitions;
        let misses = |comet| {
            let misses = |owned: &Partition| owned.ledger.missing().contains_key(&comet);
            partitions.values().any(misses)
        };
        let mut caught_up = Vec::new();
        for (comet, of) in self.comets.0.iter_mut() {
            let State::Returning {
                since,
                messages,
                elsewhere,
            } = of.state
            else {
                continue;
            };
            if of.leaving.is_some() || misses(comet) {
                continue;
            }
            of.state = State::Attached;
            of.caught_up += 1;
            of.away = None;
            of.wait = WAIT_FIRST;
            let notice = Notice::CometCaughtUp {
                comet: of.node.name.clone(),
                messages,
                within: now.saturating_duration_since(since),
                elsewhere,
            };
            caught_up.push((comet, notice));
        }
        for (comet, notice) in caught_up {
            self.say_skipped(comet);
            self.effects.say(notice);
        }
    }

    /// Says how much was too old to be sent to the Comet.
    fn say_skipped(&mut self, comet: CometId) {
        let of = self.comets.any(comet);
        let messages = of.map_or(0, |of| std::mem::take(&mut of.skipped));
        if messages > 0 {
            let comet = self.comets.name(comet);
            self.effects.say(Notice::MissedSkipped { comet, messages });
        }
    }

    /// A partition with what these Comets miss of it goes to another.
    pub(super) fn behind_elsewhere(&mut self, comets: impl Iterator<Item = CometId>) {
        for comet in comets {
            if let Some(of) = self.comets.member_mut(comet)
                && let State::Returning { elsewhere, .. } = &mut of.state
            {
                *elsewhere = true;
            }
        }
    }

    /// Kafka doesn't hold what is to be read again next: a look tells what is left.
    pub(super) fn is_again_astray(&mut self, assignment: Assignment, now: Instant) {
        if let Some(owned) = self.owned(assignment) {
            owned.misses_deleted = true;
            self.look_soon(now);
        }
    }

    /// Forgets what Comets miss and Kafka no longer has: the partition's log begins at `start`.
    pub(super) fn forget_deleted(&mut self, partition: PartitionId, start: i64) {
        let Some(owned) = self.partitions.get_mut(&partition) else {
            return;
        };
        if !std::mem::take(&mut owned.misses_deleted) {
            return;
        }
        for (comet, records) in owned.ledger.delete_missing(start) {
            self.missed_deleted += records;
            self.effects.say(Notice::MissedDeleted {
                comet: self.comets.name(comet),
                partition,
                records,
                start,
            });
        }
        let owned = &self.partitions[&partition];
        for Behind { comet, missing } in owned.behind(std::iter::empty()) {
            let is_detached = self.comets.detached().any(|detached| detached == comet);
            if !is_detached {
                let missing = vec![(owned.assignment, missing)];
                self.effects.consumer(Control::CatchUp {
                    comet,
                    missing,
                    away: None,
                });
            }
        }
    }

    /// What Comets miss of the partitions that are ours, by Comet, and what was skipped for them.
    pub(super) fn say_missing(&mut self) {
        let comets: Vec<CometId> = self.comets.members().map(|(comet, _)| comet).collect();
        for comet in comets {
            self.say_skipped(comet);
            let missing = self
                .partitions
                .values()
                .filter_map(|owned| owned.ledger.missing().get(&comet));
            let messages: u64 = missing.map(|missing| missing.count()).sum();
            if messages > 0 {
                self.effects.say(Notice::StillBehind {
                    comet: self.comets.name(comet),
                    messages,
                });
            }
        }
    }
}
