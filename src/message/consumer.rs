//! What the consumer is told.

use std::ops::Range;

use super::Assignment;

/// What the group tells the consumer.
pub enum Control {
    /// Read a partition from `position` on. Skip the offsets `finished` (ascending ranges).
    Assign {
        assignment: Assignment,
        position: i64,
        finished: Vec<Range<i64>>,
    },
    /// Stop reading a partition.
    Revoke { partition: i32 },
    /// Stop reading a partition, and confirm with `Suspended`.
    Suspend(Assignment),
    /// These messages and bytes are settled, and no longer held.
    Credit { messages: usize, bytes: usize },
    /// End the thread.
    Stop,
}
