//! What the DeadLetterWriter is told.

use super::{CometId, RecordId};

/// A dead letter to write.
#[derive(Debug)]
pub struct Letter {
    pub record: RecordId,
    /// For unreadable offsets: the last of them. `record` is the first.
    pub last: Option<i64>,
    pub bytes: usize,
    /// The one Comet that it is about, where the others are done with the message.
    pub at: Option<CometId>,
    pub why: String,
}
