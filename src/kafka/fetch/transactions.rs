//! Whether partitions have transactions, for a reader that can't tell an aborted record from others.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Positions;
use super::inspect::Inspector;
use crate::settings::{Config, Isolation};

/// What comes later than this after a look is not given out before the next one: where little comes, that is each time.
const GOOD_FOR: Duration = Duration::from_millis(100);

/// A broker that doesn't answer so many times in a row, though it gives out records, doesn't know the question (Kafka before
/// 2.8), or doesn't let job ask.
const FAILURES: u32 = 5;

pub struct Transactions {
    /// `None` where nobody wants to know.
    inspector: Option<Inspector>,
    /// Partitions that had none at the last look, and when that was.
    had_none: BTreeSet<i32>,
    looked: Instant,
    /// In a row.
    failures: u32,
}

impl Transactions {
    pub fn new(config: &Config) -> Self {
        let wanted = config.isolation == Isolation::ReadCommitted;
        Self {
            inspector: wanted.then(|| Inspector::new(config)),
            had_none: BTreeSet::new(),
            looked: Instant::now(),
            failures: 0,
        }
    }

    /// Whether anybody wants to know.
    pub fn matter(&self) -> bool {
        self.inspector.is_some()
    }

    /// Says why these partitions must be read by a client that knows of transactions. To be asked before anything is given
    /// out that was read.
    ///
    /// # Errors
    /// When Kafka doesn't say: then nothing should be given out.
    pub fn found(&mut self, positions: &Positions) -> Result<Option<String>, String> {
        let Some(inspector) = &mut self.inspector else {
            return Ok(None);
        };
        let is_known = positions.keys().all(|p| self.had_none.contains(p));
        if is_known && self.looked.elapsed() < GOOD_FOR {
            return Ok(None);
        }
        let partitions: Vec<i32> = positions.keys().copied().collect();
        match inspector.transactional(&partitions) {
            Ok(Some(partition)) => Ok(Some(format!("partition {partition} has transactions"))),
            Ok(None) => {
                self.had_none = partitions.into_iter().collect();
                self.looked = Instant::now();
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
