//! What the DeadLetterWriter is told.

use super::{Assignment, CometId, Reason, RecordId};

/// What the DeadLetterWriter is told.
#[derive(Debug)]
pub enum Event {
    Write(Letter),
    /// The partition may be another member's by now: its letters wait until that is clear.
    Suspend(Assignment),
    /// It is ours, or was not suspended.
    Resume(Assignment),
    /// The partition is another member's, or about to be: that one writes its letters. None follows for this assignment.
    Forget(Assignment),
}

impl Event {
    /// The assignment that it is about.
    pub fn assignment(&self) -> Assignment {
        match self {
            Event::Write(letter) => letter.record.assignment,
            Event::Suspend(assignment) | Event::Resume(assignment) | Event::Forget(assignment) => {
                *assignment
            }
        }
    }
}

/// A dead letter to write.
#[derive(Debug)]
pub struct Letter {
    pub record: RecordId,
    /// For unreadable offsets: the last of them. `record` is the first.
    pub last: Option<i64>,
    pub bytes: usize,
    /// The one Comet that it is about, where the others are done with the message.
    pub at: Option<CometId>,
    pub why: Box<Reason>,
}
