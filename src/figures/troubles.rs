//! What is tried again: the first such message of each partition, since that one holds up the others' commits.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::lock;
use crate::message::{CometId, PartitionId, RecordId};

/// A note that was not renewed for so long is about a message that went through.
const LASTS: Duration = Duration::from_secs(60);

/// Why a message is tried again. The texts are for people: escaped, and cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub comet: CometId,
    pub to: String,
    pub status: String,
    /// How many tries of the message failed, other than for a Comet that is down.
    pub tries: u32,
}

/// One note for each partition, so that a Comet that fails everything costs no more.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<PartitionId, (i64, Instant, Trouble)>>);

impl Troubles {
    /// Notes what is said of this record, unless an earlier one is in trouble.
    pub fn note(&self, record: RecordId, now: Instant, trouble: impl FnOnce() -> Trouble) {
        let mut all = lock(&self.0);
        let partition = record.assignment.partition;
        let is_due = all.get(&partition).is_none_or(|(offset, at, _)| {
            record.offset <= *offset || now.saturating_duration_since(*at) >= LASTS
        });
        if is_due {
            all.insert(partition, (record.offset, now, trouble()));
        }
    }

    /// What is known of the record at this offset.
    pub fn of(&self, partition: PartitionId, offset: i64) -> Option<Trouble> {
        let all = lock(&self.0);
        let (known, _, trouble) = all.get(&partition)?;
        (*known == offset).then(|| trouble.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Assignment;

    const PARTITION: PartitionId = PartitionId::of_first(3);

    fn note(troubles: &Troubles, offset: i64, tries: u32, now: Instant) {
        let assignment = Assignment {
            partition: PARTITION,
            epoch: 1,
        };
        let record = RecordId { assignment, offset };
        troubles.note(record, now, || Trouble {
            comet: CometId(0),
            to: "to room 'r'".into(),
            status: "2-UNKNOWN no".into(),
            tries,
        });
    }

    #[test]
    fn the_first_message_of_a_partition_is_known() {
        let (troubles, start) = (Troubles::default(), Instant::now());
        let tries = |offset| troubles.of(PARTITION, offset).map(|trouble| trouble.tries);
        note(&troubles, 17, 1, start);
        note(&troubles, 20, 1, start);
        note(&troubles, 17, 2, start);
        assert_eq!((tries(17), tries(20)), (Some(2), None));
        note(&troubles, 5, 4, start);
        assert_eq!((tries(5), tries(17)), (Some(4), None));
        // That one went through.
        note(&troubles, 30, 1, start + LASTS);
        assert_eq!((tries(5), tries(30)), (None, Some(1)));
    }
}
