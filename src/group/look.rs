//! Looks whether the logs are still those that were read, and goes on where one is not.
//!
//! A look is one small request a second, and one more where a fetch failed or found nothing at its position. What is held
//! of a log that is gone is delivered all the same, since nothing sends it again. It doesn't count in the ledger, as
//! other records come under the same offsets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::effect::Effect;
use super::identity::{Known, Verdict, judge};
use super::ledger::Ledger;
use super::notice::Notice;
use super::partition::Phase;
use super::{Group, next_assignment};
use crate::message::group::Reached;
use crate::message::membership::Command;
use crate::message::standing::{Question, Standing, TopicTag};
use crate::message::{Assignment, PartitionId, TopicId};

/// The shortest time between two looks, however much goes wrong.
const BETWEEN: Duration = Duration::from_millis(200);

/// What the group knows of its looks.
pub struct Looks {
    /// Where each partition stood that the look under way asks about: its assignment and its position.
    asked: Option<BTreeMap<Assignment, i64>>,
    begun: Option<Instant>,
    /// Each topic that there was when it was looked at last.
    topics: BTreeMap<TopicId, TopicTag>,
    /// Topics of the same name that are deleted. A broker that lags behind may still name one.
    gone: Vec<TopicTag>,
}

impl Looks {
    pub fn new() -> Self {
        Self {
            asked: None,
            begun: None,
            topics: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// The topic that there was when it was looked at last.
    pub fn topic(&self, of: TopicId) -> Option<TopicTag> {
        self.topics.get(&of).copied()
    }

    /// Compares what was known of a log, read from `position` on, with how it stands.
    pub fn judge(
        &mut self,
        topic: TopicId,
        known: &Known,
        position: i64,
        standing: &Standing,
    ) -> Verdict {
        if standing
            .topic
            .is_some_and(|topic| self.gone.contains(&topic))
        {
            return Verdict::Open;
        }
        let verdict = judge(known, position, standing);
        if verdict != Verdict::Open
            && let Some(tag) = standing.topic
            && let before = self.topics.insert(topic, tag)
            && before != Some(tag)
        {
            self.gone.extend(before);
        }
        verdict
    }
}

impl Group {
    /// Asks how the logs stand, one look at a time.
    pub(super) fn look(&mut self, now: Instant) {
        if self.looks.asked.is_some() {
            return;
        }
        let read = self.partitions.iter();
        let read = read.filter(|(_, owned)| owned.phase == Phase::Consuming);
        let (questions, asked): (Vec<_>, BTreeMap<_, _>) = read
            .map(|(&partition, owned)| {
                let question = Question {
                    partition,
                    topic: owned.log.topic,
                    leader_epoch: owned.log.leader_epoch,
                    thorough: owned.is_astray || owned.misses_deleted,
                };
                (question, (owned.assignment, owned.ledger.next()))
            })
            .unzip();
        if !questions.is_empty() {
            let look = Command::Look(questions);
            self.effects.push(Effect::Membership(look));
            self.looks.asked = Some(asked);
            self.looks.begun = Some(now);
        }
    }

    pub(super) fn look_soon(&mut self, now: Instant) {
        let begun = self.looks.begun;
        if begun.is_none_or(|begun| now.duration_since(begun) >= BETWEEN) {
            self.look(now);
        }
    }

    /// Kafka has nothing at the position.
    pub(super) fn is_astray(&mut self, assignment: Assignment, now: Instant) {
        if let Some(owned) = self.owned(assignment)
            && owned.phase == Phase::Consuming
        {
            owned.is_astray = true;
            self.look_soon(now);
        }
    }

    /// Another leader, or another topic, may answer from now on: what was read before is of the one that was known.
    pub(super) fn interrupted(&mut self, reached: Vec<Reached>, now: Instant) {
        for Reached {
            assignment,
            position,
        } in reached
        {
            if let Some(owned) = self.owned(assignment) {
                owned.log.firm = owned.log.firm.max(position);
            }
        }
        self.look_soon(now);
    }

    /// Takes the answer to the look under way, and goes on where a log is not what it was.
    pub(super) fn looked(&mut self, answer: Result<BTreeMap<PartitionId, Standing>, String>) {
        let asked = self.looks.asked.take().unwrap_or_default();
        let standings = match answer {
            Ok(standings) => standings,
            Err(why) => {
                self.effects.say(Notice::LookFailed { why });
                return;
            }
        };
        for (assignment, position) in asked {
            let partition = assignment.partition;
            let owned = self.partitions.get_mut(&partition);
            let owned = owned
                .filter(|owned| owned.assignment == assignment && owned.phase == Phase::Consuming);
            let (Some(owned), Some(standing)) = (owned, standings.get(&partition)) else {
                continue;
            };
            let verdict = self
                .looks
                .judge(partition.topic, &owned.log, position, standing);
            self.effects
                .say(notice(partition, verdict, &owned.log, &owned.ledger));
            owned.log = owned.log.after(position, standing, verdict);
            match verdict {
                Verdict::Open => {}
                Verdict::Same => {
                    if std::mem::take(&mut owned.is_astray) {
                        self.effects.read(owned, self.comets.detached());
                    }
                }
                _ => {
                    let assignment = next_assignment(&mut self.epochs, partition);
                    owned.begin_anew(assignment, verdict);
                    owned.is_astray = false;
                    self.effects.read(owned, self.comets.detached());
                }
            }
            if let Some(log) = &standing.log {
                self.forget_deleted(partition, log.start);
            }
        }
    }
}

/// What the log says of a verdict. The ledger is as it was before.
pub fn notice(
    partition: PartitionId,
    verdict: Verdict,
    known: &Known,
    ledger: &Ledger,
) -> Option<Notice> {
    let position = ledger.next();
    match verdict {
        Verdict::Same | Verdict::Open => None,
        Verdict::Cut { to } => Some(Notice::LogCut {
            partition,
            to,
            records: (known.firm.max(position) - to).max(0) as u64,
        }),
        Verdict::Anew { at } => Some(Notice::LogAnew { partition, at }),
        Verdict::Deleted { to } => Some(Notice::LogDeleted {
            partition,
            position,
            to,
            records: unfinished(ledger, to),
        }),
        Verdict::Unclear { at } => Some(Notice::LogUnclear {
            partition,
            position,
            at,
        }),
    }
}

/// How many offsets between the position and `to` are not known to be finished.
fn unfinished(ledger: &Ledger, to: i64) -> u64 {
    let finished = ledger.finished_from(ledger.next()).into_iter();
    let finished: i64 = finished
        .map(|run| (run.end.min(to) - run.start).max(0))
        .sum();
    (to - ledger.next() - finished).max(0) as u64
}
