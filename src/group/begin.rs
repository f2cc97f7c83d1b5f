//! How an assignment begins: with what Kafka has of it, and what this process knows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::identity::Known;
use super::ledger::{self, Ledger};
use super::notice::Notice;
use super::partition::{Partition, Phase};
use super::{Group, look, next_assignment};
use crate::message::offset_map::{self, Map};
use crate::message::standing::{Standing, TopicTag};
use crate::message::{CometId, Offsets, PartitionId, topic_tag};

/// For how long the group remembers what was finished of a lost partition, should it come back.
const REMEMBER: Duration = Duration::from_secs(60);

impl Group {
    /// Begins an assignment with what Kafka has of a partition: `begun` is the offset and its metadata.
    pub(super) fn assign(
        &mut self,
        partition: PartitionId,
        begun: (i64, String),
        leader_epoch: Option<i32>,
        standing: Option<Standing>,
        now: Instant,
    ) {
        let (position, metadata) = (begun.0, begun.1.as_str());
        let (topic, _) = topic_tag::split(metadata);
        let map = offset_map::decode(position, metadata);
        // One that can't be read says of nothing that a Comet has it.
        let below = map.is_ok().then_some(0..position);
        let Map {
            mut finished,
            missing,
        } = map.unwrap_or_else(|why| {
            self.effects.say(Notice::MetadataUnused {
                partition,
                position,
                why,
            });
            Map::default()
        });
        let mut missing = self.by_id(partition, missing);
        let mut log = Known {
            topic: topic.or(self.looks.topic(partition.topic)),
            leader_epoch,
            firm: finished.last().map_or(position, |last| last.end),
        };
        if let Some(lost) = self.known(partition, position, log.topic, now) {
            let said = Finished {
                offsets: below.into_iter().chain(finished.clone()).collect(),
                missing: &missing,
            };
            let known = Finished {
                offsets: lost.ledger.finished_from(0).into_iter().collect(),
                missing: lost.ledger.missing(),
            };
            missing = said.missing_beside(&known);
            finished = ledger::union(&finished, &lost.ledger.finished_from(position));
            log.leader_epoch = log.leader_epoch.max(lost.log.leader_epoch);
            log.firm = log.firm.max(lost.log.firm);
        }
        let mut ledger = Ledger::new(position, finished, missing);
        if let Some(standing) = standing {
            let verdict = self.looks.judge(partition.topic, &log, position, &standing);
            self.effects
                .say(look::notice(partition, verdict, &log, &ledger));
            log = log.after(position, &standing, verdict);
            ledger.follow(verdict);
        }
        let position = ledger.next();
        self.effects.say(Notice::Reading {
            partition,
            position,
        });
        let owned = Partition {
            assignment: next_assignment(&mut self.epochs, partition),
            earlier: Vec::new(),
            log,
            is_astray: false,
            misses_deleted: false,
            begun,
            ledger,
            phase: Phase::Consuming,
            committed: None,
            map_is_full: false,
        };
        self.began_behind(partition, &owned.ledger, now);
        self.effects.read(&owned, self.comets.detached());
        self.partitions.insert(partition, owned);
    }

    /// What the Comets miss, by their ids. What one misses that is not in the fleet goes.
    fn by_id(
        &mut self,
        partition: PartitionId,
        missing: BTreeMap<String, Offsets>,
    ) -> BTreeMap<CometId, Offsets> {
        let mut by_id: BTreeMap<CometId, Offsets> = BTreeMap::new();
        for (name, missed) in missing {
            match self.comets.called(&name) {
                Some(comet) => {
                    let all = by_id.entry(comet).or_default();
                    all.extend(missed.ranges());
                }
                None => self.effects.say(Notice::NotInFleet {
                    partition,
                    comet: name,
                    offsets: missed.count(),
                }),
            }
        }
        by_id
    }

    /// What this process knows of the same log, where the partition was lost a while ago.
    fn known(
        &mut self,
        partition: PartitionId,
        position: i64,
        topic: Option<TopicTag>,
        now: Instant,
    ) -> Option<Partition> {
        let (at, lost) = self.lost.remove(&partition)?;
        // A position below what was committed is not the same log's: the topic was made anew.
        let is_same = lost.log.topic == topic && position >= lost.at_least();
        (is_same && now.duration_since(at) < REMEMBER).then_some(lost)
    }
}

/// What is finished, as far as somebody knows, but for what each Comet misses.
struct Finished<'a> {
    offsets: Offsets,
    missing: &'a BTreeMap<CometId, Offsets>,
}

impl Finished<'_> {
    /// What each Comet misses of what either finished. What it has according to one of them, it has.
    fn missing_beside(&self, other: &Self) -> BTreeMap<CometId, Offsets> {
        let mut all: BTreeMap<CometId, Offsets> = BTreeMap::new();
        for (one, other) in [(self, other), (other, self)] {
            for (&comet, missed) in one.missing {
                let mut missed = missed.clone();
                for has in other.of(comet).ranges() {
                    missed.remove(has);
                }
                all.entry(comet).or_default().extend(missed.ranges());
            }
        }
        all
    }

    /// What a Comet has.
    fn of(&self, comet: CometId) -> Offsets {
        let mut has = self.offsets.clone();
        let missed = self.missing.get(&comet).into_iter();
        missed
            .flat_map(Offsets::ranges)
            .for_each(|range| has.remove(range));
        has
    }
}
