//! What the group says in the log. The core says that something happened; the words and their level stand here.

use std::time::Duration;

use crate::base::text::{counted, one_line};
use crate::message::PartitionId;
use crate::message::offset_map;

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// The metadata of the committed offset can't be decoded.
    MetadataUnused {
        partition: PartitionId,
        position: i64,
        why: String,
    },
    /// A Comet that has left the fleet missed something.
    NotInFleet {
        partition: PartitionId,
        comet: String,
        /// How many offsets, at most so many messages.
        offsets: u64,
    },
    /// A Comet that left the fleet is gone: so many messages waited for it, and so many records it missed at most.
    CometLeft {
        comet: String,
        unsent: u64,
        missed: u64,
    },
    Reading {
        partition: PartitionId,
        position: i64,
    },
    /// A suspect partition goes on.
    StillOurs {
        partition: PartitionId,
        position: i64,
    },
    /// krafka lost the partitions.
    Lost {
        partitions: Vec<PartitionId>,
    },
    /// A commit was refused as from no member.
    CutOff {
        partitions: Vec<PartitionId>,
        why: String,
    },
    /// The lease had run out.
    Halted {
        partitions: Vec<PartitionId>,
        lasted: Duration,
    },
    /// The grace is over.
    NotBack {
        partitions: Vec<PartitionId>,
    },
    /// A revocation's time is over.
    LeftToNextOwner {
        partition: PartitionId,
        messages: u64,
    },
    Released {
        partitions: Vec<PartitionId>,
    },
    CommitsFail {
        why: String,
    },
    CommitsWork {
        lasted: Duration,
    },
    /// The broker refuses longer offset maps, in bytes.
    ShorterMaps {
        map_len: usize,
    },
    /// The offset map of commits has no room for so many stretches of finished records.
    MapFull {
        partition: PartitionId,
        offset: i64,
        left_out: usize,
    },
    /// It has room again.
    MapFits {
        partition: PartitionId,
    },
    /// Messages of a log that is gone were not delivered.
    GoneUndelivered {
        messages: u64,
    },
    /// Messages pass the Comet by until it answers.
    CometDetached {
        comet: String,
    },
    /// It missed this before the partition was ours.
    BeganBehind {
        partition: PartitionId,
        comet: String,
        records: u64,
    },
    /// It answers after this long, and gets what it missed.
    CometReturns {
        comet: String,
        after: Duration,
        messages: u64,
    },
    CometCaughtUp {
        comet: String,
        messages: u64,
        within: Duration,
        /// Partitions where it is still behind are another's by now.
        elsewhere: bool,
    },
    /// So many of what it missed were too old.
    MissedSkipped {
        comet: String,
        messages: u64,
    },
    /// So many were too old and skipped, and so many became dead letters.
    TooOld {
        messages: u64,
        letters: u64,
    },
    /// Retention took what a Comet misses below `start`.
    MissedDeleted {
        comet: String,
        partition: PartitionId,
        records: u64,
        start: i64,
    },
    /// A Comet is behind at the end.
    StillBehind {
        comet: String,
        messages: u64,
    },
    LookFailed {
        why: String,
    },
    LogCut {
        partition: PartitionId,
        to: i64,
        records: u64,
    },
    LogAnew {
        partition: PartitionId,
        at: i64,
    },
    LogDeleted {
        partition: PartitionId,
        position: i64,
        to: i64,
        records: u64,
    },
    LogUnclear {
        partition: PartitionId,
        position: i64,
        at: i64,
    },
}

impl Notice {
    /// Writes the line.
    pub fn log(self) {
        match self {
            Self::MetadataUnused {
                partition,
                position,
                why,
            } => log::warn!(
                topic = partition.topic_name(), partition = partition.index, offset = position, cause = why; "the metadata of the offset committed for partition {partition} is not used: {why}; \
                 what had been finished above offset {position} may be sent again"
            ),
            Self::NotInFleet {
                partition,
                comet,
                offsets,
            } => log::warn!(
                topic = partition.topic_name(), partition = partition.index, comet; "partition {partition}: Comet {} is no longer in the fleet: what it had missed ({}) is not sent to it",
                one_line(&comet),
                counted(offsets, "offset")
            ),
            Self::CometLeft {
                comet,
                unsent,
                missed,
            } => log::warn!(
                comet; "Comet {comet} left the fleet without {} that waited for it, and {} that it had missed: what was for it alone \
                 is a dead letter",
                counted(unsent, "message"),
                counted(missed, "offset")
            ),
            Self::Reading {
                partition,
                position,
            } => {
                log::info!(topic = partition.topic_name(), partition = partition.index, offset = position; "partition {partition}: reading from offset {position}")
            }
            Self::StillOurs {
                partition,
                position,
            } => {
                log::info!(topic = partition.topic_name(), partition = partition.index, offset = position; "partition {partition}: reading from offset {position}, still ours")
            }
            Self::Lost { partitions } => {
                let list: Vec<_> = partitions.iter().map(ToString::to_string).collect();
                log::warn!(
                    "lost partitions {}: stopped sending their messages",
                    list.join(", ")
                );
            }
            Self::CutOff { partitions, why } => log::warn!(
                cause = why; "partitions {partitions:?} may be another member's by now ({why}): nothing of them is read or sent until \
                 Kafka says whose they are"
            ),
            Self::Halted { partitions, lasted } => log::warn!(
                "this process did not run for {:.1} s (was it halted, or the machine asleep?): partitions {partitions:?} may \
                 be another member's by now, and nothing of them is read or sent until Kafka says whose they are",
                lasted.as_secs_f64()
            ),
            Self::NotBack { partitions } => {
                log::warn!("partitions {partitions:?} are not back: dropping what is held of them");
            }
            Self::LeftToNextOwner {
                partition,
                messages,
            } => log::warn!(
                topic = partition.topic_name(), partition = partition.index; "partition {partition}: {} not finished in time, left to its next owner",
                counted(messages, "message")
            ),
            Self::Released { partitions } => log::info!("partitions {partitions:?} are released"),
            Self::CommitsFail { why } => {
                log::warn!(cause = why; "committing offsets failed: {why}; trying again");
            }
            Self::CommitsWork { lasted } => log::info!(
                "committing offsets works again, after {:.1} s",
                lasted.as_secs_f64()
            ),
            Self::ShorterMaps { map_len } => log::warn!(
                "Kafka refused the metadata of a commit as too large (the broker's offset.metadata.max.bytes is below its \
                 default of {}): it gets {map_len} bytes of it from now on. After a crash, more of what was finished behind \
                 a message that is not is sent again",
                offset_map::MAX_LEN
            ),
            Self::MapFull {
                partition,
                offset,
                left_out,
            } => log::warn!(
                topic = partition.topic_name(), partition = partition.index, offset; "partition {partition}: too many separate runs of messages are finished behind the unfinished offset {offset}, or \
                 taken by a Comet that is behind: the metadata of a commit has no room for {} of them. These are sent again if \
                 job is killed, or if the partition goes to another member meanwhile. Find out what holds that up: a Comet \
                 that doesn't answer, or the dead-letter topic",
                counted(left_out as u64, "run")
            ),
            Self::MapFits { partition } => log::info!(
                topic = partition.topic_name(), partition = partition.index; "partition {partition}: the metadata of a commit has room again for all that is finished"
            ),
            Self::GoneUndelivered { messages } => log::error!(
                "{} that Kafka no longer has could not be delivered, and can't be read again",
                counted(messages, "message")
            ),
            Self::CometDetached { comet } => log::error!(
                comet; "Comet {comet} takes nothing while others deliver: it is detached, and the others no longer wait for it. Kafka keeps \
                 what it misses; it catches up when it answers"
            ),
            Self::BeganBehind {
                partition,
                comet,
                records,
            } => log::warn!(
                topic = partition.topic_name(), partition = partition.index, comet; "partition {partition}: Comet {comet} missed {} before this process had it: it catches up on them when it answers",
                counted(records, "record")
            ),
            Self::CometReturns {
                comet,
                after,
                messages,
            } => log::warn!(
                comet; "Comet {comet} answers again after {:.1} s: it catches up on {}",
                after.as_secs_f64(),
                counted(messages, "record")
            ),
            Self::CometCaughtUp {
                comet,
                messages,
                within,
                elsewhere,
            } => log::info!(
                comet; "Comet {comet} has caught up{}: it took {} within {:.1} s",
                if elsewhere {
                    " on the partitions that stay here; the new owners of the others deliver the rest"
                } else {
                    ""
                },
                counted(messages, "message"),
                within.as_secs_f64()
            ),
            Self::MissedSkipped { comet, messages } => log::warn!(
                comet; "Comet {comet} doesn't get {} of what it missed: they were older than --catch-up or --max-age allows when they were read again",
                counted(messages, "message")
            ),
            Self::TooOld {
                messages,
                letters: 0,
            } => log::warn!(
                "{} skipped: older than --max-age allows when their turn came",
                counted(messages, "message")
            ),
            Self::TooOld { messages, letters } => log::warn!(
                "{} as too old: --max-age or --catch-up rules these messages out ({messages} more skipped)",
                counted(letters, "dead letter")
            ),
            Self::MissedDeleted {
                comet,
                partition,
                records,
                start,
            } => log::error!(
                partition = partition.index, comet, offset = start; "partition {partition} begins at offset {start} now: {} that Comet {comet} missed were deleted by the topic's \
                 retention before it answered",
                counted(records, "record")
            ),
            Self::StillBehind { comet, messages } => log::warn!(
                comet; "Comet {comet} is still behind by {}: the next owner of the partitions delivers them",
                counted(messages, "record")
            ),
            // Whoever reads says that Kafka doesn't answer.
            Self::LookFailed { why } => {
                log::debug!(cause = why; "asking how the logs stand failed: {why}")
            }
            Self::LogCut {
                partition,
                to,
                records,
            } => log::error!(
                topic = partition.topic_name(), partition = partition.index, offset = to; "partition {partition}: its log was cut back to offset {to} (a leader was elected that lacked its end, or a disk \
                 lost it): {} that were read from there on are gone from Kafka. What it has there now is new, and is read",
                counted(records, "record")
            ),
            Self::LogAnew { partition, at } => log::error!(
                topic = partition.topic_name(), partition = partition.index, offset = at; "partition {partition}: its topic was deleted and made anew: reading the new one from its start, offset {at}"
            ),
            Self::LogDeleted {
                partition,
                position,
                to,
                records,
            } => log::error!(
                partition = partition.index, offset = to; "partition {partition} begins at offset {to}: {} from {position} on were deleted by the topic's retention before \
                 job could read them",
                counted(records, "record")
            ),
            Self::LogUnclear {
                partition,
                position,
                at,
            } => log::error!(
                topic = partition.topic_name(), partition = partition.index, offset = position; "partition {partition} no longer has offset {position}, and Kafka doesn't say whether it was cut back or made \
                 anew: reading it from its start, offset {at}"
            ),
        }
    }
}
