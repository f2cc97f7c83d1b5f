//! Writing letters' messages into the main topic.

use std::time::Duration;

use protobuf::Message;

use super::index::Due;
use crate::consumer::decode::decode;
use crate::dead_letter::letter::StoredLetter;
use crate::dead_letter::topic::Topic;
use crate::dead_letter::{LARGEST, header};
use crate::kafka::client::{Acks, KrafkaError, Producer, Record, RecordMetadata};
use crate::kafka::{COMMAND_TIMEOUT, is_too_large};

pub struct Resender {
    producer: Producer,
    main: String,
    /// The main topic's number of partitions.
    partitions: usize,
}

/// What became of a message.
#[derive(Debug)]
pub enum Outcome {
    /// Its places in the main topic: one, or one for each Comet that needs it.
    Written(Vec<RecordMetadata>),
    /// The topic refused it as too large.
    TooLarge,
    /// Kafka did not acknowledge it.
    Failed,
}

/// Builds a producer for the dead-letter topic and the main one, which waits for all acknowledgements.
pub async fn producer(topic: &Topic) -> Result<Producer, String> {
    let builder = topic
        .kafka
        .producer()
        .acks(Acks::All)
        .linger(Duration::ZERO)
        .max_request_size(LARGEST)
        .buffer_memory(LARGEST)
        .max_block(COMMAND_TIMEOUT)
        .delivery_timeout(COMMAND_TIMEOUT + Duration::from_secs(2))
        .metrics_push(false);
    let built = builder.build().await;
    built.map_err(|error| topic.tried("starting to write", &error))
}

impl Resender {
    pub async fn open(topic: &Topic, main: &str, partitions: usize) -> Result<Resender, String> {
        Ok(Resender {
            producer: producer(topic).await?,
            main: main.to_owned(),
            partitions,
        })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// Kafka doesn't acknowledge it.
    pub async fn send(&self, record: Record) -> Result<(), KrafkaError> {
        self.producer.send(record).await.map(|_| ())
    }

    /// Writes the letters' messages in order. Returns the outcome of each, and Kafka's first failure.
    pub async fn write(
        &self,
        letters: &[(&Due, StoredLetter)],
    ) -> (Vec<Outcome>, Option<KrafkaError>) {
        let mut failure = None;
        let mut handles = Vec::new();
        let letters: Vec<Vec<Record>> = letters
            .iter()
            .map(|(due, letter)| records(&self.main, self.partitions, due, letter))
            .collect();
        for record in letters.iter().flatten() {
            match self.producer.enqueue(record.clone()).await {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let mut answers = Vec::new();
        for handle in handles {
            answers.push(handle.await);
        }
        let mut answers = answers.into_iter();
        let mut outcomes = Vec::new();
        for records in letters {
            let mut outcome = Outcome::Written(Vec::new());
            for record in records {
                let Some(mut answer) = answers.next() else {
                    outcome = Outcome::Failed;
                    break;
                };
                // Other messages of its batch may have made it too large. A retry alone loses order where the topic's limit is
                // under 16 KiB, the largest batch.
                if answer.as_ref().is_err_and(is_too_large) {
                    answer = self.producer.send(record).await;
                }
                match answer {
                    Ok(at) => {
                        if let Outcome::Written(places) = &mut outcome {
                            places.push(at);
                        }
                    }
                    Err(error) if is_too_large(&error) => outcome = Outcome::TooLarge,
                    Err(error) => {
                        failure.get_or_insert(error);
                        outcome = Outcome::Failed;
                    }
                }
            }
            outcomes.push(outcome);
        }
        (outcomes, failure)
    }
}

/// The message as it was; where only some Comets need it, once for each of them, in the order of their names.
pub fn records(main: &str, partitions: usize, due: &Due, letter: &StoredLetter) -> Vec<Record> {
    let whole = record(main, partitions, due, letter);
    let mut records = Vec::new();
    if let Ok(mut push) = decode(whole.value.as_ref()) {
        for comet in due.whom.names() {
            push.only = comet.to_owned();
            let Ok(value) = push.write_to_bytes() else {
                return vec![whole];
            };
            let mut record = whole.clone();
            record.value = Some(value.into());
            records.push(record);
        }
    }
    if records.is_empty() {
        records.push(whole);
    }
    records
}

/// The message as it was, to the partition that it was read from: the order of a key is an order within its
/// partition, whatever way the producers choose that. Its time is the present one: retention goes by it.
fn record(main: &str, partitions: usize, due: &Due, letter: &StoredLetter) -> Record {
    let mut record = Record::new(main, "").without_value();
    record.key = letter.record.key.clone();
    record.value = letter.record.value.clone();
    record.headers = letter.record.headers.clone();
    let of_letter = |name: &str| header::OF_LETTER.contains(&name);
    record.headers.retain(|(name, _)| !of_letter(name));
    // A topic that was made again may have fewer partitions.
    if usize::try_from(due.partition).is_ok_and(|partition| partition < partitions) {
        record.partition = Some(due.partition);
    }
    record.header(
        header::REPLAYS,
        letter.replays.saturating_add(1).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::letter;
    use crate::message::proto::push::PushMsg;

    #[test]
    fn a_message_goes_to_each_comet_that_did_not_take_it_alone() {
        let read = letter::letter(17, (3, 42), &[("job.comet", "a:1,b:1")]);
        let mut unknown = read.value.as_deref().expect("a value").to_vec();
        // A field that nobody here knows, and an earlier replay's.
        unknown.extend([0x7a, 1, b'x']);
        unknown.extend(
            PushMsg {
                only: "c:1".into(),
                ..Default::default()
            }
            .write_to_bytes()
            .unwrap(),
        );
        let mut read = read;
        read.value = Some(unknown.into());
        let letter = StoredLetter::read(read).expect("a letter");
        let due = Due {
            place: letter.place(),
            duplicates: Vec::new(),
            partition: 3,
            whom: letter.whom.clone(),
        };
        let back = records("t", 4, &due, &letter);
        assert_eq!(back.len(), 2);
        for (record, comet) in back.iter().zip(["a:1", "b:1"]) {
            let push = decode(record.value.as_ref()).expect("a PushMsg");
            assert_eq!((push.room.as_str(), push.only.as_str()), ("r", comet));
            assert_eq!(push.special_fields.unknown_fields().iter().count(), 1);
            assert_eq!(record.partition, Some(3));
            assert!(
                record
                    .headers
                    .iter()
                    .all(|(name, _)| name == header::REPLAYS)
            );
        }
    }

    #[test]
    fn what_cannot_be_decoded_goes_back_as_it_was() {
        let mut read = letter::letter(17, (3, 42), &[("job.comet", "a:1")]);
        read.value = Some("hello".into());
        let letter = StoredLetter::read(read).expect("a letter");
        let due = Due {
            place: letter.place(),
            duplicates: Vec::new(),
            partition: 3,
            whom: letter.whom.clone(),
        };
        let back = records("t", 4, &due, &letter);
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].value.as_deref(), Some(&b"hello"[..]));
    }

    #[test]
    fn a_message_goes_back_as_it_was_and_counts_the_replay() {
        let mut read = letter::letter(17, (3, 42), &[("trace", "a"), ("job.rounds", "4")]);
        read.key = Some("r1".into());
        let letter = StoredLetter::read(read).expect("a letter");
        let due = Due {
            place: letter.place(),
            duplicates: Vec::new(),
            partition: 3,
            whom: letter.whom.clone(),
        };
        let back = record("t", 4, &due, &letter);
        assert_eq!((back.topic.as_str(), back.partition), ("t", Some(3)));
        assert_eq!(
            (back.key, back.value),
            (Some("r1".into()), letter.record.value.clone())
        );
        let expected = [("trace", "a"), ("job.rounds", "5")];
        let expected = expected.map(|(name, value)| (name.to_owned(), Some(value.into())));
        assert_eq!(back.headers, expected);
        assert_eq!(back.timestamp, None);
        // The topic was made again with fewer partitions.
        assert_eq!(record("t", 3, &due, &letter).partition, None);
    }
}
