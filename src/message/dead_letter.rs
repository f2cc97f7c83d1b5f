//! What the DeadLetterWriter is told.

use super::RecordId;

/// A dead letter to write.
#[derive(Debug)]
pub struct Letter {
    pub record: RecordId,
    /// For unreadable offsets: the last of them. `record` is the first.
    pub last: Option<i64>,
    pub bytes: usize,
    pub why: String,
}
