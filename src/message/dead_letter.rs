//! What is to become a dead letter.

use super::RecordId;

/// A message to bury.
#[derive(Debug)]
pub struct Letter {
    pub record: RecordId,
    /// Where it is of several offsets, which can't be read: the last of them.
    pub last: Option<i64>,
    pub bytes: usize,
    pub why: String,
}
