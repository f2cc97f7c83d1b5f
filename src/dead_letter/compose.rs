//! A letter's record, from the record that it stands for and what is said of it.

use bytes::Bytes;

use super::{LARGEST, header};
use crate::base::wall;
use crate::figures::Roster;
use crate::kafka::client::{ConsumerRecord, Record};
use crate::message::dead_letter::Letter;

/// Bytes of a record that fit in a letter. The rest is for the letter's own headers and for the format.
const ROOM: usize = LARGEST - (1 << 20);

/// Builds the letter for `topic`: the message as it was read from the topic `source`, with headers that say why it failed.
/// `original` is `None` if Kafka no longer has it or it can't be read. `comets` has the Comets' names.
pub fn record(
    topic: &str,
    source: &str,
    comets: &Roster,
    letter: &Letter,
    original: Option<ConsumerRecord>,
) -> Record {
    let now = wall::millis();
    let mut record = Record::new(topic, "").without_value();
    let mut why = letter.why.text.clone();
    if let Some(mut original) = original {
        why.extend(left_out(&mut original));
        record.key = original.key;
        record.value = original.value;
        record.headers = original.headers;
        // A letter that somebody copied back by hand still says which Comets did not take it then.
        record.headers.retain(|(name, _)| name != header::COMET);
        record = record.header(header::TIMESTAMP, original.timestamp.to_string());
    }
    record = record
        .header(header::TOPIC, source.to_owned())
        .header(
            header::PARTITION,
            letter.record.assignment.partition.index.to_string(),
        )
        .header(header::OFFSET, letter.record.offset.to_string());
    if let Some(last) = letter.last {
        record = record.header(header::LAST, last.to_string());
    }
    let refusers = letter.why.comets.iter();
    let refusers: Vec<_> = refusers.map(|comet| comets.name(*comet)).collect();
    if !refusers.is_empty() {
        record = record.header(header::COMET, refusers.join(","));
    }
    record
        .header(header::TIME, now.to_string())
        .header(header::REASON, letter.why.cause.name())
        .header(header::ERROR, why)
}

/// Removes what doesn't fit in a letter: a compressed record may be much larger than its topic allows. Returns what was
/// removed, in words.
fn left_out(original: &mut ConsumerRecord) -> Option<String> {
    let length = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
    let (key, value) = (length(&original.key), length(&original.value));
    let headers: usize = original
        .headers
        .iter()
        .map(|(name, value)| name.len() + length(value))
        .sum();
    if key + value + headers <= ROOM {
        return None;
    }
    original.value = None;
    let mut parts = format!("its value of {value} bytes");
    if key + headers > ROOM {
        original.key = None;
        original.headers.clear();
        parts = format!("{parts}, its key and its headers");
    }
    Some(format!(
        "; the letter is without {parts}: it has room for {ROOM} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::letter::StoredLetter;
    use crate::dead_letter::whom::Whom;
    use crate::message::{Assignment, Cause, CometId, PartitionId, Reason, RecordId};

    /// The letter of a message that these Comets did not take, as it is read back.
    fn stored(comets: Vec<CometId>) -> StoredLetter {
        let letter = Letter {
            record: RecordId {
                assignment: Assignment {
                    partition: PartitionId::of_first(1),
                    epoch: 1,
                },
                offset: 42,
            },
            last: None,
            bytes: 0,
            at: None,
            why: Box::new(Reason {
                text: "refused".into(),
                comets,
                cause: Cause::Refused,
            }),
        };
        let mut original = ConsumerRecord::new("t", 1, 42, None, Some("x".into()));
        let copied = |name: &str| (name.to_owned(), Some("b:1".into()));
        original.headers = vec![copied("trace"), copied(header::COMET)];
        let names = Roster::new(&["a:1", "b:1", "c:1"].map(Into::into));
        let written = record("t.dead-letter", "t", &names, &letter, Some(original));
        let mut read = ConsumerRecord::new("t.dead-letter", 0, 0, written.key, written.value);
        read.headers = written.headers;
        StoredLetter::read(read).expect("a letter")
    }

    #[test]
    fn it_names_the_comets_that_did_not_take_the_message() {
        let letter = stored(vec![CometId(2), CometId(0)]);
        assert_eq!(letter.whom, Whom::read(Some("a:1,c:1")));
        assert_eq!(letter.reason, "refused");
        assert_eq!(letter.cause, Some(Cause::Refused));
        assert_eq!(letter.record.headers[0].0, "trace");
        // The original's own header is that of an earlier letter.
        assert_eq!(stored(Vec::new()).whom, Whom::All);
    }
}
