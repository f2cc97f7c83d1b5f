//! What the log says while messages go through, in each of its forms.

use bytes::Bytes;
use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use chatroom_job::observe::status::Status;
use grpcio::RpcStatusCode;
use krafka::Record;
use serde_json::Value;

use crate::support::comet::{Answer, Comet};
use crate::support::http::Pages;
use crate::support::job::Job;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{over_rooms, to_room};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

#[test]
fn a_line_sums_up_what_was_done_lately() {
    const COUNT: usize = 200;
    let topic = Topic::new(shared(Version::V4_3_1), 2);
    let comet = Comet::start();
    let mut job = topic
        .job(&[&comet])
        .flag("--log-format", "json")
        .flag("--log-messages", "off")
        .log_level("INFO")
        .fault("summary-every=return(1000)")
        .start();
    topic.produce(over_rooms(10, 0, COUNT));
    comet.await_delivered(COUNT);
    let sums = |job: &Job| -> Vec<Value> {
        let lines = job.lines_with(&["\"message\":\"last 1 s: "]);
        let object = |line: &String| serde_json::from_str(line).expect("it is JSON");
        lines.iter().map(object).collect()
    };
    await_until("a line that says how long messages took", || {
        is(sums(&job).iter().any(|sum| sum["p99_ms"].is_number()), true)
    });
    await_until("all of them in the lines' rates", || {
        let rates = sums(&job);
        let rates = rates
            .iter()
            .filter_map(|sum| sum["messages_per_second"].as_f64());
        is(rates.sum::<f64>() >= 0.5 * COUNT as f64, true)
    });
    for sum in sums(&job) {
        assert_eq!(sum["level"], "INFO");
        let fields = [
            "lag_records",
            "in_flight",
            "held",
            "retries",
            "dead_letters",
        ];
        for field in fields {
            assert!(sum[field].is_number() || field == "lag_records", "{sum}");
        }
        let text = sum["message"].as_str().unwrap_or_default();
        assert!(
            text.ends_with(" retries, 0 dead letters") && text.contains(" messages/s, p50 "),
            "{text}"
        );
    }
    job.stop();
}

#[test]
fn errors_that_repeat_are_counted() {
    const COUNT: usize = 300;
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let comet = Comet::start();
    let bad = |n: usize| Record::new(&topic.name, vec![0xff; 1 + n % 7]);
    topic.kafka.produce((0..COUNT).map(bad));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_dead_letters(COUNT);
    job.stop();
    let lines = job.lines_with(&["Failed to parse message as PushMsg"]);
    let counted = |line: &String| -> usize {
        let more = line.split(" … and ").nth(1);
        let more = more.and_then(|more| more.split(' ').next());
        1 + more.map_or(0, |more| more.parse().expect("a number"))
    };
    let told: usize = lines.iter().map(counted).sum();
    assert_eq!(told, COUNT, "{lines:#?}");
    assert!(lines.len() < COUNT / 10, "{lines:#?}");
    assert!(lines[0].contains("offset 0)"), "{lines:#?}");
    let last = format!("offset {})", COUNT - 1);
    assert!(lines.last().is_some_and(|line| line.contains(&last)));
}

/// Would be a line of the log by itself, in red, and is longer than anybody reads.
fn odd(what: &str) -> String {
    let rest = "x".repeat(10_000);
    format!(
        "{what}\r\n20261123 06:49:37.468688Z 1 ERROR forged\x1b[31m\u{202e}\u{2028}\0\u{7f}{rest}"
    )
}

/// Messages with odd texts at each place that a message has.
fn odd_messages() -> Vec<PushMsg> {
    let user = PushMsg {
        type_: Type::PUSH.into(),
        server: odd("server"),
        keys: vec![odd("user"), "user".into()],
        msg: Bytes::from_static(b"\xff\xfe\x1b[31m\nbody"),
        ..Default::default()
    };
    let only = PushMsg {
        only: odd("comet"),
        ..to_room("r1", "hello")
    };
    vec![to_room(&odd("room"), odd("body")), user, only]
}

fn is_plain(text: &str) {
    let is_odd = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
    assert!(!text.contains(is_odd), "{text:?}");
    assert!(text.len() < 4_000, "{text}");
    assert!(
        !text.starts_with("20261123 06:49:37.468688Z 1 ERROR"),
        "{text}"
    );
}

#[test]
fn texts_from_outside_forge_nothing_in_any_form() {
    for format in ["muduo", "json", "journal"] {
        let topic = Topic::new(shared(Version::V4_3_1), 1);
        let comet = Comet::start();
        comet.answer(|_| Answer::Said(RpcStatusCode::INVALID_ARGUMENT, odd("status")));
        topic.produce(odd_messages());
        // A room that is no UTF-8, and one that isn't protobuf at all.
        let mut broken = vec![0x08, 1, 0x2a, 4, 0xff, 0x1b, b'\n', 0xfe];
        broken.extend(odd("value").into_bytes());
        let broken = Record::new(&topic.name, broken).key(odd("key").into_bytes());
        topic.kafka.produce([broken]);
        let mut job = topic
            .job(&[&comet])
            .flag("--log-format", format)
            .flag("--http", "127.0.0.1:0")
            .log_level("TRACE")
            .start();
        let pages = Pages::of(&mut job);
        let letters = topic.await_dead_letters(4);
        for letter in letters.values() {
            is_plain(letter.header_str("job.error").expect("it says why"));
        }
        let (_, document) = pages.get("/status.json");
        let status: Status = serde_json::from_str(&document).expect("it is JSON");
        assert!(!status.last_errors.is_empty());
        for line in &status.last_errors {
            is_plain(&line.text);
        }
        job.stop();
        let log = job.log();
        assert!(
            log.iter()
                .any(|line| line.contains("RPC failed: 3-INVALID_ARGUMENT status\\"))
        );
        assert!(
            log.iter()
                .any(|line| line.contains("room\\") && line.contains("roomId:"))
        );
        for line in &log {
            is_plain(line);
            match format {
                "json" => {
                    let object: Value = serde_json::from_str(line).expect("it is JSON");
                    assert!(object["message"].is_string(), "{line}");
                }
                "journal" => assert!(line.starts_with('<'), "{line}"),
                _ => {}
            }
        }
    }
}
