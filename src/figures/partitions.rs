//! What is known of the partitions that are ours, and of the Comets that are behind.

use std::time::{Duration, Instant};

use super::log_end::{Came, LogEnd};
use crate::message::{ByComet, PartitionId};

/// What the consumer read of a partition, since it is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub records: u64,
    pub bytes: u64,
}

/// What is known of a partition that is ours.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub reading: Reading,
    pub log: LogEnd,
    /// A record's offset, and when it was written by its own timestamp: Kafka was asked for it.
    pub told: Option<(i64, Instant)>,
}

/// Beyond this, what was heard of a log's end is no news.
const FRESH: Duration = Duration::from_secs(15);

impl Known {
    /// How far behind it is, with all below `watermark` finished.
    pub fn behind(&self, watermark: i64, now: Instant) -> Behind {
        let told = self.told.filter(|(offset, _)| *offset <= watermark);
        match (self.log.came(watermark), told) {
            (Some(Came::At(at)), _) => Behind::Since(at),
            (Some(Came::Before(looked)), Some((_, written))) => Behind::Since(written.min(looked)),
            // At least.
            (Some(Came::Before(looked)), None) => Behind::Since(looked),
            (Some(Came::NotYet), _) => match self.log.heard() {
                Some(heard) if now.saturating_duration_since(heard) <= FRESH => Behind::Not,
                _ => Behind::Unknown,
            },
            (None, _) => Behind::Unknown,
        }
    }
}

/// How far behind a partition is, in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// Kafka hasn't said lately where the log ends.
    #[default]
    Unknown,
    /// All is finished.
    Not,
    /// The first record that isn't finished is in Kafka since then.
    Since(Instant),
}

/// How the group stands, and what is ours.
#[derive(Clone, Debug, Default)]
pub struct GroupAccount {
    /// When it was so. `None`: the group's thread has not said anything yet.
    pub at: Option<Instant>,
    /// Whether Kafka has this process as a member, with whatever partitions.
    pub is_member: bool,
    /// Whether it has partitions, and doesn't know yet where to read any of them from.
    pub waits_for_positions: bool,
    /// How many members the group had, and the topic partitions, when Kafka last said it.
    pub size: Option<[usize; 2]>,
    /// Messages that every Comet has that should have them.
    pub delivered: u64,
    pub partitions: Vec<Account>,
    pub comets: ByComet<CometAccount>,
    /// Messages that were not sent, since they were too old.
    pub too_old: u64,
    /// What a Comet missed and doesn't get, since it was too old when it came back.
    pub missed_too_old: u64,
    /// What a Comet missed and doesn't get, since Kafka has deleted it.
    pub missed_deleted: u64,
    /// What waited for a Comet that left the fleet.
    pub comet_left: u64,
}

impl GroupAccount {
    /// Where a watermark stands where it stood `before`, it does so since then.
    pub fn follows(&mut self, before: &GroupAccount) {
        for account in &mut self.partitions {
            let last = before.partitions.iter();
            let last = last.filter(|last| {
                (last.partition, last.watermark) == (account.partition, account.watermark)
            });
            if let Some(since) = last.filter_map(|last| last.held_up_since).next()
                && account.held_up_since.is_some()
            {
                account.held_up_since = Some(since);
            }
        }
    }
}

/// The account of a partition.
#[derive(Clone, Debug)]
pub struct Account {
    pub partition: PartitionId,
    /// The lowest offset that isn't finished.
    pub watermark: i64,
    /// Where its log ended at that time, when Kafka last said it.
    pub end: Option<i64>,
    pub behind: Behind,
    /// What Kafka has as committed, if anything was since the partition is ours.
    pub committed: Option<i64>,
    /// Records above the watermark that are finished.
    pub finished_above: u64,
    /// Since when the watermark stands still, where a message holds it up.
    pub held_up_since: Option<Instant>,
}

impl Account {
    /// Offsets between the first record that isn't finished and the log's end, where that is known.
    pub fn lag(&self) -> Option<u64> {
        let lag = (self.end? - self.watermark).max(0);
        Some(lag as u64)
    }

    /// For how long the first record that isn't finished has been in Kafka, where that is known: 0 where there is none.
    pub fn lag_seconds(&self, now: Instant) -> Option<f64> {
        match self.behind {
            Behind::Unknown => None,
            Behind::Not => Some(0.0),
            Behind::Since(since) => Some(now.saturating_duration_since(since).as_secs_f64()),
        }
    }
}

/// How far behind a Comet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CometAccount {
    pub standing: Standing,
    /// Records that it misses in the partitions that are ours.
    pub missed: u64,
    /// How often it caught up.
    pub caught_up: u64,
}

/// What becomes of live messages for a Comet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It gets them.
    #[default]
    Attached,
    /// They pass it by.
    Detached,
    /// It gets what it missed.
    CatchingUp,
}
