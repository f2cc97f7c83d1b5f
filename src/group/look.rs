//! Looks whether the logs are still those that were read, and goes on where one is not.
//!
//! A look is one small request a second, one more where a fetch failed or found nothing at its position. What is held of
//! a log that is gone is delivered all the same, since nothing sends it again; in the account it doesn't count, as other
//! records come under the same offsets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Group;
use super::identity::{Known, Verdict, judge};
use super::ledger::Ledger;
use super::partition::Phase;
use crate::base::text::counted;
use crate::message::Assignment;
use crate::message::group::Reached;
use crate::message::membership::Command;
use crate::message::standing::{Question, Standing, TopicTag};

/// Between two looks, at least, however much goes wrong.
const BETWEEN: Duration = Duration::from_millis(200);

/// What the group knows of its looks.
pub struct Looks {
    /// Where each partition stood that the look under way asks about: its assignment and its position.
    asked: Option<BTreeMap<Assignment, i64>>,
    begun: Option<Instant>,
    topic: Option<TopicTag>,
    /// Topics of the same name that are deleted. A broker that lags behind may still name one.
    gone: Vec<TopicTag>,
}

impl Looks {
    pub fn new() -> Self {
        Self {
            asked: None,
            begun: None,
            topic: None,
            gone: Vec::new(),
        }
    }

    /// The topic that there was when it was looked at last.
    pub fn topic(&self) -> Option<TopicTag> {
        self.topic
    }

    /// Compares what was known of a log, read from `position` on, with how it stands.
    pub fn judge(&mut self, known: &Known, position: i64, standing: &Standing) -> Verdict {
        if standing
            .topic
            .is_some_and(|topic| self.gone.contains(&topic))
        {
            return Verdict::Open;
        }
        let verdict = judge(known, position, standing);
        if verdict != Verdict::Open && standing.topic.is_some() && standing.topic != self.topic {
            self.gone.extend(self.topic);
            self.topic = standing.topic;
        }
        verdict
    }
}

impl Group {
    /// Asks how the logs stand, one look at a time.
    pub(super) fn look(&mut self) {
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
                    thorough: owned.is_astray,
                };
                (question, (owned.assignment, owned.ledger.next()))
            })
            .unzip();
        if !questions.is_empty()
            && self
                .channels
                .membership
                .send(Command::Look(questions))
                .is_ok()
        {
            self.looks.asked = Some(asked);
            self.looks.begun = Some(Instant::now());
        }
    }

    fn look_soon(&mut self) {
        let begun = self.looks.begun;
        if begun.is_none_or(|begun| begun.elapsed() >= BETWEEN) {
            self.look();
        }
    }

    /// Kafka has nothing at the position.
    pub(super) fn is_astray(&mut self, assignment: Assignment) {
        if let Some(owned) = self.owned(assignment)
            && owned.phase == Phase::Consuming
        {
            owned.is_astray = true;
            self.look_soon();
        }
    }

    /// Another leader, or another topic, may answer from now on: what was read before is of the one that was known.
    pub(super) fn interrupted(&mut self, reached: Vec<Reached>) {
        for Reached {
            assignment,
            position,
        } in reached
        {
            if let Some(owned) = self.owned(assignment) {
                owned.log.firm = owned.log.firm.max(position);
            }
        }
        self.look_soon();
    }

    pub(super) fn looked(&mut self, answer: Result<BTreeMap<i32, Standing>, String>) {
        let asked = self.looks.asked.take().unwrap_or_default();
        let standings = match answer {
            Ok(standings) => standings,
            Err(why) => {
                // Whoever reads says that Kafka doesn't answer.
                log::debug!("asking how the logs stand failed: {why}");
                return;
            }
        };
        for (assignment, position) in asked {
            let partition = assignment.partition;
            // Taken before the partition is borrowed; unused numbers do no harm.
            let next = self.next_assignment(partition);
            let owned = self.partitions.get_mut(&partition);
            let owned = owned
                .filter(|owned| owned.assignment == assignment && owned.phase == Phase::Consuming);
            let (Some(owned), Some(standing)) = (owned, standings.get(&partition)) else {
                continue;
            };
            let verdict = self.looks.judge(&owned.log, position, standing);
            say(partition, verdict, &owned.log, &owned.ledger);
            owned.log = owned.log.after(position, standing, verdict);
            match verdict {
                Verdict::Open => {}
                Verdict::Same => {
                    if std::mem::take(&mut owned.is_astray) {
                        self.channels.read(owned);
                    }
                }
                _ => {
                    owned.begin_anew(next, verdict);
                    owned.is_astray = false;
                    self.channels.read(owned);
                }
            }
        }
    }
}

/// Says what became of a log, of which the account is as it was before.
pub fn say(partition: i32, verdict: Verdict, known: &Known, ledger: &Ledger) {
    let position = ledger.next();
    match verdict {
        Verdict::Same | Verdict::Open => {}
        Verdict::Cut { to } => log::error!(
            "partition {partition}: its log was cut back to offset {to} (a leader was elected that lacked its end, or a disk \
             lost it): {} that were read from there on are gone from Kafka. What it has there now is new, and is read",
            counted((known.firm.max(position) - to).max(0) as u64, "record")
        ),
        Verdict::Anew { at } => log::error!(
            "partition {partition}: its topic was deleted and made anew: reading the new one from its start, offset {at}"
        ),
        Verdict::Deleted { to } => log::error!(
            "partition {partition} begins at offset {to}: {} from {position} on were deleted by the topic's retention before \
             job could read them",
            counted(unfinished(ledger, to), "record")
        ),
        Verdict::Unclear { at } => log::error!(
            "partition {partition} no longer has offset {position}, and Kafka doesn't say whether it was cut back or made \
             anew: reading it from its start, offset {at}"
        ),
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
