//! Whether partitions have transactions, for a client that can't tell aborted records from others.
//!
//! # A limit of kafka 0.10.0
//!
//! The crate speaks fetch v0, whose answers don't say which records a transaction aborted. One sees it in a topic with an
//! aborted transaction: its records come like all others. So another client reads such partitions. Once the crate speaks
//! fetch v4 with an isolation level, delete this file.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Positions;
use super::inspect::Inspector;
use crate::message::PartitionId;
use crate::settings::{Config, Isolation};

/// How long an answer stays valid: 50 questions a second at most. With little traffic every fetch asks anew.
const GOOD_FOR: Duration = Duration::from_millis(20);

/// After this many failures in a row the answer counts as unknowable: Kafka before 2.8 doesn't know the question, and ACLs
/// may forbid it.
const FAILURES: u32 = 5;

pub struct Transactions {
    /// `None` with read_uncommitted: transactions don't matter.
    inspector: Option<Inspector>,
    /// Partitions without transactions at the last answer, and its time.
    without: BTreeSet<PartitionId>,
    asked: Instant,
    /// In a row.
    failures: u32,
}

impl Transactions {
    pub fn new(config: &Config) -> Self {
        let wanted = config.isolation == Isolation::ReadCommitted;
        Self {
            inspector: wanted.then(|| Inspector::new(config)),
            without: BTreeSet::new(),
            asked: Instant::now(),
            failures: 0,
        }
    }

    /// Whether transactions matter (read_committed).
    pub fn matter(&self) -> bool {
        self.inspector.is_some()
    }

    /// Returns why these partitions need a client that knows transactions, or `None`. Callers ask before they hand out records.
    ///
    /// # Errors
    /// Kafka doesn't answer. Callers then hand out nothing.
    pub fn needed(&mut self, positions: &Positions) -> Result<Option<String>, String> {
        let Some(inspector) = &mut self.inspector else {
            return Ok(None);
        };
        let is_known = positions.keys().all(|p| self.without.contains(p));
        if is_known && self.asked.elapsed() < GOOD_FOR {
            return Ok(None);
        }
        let partitions: Vec<PartitionId> = positions.keys().copied().collect();
        match inspector.transactional(&partitions) {
            Ok(Some(partition)) => Ok(Some(format!("partition {partition} has transactions"))),
            Ok(None) => {
                self.without = partitions.into_iter().collect();
                self.asked = Instant::now();
                self.failures = 0;
                Ok(None)
            }
            Err(why) if self.failures < FAILURES => {
                self.failures += 1;
                Err(format!("asking whether there are transactions: {why}"))
            }
            Err(why) => Ok(Some(format!(
                "Kafka doesn't tell whether there are transactions: {why}"
            ))),
        }
    }
}
