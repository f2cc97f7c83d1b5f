//! Partitions one by one, where a whole request fails because of some of them.
//!
//! # What Kafka 3 does with protocol v0
//!
//! A broker converts each batch to v0. One that it can't convert fails the answer for all partitions: with an error, or the
//! broker closes the connection and says nothing. The kafka crate (0.10.0) knows no newer version. So each partition is
//! asked alone, and with fewer bytes until the batches before that one come.
//!
//! - One sees it as a connection that closes at each fetch of one partition, while the others answer.
//! - Delete this file once the crate speaks a version in which nothing is converted (4 and later), or with the classic fetcher.

use std::time::Duration;

use super::super::{Batch, FetchError, Positions};
use super::{Classic, LEAST_BATCH, unreadable};
use crate::message::PartitionId;

impl Classic {
    /// Finds the partitions that make a whole request fail, and reads the others. Sets `self.failure` if it ends early.
    pub(super) fn each_alone(
        &mut self,
        partitions: impl Iterator<Item = PartitionId>,
        all: &Positions,
        usual: i32,
    ) -> Vec<Batch> {
        let mut batches = Vec::new();
        for partition in partitions {
            match self.alone(partition, all, usual) {
                Ok(batch) => batches.extend(batch),
                // The broker can't be reached, for the others neither.
                Err(failed) => {
                    self.failure = Some(failed);
                    break;
                }
            }
            if !self.has_answered && self.was_closed() {
                // It doesn't serve the protocol at all.
                break;
            }
        }
        batches
    }

    /// Reads one partition, without waiting for new records. If the broker closes the connection, searches for a smaller size
    /// that brings the batches before the one that it can't convert.
    fn alone(
        &mut self,
        partition: PartitionId,
        all: &Positions,
        usual: i32,
    ) -> Result<Option<Batch>, FetchError> {
        let mut alone = all.clone();
        alone.retain(|other, _| *other == partition);
        // Tries twice: the connection may have been closed for another reason.
        let mut tries = 2;
        let (mut bytes, mut too_little, mut too_much) = (usual, 0, usual);
        while tries > 0 || too_much - too_little > LEAST_BATCH {
            let closed = self.closed;
            let connected = self.connect(all);
            match connected.and_then(|()| self.request(&alone, bytes, Duration::ZERO)) {
                Ok(responses) => {
                    let brought = self.take(&responses, &alone, bytes).pop();
                    let fits = bytes == usual || self.enlarged.remove(&partition).is_none();
                    if fits {
                        return Ok(brought);
                    }
                    too_little = bytes;
                }
                Err(_) if self.closed > closed => {
                    self.enlarged.remove(&partition);
                    too_much = bytes;
                }
                Err(FetchError::Unsupported(why)) => return Ok(unreadable(partition, why)),
                Err(failed) => return Err(failed),
            }
            tries = i32::max(tries - 1, 0);
            if tries == 0 {
                bytes = too_little + (too_much - too_little) / 2;
            }
        }
        let why = format!(
            "the broker closes the connection instead of an answer for partition {partition}"
        );
        Ok(unreadable(partition, why))
    }
}
