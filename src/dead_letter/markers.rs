//! Markers: what a replay or a discard writes into the dead-letter topic itself, as records with headers but no key or value.
//!
//! A marker follows the letters that it is about, in their partition. So it lives as long as they do under any
//! retention, and goes with them when the topic is deleted.

use crate::dead_letter::{header, letter};
use crate::kafka::client::{ConsumerRecord, Record};

/// Offsets in the marker's partition whose letters are in the main topic again: `3-7,9`.
const REPLAYED: &str = "job.replayed";
/// Likewise, of letters that were discarded.
const DISCARDED: &str = "job.discarded";
/// `began` or `ended`, of a replay. Always in the topic's first partition, whose order decides which replay goes on.
const REPLAY: &str = "job.replay";
/// Which run of `job dead-letter replay` or `discard` wrote this.
const RUN: &str = "job.replay.run";
/// The process and host that run it, for people.
const BY: &str = "job.replay.by";

const BEGAN: &str = "began";
const ENDED: &str = "ended";

#[derive(Debug, PartialEq)]
pub enum Marker {
    Replayed(Vec<i64>),
    Discarded(Vec<i64>),
    Began(Run),
    /// The id of the run that ended.
    Ended(String),
}

/// One run of `job dead-letter replay` or `discard`.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub id: String,
    pub by: String,
}

impl Run {
    /// A new run, of this process.
    pub fn of_this_process() -> Run {
        let host = nix::unistd::gethostname().unwrap_or_default();
        Run {
            id: format!("{:016x}", fastrand::u64(..)),
            by: format!("process {} on {}", std::process::id(), host.display()),
        }
    }
}

impl Marker {
    pub fn read(record: &ConsumerRecord) -> Option<Marker> {
        if letter::text(record, header::OFFSET).is_some() {
            // A letter, whatever headers its message had.
            return None;
        }
        if let Some(offsets) = letter::text(record, REPLAYED) {
            return Some(Marker::Replayed(read_offsets(&offsets)?));
        }
        if let Some(offsets) = letter::text(record, DISCARDED) {
            return Some(Marker::Discarded(read_offsets(&offsets)?));
        }
        let id = letter::text(record, RUN)?;
        match letter::text(record, REPLAY)?.as_str() {
            BEGAN => Some(Marker::Began(Run {
                id,
                by: letter::text(record, BY).unwrap_or_default(),
            })),
            ENDED => Some(Marker::Ended(id)),
            _ => None,
        }
    }

    /// Returns the record to write for `run`.
    pub fn record(&self, topic: &str, partition: i32, run: &Run) -> Record {
        let record = Record::new(topic, "").without_value().partition(partition);
        let record = match self {
            Marker::Replayed(offsets) => record.header(REPLAYED, write_offsets(offsets)),
            Marker::Discarded(offsets) => record.header(DISCARDED, write_offsets(offsets)),
            Marker::Began(_) => record.header(REPLAY, BEGAN),
            Marker::Ended(_) => record.header(REPLAY, ENDED),
        };
        record
            .header(RUN, run.id.clone())
            .header(BY, run.by.clone())
    }
}

/// Ascending offsets as `3-7,9`.
fn write_offsets(offsets: &[i64]) -> String {
    let runs = offsets.chunk_by(|one, next| one + 1 == *next);
    let runs = runs.map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        _ => run.iter().map(ToString::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// What `write_offsets` wrote. Refuses more offsets than a marker can have.
fn read_offsets(text: &str) -> Option<Vec<i64>> {
    const MOST: i64 = 100_000;
    let mut offsets = Vec::new();
    for run in text.split(',') {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
        let room = MOST - offsets.len() as i64;
        if first < 0 || last < first || last - first >= room {
            return None;
        }
        offsets.extend(first..=last);
    }
    Some(offsets)
}

/// A marker as it is read back, for tests of this folder.
#[cfg(test)]
pub fn written(marker: &Marker, offset: i64, run: &Run) -> ConsumerRecord {
    let record = marker.record("t.dead-letter", 0, run);
    let mut read = ConsumerRecord::new("t.dead-letter", 0, offset, record.key, record.value);
    read.headers = record.headers;
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        let run = Run::of_this_process();
        for marker in [
            Marker::Replayed(vec![3, 4, 5, 9, 11, 12]),
            Marker::Replayed(vec![0]),
            Marker::Discarded(vec![7, 9, 10]),
            Marker::Began(run.clone()),
            Marker::Ended(run.id.clone()),
        ] {
            assert_eq!(Marker::read(&written(&marker, 1, &run)), Some(marker));
        }
        assert_eq!(write_offsets(&[3, 4, 5, 9, 11, 12]), "3-5,9,11-12");
    }

    #[test]
    fn records_that_are_no_markers_are_ignored() {
        for wrong in [
            "",
            "x",
            "1-",
            "-1",
            "5-x",
            "1,,2",
            "0-99999999999",
            "5-3",
            "9223372036854775807-0x",
        ] {
            assert_eq!(read_offsets(wrong), None, "{wrong}");
        }
        // A header of 1 MiB could name 100,000 offsets as often as that.
        let ranges = ["0-99999"; 3].join(",");
        assert!(read_offsets(&ranges).is_none());
        let letter = letter::letter(0, (0, 0), &[(REPLAYED, "0-5")]);
        assert_eq!(Marker::read(&letter), None);
    }
}
