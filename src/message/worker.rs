//! What a worker is told.

use super::{Answer, Message};

/// What a worker hears of.
pub enum Event {
    /// New messages, in offset order within each partition.
    Messages(Vec<Message>),
    /// A call came back.
    Answered {
        comet: usize,
        id: usize,
        answer: Answer,
    },
    /// A Comet was asked whether it is there.
    Probed { comet: usize, answer: Answer },
    /// The partition goes to another owner: give back what no Comet has seen, finish the rest.
    Revoke { partition: i32, epoch: u64 },
    /// The partition may be another's: send nothing more of it for now.
    Suspend { partition: i32, epoch: u64 },
    /// It is still ours: go on.
    Resume { partition: i32, epoch: u64 },
    /// The partition is another's already: drop everything of it.
    Forget { partition: i32, epoch: u64 },
    /// The lease under which it sends had run out so many times, and is renewed.
    Lapsed(u64),
    /// End the thread.
    Stop,
}
