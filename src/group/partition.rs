//! A partition that is ours, and how far we are with it.

use super::ledger::Ledger;
use super::membership::Commit;
use super::offset_map;

pub struct Partition {
    pub epoch: u64,
    /// Where it was read from first, and the metadata that stood there.
    pub begun: (i64, String),
    pub ledger: Ledger,
    pub phase: Phase,
    pub committed: Option<Commit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is read and delivered.
    Consuming,
    /// It goes to another owner once what is in flight is settled; so many workers may still hold unsent messages.
    Draining { workers: usize },
    /// It may be another's by now. Nothing of it is sent or read meanwhile.
    Doubtful {
        /// Whether the consumer has said that it doesn't read it.
        suspended: bool,
        /// Whether it is certain now that it is ours.
        back: bool,
        /// Whether krafka lost it, so that it comes back at once or not at all. Otherwise it is ours again as soon as Kafka takes a
        /// commit of this member.
        lost: bool,
    },
}

impl Partition {
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

    /// What there is to commit, with a map of what is finished of `map_len` bytes at most.
    pub fn commit(&self, partition: i32, map_len: usize) -> Commit {
        let offset = self.ledger.watermark();
        Commit {
            partition,
            offset,
            metadata: offset_map::encode(offset, &self.ledger.finished_above(), map_len),
        }
    }

    /// Whether nothing of it is with the workers or on its way to the dead letters.
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Draining { workers: 0 } && self.ledger.is_settled()
    }
}
