//! What a worker is told.

use super::{Answer, Assignment, CometId, Message};

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
    /// End the thread.
    Stop,
}
