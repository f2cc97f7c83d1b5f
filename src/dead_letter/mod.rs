//! The dead-letter topic: undeliverable messages as they were, with headers that say why.
//!
//! [`writer`] is the service's thread that writes letters; [`compose`] builds one, [`letter`] reads one, and [`whom`] says which
//! Comets it is for. [`topic`] reads the topic, [`markers`] are what a replay or a discard notes there, and [`counter`] is the
//! thread that counts what waits for a decision. The commands for people are in `commands::dead_letter`.

pub mod compose;
pub mod counter;
pub mod letter;
pub mod markers;
mod originals;
mod tally;
pub mod topic;
mod waiting;
pub mod whom;
pub mod writer;

pub use writer::spawn;

/// Headers of a dead letter. They follow those of the original record.
pub mod header {
    pub const TOPIC: &str = "job.source.topic";
    pub const PARTITION: &str = "job.source.partition";
    pub const OFFSET: &str = "job.source.offset";
    /// For a letter about unreadable offsets, the last of them. Such a letter has no message.
    pub const LAST: &str = "job.source.last";
    /// The original record's timestamp, in milliseconds since 1970. Missing when the letter has no message.
    pub const TIMESTAMP: &str = "job.source.timestamp";
    /// When it became a dead letter, in milliseconds since 1970.
    pub const TIME: &str = "job.time";
    pub const ERROR: &str = "job.error";
    /// Why in one word, as in the metrics. Letters of older versions don't have it.
    pub const REASON: &str = "job.reason";
    /// The Comets that did not take the message, as in `--comet`. Missing when it was sent to none.
    pub const COMET: &str = "job.comet";
    /// On a replayed record: how often it was replayed. The next letter keeps it if the record fails again.
    pub const REPLAYS: &str = "job.rounds";
    /// The headers that a replay removes, so that they don't pile up.
    pub const OF_LETTER: [&str; 10] = [
        TOPIC, PARTITION, OFFSET, LAST, TIMESTAMP, TIME, ERROR, REASON, COMET, REPLAYS,
    ];
}

/// The created topic's limit on a record, in bytes. It leaves room for any record of the main topic, whose limit is 1 MiB
/// unless somebody raised it, with the headers added.
pub const LARGEST: usize = 64 << 20;
