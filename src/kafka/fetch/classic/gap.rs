//! Offsets that are missing in an answer.
//!
//! # A fault of kafka 0.10.0
//!
//! The crate returns only the records of a compressed batch, and drops plain ones before and behind it in the same answer
//! (`MessageSet::from_slice` in its `protocol/fetch.rs`). A gap of compaction or a transaction looks the same, so every gap
//! counts as such a loss: the records up to it are kept, and the rest is dropped.
//!
//! - One sees it in a topic to which both compressed and plain batches are written: offsets are missing.
//! - Once the crate keeps all records, delete this file and `Classic::gap`. Compacted topics and transactions still leave
//!   gaps: check first what `auto` does with them.

use crate::message::PartitionId;
use kafka::client::fetch::Message;

/// Says which offsets are missing before `behind`.
pub(super) fn did_not_come(partition: PartitionId, from: i64, behind: &Message<'_>) -> String {
    format!(
        "offsets {from} to {} of partition {partition} did not come (records of mixed compression, a compacted topic or a \
         transaction)",
        behind.offset - 1
    )
}

/// Returns the messages before the first missing offset.
pub(super) fn up_to_gap<'a, 'b>(messages: &'a [Message<'b>]) -> &'a [Message<'b>] {
    let gap = messages
        .windows(2)
        .position(|pair| pair[1].offset != pair[0].offset + 1);
    gap.map_or(messages, |before| &messages[..=before])
}
