//! A partition that is ours, and how far we are with it.

use super::comets::Comets;
use super::identity::{Known, Verdict};
use super::ledger::Ledger;
use crate::message::offset_map::{self, Map};
use crate::message::{Assignment, Commit, PartitionId, RecordId, topic_tag};

pub struct Partition {
    pub assignment: Assignment,
    /// Earlier assignments, which ended because its log is not what it was. Of each, what counts still lies below this offset.
    /// What is held of them is delivered all the same: nothing sends it again.
    pub earlier: Vec<(Assignment, i64)>,
    pub log: Known,
    /// Whether Kafka has no record at the position. It is not read then until it is clear why.
    pub is_astray: bool,
    /// Whether Kafka no longer has some of what a Comet misses.
    pub misses_deleted: bool,
    /// Where it was read from first, and the metadata that stood there.
    pub begun: (i64, String),
    pub ledger: Ledger,
    pub phase: Phase,
    pub committed: Option<Commit>,
    /// Whether the offset map had no room for all that is finished, when last looked.
    pub map_is_full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is read and delivered.
    Consuming,
    /// It is released once what is in flight is settled and the workers have answered for each assignment. So many answers
    /// are missing.
    Draining { workers: usize },
    /// It may be another's by now. Nothing of it is sent or read until that is clear.
    Suspect {
        /// Whether the consumer has stopped reading it.
        suspended: bool,
        /// Whether it is certain now that it is ours.
        back: bool,
        /// Whether krafka lost it, so that it comes back at once or not at all. Otherwise it is ours again as soon as Kafka takes a
        /// commit of this member.
        lost: bool,
    },
}

impl Partition {
    /// The assignments of which something may be held.
    pub fn assignments(&self) -> impl Iterator<Item = Assignment> {
        let earlier = self.earlier.iter().map(|(assignment, _)| *assignment);
        earlier.chain([self.assignment])
    }

    /// Whether a record is in the account.
    pub fn counts(&self, record: RecordId) -> bool {
        let in_earlier = |(assignment, below): &(Assignment, i64)| {
            record.assignment == *assignment && record.offset < *below
        };
        record.assignment == self.assignment || self.earlier.iter().any(in_earlier)
    }

    /// Begins a new assignment, with the log as it is now.
    pub fn begin_anew(&mut self, assignment: Assignment, verdict: Verdict) {
        let still_counts = match verdict {
            Verdict::Cut { to } => to,
            _ => i64::MIN,
        };
        self.earlier.push((self.assignment, i64::MAX));
        for (_, below) in &mut self.earlier {
            *below = still_counts.min(*below);
        }
        self.assignment = assignment;
        self.ledger.follow(verdict);
        if let Verdict::Anew { at } = verdict {
            // With a topic, Kafka deletes what was committed for it.
            self.begun = (at, String::new());
            self.committed = None;
        }
    }

    /// Where a new owner of the same log begins at the lowest.
    pub fn at_least(&self) -> i64 {
        self.stands_at().0
    }

    /// What Kafka had of it when this process last knew: the offset and its metadata.
    pub fn stands_at(&self) -> (i64, &str) {
        match &self.committed {
            Some(commit) => (commit.offset, &commit.metadata),
            None => (self.begun.0, &self.begun.1),
        }
    }

    /// Makes the commit: what is finished, and what each of the `comets` misses. Its map has `map_len` bytes at most. Also returns
    /// how many runs of records the map has no room for.
    pub(super) fn commit(
        &self,
        partition: PartitionId,
        comets: &Comets,
        map_len: usize,
    ) -> (Commit, usize) {
        let missing = self.ledger.missing().iter();
        let named = missing.map(|(comet, missed)| (comets.name(*comet), missed.clone()));
        let map = Map {
            finished: self.ledger.finished_above(),
            missing: named.collect(),
        };
        let tag = topic_tag::before(self.log.topic, map_len);
        let left = map_len - tag.len();
        let (offset, text, left_out) = offset_map::encode_some(self.ledger.watermark(), &map, left);
        let commit = Commit {
            partition,
            offset,
            leader_epoch: self.log.leader_epoch,
            metadata: tag + &text,
        };
        (commit, left_out)
    }

    /// Whether nothing of it is with the workers or on its way to the dead letters.
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Draining { workers: 0 } && self.ledger.is_settled()
    }
}
