//! What a Comet says with its statuses is shown as one short line, wherever that is.

use grpcio::RpcStatusCode;

use crate::support::comet::{Answer, Comet, Rpc};
use crate::support::command::job;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{numbered, over_rooms};
use crate::support::topic::Topic;

/// Would be a line of the log by itself, in red, and is longer than gRPC's own limit on such texts.
fn odd_text() -> String {
    let rest = "x".repeat(20_000);
    format!("no such room\r\x1b[31m\n{FORGED} - file.rs:1\n{rest}")
}

const FORGED: &str = "20261123 06:49:37.468688Z 1 ERROR forged";

const SHOWN: &str =
    "3-INVALID_ARGUMENT no such room\\r\\u{1b}[31m\\n20261123 06:49:37.468688Z 1 ERROR forged";

#[test]
fn a_status_text_is_one_short_line_in_log_dead_letter_and_check() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    comet.answer(|call| match call.rpc {
        Rpc::BroadcastRoom if call.room == "other" => Answer::Ok,
        _ => Answer::Said(RpcStatusCode::INVALID_ARGUMENT, odd_text()),
    });
    topic.produce(over_rooms(1, 0, 1));
    topic.produce([numbered("other", 0)]);
    let mut running = topic.job(&[&comet]).log_level("WARN").start();
    let letters = topic.await_dead_letters(1);
    topic.await_no_lag();
    running.stop();

    // A refusal stays one: it isn't sent again.
    assert_eq!(comet.calls().len(), 2);
    let log = running.log();
    let said = running.lines_with(&[&format!("RPC failed: {SHOWN}")]);
    assert_eq!(said.len(), 1, "{log:#?}");
    for line in &log {
        assert!(
            line.len() < 600 && !line.contains(char::is_control),
            "{line}"
        );
        assert!(!line.starts_with(FORGED), "{line}");
    }

    let letter = letters.values().next().expect("there is one");
    let why = letter.header_str("job.error").expect("it says why");
    let begins = format!("refused by Comet {}: {SHOWN}", comet.address());
    assert!(why.starts_with(&begins), "{why}");
    assert!(why.len() < 400 && !why.contains(char::is_control), "{why}");

    let args = ["check", "--brokers", &topic.kafka.address()];
    let rest = ["--topic", &topic.name, "--comet", &comet.address()];
    let ended = job(&[&args[..], &rest].concat());
    let line = format!("✗ Comet {}: {SHOWN}", comet.address());
    let found = ended.out.lines().find(|found| found.starts_with(&line));
    let found = found.unwrap_or_else(|| panic!("no {line}: {}", ended.out));
    assert!(
        found.len() < 400 && !found.contains(char::is_control),
        "{found}"
    );
}
