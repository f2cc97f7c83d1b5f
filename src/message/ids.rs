//! What names a partition that was assigned, a record, a Comet, a worker.

/// A partition, for as long as this process has it without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Assignment {
    pub partition: i32,
    /// Counts the assignments of any partition. What was read under an earlier one no longer counts.
    pub epoch: u64,
}

/// A record: under which assignment it was read, and its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    pub assignment: Assignment,
    pub offset: i64,
}

/// A Comet of the fleet. The name stays the Comet's own for as long as this process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CometId(pub u32);

/// One of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u32);
