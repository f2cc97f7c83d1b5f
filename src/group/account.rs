//! What the figures show of the group.

use std::time::Instant;

use super::Group;
use super::partition::Partition;
use crate::figures::{Account, Behind, GroupAccount};
use crate::message::PartitionId;

/// Tells whether what is ours has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    partitions: usize,
    epochs: u64,
    is_member: bool,
}

impl Group {
    pub(super) fn shape(&self) -> Shape {
        Shape {
            partitions: self.partitions.len(),
            epochs: self.epochs,
            is_member: self.is_member_now(),
        }
    }

    fn is_member_now(&self) -> bool {
        self.joined.is_some() && !self.stopping
    }

    /// How the group stands `now`.
    pub(super) fn account(&self, now: Instant) -> GroupAccount {
        let mut comets = self.comets.accounts();
        for owned in self.partitions.values() {
            for (comet, missing) in owned.ledger.missing() {
                if let Some(of) = comets.get_mut(*comet) {
                    of.missed += missing.count();
                }
            }
        }
        let partitions = self.partitions.iter();
        GroupAccount {
            at: Some(now),
            is_member: self.is_member_now(),
            size: self.size,
            delivered: self.counts.delivered,
            waits_for_positions: self.joined > Some(0) && self.partitions.is_empty(),
            partitions: partitions
                .map(|(n, owned)| owned.account(*n, now))
                .collect(),
            comets,
            too_old: self.counts.too_old,
            missed_too_old: self.missed_too_old,
            missed_deleted: self.missed_deleted,
            comet_left: self.comet_left,
        }
    }
}

impl Partition {
    fn account(&self, partition: PartitionId, now: Instant) -> Account {
        let above = self.ledger.finished_above();
        let above: i64 = above.iter().map(|range| range.end - range.start).sum();
        Account {
            partition,
            watermark: self.ledger.watermark(),
            // The consumer hears of it.
            end: None,
            behind: Behind::Unknown,
            committed: self.committed.as_ref().map(|commit| commit.offset),
            finished_above: above as u64,
            // What is read again for a Comet holds up nothing.
            held_up_since: (self.ledger.watermark() < self.ledger.next()).then_some(now),
        }
    }
}
