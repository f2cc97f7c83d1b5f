//! Whether what is read is compressed, for a client that reads compressed batches slowly.
//!
//! # A limit of kafka 0.10.0
//!
//! The crate speaks fetch v0. A broker has to unpack each compressed batch for that, and to compress it again in the old format; the
//! crate then unpacks it a second time. One sees it in a topic with gzip: it takes up to nine times as long as with another client.
//! Once the crate speaks fetch v4, delete this file.

use std::time::{Duration, Instant};

use super::inspect::Inspector;
use super::{Batch, Outcome};
use crate::message::PartitionId;
use crate::settings::Config;

/// Producers may change. Looking costs a fetch of one batch.
const LOOK_EVERY: Duration = Duration::from_secs(30);

pub struct Codecs {
    inspector: Inspector,
    looked: Option<Instant>,
    /// The partition that was looked at last: the next one has its turn then.
    last: Option<PartitionId>,
}

impl Codecs {
    pub fn new(config: &Config) -> Self {
        Self {
            inspector: Inspector::new(config),
            looked: None,
            last: None,
        }
    }

    /// Returns why these batches ask for another client, or `None`. It looks at one of them, now and then.
    pub fn needed(&mut self, batches: &[Batch]) -> Option<String> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return None;
        }
        let (partition, offset) = self.choose(batches)?;
        self.looked = Some(Instant::now());
        self.last = Some(partition);
        match self.inspector.codec(partition, offset) {
            Ok(codec) => codec.map(|codec| {
                format!(
                    "partition {partition} has records compressed with {codec}, which the classic one reads slowly"
                )
            }),
            // That is no reason to read less.
            Err(why) => {
                log::debug!("asking how records are compressed: {why}");
                None
            }
        }
    }

    /// The first record of a partition, which isn't the one of last time where there are others.
    fn choose(&self, batches: &[Batch]) -> Option<(PartitionId, i64)> {
        let with_records = batches.iter().filter_map(|batch| match &batch.outcome {
            Outcome::Records { records, .. } => Some((batch.partition, records.first()?.offset)),
            _ => None,
        });
        let mut all: Vec<_> = with_records.collect();
        all.sort_unstable();
        let behind = all.iter().find(|(p, _)| Some(*p) > self.last);
        behind.or(all.first()).copied()
    }
}
