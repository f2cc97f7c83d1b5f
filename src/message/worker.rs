//! What a worker is told.

use super::fleet::Change;
use super::{Answer, Assignment, CometId, Message, RecordId};

/// What a worker hears of.
pub enum Event {
    /// New messages, in offset order within each partition.
    Messages(Vec<Message>),
    /// Much was read since this was said last: what is held from before that gets memory of its own.
    RoundEnded,
    /// A call came back.
    Answered {
        comet: CometId,
        id: usize,
        answer: Answer,
    },
    /// A Comet was asked whether it is there.
    Probed { comet: CometId, answer: Answer },
    /// The Comet is behind from here on: give back what waits for it, and send it nothing. Messages that were read again for it come
    /// after `Return`.
    Detach(CometId),
    /// The Comet answers: it is tried with one message at a time until it takes one.
    Return(CometId),
    /// The fleet changes between the messages before this and those behind it.
    Fleet(Change),
    /// What was written before this time (milliseconds since 1970) is not worth sending any more: it becomes a dead letter for the
    /// reason `letter`, or is skipped if there is none.
    Expire { before: i64, letter: Option<String> },
    /// Whether as much is held as may be, so that nothing is read.
    Full(bool),
    /// The partition goes to another owner: give back what no Comet has seen, finish the rest.
    Revoke(Assignment),
    /// The partition may be another's: send nothing more of it for now.
    Suspend(Assignment),
    /// It is still ours: go on.
    Resume(Assignment),
    /// The partition is another's already: drop everything of it.
    Forget(Assignment),
    /// The lease under which it sends had run out so many times, and is renewed.
    Lapsed(u64),
    /// An operator, the user of this number, doesn't want this record sent: it becomes a dead letter.
    Skip { record: RecordId, uid: u32 },
    /// End the thread.
    Stop,
}
