//! Comets that are behind: when one is detached, when it catches up, and what it misses meanwhile.
//!
//! A Comet is detached when a worker finds that it takes nothing while another one delivers. The consumer hears of it first, and
//! tells the workers behind the last message that was for it. Each worker then says what the Comet lacks, and confirms. From
//! then on the ledgers know all that it misses, and it may catch up as soon as it answers.

use std::time::{Duration, Instant};

use super::Group;
use super::ledger::Ledger;
use super::notice::Notice;
use super::partition::Partition;
use crate::figures::{CometAccount, Standing};
use crate::message::consumer::{Behind, Control};
use crate::message::group::ReadAgain;
use crate::message::{Assignment, CometId, Completion, PartitionId, RecordId};

/// Limits of the wait after a return in which the Comet took nothing.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MOST: Duration = Duration::from_secs(10);

/// The Comets, in the order of their ids.
pub(super) struct Comets(Vec<Comet>);

struct Comet {
    state: State,
    /// Since when it is behind, until it has caught up.
    away: Option<Away>,
    /// The wait before its next return, if it takes nothing in this one.
    wait: Duration,
    /// What was too old to be sent to it, and wasn't said yet.
    skipped: u64,
    /// How often it caught up.
    caught_up: u64,
}

#[derive(Clone, Copy)]
enum Away {
    Since(Instant),
    /// It was behind in a partition before that was ours.
    Unknown,
}

enum State {
    Attached,
    Detached {
        since: Instant,
        /// Workers that have not confirmed.
        workers: usize,
        /// It doesn't return before this.
        not_before: Instant,
    },
    /// It answers, and gets what it missed.
    Returning {
        since: Instant,
        /// What it took of that.
        messages: u64,
        /// Whether partitions where it was behind are another's by now.
        elsewhere: bool,
    },
}

impl Comets {
    pub fn new(count: usize) -> Self {
        let comet = |_| Comet {
            state: State::Attached,
            away: None,
            wait: WAIT_FIRST,
            skipped: 0,
            caught_up: 0,
        };
        Self((0..count).map(comet).collect())
    }

    fn get(&mut self, comet: CometId) -> &mut Comet {
        &mut self.0[comet.0 as usize]
    }

    /// How each stands, but for what it misses.
    pub fn accounts(&self) -> Vec<CometAccount> {
        let account = |comet: &Comet| CometAccount {
            standing: match comet.state {
                State::Attached => Standing::Attached,
                State::Detached { .. } => Standing::Detached,
                State::Returning { .. } => Standing::CatchingUp,
            },
            missed: 0,
            caught_up: comet.caught_up,
        };
        self.0.iter().map(account).collect()
    }

    /// The Comets that are detached.
    pub fn detached(&self) -> impl Iterator<Item = CometId> {
        let is_detached = |comet: &Comet| matches!(comet.state, State::Detached { .. });
        let comets = (0..).map(CometId).zip(&self.0);
        comets.filter_map(move |(id, comet)| is_detached(comet).then_some(id))
    }
}

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
        let of = self.comets.get(comet);
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
            workers: self.workers,
            not_before: now + wait,
        };
        self.effects.consumer(Control::Detach(comet));
        let name = self.name(comet);
        self.effects.say(Notice::CometDetached { comet: name });
        self.say_skipped(comet);
    }

    /// Comets missed something of a partition before it was ours. Those that are not known to be away get it from now on.
    pub(super) fn began_behind(&mut self, partition: PartitionId, ledger: &Ledger, now: Instant) {
        for (&comet, missing) in ledger.missing() {
            let of = self.comets.get(comet);
            if matches!(of.state, State::Attached) {
                of.away = Some(Away::Unknown);
                of.state = State::Returning {
                    since: now,
                    messages: 0,
                    elsewhere: false,
                };
            }
            self.effects.say(Notice::BeganBehind {
                partition,
                comet: self.names[comet.0 as usize].clone(),
                records: missing.count(),
            });
        }
    }

    /// A worker holds nothing more for the Comet but calls in flight.
    pub(super) fn is_detached(&mut self, comet: CometId) {
        if let State::Detached { workers, .. } = &mut self.comets.get(comet).state {
            *workers = workers.saturating_sub(1);
        }
    }

    /// A Comet that is detached answers a probe. There will be more probes.
    pub(super) fn answers(&mut self, comet: CometId, now: Instant) {
        let of = self.comets.get(comet);
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
        let mut messages = 0;
        let partitions = self.partitions.values();
        let missing = partitions.map(|owned| {
            let missing = owned.ledger.missing().get(&comet);
            messages += missing.map_or(0, |missing| missing.count());
            (owned.assignment, owned.ledger.to_catch_up(comet))
        });
        let missing = missing.collect();
        let time = |since| now.saturating_duration_since(since);
        let away = match self.comets.get(comet).away {
            Some(Away::Since(first)) => Some(time(first)),
            Some(Away::Unknown) | None => None,
        };
        self.effects.consumer(Control::CatchUp {
            comet,
            missing,
            away,
        });
        self.effects.say(Notice::CometReturns {
            comet: self.name(comet),
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
        // Of a partition that isn't ours any more the workers give it back.
        if let Some(owned) = self.owned(assignment) {
            owned.ledger.sent_again(comet, offsets, &sent, &skipped);
            self.comets.get(comet).skipped += skipped.len() as u64;
            self.missed_too_old += skipped.len() as u64;
        }
    }

    /// Takes in what became of a message at one Comet.
    pub(super) fn at_comet(&mut self, record: RecordId, completion: &Completion) {
        let mut took_one = None;
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
            && let State::Returning { messages, .. } = &mut self.comets.get(comet).state
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
        for comet in (0..self.names.len() as u32).map(CometId) {
            let State::Returning {
                since,
                messages,
                elsewhere,
            } = self.comets.get(comet).state
            else {
                continue;
            };
            let misses = |owned: &Partition| owned.ledger.missing().contains_key(&comet);
            if self.partitions.values().any(misses) {
                continue;
            }
            let of = self.comets.get(comet);
            of.state = State::Attached;
            of.caught_up += 1;
            of.away = None;
            of.wait = WAIT_FIRST;
            self.say_skipped(comet);
            self.effects.say(Notice::CometCaughtUp {
                comet: self.name(comet),
                messages,
                within: now.saturating_duration_since(since),
                elsewhere,
            });
        }
    }

    /// Says how much was too old to be sent to the Comet.
    fn say_skipped(&mut self, comet: CometId) {
        let messages = std::mem::take(&mut self.comets.get(comet).skipped);
        if messages > 0 {
            let comet = self.name(comet);
            self.effects.say(Notice::MissedSkipped { comet, messages });
        }
    }

    /// A partition with what these Comets miss of it goes to another.
    pub(super) fn behind_elsewhere(&mut self, comets: impl Iterator<Item = CometId>) {
        for comet in comets {
            if let State::Returning { elsewhere, .. } = &mut self.comets.get(comet).state {
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
                comet: self.names[comet.0 as usize].clone(),
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
        for comet in (0..self.names.len() as u32).map(CometId) {
            self.say_skipped(comet);
            let missing = self
                .partitions
                .values()
                .filter_map(|owned| owned.ledger.missing().get(&comet));
            let messages: u64 = missing.map(|missing| missing.count()).sum();
            if messages > 0 {
                self.effects.say(Notice::StillBehind {
                    comet: self.name(comet),
                    messages,
                });
            }
        }
    }
}
