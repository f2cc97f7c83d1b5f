//! The partitions that are ours, and the number and member id under which each came.
//!
//! # A fault of krafka 0.28.1
//!
//! krafka keeps partitions without a callback when it comes back under another member id and the group gives it the same
//! ones. Another member may have read them in between, and what this process knows of them is old.
//!
//! - One sees it where a callback for new partitions comes under another member id than the one that the older partitions
//!   came under, without `on_partitions_lost` in between.
//! - Once krafka reports them as lost, delete [`Assignments::begun_as_another`], [`Assignments::end_silently_kept`] and
//!   the member id here, and their two uses in the listener.

use std::collections::HashMap;

use crate::message::PartitionId;

/// The partitions that are ours. Each has a number that tells this assignment from earlier ones.
#[derive(Default)]
pub(super) struct Assignments {
    count: u64,
    /// The member id under which they came.
    member: String,
    ours: HashMap<PartitionId, u64>,
}

impl Assignments {
    /// Begins assignments under this member id. Returns the partitions with their new number.
    pub(super) fn begin(
        &mut self,
        partitions: &[PartitionId],
        member: &str,
    ) -> HashMap<PartitionId, u64> {
        self.member = member.into();
        self.count += 1;
        let number = self.count;
        let begun: HashMap<PartitionId, u64> = partitions.iter().map(|p| (*p, number)).collect();
        self.ours.extend(&begun);
        begun
    }

    /// How many partitions are ours.
    pub(super) fn count(&self) -> usize {
        self.ours.len()
    }

    /// Ends the assignments of these partitions. Returns those that were ours.
    pub(super) fn end(&mut self, partitions: &[PartitionId]) -> Vec<PartitionId> {
        partitions
            .iter()
            .copied()
            .filter(|p| self.ours.remove(p).is_some())
            .collect()
    }

    /// Ends all, and returns their partitions.
    pub(super) fn end_all(&mut self) -> Vec<PartitionId> {
        std::mem::take(&mut self.ours).into_keys().collect()
    }

    /// Drops those of `assignments` that are over.
    pub(super) fn keep_current(&self, assignments: &mut HashMap<PartitionId, u64>) {
        assignments.retain(|partition, number| self.ours.get(partition) == Some(number));
    }

    /// The member id under which the partitions came, where that is another one.
    pub(super) fn begun_as_another(&self, member: &str) -> Option<String> {
        let is_other = !self.ours.is_empty() && self.member != member;
        is_other.then(|| self.member.clone())
    }

    /// Ends, and returns, the partitions that krafka kept when it came back under another member id.
    pub(super) fn end_silently_kept(&mut self, member: &str) -> Vec<PartitionId> {
        match self.begun_as_another(member) {
            Some(_) => self.end_all(),
            None => Vec::new(),
        }
    }
}
