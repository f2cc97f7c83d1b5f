//! `job send`: writes PushMsg records as Logic does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krafka::error::{ErrorCode, KrafkaError};
use krafka::producer::{Acks, DeliveryHandle, Producer, RecordMetadata};
use krafka::{Kafka, Record};
use protobuf::Message;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::cli::SendArgs;
use crate::config::Config;
use crate::wire::push::{PushMsg, push_msg::Type};
use crate::{kafka, logging};

/// Up to so many messages each gets a line; of more there is a line for each partition.
const LISTED: u64 = 20;
/// How long a topic that was just made may take to be seen.
const NEW_TOPIC: Duration = Duration::from_secs(1);
/// Records written and not yet acknowledged, at most.
const UNACKNOWLEDGED: usize = 10_000;
/// The record key of broadcasts: it keeps them in one partition, and so in order.
const BROADCAST_KEY: &str = "broadcast";
/// The operations that Comet's clients know: a message, and a broadcast.
const OPERATION: i32 = 4;
const BROADCAST_OPERATION: i32 = 5;

/// Sends the messages, and writes to `out` where each one went.
///
/// # Errors
/// Says what was tried, what came back, what to do, and how many messages were written before.
pub fn send(config: &Config, args: &SendArgs, out: &mut impl Write) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
    runtime.block_on(send_all(config, args, out))
}

async fn send_all(config: &Config, args: &SendArgs, out: &mut impl Write) -> Result<(), String> {
    let kafka = kafka::connect_for_command(&config.brokers, "job-send")
        .await
        .map_err(|trouble| trouble.to_string())?;
    let explain = |error: &KrafkaError| kafka::Trouble::new(&config.brokers, error).to_string();
    let there = has_topic(&kafka, &config.topic).await;
    if !there.map_err(|error| explain(&error))? {
        let command = kafka::create_topic_command(&config.brokers, &config.topic);
        return Err(format!(
            "there is no topic {}. To make it:\n  {command}",
            config.topic
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
        produce(&producer, &config.topic, &template, args, queue, &failed),
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
            KrafkaError::Broker { code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge, .. } => format!(
                "topic {} refused a message of {} bytes as too large. Raise max.message.bytes of the topic (or \
                 message.max.bytes of the broker), or send less",
                config.topic,
                template.message(args.count).compute_size(),
            ),
            error => explain(&error),
        };
        Err(format!("{text}\n{} of {} messages were written", report.written, args.count))
    })
}

/// Whether the topic is there. The producer itself would wait long for one that isn't.
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

/// Hands the messages to the producer, in order and at the rate asked for. A send that failed ends it.
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

/// When a message is due, counted from the first one: by its number, so that no delay adds up.
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

/// What all messages of one call have in common.
struct Template {
    message: PushMsg,
    key: String,
    /// Whom they go to, as it is shown.
    to: String,
    text: String,
    /// Who chats, where the text goes into a web body.
    chat: Option<String>,
    /// What tells the ids of this call's messages from those of others.
    id: String,
}

impl Template {
    fn new(args: &SendArgs) -> Template {
        let mut message = PushMsg {
            server: args.server.clone(),
            ..PushMsg::default()
        };
        let (kind, key, to) = match (&args.room, args.key.first()) {
            (Some(room), _) => {
                message.room = room.clone();
                (
                    Type::ROOM,
                    room.clone(),
                    format!("room {}", logging::escape_body(room.as_bytes())),
                )
            }
            (None, Some(first)) => {
                message.keys = args.key.clone();
                (
                    Type::PUSH,
                    first.clone(),
                    format!(
                        "user {}",
                        logging::escape_body(args.key.join(",").as_bytes())
                    ),
                )
            }
            (None, None) => (
                Type::BROADCAST,
                BROADCAST_KEY.to_owned(),
                "everybody".to_owned(),
            ),
        };
        let usual = if kind == Type::BROADCAST {
            BROADCAST_OPERATION
        } else {
            OPERATION
        };
        message.type_ = kind.into();
        message.operation = args.operation.unwrap_or(usual);
        Template {
            message,
            key,
            to,
            text: args.text.join(" "),
            chat: args.chat.then(|| args.user.clone()),
            id: format!("{:016x}", fastrand::u64(..)),
        }
    }

    /// The text of a message, with its number in it.
    fn text(&self, number: u64) -> String {
        self.text.replace("{n}", &number.to_string())
    }

    fn message(&self, number: u64) -> PushMsg {
        let text = self.text(number);
        let body = match &self.chat {
            Some(user) => web_body(
                &self.message.room,
                &format!("{}-{number}", self.id),
                &text,
                user,
            ),
            None => text.into_bytes(),
        };
        PushMsg {
            msg: body.into(),
            ..self.message.clone()
        }
    }

    /// Where a message went, for people to read.
    fn line(&self, number: u64, at: &RecordMetadata) -> String {
        let text = logging::escape_body(self.text(number).as_bytes());
        format!(
            "{}[{}]@{}  {}  \"{text}\"",
            at.topic, at.partition, at.offset, self.to
        )
    }
}

/// The body that the chat's web page understands, as Logic writes it.
#[derive(Serialize)]
struct WebBody<'a> {
    r#type: &'a str,
    payload: Payload<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    room_id: &'a str,
    messages: [ChatMessage<'a>; 1],
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    id: &'a str,
    content: &'a str,
    user: User<'a>,
    /// Milliseconds since 1970.
    timestamp: u64,
}

#[derive(Serialize)]
struct User<'a> {
    id: u64,
    username: &'a str,
}

fn web_body(room_id: &str, id: &str, content: &str, username: &str) -> Vec<u8> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let message = ChatMessage {
        id,
        content,
        user: User { id: 1, username },
        timestamp: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
    };
    let body = WebBody {
        r#type: "serverMessages",
        payload: Payload {
            room_id,
            messages: [message],
        },
    };
    // Strings and numbers can always be written as JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(edit: impl FnOnce(&mut SendArgs)) -> SendArgs {
        let mut args = SendArgs {
            room: None,
            key: Vec::new(),
            broadcast: false,
            operation: None,
            server: String::new(),
            count: 1,
            rate: None,
            chat: false,
            user: "job send".into(),
            text: vec!["hello".into(), "number".into(), "{n}".into()],
        };
        edit(&mut args);
        args
    }

    #[test]
    fn messages_by_whom_they_are_for() {
        let room = Template::new(&args(|args| args.room = Some("r1".into())));
        assert_eq!((room.key.as_str(), room.to.as_str()), ("r1", "room r1"));
        let message = room.message(7);
        assert_eq!(
            (message.type_.enum_value(), message.operation),
            (Ok(Type::ROOM), 4)
        );
        assert_eq!(
            (message.room.as_str(), &message.msg[..]),
            ("r1", &b"hello number 7"[..])
        );

        let users = Template::new(&args(|args| {
            args.key = vec!["u1".into(), "u2".into()];
            args.server = "comet-1".into();
            args.operation = Some(9);
        }));
        assert_eq!(
            (users.key.as_str(), users.to.as_str()),
            ("u1", "user u1,u2")
        );
        let message = users.message(1);
        assert_eq!(
            (message.type_.enum_value(), message.operation),
            (Ok(Type::PUSH), 9)
        );
        assert_eq!(
            (
                message.keys.len(),
                message.server.as_str(),
                message.room.as_str()
            ),
            (2, "comet-1", "")
        );

        let all = Template::new(&args(|args| args.broadcast = true));
        assert_eq!(
            (all.key.as_str(), all.to.as_str()),
            ("broadcast", "everybody")
        );
        let message = all.message(1);
        assert_eq!(
            (message.type_.enum_value(), message.operation),
            (Ok(Type::BROADCAST), 5)
        );
    }

    #[test]
    fn the_web_body_is_the_one_that_the_page_reads() {
        let body = web_body("r\"1", "id-1", "say \"hi\"\n聊天", "alice");
        let text = String::from_utf8(body).expect("JSON is UTF-8");
        let (front, time) = text.split_once(",\"timestamp\":").expect("a time");
        assert_eq!(
            front,
            r#"{"type":"serverMessages","payload":{"roomId":"r\"1","messages":[{"id":"id-1","content":"say \"hi\"\n聊天","user":{"id":1,"username":"alice"}"#
        );
        let time: u64 = time.trim_end_matches("}]}}").parse().expect("a number");
        assert!(time > 1_700_000_000_000, "{time}");
    }

    #[test]
    fn each_chat_message_has_its_own_id() {
        let template = Template::new(&args(|args| {
            args.room = Some("r1".into());
            args.chat = true;
        }));
        let id = |number| {
            let body: serde_json::Value =
                serde_json::from_slice(&template.message(number).msg).expect("JSON");
            body["payload"]["messages"][0]["id"]
                .as_str()
                .map(ToOwned::to_owned)
        };
        assert!(id(1).is_some());
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn the_rate_does_not_drift() {
        assert_eq!(due(1, 3), Duration::ZERO);
        assert_eq!(due(4, 3), Duration::from_secs(1));
        assert_eq!(due(3_000_001, 3), Duration::from_secs(1_000_000));
        assert_eq!(due(2, 1_000_000), Duration::from_micros(1));
    }
}
