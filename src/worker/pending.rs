//! A message that a worker holds, and what became of it so far.

use super::coalesce::Shape;
use crate::message::memory::Memory;
use crate::message::{Cause, CometId, Message, Reason};

/// A message that this worker holds.
pub struct Pending {
    pub message: Message,
    pub memory: Memory,
    /// Whether it can be merged with others of its room.
    pub shape: Shape,
    /// Comets that aren't done with it.
    pub waiting_for: usize,
    /// Whether a Comet may have seen it.
    pub started: bool,
    /// Whether some Comets don't get it from here: they are behind, and read it again.
    pub is_split: bool,
    /// Whether it isn't tried again: its partition is another's, or its Comet is detached.
    pub forgotten: bool,
    /// Whether a Comet didn't get it because of that.
    pub dropped: bool,
    /// Whether a Comet doesn't get it because it is too old.
    pub too_old: bool,
    /// The operator's user id, where one skipped it: what is in flight isn't tried again.
    pub skipped_by: Option<u32>,
    /// Why Comets can't get it, and which.
    pub undeliverable: Option<Box<Reason>>,
    /// Comets that were detached while a call with it was in flight. It stays until these calls are back.
    pub late: Vec<CometId>,
}

impl Pending {
    pub fn new(message: Message) -> Self {
        Self {
            is_split: message.without.is_some(),
            message,
            memory: Memory::default(),
            shape: Shape::default(),
            waiting_for: 0,
            started: false,
            forgotten: false,
            dropped: false,
            too_old: false,
            skipped_by: None,
            undeliverable: None,
            late: Vec::new(),
        }
    }

    /// Notes that this Comet can't get it. The last one's reason is the one that is told.
    pub fn cannot_go_to(&mut self, comet: CometId, cause: Cause, why: String) {
        let reason = self.undeliverable.get_or_insert_default();
        reason.text = why;
        reason.comets.push(comet);
        reason.cause = cause;
    }

    /// Whether nothing is left to hear of it.
    pub fn is_done(&self) -> bool {
        self.waiting_for == 0 && self.late.is_empty()
    }
}
