//! What became of a message.

use super::Slot;

/// A message that its holder is done with.
#[derive(Debug, PartialEq)]
pub struct Settled {
    pub slot: Slot,
    pub bytes: usize,
    pub how: How,
}

#[derive(Debug, PartialEq)]
pub enum How {
    /// Each Comet that should have it took it, but for those that are left out.
    Delivered,
    /// Each Comet that should have it is left out: the reason, for the dead letter.
    PassedBy(String),
    /// It can't be delivered: the reason, for the dead letter.
    Undeliverable(String),
    /// Given back unsent: its partition goes to another owner.
    Released,
}
