//! What the group is told, and by whom.

use tokio::sync::oneshot;

use super::attempt::CommitOutcome;
use super::membership::Commit;
use crate::message::{Settled, Slot};

/// What the group hears of.
pub enum Event {
    /// Kafka gave us a partition, to be read from `position`; `metadata` came with that offset.
    Assigned {
        partition: i32,
        position: i64,
        metadata: String,
    },
    /// Kafka wants partitions back. It waits for the reply: what to commit of each.
    Revoked {
        partitions: Vec<i32>,
        reply: oneshot::Sender<Vec<Commit>>,
    },
    /// Partitions are another member's already, or so it seems. The reply: what was finished of each, for a last try
    /// to commit it.
    Lost {
        partitions: Vec<i32>,
        reply: oneshot::Sender<Vec<Commit>>,
    },
    /// What was finished of lost partitions is committed after all.
    LastWord(Vec<Commit>),
    /// The consumer reads a partition no longer.
    Suspended { partition: i32, epoch: u64 },
    /// The broker doesn't hold what was to be read next: it goes on at `position`.
    Moved {
        partition: i32,
        epoch: u64,
        position: i64,
    },
    /// Messages that a worker, or the consumer, is done with.
    Settled(Vec<Settled>),
    /// Dead letters that are written.
    Buried(Vec<(Slot, usize)>),
    /// A worker gave back what it had not sent of a partition that is handed over.
    GaveBack { partition: i32, epoch: u64 },
    /// What became of a commit.
    Committed(CommitOutcome),
    /// The broker refuses maps of what is finished that are longer than this, in bytes.
    ShorterMaps(usize),
    /// The membership ended as asked for.
    Left,
    /// The membership can't be: a sentence that says why, and what to do.
    Impossible(String),
}

/// The consumer read these records of a partition, and stands at `next` now.
pub struct Read {
    pub partition: i32,
    pub epoch: u64,
    pub offsets: Vec<i64>,
    pub next: i64,
}
