//! A dead letter as it is stored in the topic: its place, and its headers as fields.

use std::fmt;

use super::header;
use super::whom::Whom;
use crate::kafka::client::ConsumerRecord;
use crate::message::Cause;

/// A record's place in the dead-letter topic, written as `partition@offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl Place {
    pub fn of(record: &ConsumerRecord) -> Place {
        Place {
            partition: record.partition,
            offset: record.offset,
        }
    }

    /// Reads `partition@offset`.
    ///
    /// # Errors
    /// The text is not of this form. The error shows the form.
    pub fn parse(text: &str) -> Result<Place, String> {
        let parse = || {
            let (partition, offset) = text.trim().split_once('@')?;
            Some(Place {
                partition: partition.parse().ok().filter(|&p: &i32| p >= 0)?,
                offset: offset.parse().ok().filter(|&o: &i64| o >= 0)?,
            })
        };
        parse().ok_or_else(|| {
            "not a place: write partition@offset, as 0@17; `job dead-letter list` shows it first in each line".into()
        })
    }
}

/// Identifies the message of a letter. A message has two letters with the same identity when job was killed between
/// writing the letter and committing the offset. The timestamp tells messages apart after the topic was deleted and
/// created anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    pub partition: i32,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub timestamp: Option<i64>,
}

/// A dead letter, as it is stored in the topic.
#[derive(Debug)]
pub struct StoredLetter {
    pub record: ConsumerRecord,
    pub source_topic: String,
    pub source: Identity,
    /// For a letter about unreadable offsets: the last of them.
    pub last: Option<i64>,
    /// When it became a dead letter, in milliseconds since 1970.
    pub time: i64,
    pub reason: String,
    /// Why in one word. None in letters of older versions.
    pub cause: Option<Cause>,
    pub whom: Whom,
    /// How often the message was replayed before it failed again.
    pub replays: u32,
}

impl StoredLetter {
    /// Reads the letter from its record. Returns `None` for a record that is no letter of job's.
    pub fn read(record: ConsumerRecord) -> Option<StoredLetter> {
        Some(StoredLetter {
            source_topic: text(&record, header::TOPIC).unwrap_or_default(),
            source: Identity {
                partition: number(&record, header::PARTITION)?,
                offset: number(&record, header::OFFSET)?,
                timestamp: number(&record, header::TIMESTAMP),
            },
            last: number(&record, header::LAST),
            time: number(&record, header::TIME).unwrap_or(record.timestamp),
            reason: text(&record, header::ERROR).unwrap_or_default(),
            cause: text(&record, header::REASON).and_then(|name| Cause::named(&name)),
            whom: Whom::read(text(&record, header::COMET).as_deref()),
            replays: number(&record, header::REPLAYS).unwrap_or(0),
            record,
        })
    }

    /// The message's offset, or the first and last of an unreadable range: `17`, `100-109`.
    pub fn offsets(&self) -> String {
        let first = self.source.offset;
        self.last
            .map_or_else(|| first.to_string(), |last| format!("{first}-{last}"))
    }

    pub fn place(&self) -> Place {
        Place::of(&self.record)
    }

    /// Whether the letter has no message to replay: Kafka no longer had it when the letter was written, or it was unreadable.
    pub fn is_gone(&self) -> bool {
        self.record.value.is_none() && self.source.timestamp.is_none()
    }
}

/// Returns the last header of this name: a letter's own follow those of the original.
pub fn text(record: &ConsumerRecord, name: &str) -> Option<String> {
    let (_, value) = record.headers.iter().rfind(|(key, _)| key == name)?;
    Some(String::from_utf8_lossy(value.as_deref()?).into_owned())
}

fn number<T: std::str::FromStr>(record: &ConsumerRecord, name: &str) -> Option<T> {
    text(record, name)?.parse().ok()
}

/// Builds a letter's record for tests.
#[cfg(test)]
pub fn letter(offset: i64, source: (i32, i64), headers: &[(&str, &str)]) -> ConsumerRecord {
    // type 1 (ROOM) to the room "r".
    let value = bytes::Bytes::from_static(&[0x08, 1, 0x2a, 1, b'r']);
    let mut record = ConsumerRecord::new("t.dead-letter", 0, offset, None, Some(value));
    let own = [
        (header::TIMESTAMP, "1700000000000".to_owned()),
        (header::TOPIC, "t".to_owned()),
        (header::PARTITION, source.0.to_string()),
        (header::OFFSET, source.1.to_string()),
        (header::TIME, "1700000001000".to_owned()),
        (header::ERROR, "refused".to_owned()),
    ];
    record.headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned().into())))
        .chain(own.map(|(name, value)| (name.to_owned(), Some(value.into()))))
        .collect();
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_repeated_headers_counts() {
        let earlier = [
            (header::PARTITION, "7"),
            (header::OFFSET, "7"),
            (header::ERROR, "earlier"),
            (header::REPLAYS, "2"),
        ];
        let letter = StoredLetter::read(letter(3, (1, 42), &earlier)).expect("a letter");
        assert_eq!((letter.source.partition, letter.source.offset), (1, 42));
        assert_eq!((letter.reason.as_str(), letter.replays), ("refused", 2));
        assert_eq!(letter.place().to_string(), "0@3");
        assert!(!letter.is_gone());
    }

    #[test]
    fn what_job_did_not_write_is_no_letter() {
        let mut record = letter(0, (0, 0), &[]);
        record.headers.retain(|(name, _)| name != header::OFFSET);
        assert!(StoredLetter::read(record).is_none());
        let mut record = letter(0, (0, 0), &[]);
        record
            .headers
            .push((header::OFFSET.into(), Some("many".into())));
        assert!(StoredLetter::read(record).is_none());
    }

    #[test]
    fn a_null_message_is_not_gone() {
        let mut null = letter(0, (0, 0), &[]);
        null.value = None;
        assert!(
            !StoredLetter::read(null.clone())
                .expect("a letter")
                .is_gone()
        );
        null.headers.retain(|(name, _)| name != header::TIMESTAMP);
        assert!(StoredLetter::read(null).expect("a letter").is_gone());
    }

    #[test]
    fn places_as_they_are_written() {
        let place = Place::parse(" 2@17 ").expect("a place");
        assert_eq!((place.partition, place.offset), (2, 17));
        for wrong in [
            "",
            "17",
            "2@",
            "@17",
            "-1@2",
            "1@-2",
            "t[0]@1",
            "1@99999999999999999999",
        ] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }
}
