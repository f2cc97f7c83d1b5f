//! Which partition krafka can't decode.
//!
//! # A fault of krafka 0.28.1
//!
//! A poll fails as a whole where one partition's batch can't be decoded, and the place of that batch stands only in the
//! error's text ("undecodable record batch at chat-push-3 offset 17; …", `consumer/fetcher/mod.rs`).
//!
//! - One sees it with one damaged byte in a segment file: `tests/e2e/bad_batches.rs` does that.
//! - Once the error has the partition in a field, take it from there and delete this file. At each new version of krafka,
//!   run those tests: they fail where its words change.

use krafka::error::KrafkaError;

use super::super::Positions;
use crate::message::{PartitionId, Topics};

/// Returns the partition that a poll failed for, of those at these positions, and why.
pub(super) fn undecodable(
    error: &KrafkaError,
    topics: &Topics,
    at: &Positions,
) -> Option<(PartitionId, String)> {
    error.protocol_error_kind()?;
    let said = error.to_string();
    let is_at = |(partition, at): &(&PartitionId, &i64)| {
        let topic = topics.name(partition.topic);
        said.contains(&format!(" at {topic}-{} offset {at};", partition.index))
    };
    let (&partition, _) = at.iter().find(is_at)?;
    let why = said.rsplit("Underlying error: ").next()?.to_owned();
    Some((partition, why))
}
