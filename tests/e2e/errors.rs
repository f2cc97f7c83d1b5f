//! What job says when something is wrong: the lines that its operators search for.

use std::collections::BTreeSet;
use std::time::Duration;

use chatroom_job::message::proto::push::PushMsg;

use crate::support::comet::{Answer, Comet};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, numbered, over_rooms, to_room};
use crate::support::topic::Topic;
use crate::support::{await_until, free_port};

on_each_kafka!(a_missing_topic_is_said_and_awaited);

#[test]
fn kafka_that_is_down_is_said_and_awaited() {
    let comet = Comet::start();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut job = JobCommand::new()
        .flag("--brokers", &address)
        .flag("--topic", "later")
        .flag("--comet", &comet.address())
        .start();
    job.await_line(&["Failed to initialize Kafka consumer", &address]);

    let kafka = Kafka::start_at(Version::V3_9_1, port);
    kafka.create_topic("later", 1);
    let topic = Topic {
        kafka: &kafka,
        name: "later".into(),
        group: "my_consumer_group".into(),
    };
    topic.produce(over_rooms(10, 0, 100));
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), 10, 100);
}

fn a_missing_topic_is_said_and_awaited(kafka: &Kafka) {
    let topic = Topic::missing(kafka);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).start();
    job.await_line(&["Failed to initialize Kafka consumer", &topic.name]);
    topic.create(2);
    topic.produce(over_rooms(10, 0, 100));
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), 10, 100);
}

/// Each of what job asks of Kafka fails for a while. It says what, not with each try, and says when it works again. It began
/// long ago, so none of it is a failure to initialize.
#[test]
fn kafka_that_goes_away_is_said_for_what_fails_and_not_with_each_try() {
    let kafka = Kafka::start(Version::V3_9_1);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    comet.answer(|_| Answer::OkAfter(Duration::from_millis(500)));
    // One after the other, so that there is always something new to commit.
    topic.produce((0..1_000).map(|n| numbered("room", n)));
    let job = topic.job(&[&comet]).flag("--session-timeout", "5m");
    let mut job = job.log_level("INFO").start();
    comet.await_delivered(4);
    kafka.stop();
    job.await_line(&["WARN", "committing offsets failed: "]);
    job.await_line(&["WARN", "asking who of group", "failed: "]);
    // A commit is tried each second meanwhile.
    let by_then = comet.count();
    comet.await_delivered(by_then + 24);
    let commits = job.lines_with(&["committing offsets failed: "]);
    assert!(commits.len() <= 4, "{commits:?}");
    let looks = job.lines_with(&["asking who of group", "failed: "]);
    assert_eq!(looks.len(), 1, "{looks:?}");

    kafka.start_again();
    job.await_line(&["INFO", "committing offsets works again, after "]);
    job.await_line(&["INFO", "asking who of group", "works again, after "]);
    comet.answer(|_| Answer::Ok);
    topic.await_no_lag();
    assert_eq!(job.lines_with(&["Failed to initialize"]), [""; 0]);
    job.stop();
}

/// Every message of every room fails, many times a second; the log says so about once a second, with a count.
#[test]
fn a_comet_that_is_down_is_said_once_a_second() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::not_started();
    topic.produce(over_rooms(100, 0, 1_000));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    let lines = await_until("some lines about the Comet", || {
        let lines = job.lines_with(&["RPC failed: ", "UNAVAILABLE", &comet.address()]);
        match lines.len() {
            0..3 => Err(format!("{} came", lines.len())),
            _ => Ok(lines),
        }
    });
    let times: Vec<_> = lines.iter().map(|line| second_of_day(line)).collect();
    for pair in times.windows(2) {
        // Midnight may pass between them.
        let apart = (pair[1] - pair[0]).rem_euclid(86_400.0);
        assert!(apart > 0.9, "{lines:#?}");
    }
    assert_eq!(job.try_exit(), None);
    comet.start_again();
    comet.await_delivered(1_000);
    job.stop();
    assert_each_once_in_order(&comet.delivered(), 100, 1_000);
}

/// The time of a line such as `20261123 06:49:37.468688Z …`, in seconds since midnight.
fn second_of_day(line: &str) -> f64 {
    let time = line.split(' ').nth(1).and_then(|t| t.strip_suffix('Z'));
    let parts: Vec<f64> = time
        .unwrap_or_default()
        .split(':')
        .map(|part| part.parse().unwrap_or(f64::NAN))
        .collect();
    let [h, m, s] = parts[..] else {
        panic!("no time in {line}");
    };
    h * 3600.0 + m * 60.0 + s
}

/// The block of five lines for each message stays together while four workers log.
#[test]
fn each_message_is_shown_in_a_block() {
    const MESSAGES: usize = 2_000;
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comet = Comet::start();
    topic.produce(over_rooms(50, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("TRACE").start();
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();

    let bodies: BTreeSet<_> = blocks(&job).into_iter().map(|block| block.msg).collect();
    let expected: BTreeSet<_> = (0..MESSAGES)
        .map(|n| format!("room-{}/{}", n % 50, n / 50))
        .collect();
    assert_eq!(bodies, expected);
}

struct Block {
    kind: String,
    operation: String,
    room: String,
    msg: String,
}

/// All blocks in a job's log; panics where one is torn.
fn blocks(job: &Job) -> Vec<Block> {
    let log = job.log();
    let starts = (0..log.len()).filter(|n| log[*n].ends_with("Received PushMsg:"));
    starts
        .map(|n| {
            let field = |line: usize, name: &str| {
                let text = log.get(n + line).map(String::as_str).unwrap_or_default();
                let value = text.strip_prefix(name);
                value
                    .unwrap_or_else(|| panic!("not {name}: {text}"))
                    .to_owned()
            };
            let msg = field(4, "  msg: ");
            // Each entry of the log ends with the place in the code that it comes from.
            let (msg, place) = msg.rsplit_once(" - ").expect("a place in the code");
            assert!(place.contains(".rs:"), "{place}");
            Block {
                kind: field(1, "  Type: "),
                operation: field(2, "  Operation: "),
                room: field(3, "  roomId: "),
                msg: msg.to_owned(),
            }
        })
        .collect()
}

/// Whatever a body holds, its block has five lines that a terminal can show.
#[test]
fn a_block_shows_any_body() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let long = "x".repeat(5_000);
    topic.produce([
        PushMsg {
            operation: 7,
            ..to_room("general", "hello, 你好")
        },
        to_room("general", vec![b'a', 0xff, 0x00, b'z']),
        to_room("general", "two\nlines\u{1b}[31m"),
        to_room("general", long.clone()),
    ]);
    let mut job = topic.job(&[&comet]).log_level("info").start();
    comet.await_delivered(4);
    job.stop();

    let blocks = blocks(&job);
    assert_eq!(blocks.len(), 4);
    assert!(blocks.iter().all(|b| b.kind == "1" && b.room == "general"));
    assert_eq!(blocks[0].operation, "7");
    assert_eq!(blocks[0].msg, "hello, 你好");
    assert!(blocks[1].msg.starts_with('a') && blocks[1].msg.ends_with('z'));
    assert!(blocks[1].msg.contains("ff"), "{}", blocks[1].msg);
    assert!(blocks[2].msg.contains("\\n") && !blocks[2].msg.contains('\u{1b}'));
    let shown = &blocks[3].msg;
    assert!(shown.starts_with(&long[..1024]) && !shown.starts_with(&long[..1025]));
    assert!(
        shown.contains("5000"),
        "it says what was cut: {}",
        &shown[1024..]
    );
}

#[test]
fn a_log_shows_all_some_or_no_messages() {
    for (which, shown) in [("on", 10), ("sample:4", 3), ("off", 0)] {
        let (topic, comet) = (Topic::new(shared(Version::V3_9_1), 1), Comet::start());
        topic.produce((0..10).map(|n| numbered("general", n)));
        let job = topic.job(&[&comet]).flag("--log-messages", which);
        let mut job = job.log_level("info").start();
        comet.await_delivered(10);
        job.stop();
        assert_eq!(blocks(&job).len(), shown, "{which}");
    }
}

/// Each line of the log begins as muduo's do, blocks aside.
#[test]
fn lines_look_like_muduos() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    topic.produce(over_rooms(1, 0, 1));
    let mut job = topic.job(&[&comet]).log_level("nonsense").start();
    comet.await_delivered(1);
    job.stop();
    job.await_line(&["WARN", "MUDUO_LOG_LEVEL", "nonsense"]);
    let log = job.log();
    assert!(blocks(&job).len() == 1, "at a wrong level, INFO is used");
    for line in log.iter().filter(|line| !line.starts_with("  ")) {
        let fields: Vec<_> = line.split_whitespace().take(4).collect();
        let [date, time, thread, level] = fields[..] else {
            panic!("not a line of muduo's: {line}");
        };
        assert!(date.len() == 8 && date.parse::<u32>().is_ok(), "{line}");
        assert!(time.len() == 16 && second_of_day(line) >= 0.0, "{line}");
        assert!(thread.parse::<u32>().is_ok(), "{line}");
        assert!(["INFO", "WARN", "ERROR"].contains(&level), "{line}");
    }
}
