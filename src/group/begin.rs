//! How an assignment begins: with what Kafka has of it, and what this process knows.

use std::time::{Duration, Instant};

use super::identity::Known;
use super::ledger::{self, Ledger};
use super::notice::Notice;
use super::partition::{Partition, Phase};
use super::{Group, look, next_assignment};
use crate::message::standing::{Standing, TopicTag};
use crate::message::{offset_map, topic_tag};

/// For how long the group remembers what was finished of a lost partition, should it come back.
const REMEMBER: Duration = Duration::from_secs(60);

impl Group {
    /// Begins an assignment with what Kafka has of a partition: `begun` is the offset and its metadata.
    pub(super) fn assign(
        &mut self,
        partition: i32,
        begun: (i64, String),
        leader_epoch: Option<i32>,
        standing: Option<Standing>,
        now: Instant,
    ) {
        let (position, metadata) = (begun.0, &begun.1);
        let (topic, _) = topic_tag::split(metadata);
        let mut finished = offset_map::decode(position, metadata).unwrap_or_else(|why| {
            self.effects.say(Notice::MetadataUnused {
                partition,
                position,
                why: why.to_string(),
            });
            Vec::new()
        });
        let mut log = Known {
            topic: topic.or(self.looks.topic()),
            leader_epoch,
            firm: finished.last().map_or(position, |last| last.end),
        };
        if let Some(lost) = self.known(partition, position, log.topic, now) {
            finished = ledger::union(&finished, &lost.ledger.finished_from(position));
            log.leader_epoch = log.leader_epoch.max(lost.log.leader_epoch);
            log.firm = log.firm.max(lost.log.firm);
        }
        let mut ledger = Ledger::new(position, finished);
        if let Some(standing) = standing {
            let verdict = self.looks.judge(&log, position, &standing);
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
            begun,
            ledger,
            phase: Phase::Consuming,
            committed: None,
            map_is_full: false,
        };
        self.effects.read(&owned);
        self.partitions.insert(partition, owned);
    }

    /// What this process knows of the same log, where the partition was lost a while ago.
    fn known(
        &mut self,
        partition: i32,
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
