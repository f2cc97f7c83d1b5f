//! Writing letters' messages into the main topic.

use std::time::Duration;

use super::book::Due;
use super::topic::Topic;
use crate::dead_letter::letter::Found;
use crate::dead_letter::{LARGEST, header};
use crate::kafka::client::{Acks, KrafkaError, Producer, Record, RecordMetadata};
use crate::kafka::{COMMAND_TIMEOUT, is_too_large};

pub struct Rewriter {
    producer: Producer,
    main: String,
    /// How many the main topic has.
    partitions: usize,
}

/// What became of a message.
#[derive(Debug)]
pub enum Outcome {
    /// Where it stands now.
    Written(RecordMetadata),
    /// The topic refused it for its size.
    TooLarge,
    /// It is not known to be there.
    Failed,
}

/// What writes to the dead-letter topic and to the main one, and waits for Kafka's acknowledgement.
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

impl Rewriter {
    pub async fn open(topic: &Topic, main: &str, partitions: usize) -> Result<Rewriter, String> {
        Ok(Rewriter {
            producer: producer(topic).await?,
            main: main.to_owned(),
            partitions,
        })
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When Kafka doesn't acknowledge it.
    pub async fn send(&self, record: Record) -> Result<(), KrafkaError> {
        self.producer.send(record).await.map(|_| ())
    }

    /// Writes the letters' messages in order. Returns what became of each, and how Kafka failed, if it did.
    pub async fn write(&self, letters: &[(&Due, Found)]) -> (Vec<Outcome>, Option<KrafkaError>) {
        let mut failure = None;
        let mut handles = Vec::new();
        for (due, letter) in letters {
            match self.producer.enqueue(self.record(due, letter)).await {
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
        let mut outcomes = Vec::new();
        for ((due, letter), mut answer) in letters.iter().zip(answers) {
            // It may have failed only for those that went with it. Then order is lost where the topic's limit is
            // under 16 KiB, which is what goes together at most.
            if answer.as_ref().is_err_and(is_too_large) {
                answer = self.producer.send(self.record(due, letter)).await;
            }
            outcomes.push(match answer {
                Ok(at) => Outcome::Written(at),
                Err(error) if is_too_large(&error) => Outcome::TooLarge,
                Err(error) => {
                    failure.get_or_insert(error);
                    Outcome::Failed
                }
            });
        }
        outcomes.resize_with(letters.len(), || Outcome::Failed);
        (outcomes, failure)
    }

    fn record(&self, due: &Due, letter: &Found) -> Record {
        record(&self.main, self.partitions, due, letter)
    }
}

/// The message as it was, to the partition that it was read from: the order of a key is an order within its
/// partition, whatever way the producers choose that. Its time is the present one: retention goes by it.
pub fn record(main: &str, partitions: usize, due: &Due, letter: &Found) -> Record {
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
    record.header(header::ROUNDS, letter.rounds.saturating_add(1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::letter;

    #[test]
    fn a_message_goes_back_as_it_was_with_its_rounds() {
        let mut read = letter::letter(17, (3, 42), &[("trace", "a"), ("job.rounds", "4")]);
        read.key = Some("r1".into());
        let letter = Found::read(read).expect("a letter");
        let due = Due {
            place: letter.place(),
            twins: Vec::new(),
            partition: 3,
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
