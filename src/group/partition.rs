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
    /// krafka lost it: it may be another's by now, or come back at once. Nothing of it is sent or read meanwhile;
    /// whether the consumer has said that it doesn't, and whether Kafka gave the partition back.
    Doubtful { suspended: bool, back: bool },
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

    pub fn commit(&self, partition: i32) -> Commit {
        let offset = self.ledger.watermark();
        Commit {
            partition,
            offset,
            metadata: offset_map::encode(offset, &self.ledger.finished_above()),
        }
    }

    /// Whether nothing of it is with the workers or on its way to the dead letters.
    pub fn is_drained(&self) -> bool {
        self.phase == Phase::Draining { workers: 0 } && self.ledger.is_settled()
    }
}
