//! The status as a document: what `/status.json` says, and `job status` reads. A field that is missing has its default, so
//! that the command reads the document of an older or newer job too.

use serde::{Deserialize, Serialize};

/// How job stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub version: String,
    /// The process's id.
    pub process: u32,
    /// When this was so, in milliseconds since 1970.
    pub at_ms: u64,
    pub uptime_seconds: f64,
    pub group: String,
    /// Several have commas between them.
    pub topic: String,
    /// As at `/healthz`.
    pub healthy: Verdict,
    /// As at `/readyz`.
    pub ready: Verdict,
    /// Why it is slow, or doesn't deliver: the worst first.
    pub conditions: Vec<Condition>,
    pub kafka: Kafka,
    /// Over the last minute.
    pub delivery: Delivery,
    /// Over the last ten minutes, the oldest point first.
    pub series: Vec<Point>,
    pub partitions: Vec<Partition>,
    pub comets: Vec<Comet>,
    pub workers: Vec<Worker>,
    /// Threads that stand still.
    pub standing_still: Vec<String>,
    pub held: Held,
    pub dead_letters: DeadLetters,
    pub log: Log,
    /// The log's last lines at WARN or ERROR, the newest first.
    pub last_errors: Vec<LoggedLine>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    pub ok: bool,
    /// What is wrong.
    pub why: Option<String>,
}

/// Something that makes job slow, or stops it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    pub name: String,
    pub severity: Severity,
    /// What is so.
    pub what: String,
    /// What to do about it.
    #[serde(rename = "do")]
    pub advice: String,
}

/// The worst comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Messages don't arrive, somewhere.
    Urgent,
    /// Messages arrive late, or will.
    Warning,
    /// It passes by itself, or may be meant so.
    #[default]
    #[serde(other)]
    Note,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Urgent => "urgent",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kafka {
    pub is_member: bool,
    /// For how long it hasn't been one.
    pub no_member_seconds: Option<f64>,
    /// Whether it has partitions, and Kafka hasn't said yet where to read them from.
    pub waits_for_positions: bool,
    /// Of the group, when it was last stable.
    pub members: Option<usize>,
    /// Of the topic, likewise.
    pub partitions: Option<usize>,
    pub reading_fails_seconds: Option<f64>,
    /// For how long reading has been paused by `job ctl pause`.
    pub paused_seconds: Option<f64>,
    pub commits_fail_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delivery {
    /// Messages that every Comet has.
    pub messages_per_second: f64,
    /// Records that were read from Kafka.
    pub read_per_second: f64,
    /// Time from a record's timestamp to the last Comet's answer. `None` where none was delivered.
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Whether these are from when job read the record, because its timestamp isn't known.
    pub since_read: bool,
}

/// A point of the series: what was so since the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Point {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Records, of all partitions that are ours.
    pub lag: u64,
    /// Of the partition where it is longest.
    pub lag_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Partition {
    /// Where job reads several topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    pub partition: i32,
    /// Records between the first one that isn't finished and the log's end.
    pub lag: Option<u64>,
    /// For how long the first one that isn't finished has been in Kafka. 0 where there is none.
    pub lag_seconds: Option<f64>,
    /// The first offset that isn't finished.
    pub offset: i64,
    pub committed: Option<i64>,
    /// Records behind it that are finished.
    pub finished_above: u64,
    /// For how long the message at `offset` has been the first one that isn't finished.
    pub held_up_seconds: Option<f64>,
    /// Where it was tried, and failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
}

/// A message that failed at a Comet, and is tried again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tried {
    /// The Comet's address.
    pub comet: String,
    /// Whom the message is for: `to room 'r1'`.
    pub to: String,
    /// What the Comet answered.
    pub status: String,
    /// How many tries failed, those aside that never reached the Comet.
    pub tries: u32,
}

/// A Comet, with its calls of the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comet {
    pub address: String,
    /// `up`, `refusing`, `down`, `detached` or `catching_up`.
    pub state: String,
    pub calls_per_second: f64,
    /// Those among them that failed.
    pub failed_per_second: f64,
    /// How many of 100 calls failed in the last 5 to 10 s. `None` where none or hardly any did.
    pub failed_percent: Option<f64>,
    pub p99_ms: Option<f64>,
    pub calls_in_flight: u64,
    /// Records that it missed, and that wait for it in Kafka.
    pub missed: u64,
}

/// A worker, with its calls of the last minute.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Worker {
    pub name: String,
    /// `works`, `waits` (for something to do), or `stands still`.
    pub state: String,
    pub calls_per_second: f64,
    pub calls_in_flight: u64,
}

/// What was read and isn't finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Held {
    pub messages: u64,
    /// hold-messages
    pub messages_limit: u64,
    pub bytes: u64,
    /// hold-bytes
    pub bytes_limit: u64,
    /// For how long reading has paused at one of the limits.
    pub at_limit_seconds: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeadLetters {
    pub topic: String,
    /// Since the start.
    pub written: u64,
    /// Those that Kafka did not take yet.
    pub waiting: u64,
    pub waiting_seconds: Option<f64>,
    /// Messages that were neither replayed nor discarded, in the newest part of the topic. `None` while that isn't known.
    pub to_replay: Option<u64>,
    /// How long the oldest of them has been a dead letter.
    pub oldest_seconds: Option<f64>,
}

/// How the log fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// Lines that were lost since the start.
    pub dropped: u64,
    /// For how long it hasn't been written.
    pub fails_seconds: Option<f64>,
    /// What keeps it from being written.
    pub why: Option<String>,
    /// Lines that this cost so far.
    pub dropped_since: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoggedLine {
    /// UTC, as `2026-11-23 06:49:37`.
    pub at: String,
    pub level: String,
    /// Escaped, and cut.
    pub text: String,
}
