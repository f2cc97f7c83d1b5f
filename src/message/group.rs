//! What the group is told, and by whom.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use tokio::sync::oneshot;

use super::fleet::Change;
use super::standing::Standing;
use super::{Assignment, CometId, Commit, CommitOutcome, PartitionId, RecordId, Settled};

/// What the group is told.
pub enum Event {
    /// Kafka gave us a partition, to be read from `position`; `metadata` came with that offset.
    Assigned {
        partition: PartitionId,
        position: i64,
        metadata: String,
        /// That was committed with it.
        leader_epoch: Option<i32>,
        /// How its log stands, where Kafka could say it.
        standing: Option<Standing>,
    },
    /// Kafka has this process as a member of the group, with so many partitions.
    Joined { partitions: usize },
    /// The group is stable, with so many members, and the topic has so many partitions.
    Stable { members: usize, partitions: usize },
    /// Kafka wants partitions back. The membership waits for the reply: what to commit of each.
    Revoked {
        partitions: Vec<PartitionId>,
        reply: oneshot::Sender<Vec<Commit>>,
    },
    /// krafka lost the partitions: they may be another member's already. The reply says what was finished of each, for the
    /// parting commit.
    Lost {
        partitions: Vec<PartitionId>,
        reply: oneshot::Sender<Vec<Commit>>,
    },
    /// Kafka took the parting commit of lost partitions, as it is here.
    PartingCommit(Vec<Commit>),
    /// The consumer reads a partition no longer.
    Suspended(Assignment),
    /// The broker doesn't hold what was to be read next. The consumer doesn't read the partition until it is assigned anew.
    Astray(Assignment),
    /// Reading failed, or works again: up to these positions it was read before that.
    Interrupted(Vec<Reached>),
    /// How the logs stand that were asked about, or why that can't be said.
    Looked(Result<BTreeMap<PartitionId, Standing>, String>),
    /// Messages that a worker, or the consumer, is done with.
    Settled(Vec<Settled>),
    /// What stands at a record's place, and behind it up to the offset `last`, can't be read: the reason, for its one dead letter.
    Unreadable {
        record: RecordId,
        last: i64,
        why: String,
    },
    /// Dead letters that are written.
    Written(Vec<Written>),
    /// The Comet took nothing for a while, from any worker, and another one delivers.
    Away(CometId),
    /// A worker holds nothing more for the Comet but what is in flight.
    Detached(CometId),
    /// The Comet answers a probe.
    Answers(CometId),
    /// The fleet changes.
    Fleet(Change),
    /// A worker has nothing more to do with a Comet that left. So many messages waited there for it.
    CometLeft { comet: CometId, unsent: usize },
    /// The consumer read again for a Comet.
    ReadAgain(ReadAgain),
    /// The broker no longer holds what is to be read again next.
    AgainAstray(Assignment),
    /// An operator doesn't want a record sent.
    Skip(Skip),
    /// A worker was told to skip a record. The Comets that it was queued for don't get it, and those that a call is under way to
    /// get it by that call or not at all. None of either: the worker doesn't have it.
    Skipped {
        record: RecordId,
        queued: Vec<CometId>,
        in_flight: Vec<CometId>,
    },
    /// A stop or a revoke may take so long from now on.
    ShutdownWithin(Duration),
    /// A worker gave back what it had not sent of a revoked partition.
    RevokeAck(Assignment),
    /// What became of a commit.
    Committed(CommitOutcome),
    /// The broker refuses maps of what is finished that are longer than this, in bytes.
    ShorterMaps(usize),
    /// The membership ended as asked for.
    Left,
    /// The membership can't be: for the log, why, and what to do.
    Impossible(String),
}

/// A record that isn't to be sent.
pub struct Skip {
    pub partition: PartitionId,
    pub offset: i64,
    /// Who says so, by the system's number.
    pub uid: u32,
    pub reply: oneshot::Sender<Skipped>,
}

/// What became of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// The partition isn't ours.
    NotOurs,
    /// It may be another's.
    Suspect,
    /// It is not read yet: that begins at `next`.
    Unread { next: i64 },
    /// It is finished, or there is no such record. The Comets that `missed` it have yet to get it.
    Finished { missed: Vec<CometId> },
    /// It isn't finished, and no worker has it.
    NotHeld,
    /// It is a dead letter for the Comets that it was `queued` for. Those that a call is under way to get it by that call or not
    /// at all. Those that `missed` it may still get it.
    Taken {
        queued: Vec<CometId>,
        in_flight: Vec<CometId>,
        missed: Vec<CometId>,
    },
}

/// A dead letter that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    pub record: RecordId,
    pub bytes: usize,
    /// The one Comet that it is about, where the others are done with the message.
    pub at: Option<CometId>,
}

/// Up to where a partition was read.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub assignment: Assignment,
    pub position: i64,
}

/// The consumer read these records of a partition, and stands at `next` now.
pub struct Read {
    pub assignment: Assignment,
    pub offsets: Vec<i64>,
    pub next: i64,
    /// Comets that didn't get them, because they are behind.
    pub behind: Vec<CometId>,
}

/// The consumer read a partition again for a Comet that catches up.
pub struct ReadAgain {
    pub assignment: Assignment,
    pub comet: CometId,
    pub offsets: Range<i64>,
    /// Of these, what is on its way to the Comet, or becomes a dead letter.
    pub sent: Vec<i64>,
    /// What is too old to be sent. The rest holds nothing for the Comet.
    pub skipped: Vec<i64>,
}
