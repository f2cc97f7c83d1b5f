//! `job send` and `job check`, as people type them.

use std::collections::{BTreeMap, BTreeSet};

use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use krafka::admin::NewTopic;
use krafka::consumer::ConsumerRecord;
use protobuf::Message;
use serde_json::{Value, json};

use crate::support::comet::{Answer, Comet};
use crate::support::command::{self, Ended, job};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::topic::Topic;
use crate::support::{free_port, runtime};
use grpcio::RpcStatusCode;

on_each_kafka!(
    each_kind_of_message_is_written,
    what_was_sent_arrives,
    all_is_well_and_says_so
);

fn send(topic: &Topic<'_>, args: &[&str]) -> Ended {
    job(&[
        &[
            "send",
            "--brokers",
            &topic.kafka.address(),
            "--topic",
            &topic.name,
        ],
        args,
    ]
    .concat())
}

/// `job check` for the topic and its group.
pub(crate) fn check(topic: &Topic<'_>, comets: &str) -> Ended {
    command::check(topic, comets, &[])
}

fn message(record: &ConsumerRecord) -> PushMsg {
    PushMsg::parse_from_bytes(record.value.as_deref().expect("a value")).expect("a PushMsg")
}

fn each_kind_of_message_is_written(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let said = [
        send(&topic, &["--room", "r1", "hello", "wide  world"]).well(),
        send(
            &topic,
            &[
                "--key",
                "u1",
                "--key",
                "u2",
                "--server",
                "comet-1",
                "--operation",
                "9",
                "你好",
            ],
        )
        .well(),
        send(&topic, &["--broadcast", "all"]).well(),
        send(&topic, &["--room", "r2", "--count", "3", "number {n}\n"]).well(),
        send(
            &topic,
            &[
                "--room",
                "r3",
                "--chat",
                "--user",
                "alice",
                "--rate",
                "1000",
                "say \"hi\"",
            ],
        )
        .well(),
    ]
    .concat();

    let mut lines = Vec::new();
    let mut messages = BTreeMap::new();
    for record in kafka.read(&topic.name) {
        let message = message(&record);
        let place = format!("{}[{}]@{}", topic.name, record.partition, record.offset);
        let (key, to, text) = match message.type_.enum_value_or_default() {
            Type::ROOM => (
                message.room.as_str(),
                format!("room {}", message.room),
                None,
            ),
            Type::PUSH => ("u1", "user u1,u2".to_owned(), None),
            Type::BROADCAST => ("broadcast", "everybody".to_owned(), None),
        };
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()), "{message}");
        let body = String::from_utf8(message.msg.to_vec()).expect("text");
        let text = text.unwrap_or(if message.room == "r3" {
            "say \"hi\"".to_owned()
        } else {
            body.clone()
        });
        lines.push(format!("{place}  {to}  \"{}\"", text.replace('\n', "\\n")));
        messages.insert(body, message);
    }
    assert_eq!(
        said.lines().map(str::to_owned).collect::<BTreeSet<_>>(),
        lines.into_iter().collect()
    );

    assert_eq!(messages["hello wide  world"].operation, 4);
    let users = &messages["你好"];
    assert_eq!(
        (users.operation, users.server.as_str(), users.keys.len()),
        (9, "comet-1", 2)
    );
    assert_eq!(messages["all"].operation, 5);
    assert!(messages.contains_key("number 1\n") && messages.contains_key("number 3\n"));
    let chat = messages
        .values()
        .find(|message| message.room == "r3")
        .expect("the chat message");
    let mut chat: Value = serde_json::from_slice(&chat.msg).expect("JSON");
    let mut said = chat["payload"]["messages"][0].take();
    assert!(
        said["id"].take().is_string()
            && said["timestamp"].take().as_u64() > Some(1_700_000_000_000)
    );
    assert_eq!(
        said,
        json!({"id": null, "content": "say \"hi\"", "user": {"id": 1, "username": "alice"}, "timestamp": null})
    );
    assert_eq!(
        chat,
        json!({"type": "serverMessages", "payload": {"roomId": "r3", "messages": [null]}})
    );
}

fn what_was_sent_arrives(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    let said = send(&topic, &["--room", "r1", "--count", "5000", "{n}"]).well();
    let partition = kafka.read(&topic.name)[0].partition;
    let written = format!(
        "{}[{partition}]  5000 messages, first @0, last @4999",
        topic.name
    );
    assert_eq!(said.lines().next(), Some(written.as_str()));
    assert!(said.contains("5000 messages to room r1 in "), "{said}");

    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(5_000);
    job.stop();
    let arrived: Vec<_> = comet.calls().iter().map(|call| call.text()).collect();
    let expected: Vec<_> = (1..=5_000).map(|n| n.to_string()).collect();
    assert_eq!(arrived, expected);
}

#[test]
fn what_cannot_be_sent_is_said() {
    let kafka = shared(Version::V3_9_1);
    let missing = Topic::missing(kafka);
    let error = send(&missing, &["--room", "r1", "hello"]).failed();
    assert!(
        error.contains(&format!("there is no topic {}", missing.name)),
        "{error}"
    );
    let command = format!(
        "kafka-topics.sh --create --bootstrap-server {} --topic {}",
        kafka.address(),
        missing.name
    );
    assert!(error.contains(&command), "{error}");
    assert!(
        kafka.end_offsets(&missing.name).is_empty(),
        "the topic was made"
    );

    let small = Topic::missing(kafka);
    let made = NewTopic::new(&small.name, 1, 1)
        .expect("a legal name")
        .with_config("max.message.bytes", "1000");
    runtime().block_on(async {
        let client = krafka::Kafka::builder(kafka.address())
            .connect()
            .await
            .expect("Kafka answers");
        client
            .admin()
            .create_topics([made], Default::default())
            .await
            .expect("the topic is made");
    });
    send(&small, &["--room", "r1", &"x".repeat(500)]).well();
    let error = send(&small, &["--room", "r1", &"x".repeat(2000)]).failed();
    assert!(
        error.contains(&format!(
            "topic {} refused a message of 2011 bytes as too large",
            small.name
        )),
        "{error}"
    );
    assert!(error.contains("0 of 1 messages were written"), "{error}");

    let address = format!("127.0.0.1:{}", free_port());
    let error = job(&["send", "--brokers", &address, "--room", "r1", "hello"]).failed();
    assert!(
        error.contains(&format!("Kafka at {address}: Connection refused")),
        "{error}"
    );
}

fn all_is_well_and_says_so(kafka: &Kafka) {
    let topic = Topic::new(kafka, 3);
    let comet = Comet::start();
    send(&topic, &["--room", "r1", "--count", "7", "hello"]).well();
    let report = check(&topic, &comet.address()).well();
    let Topic { name, group, .. } = &topic;
    let address = kafka.address();
    let expected = [
        "✓ configuration: no file".to_owned(),
        format!("✓ Kafka at {address}: 1 broker: {address}"),
        format!("✓ topic {name}: 3 partitions"),
        format!("✓ group {group}: new; it starts at the earliest record, 7 messages waiting"),
        format!(
            "✓ dead-letter topic {name}.dead-letter: not there; it is made when the first message needs it"
        ),
        format!("✓ Comet {}: answers", comet.address()),
    ];
    let lines: Vec<_> = report
        .lines()
        .filter(|line| !line.starts_with(' '))
        .collect();
    assert_eq!(lines, expected);
    assert!(report.contains(&format!(
        "    group = {group} (--group)\n    auto-offset-reset = earliest (default)\n    group-instance-id = none (default)\n"
    )));

    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(7);
    topic.await_no_lag();
    let report = check(&topic, &comet.address()).well();
    assert!(
        report.contains(&format!(
            "✓ group {group}: 1 member now, 0 messages waiting (LAG)"
        )),
        "{report}"
    );
    job.stop();
}

#[test]
fn what_is_missing_is_marked_with_what_to_do() {
    let missing = Topic::missing(shared(Version::V3_9_1));
    let (down, failing) = (Comet::not_started(), Comet::start());
    let other_address = format!("127.0.0.1:{}", free_port());
    let _other = grpc_server_without_services(&other_address);
    failing.answer(|_| Answer::Status(RpcStatusCode::INTERNAL));
    let comets = format!("{},{},{other_address}", down.address(), failing.address());

    let ended = check(&missing, &comets);
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    let Topic { name, group, .. } = &missing;
    for says in [
        format!("✗ topic {name}: not there\n    Make it: bin/kafka-topics.sh --create "),
        format!("– group {group}: not tried"),
        format!("✗ Comet {}: 14-UNAVAILABLE", down.address()),
        format!("✗ Comet {}: 13-INTERNAL", failing.address()),
        format!("✗ Comet {other_address}: 12-UNIMPLEMENTED"),
        "Something else listens there: a gRPC server that doesn't know ChatRoom.Comet.Comet"
            .to_owned(),
    ] {
        assert!(ended.out.contains(&says), "{says}: {}", ended.out);
    }

    let nowhere = format!("127.0.0.1:{}", free_port());
    let comet = Comet::start();
    let ended = job(&["check", "--brokers", &nowhere, "--comet", &comet.address()]);
    assert_eq!(ended.code, Some(1), "{}", ended.out);
    for says in [
        format!(
            "✗ Kafka at {nowhere}: Connection refused\n    Is Kafka running there? Check brokers"
        ),
        "– topic my-topic: not tried".to_owned(),
        "– group my_consumer_group: not tried".to_owned(),
        "– dead-letter topic my-topic.dead-letter: not tried".to_owned(),
        format!("✓ Comet {}: answers", comet.address()),
    ] {
        assert!(ended.out.contains(&says), "{says}: {}", ended.out);
    }
}

fn grpc_server_without_services(address: &str) -> grpcio::Server {
    let environment = grpcio::EnvBuilder::new().cq_count(1).build();
    let mut server = grpcio::ServerBuilder::new(environment.into())
        .build()
        .expect("a server can be built");
    server
        .add_listening_port(address, grpcio::ServerCredentials::insecure())
        .expect("a port is free");
    server.start();
    server
}
