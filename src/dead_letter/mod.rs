//! The dead-letter topic: each message that can never be delivered, as it was, with headers that say why.
//!
//! [`writer`] is the service's thread that writes them, and [`letter`] reads one. What people do with them is
//! `commands::dead_letter`.

pub mod letter;
pub mod writer;

pub use writer::spawn;

/// Headers of a dead letter. Those that the record had stand before them.
pub mod header {
    pub const TOPIC: &str = "job.source.topic";
    pub const PARTITION: &str = "job.source.partition";
    pub const OFFSET: &str = "job.source.offset";
    /// The last offset of those that the letter is of, where they could not be read: it has no message then.
    pub const LAST: &str = "job.source.last";
    /// When the record was written, in milliseconds since 1970. It is missing where Kafka no longer had the record
    /// when its letter was written, or could not read it.
    pub const TIMESTAMP: &str = "job.source.timestamp";
    /// When it became a dead letter, likewise.
    pub const TIME: &str = "job.time";
    pub const ERROR: &str = "job.error";
    /// A replayed record's: how often it was replayed. It comes back with the letter when the record fails again.
    pub const ROUNDS: &str = "job.rounds";
    /// What a replay takes off, so that they don't pile up.
    pub const OF_LETTER: [&str; 8] = [
        TOPIC, PARTITION, OFFSET, LAST, TIMESTAMP, TIME, ERROR, ROUNDS,
    ];
}

/// The made topic takes records that the main topic took, and their headers: the main topic's limit is the
/// broker's 1 MiB unless somebody raised it.
pub const LARGEST: usize = 64 << 20;
