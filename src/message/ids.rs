//! What names a record.

/// A record's place: which partition, at which turn of owning it, at which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    pub partition: i32,
    /// Counts the times that this process was given a partition. What was read in an earlier turn no longer counts.
    pub epoch: u64,
    pub offset: i64,
}
