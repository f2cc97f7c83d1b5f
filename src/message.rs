//! What travels between the threads: a message, and what became of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::route::Delivery;
use crate::sharing::Together;

/// A record's place: which partition, at which turn of owning it, at which offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    pub partition: i32,
    /// Counts the times that this process was given a partition. What was read in an earlier turn no longer counts.
    pub epoch: u64,
    pub offset: i64,
}

/// A message on its way to the Comets.
#[derive(Debug)]
pub struct Message {
    pub slot: Slot,
    /// What it counts against the cap on bytes held.
    pub bytes: usize,
    pub delivery: Delivery,
    /// Where other workers deliver it to other Comets.
    pub together: Option<Arc<Together>>,
}

impl Message {
    /// Puts the body into memory of its own. Workers that have the message together share one copy.
    pub fn copy_body(&mut self) {
        let body = self.delivery.call.body_mut();
        *body = match &self.together {
            None => Bytes::copy_from_slice(body),
            Some(together) => together.copy_of(body),
        };
    }
}

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
