//! What the consumer is told.

use std::ops::Range;
use std::time::Duration;

use tokio::sync::oneshot;

use super::fleet::Change;
use super::{Assignment, CometId, Held, PartitionId};

/// What the group tells the consumer.
pub enum Control {
    /// Read a partition from `position` on. Skip the offsets `finished` (ascending ranges).
    Assign {
        assignment: Assignment,
        position: i64,
        finished: Vec<Range<i64>>,
        behind: Vec<Behind>,
    },
    /// The Comet takes nothing: it is behind in every partition from here on.
    Detach(CometId),
    /// The Comet answers: read again what it misses of each partition.
    CatchUp {
        comet: CometId,
        missing: Vec<(Assignment, Vec<Range<i64>>)>,
        /// For how long the Comet was away, where that is known.
        away: Option<Duration>,
    },
    /// The fleet changes from the next record on.
    Fleet(Change),
    /// Stop reading a partition.
    Revoke { partition: PartitionId },
    /// Stop reading a partition, and confirm with `Suspended`.
    Suspend(Assignment),
    /// These messages and bytes are settled, and no longer held.
    Credit {
        messages: usize,
        bytes: usize,
        /// The Comet that they were read again for.
        again: Option<CometId>,
    },
    /// Read nothing for now, also not again for a Comet; or go on.
    Pause {
        paused: bool,
        reply: oneshot::Sender<Paused>,
    },
    /// End the thread.
    Stop,
}

/// How it stood when the consumer paused, or went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    pub was_paused: bool,
    pub held: Held,
}

/// A Comet that is behind in a partition, and the offsets to read again for it (ascending ranges). The last one has no end: it
/// holds all that is read while the Comet is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    pub comet: CometId,
    pub missing: Vec<Range<i64>>,
}
