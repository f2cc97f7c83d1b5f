//! Several messages of a room in one call: each arrives once, in order, whatever the Comet answers.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use chatroom_job::message::proto::push::PushMsg;
use grpcio::RpcStatusCode;
use serde_json::{Value, json};

use crate::support::comet::{Answer, Call, Comet};
use crate::support::job::Job;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, encoded, to_room};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 20;
const MESSAGES: usize = 4_000;
/// Messages in a call at most.
const MOST: usize = 20;

/// The forms, as `--coalesce` names them.
#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Goim,
}

impl Form {
    fn start(self, topic: &Topic<'_>, comets: &[&Comet]) -> Job {
        let form = match self {
            Form::Json => "json",
            Form::Goim => "goim",
        };
        let job = topic.job(comets).log_level("WARN");
        job.flag("--coalesce", form)
            .flag("--session-timeout", "6s")
            .start()
    }

    /// `count` messages over all rooms in turn, numbers `from` on. Some are such that they have to go alone.
    fn messages(self, from: usize, count: usize) -> impl Iterator<Item = PushMsg> {
        (from..from + count).map(move |n| {
            let (room, sequence) = (format!("room-{}", n % ROOMS), n / ROOMS);
            let number = format!("{room}/{sequence}");
            let mut message = to_room(&room, number.clone());
            match self {
                Form::Json if sequence % 50 != 49 => message.msg = web_body(&room, &number),
                Form::Goim if sequence % 50 == 49 => message.operation = 9,
                Form::Json | Form::Goim => {}
            }
            message
        })
    }

    /// The messages of each call, as if each had come alone with its number as its body.
    fn unmerged(self, calls: &[Call]) -> Vec<Call> {
        let split = |call: &Call| match self {
            Form::Json => json_numbers(call),
            Form::Goim => goim_numbers(call),
        };
        let one = |call: &Call, body: String| Call {
            body: body.into(),
            ..call.clone()
        };
        calls
            .iter()
            .flat_map(|call| split(call).into_iter().map(|body| one(call, body)))
            .collect()
    }
}

/// A web body whose message has this number, and a text that looks like the end of one.
fn web_body(room: &str, number: &str) -> Bytes {
    let message = json!({
        "id": number,
        "content": "]}} 你好 \"",
        "user": {"id": 1, "username": "alice"},
        "timestamp": 1_700_000_000_000_u64,
    });
    format!(r#"{{"type":"serverMessages","payload":{{"roomId":"{room}","messages":[{message}]}}}}"#)
        .into()
}

fn json_numbers(call: &Call) -> Vec<String> {
    if !call.text().starts_with('{') {
        return vec![call.text()];
    }
    let body: Value = serde_json::from_slice(&call.body).expect("a merged body is JSON");
    assert_eq!(body["type"], "serverMessages");
    assert_eq!(body["payload"]["roomId"], call.room.as_str());
    let messages = body["payload"]["messages"].as_array().expect("messages");
    assert!((1..=MOST).contains(&messages.len()));
    let number = |message: &Value| {
        assert_eq!(message["content"], "]}} 你好 \"");
        message["id"].as_str().expect("an id").to_owned()
    };
    messages.iter().map(number).collect()
}

fn goim_numbers(call: &Call) -> Vec<String> {
    // What a producer sent as raw has gone alone, as it was.
    if call.op != 9 || call.body.starts_with(b"room") {
        return vec![call.text()];
    }
    let mut numbers = Vec::new();
    let mut raw = &call.body[..];
    while !raw.is_empty() {
        assert_eq!(raw[4..16], [0, 16, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0]);
        let length = u32::from_be_bytes(raw[..4].try_into().expect("four bytes")) as usize;
        numbers.push(String::from_utf8_lossy(&raw[16..length]).into_owned());
        raw = &raw[length..];
    }
    assert!((2..=MOST).contains(&numbers.len()));
    numbers
}

on_each_kafka!(as_web_bodies, as_goims_frames);

fn as_web_bodies(kafka: &Kafka) {
    each_once_in_order(kafka, Form::Json);
}

fn as_goims_frames(kafka: &Kafka) {
    each_once_in_order(kafka, Form::Goim);
}

/// Two Comets get each message once and in order, also across a restart, in far fewer calls.
fn each_once_in_order(kafka: &Kafka, form: Form) {
    let topic = Topic::new(kafka, 4);
    let comets = [Comet::start(), Comet::start()];
    comets[1].answer(|_| Answer::OkAfter(Duration::from_millis(5)));
    for half in [0, MESSAGES / 2] {
        topic.produce(form.messages(half, MESSAGES / 2));
        let mut job = form.start(&topic, &[&comets[0], &comets[1]]);
        topic.await_no_lag();
        job.stop();
    }
    for comet in &comets {
        let calls = comet.calls();
        assert_each_once_in_order(&form.unmerged(&calls), ROOMS, MESSAGES);
        comet.assert_no_overlaps();
        let alone = calls.iter().filter(|call| call.text().starts_with("room"));
        let alone: BTreeSet<_> = alone.map(Call::text).collect();
        for room in 0..ROOMS {
            assert!(
                alone.contains(&format!("room-{room}/49")),
                "it goes alone, as it is"
            );
        }
    }
    let calls = comets[1].calls().len();
    assert!(
        calls < MESSAGES / 2,
        "{calls} calls for {MESSAGES} messages"
    );
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn one_that_is_away_catches_up_on_web_bodies() {
    one_catches_up(Form::Json);
}

#[test]
fn one_that_is_away_catches_up_on_goims_frames() {
    one_catches_up(Form::Goim);
}

/// What was missed and what came live meet in the same rooms.
fn one_catches_up(form: Form) {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comets = [Comet::start(), Comet::start()];
    let [stays, goes] = &comets;
    let of = |comet: &Comet| form.unmerged(&comet.delivered());
    let count = |comet: &Comet| {
        let texts: BTreeSet<_> = of(comet).iter().map(Call::text).collect();
        texts.len()
    };
    let mut sent = 0;
    let mut more = |count| {
        topic.produce(form.messages(sent, count));
        sent += count;
        sent
    };
    let mut job = form.start(&topic, &[stays, goes]);
    more(MESSAGES / 4);
    for comet in &comets {
        await_until("the first messages", || is(count(comet), MESSAGES / 4));
    }
    goes.stop();
    await_until("a Comet that is detached", || {
        more(ROOMS);
        is(job.lines_with(&["is detached", &goes.address()]).len(), 1)
    });
    more(MESSAGES / 2);
    goes.answer(|_| Answer::OkAfter(Duration::from_millis(5)));
    goes.start_again();
    await_until("the first of what it missed", || {
        more(ROOMS);
        is(count(goes) > MESSAGES / 4, true)
    });
    let sent = more(MESSAGES / 4);
    for comet in &comets {
        await_until("all messages", || is(count(comet), sent));
    }
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&of(stays), ROOMS, sent);
    assert_in_order(&of(goes), ROOMS, sent);
    for comet in &comets {
        comet.assert_no_overlaps();
    }
    assert_eq!(topic.dead_letters(), 0);
}

/// Whether a call has this message, alone or with others.
fn has(call: &Call, number: &str) -> bool {
    let text = call.text();
    text.contains(&format!("\"{number}\"")) || text.ends_with(number)
}

/// A Comet that refuses whatever has one of two messages in it: these two are dead letters, and no other.
#[test]
fn of_a_refused_call_only_the_guilty_message_becomes_a_dead_letter() {
    const GUILTY: [&str; 2] = ["room-7/20", "room-7/23"];
    let form = Form::Json;
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    comet.answer(|call| match GUILTY.iter().any(|number| has(call, number)) {
        true => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        false => Answer::OkAfter(Duration::from_millis(5)),
    });
    topic.produce(form.messages(0, MESSAGES));
    let mut job = form.start(&topic, &[&comet]);
    topic.await_no_lag();
    let letters = topic.await_dead_letters(GUILTY.len());
    job.stop();

    let values: Vec<_> = letters
        .values()
        .map(|letter| letter.value.clone())
        .collect();
    let expected = form.messages(0, MESSAGES).filter(|message| {
        let text = String::from_utf8_lossy(&message.msg);
        GUILTY
            .iter()
            .any(|number| text.contains(&format!("\"{number}\"")))
    });
    let expected: Vec<_> = expected.map(|m| Some(Bytes::from(encoded(&m)))).collect();
    assert_eq!(values, expected);
    let merged = |call: &&Call| json_numbers(call).len() > 1;
    let refused = comet.calls();
    let refused = refused
        .iter()
        .filter(|call| call.answer != Some(RpcStatusCode::OK));
    assert!(
        refused.clone().any(|call| merged(&call)),
        "it was never merged"
    );

    // The two are missing, the others came once and in order.
    let mut came = form.unmerged(&comet.delivered());
    for number in GUILTY {
        let sequence: usize = number[7..].parse().expect("a number");
        let behind = format!("room-7/{}", sequence - 1);
        let at = came.iter().position(|call| call.text() == behind);
        let at = at.expect("the one before it came") + 1;
        let mut guilty = came[at - 1].clone();
        guilty.body = number.into();
        came.insert(at, guilty);
    }
    assert_each_once_in_order(&came, ROOMS, MESSAGES);
    comet.assert_no_overlaps();
}

/// A Comet that finds merged calls too large gets their messages one by one.
#[test]
fn what_is_too_large_together_goes_one_by_one() {
    let form = Form::Goim;
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    comet.answer(|call| match call.body.len() {
        100.. => Answer::Status(RpcStatusCode::RESOURCE_EXHAUSTED),
        _ => Answer::OkAfter(Duration::from_millis(2)),
    });
    topic.produce(form.messages(0, MESSAGES / 4));
    let mut job = form.start(&topic, &[&comet]);
    topic.await_no_lag();
    job.stop();
    assert!(comet.calls().len() > comet.count(), "nothing was too large");
    assert_each_once_in_order(&form.unmerged(&comet.delivered()), ROOMS, MESSAGES / 4);
    comet.assert_no_overlaps();
    assert_eq!(topic.dead_letters(), 0);
}

/// kill -9 while merged calls are in flight, and a Comet that goes away and comes back.
#[test]
fn nothing_is_lost_at_a_kill_or_with_the_comet_down() {
    for form in [Form::Json, Form::Goim] {
        let topic = Topic::new(shared(Version::V3_9_1), 4);
        let comet = Comet::start();
        comet.slow_down_after(60);
        topic.produce(form.messages(0, MESSAGES));
        let mut job = form.start(&topic, &[&comet]);
        comet.await_delivered(60);
        job.kill();
        comet.forget_in_flight();
        let before = form.unmerged(&comet.delivered()).len();
        assert!(before < MESSAGES, "the kill came too late to show anything");
        comet.answer(|_| Answer::OkAfter(Duration::from_millis(20)));

        let mut job = form.start(&topic, &[&comet]);
        comet.await_delivered(comet.count() + 40);
        comet.stop();
        comet.start_again();
        topic.await_no_lag();
        job.stop();
        assert_in_order(&form.unmerged(&comet.delivered()), ROOMS, MESSAGES);
        comet.assert_no_overlaps();
        assert_eq!(topic.dead_letters(), 0);
    }
}
