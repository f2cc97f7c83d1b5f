//! What the consumer is told.

use std::ops::Range;

/// What the group tells the consumer.
pub enum Control {
    /// Read a partition from `position` on, but for the offsets `finished` (ascending ranges).
    Assign {
        partition: i32,
        epoch: u64,
        position: i64,
        finished: Vec<Range<i64>>,
    },
    /// Stop reading a partition.
    Revoke { partition: i32 },
    /// Stop reading a partition, and say so to the group.
    Suspend { partition: i32, epoch: u64 },
    /// This much is settled and no longer held.
    Credit { messages: usize, bytes: usize },
    /// End the thread.
    Stop,
}
