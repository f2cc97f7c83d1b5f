//! `job send`: writes PushMsg records as Logic does.

// Public for the fuzz targets.
pub mod template;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use protobuf::Message;
use tokio::sync::mpsc;

use crate::base::limits;
use crate::commands::cli::SendArgs;
use crate::kafka::client::{
    Acks, DeliveryHandle, Kafka, KrafkaError, Producer, Record, RecordMetadata,
};
use crate::kafka::{self, Cluster};
use crate::settings::Config;
use template::Template;

/// Lists each message up to this many; more get a line for each partition.
const LISTED: u64 = 20;
/// Limit for a new topic to become visible.
const NEW_TOPIC: Duration = Duration::from_secs(1);
/// Limits the unacknowledged records.
const UNACKNOWLEDGED: usize = 10_000;

/// Sends the messages, and writes to `out` where each one went.
///
/// # Errors
/// Kafka can't be reached, the topic isn't there, or Kafka refuses a message. The text says how many were written before.
pub fn send(config: &Config, args: &SendArgs, out: &mut impl Write) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime
        .map_err(|error| format!("cannot start a runtime: {}", limits::explained(&error)))?;
    runtime.block_on(send_all(config, args, out))
}

async fn send_all(config: &Config, args: &SendArgs, out: &mut impl Write) -> Result<(), String> {
    let cluster = Cluster::of(config);
    let connected = cluster.connect_for_command("send");
    let kafka = connected.await.map_err(|trouble| trouble.to_string())?;
    let explain = |error: &KrafkaError| kafka::Trouble::new(&cluster, error).to_string();
    let topic = config.topics.first();
    if config.topics.are_several() {
        // Nobody may be reading: the messages go there all the same.
        let _ = writeln!(
            out,
            "to topic {topic}, the first of {}: --topic names another",
            config.topics
        );
    }
    let there = has_topic(&kafka, topic).await;
    if !there.map_err(|error| explain(&error))? {
        let command = kafka::create_topic_command(&cluster, topic);
        return Err(format!(
            "there is no topic {topic}. To make it:\n  {command}"
        ));
    }
    let producer = kafka
        .producer()
        .acks(Acks::All)
        .max_block(kafka::COMMAND_TIMEOUT)
        .delivery_timeout(kafka::COMMAND_TIMEOUT + Duration::from_secs(2))
        .metrics_push(false)
        .build()
        .await
        .map_err(|error| explain(&error))?;

    let template = Template::new(args);
    let (queue, queued) = mpsc::channel(UNACKNOWLEDGED);
    let failed = Cell::new(false);
    let begin = Instant::now();
    let (produced, report) = tokio::join!(
        produce(&producer, topic, &template, args, queue, &failed),
        report(queued, &template, args.count <= LISTED, &failed, out),
    );
    // All are acknowledged or given up by now.
    let _ = producer.close().await;

    if args.count > LISTED {
        report.summary(&template.to, begin.elapsed(), out);
    }
    let error = produced.err().or(report.error);
    error.map_or(Ok(()), |error| {
        let text = match error {
            error if kafka::is_too_large(&error) => format!(
                "topic {} refused a message of {} bytes as too large. Raise max.message.bytes of the topic (or \
                 message.max.bytes of the broker), or send less",
                topic,
                template.message(args.count).compute_size(),
            ),
            error => explain(&error),
        };
        Err(format!("{text}\n{} of {} messages were written", report.written, args.count))
    })
}

/// Whether the topic exists. The producer itself would wait long for a missing one.
async fn has_topic(kafka: &Kafka, topic: &str) -> Result<bool, KrafkaError> {
    let begin = Instant::now();
    loop {
        if kafka::partitions(kafka, topic).await?.is_some() {
            return Ok(true);
        }
        // A topic made a moment ago is not known to every broker yet.
        if begin.elapsed() > NEW_TOPIC {
            return Ok(false);
        }
        tokio::time::sleep(NEW_TOPIC / 10).await;
    }
}

/// Enqueues the messages in order, at the rate asked for. Stops after a failure.
async fn produce(
    producer: &Producer,
    topic: &str,
    template: &Template,
    args: &SendArgs,
    queue: mpsc::Sender<(u64, DeliveryHandle)>,
    failed: &Cell<bool>,
) -> Result<(), KrafkaError> {
    let begin = tokio::time::Instant::now();
    for number in 1..=args.count {
        if let Some(rate) = args.rate {
            tokio::time::sleep_until(begin + due(number, rate)).await;
        }
        if failed.get() {
            break;
        }
        let value = template.message(number).write_to_bytes();
        let value = value.map_err(|error| KrafkaError::serialization(error.to_string()))?;
        let record = Record::new(topic, value).key(template.key.clone());
        let handle = producer.enqueue(record).await?;
        if queue.send((number, handle)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// When a message is due, counted from the first: by its number, so that delays don't add up.
fn due(number: u64, rate: u32) -> Duration {
    let nanoseconds = u128::from(number - 1) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// Waits for each record's acknowledgement, in order, and lists it where few are sent.
async fn report(
    mut queued: mpsc::Receiver<(u64, DeliveryHandle)>,
    template: &Template,
    listed: bool,
    failed: &Cell<bool>,
    out: &mut impl Write,
) -> Report {
    let mut report = Report::default();
    while let Some((number, handle)) = queued.recv().await {
        match handle.await {
            Ok(at) => {
                if listed {
                    // Who reads the list may be gone: the messages are sent all the same.
                    let _ = writeln!(out, "{}", template.line(number, &at));
                }
                report.count(&at);
            }
            Err(error) => {
                failed.set(true);
                report.error.get_or_insert(error);
            }
        }
    }
    report
}

/// What came of the records.
#[derive(Default)]
struct Report {
    written: u64,
    error: Option<KrafkaError>,
    partitions: BTreeMap<(String, i32), Written>,
}

struct Written {
    count: u64,
    first: i64,
    last: i64,
}

impl Report {
    fn count(&mut self, at: &RecordMetadata) {
        self.written += 1;
        let partition = self.partitions.entry((at.topic.clone(), at.partition));
        let written = partition.or_insert(Written {
            count: 0,
            first: at.offset,
            last: at.offset,
        });
        written.count += 1;
        written.last = at.offset;
    }

    fn summary(&self, to: &str, time: Duration, out: &mut impl Write) {
        for ((topic, partition), written) in &self.partitions {
            let Written { count, first, last } = written;
            let _ = writeln!(
                out,
                "{topic}[{partition}]  {count} messages, first @{first}, last @{last}"
            );
        }
        let _ = writeln!(
            out,
            "{} messages to {to} in {:.1} s",
            self.written,
            time.as_secs_f64()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_does_not_drift() {
        assert_eq!(due(1, 3), Duration::ZERO);
        assert_eq!(due(4, 3), Duration::from_secs(1));
        assert_eq!(due(3_000_001, 3), Duration::from_secs(1_000_000));
        assert_eq!(due(2, 1_000_000), Duration::from_micros(1));
    }
}
