//! Which records a call carries, as its metadata says it: `topic/partition/offset`.

use std::fmt::Write;
use std::sync::Arc;

use super::RecordId;
use super::trace::Trace;

/// The names of a call's metadata.
pub const RECORD: &str = "job-record";
pub const ATTEMPT: &str = "job-attempt";

/// The most bytes of the list of records. What has no room is counted.
const LONGEST: usize = 2 << 10;

/// What a call says of the records that it carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinates<'a> {
    /// In the order in which the call carries them, one at least.
    pub records: &'a [RecordId],
    /// Counts the calls in which this process has sent the first of them to the Comet, this one included.
    pub attempt: u32,
    /// Of the first one that has a trace.
    pub trace: Option<Arc<Trace>>,
}

/// Appends the list of records: of the same partition, the offsets after the first one alone.
pub fn write(records: &[RecordId], out: &mut String) {
    let begin = out.len();
    let mut last = None;
    for (n, record) in records.iter().enumerate() {
        let (before, offset) = (out.len(), record.offset);
        let partition = record.assignment.partition;
        if last.replace(partition) == Some(partition) {
            let _ = write!(out, ",{offset}");
        } else {
            let separator = if n > 0 { ";" } else { "" };
            let (topic, index) = (partition.topic_name().unwrap_or("?"), partition.index);
            let _ = write!(out, "{separator}{topic}/{index}/{offset}");
        }
        if n > 0 && out.len() - begin > LONGEST {
            out.truncate(before);
            let _ = write!(out, ",+{}", records.len() - n);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Assignment, PartitionId};

    fn record(index: i32, offset: i64) -> RecordId {
        let partition = PartitionId::of_first(index);
        let assignment = Assignment {
            partition,
            epoch: 1,
        };
        RecordId { assignment, offset }
    }

    fn written(records: &[RecordId]) -> String {
        let mut out = String::new();
        write(records, &mut out);
        // The topics may have names by now, or none.
        let topic = out.split('/').next().unwrap_or_default().to_owned();
        out.replace(&format!("{topic}/"), "t/")
    }

    #[test]
    fn a_record_is_named_by_its_place() {
        assert_eq!(written(&[record(3, 17)]), "t/3/17");
    }

    #[test]
    fn several_are_listed_by_their_partitions() {
        let records = [(3, 17), (3, 19), (4, 2), (4, 3), (3, 20)];
        let records = records.map(|(index, offset)| record(index, offset));
        assert_eq!(written(&records), "t/3/17,19;t/4/2,3;t/3/20");
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let records: Vec<_> = (0..1_000).map(|n| record(0, 1_000_000 + n)).collect();
        let list = written(&records);
        assert!(list.len() < LONGEST + 10, "{}", list.len());
        let (listed, left) = list.rsplit_once(",+").expect("not all have room");
        let listed = listed.split(',').count();
        assert_eq!(listed + left.parse::<usize>().expect("a number"), 1_000);
        assert!(listed > 200);
    }
}
