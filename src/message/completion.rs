//! What became of a message.

use super::RecordId;

/// A message that its holder is done with.
#[derive(Debug, PartialEq)]
pub struct Settled {
    pub record: RecordId,
    pub bytes: usize,
    pub completion: Completion,
}

#[derive(Debug, PartialEq)]
pub enum Completion {
    /// Each Comet that should have it took it, but for those that are left out.
    Delivered,
    /// Each Comet that should have it is left out: the reason, for the dead letter.
    Skipped(String),
    /// It can't be delivered: the reason, for the dead letter.
    Undeliverable(String),
    /// Given back unsent: its partition goes to another owner.
    Released,
}
