//! Calls that tell which record they carry.

use std::collections::BTreeMap;

use chatroom_job::message::proto::push::PushMsg;
use grpcio::RpcStatusCode;
use krafka::Record;

use crate::support::comet::{Answer, Call, Comet};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{record, to_room};
use crate::support::topic::Topic;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn text(call: &Call, name: &str) -> Option<String> {
    let values = call.metadata(name);
    assert!(values.len() < 2, "{name} is there {} times", values.len());
    let value = values.first()?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Where the bodies are in Kafka, as a call says it.
fn places(topic: &Topic<'_>) -> BTreeMap<String, String> {
    let records = topic.kafka.read(&topic.name).into_iter();
    let place = |record: krafka::consumer::ConsumerRecord| {
        let value = record.value.expect("a value");
        let body = chatroom_job::consumer::decode::decode(Some(&value)).expect("a PushMsg");
        let body = String::from_utf8_lossy(&body.msg).into_owned();
        let place = format!("{}/{}/{}", record.topic, record.partition, record.offset);
        (body, place)
    };
    records.map(place).collect()
}

#[test]
fn each_call_tells_its_record_its_try_and_its_trace() {
    let topic = Topic::new(shared(Version::V4_3_1), 4);
    let comet = Comet::start();
    // Each message fails once: the Comet may have it all the same.
    let tried = std::sync::Mutex::new(std::collections::BTreeSet::new());
    comet.answer(move |call| {
        let is_first = tried.lock().expect("a lock").insert(call.text());
        match is_first && call.text().starts_with("again") {
            true => Answer::Status(RpcStatusCode::ABORTED),
            false => Answer::Ok,
        }
    });
    let write = |message: &PushMsg| -> Record {
        let written = record(&topic.name, message);
        match &message.room[..] {
            "traced" => written
                .header("traceparent", PARENT)
                .header("tracestate", "a=1, b=2"),
            "untold" => written.header("traceparent", "nonsense"),
            _ => written,
        }
    };
    let messages = [
        to_room("traced", "traced"),
        to_room("untold", "untold"),
        to_room("r1", "once"),
        to_room("r2", "again 1"),
        to_room("r3", "again 2"),
    ];
    topic.kafka.produce(messages.iter().map(write));
    let mut job = topic
        .job(&[&comet])
        .flag("--record-metadata", "on")
        .flag("--comet-metadata", "x-env=prod")
        .log_level("INFO")
        .start();
    comet.await_delivered(5);
    job.await_line(&["reading with the modern fetcher", "--record-metadata"]);
    topic.await_no_lag();
    job.stop();

    let places = places(&topic);
    let calls = comet.calls();
    assert_eq!(calls.len(), 7, "{calls:#?}");
    let mut tries = BTreeMap::<String, u32>::new();
    for call in &calls {
        let body = call.text();
        assert_eq!(text(call, "job-record").as_ref(), places.get(&body));
        let attempt = tries.entry(body).or_default();
        *attempt += 1;
        assert_eq!(text(call, "job-attempt"), Some(attempt.to_string()));
        let (parent, state) = match &call.room[..] {
            "traced" => (Some(PARENT), Some("a=1,b=2")),
            _ => (None, None),
        };
        assert_eq!(text(call, "traceparent").as_deref(), parent);
        assert_eq!(text(call, "tracestate").as_deref(), state);
        assert_eq!(text(call, "x-env").as_deref(), Some("prod"));
    }
    assert_eq!(tries["again 1"], 2);
}

#[test]
fn a_call_that_carries_several_records_tells_them_all() {
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let comet = Comet::start();
    let body = |n: usize| {
        format!(
            r#"{{"type":"serverMessages","payload":{{"roomId":"r1","messages":[{{"id":"{n}","content":"c"}}]}}}}"#
        )
    };
    topic.produce([to_room("r1", body(0)), to_room("other", "o")]);
    topic.produce((1..4).map(|n| to_room("r1", body(n))));
    let mut job = topic
        .job(&[&comet])
        .flag("--record-metadata", "on")
        .flag("--coalesce", "json")
        .log_level("WARN")
        .start();
    topic.await_no_lag();
    job.stop();
    // They wait together when the job starts, so that they go together, or nearly so.
    let calls = comet.calls();
    let told = calls.iter().filter(|call| call.room == "r1");
    let told: Vec<_> = told.filter_map(|call| text(call, "job-record")).collect();
    assert!(told.len() < 4, "{told:?}");
    let place = format!("{}/0/", topic.name);
    let offsets: Vec<_> = told
        .iter()
        .map(|list| list.strip_prefix(&place).expect("the partition"))
        .flat_map(|list| list.split(','))
        .collect();
    assert_eq!(offsets, ["0", "2", "3", "4"]);
}

#[test]
fn the_classic_fetcher_knows_no_traces_and_says_so() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let message = record(&topic.name, &to_room("r1", "b"));
    topic.kafka.produce([message.header("traceparent", PARENT)]);
    let classic = topic.job(&[&comet]).flag("--fetch", "classic");
    let mut job = classic
        .flag("--record-metadata", "on")
        .log_level("WARN")
        .start();
    comet.await_delivered(1);
    job.await_line(&["WARN", "--fetch classic reads no headers"]);
    job.stop();
    let call = &comet.delivered()[0];
    let place = format!("{}/0/0", topic.name);
    assert_eq!(text(call, "job-record"), Some(place));
    assert_eq!(text(call, "traceparent"), None);
}

#[test]
fn nothing_is_told_where_nobody_asked_for_it() {
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let comet = Comet::start();
    topic.produce([to_room("r1", "b")]);
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(1);
    job.stop();
    let call = &comet.delivered()[0];
    for name in ["job-record", "job-attempt", "traceparent"] {
        assert_eq!(text(call, name), None, "{name}");
    }
}
