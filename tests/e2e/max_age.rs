//! Messages that are older than `--max-age` when their turn comes.

use std::time::Duration;

use chatroom_job::message::proto::push::PushMsg;

use crate::support::comet::{Call, Comet};
use crate::support::job::Job;
use crate::support::kafka::{Version, shared};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;

const ROOMS: usize = 5;
const SOME: usize = 50;
const HOUR: Duration = Duration::from_secs(3_600);

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 2)
}

/// Writes messages over rooms, the first of them with the number `from`, an hour ago.
fn produce_old(topic: &Topic<'_>, from: usize) {
    topic.produce_old(over_rooms(ROOMS, from, SOME), HOUR);
}

fn texts(comet: &Comet) -> Vec<String> {
    let mut texts: Vec<_> = comet.delivered().iter().map(Call::text).collect();
    texts.sort_unstable();
    texts
}

fn due(from: usize) -> Vec<String> {
    let text = |message: PushMsg| String::from_utf8_lossy(&message.msg).into_owned();
    let mut texts: Vec<_> = over_rooms(ROOMS, from, SOME).map(text).collect();
    texts.sort_unstable();
    texts
}

/// Writes old messages and then new ones, and starts a job. Returns it when the new ones are there.
fn deliver_only_new(topic: &Topic<'_>, comet: &Comet, action: &str) -> Job {
    produce_old(topic, 0);
    topic.produce(over_rooms(ROOMS, SOME, SOME));
    let job = topic
        .job(&[comet])
        .flag("--max-age", "10m")
        .flag("--max-age-action", action)
        .start();
    comet.await_delivered(SOME);
    job
}

#[test]
fn what_is_older_is_skipped_and_counted() {
    let topic = topic();
    let comet = Comet::start();
    let mut job = deliver_only_new(&topic, &comet, "skip");
    topic.await_no_lag();
    let line = "messages skipped: older than --max-age allows";
    job.await_line(&["WARN", line]);
    job.stop();
    assert_eq!(texts(&comet), due(SOME));
    let end = job.lines_with(&["stopped after", "50 skipped as too old"]);
    assert_eq!(end.len(), 1, "{:#?}", job.log());
}

#[test]
fn what_is_older_becomes_a_dead_letter_where_that_is_wanted() {
    let topic = topic();
    let comet = Comet::start();
    let mut job = deliver_only_new(&topic, &comet, "dead-letter");
    let letters = topic.await_dead_letters(SOME);
    topic.await_no_lag();
    job.stop();
    assert_eq!(texts(&comet), due(SOME));
    for letter in letters.values() {
        let why = letter.header_str("job.error").unwrap_or_default();
        assert!(why.contains("--max-age"), "{why}");
    }
}

/// What job holds for a Comet that is down gets old there.
#[test]
fn what_got_too_old_while_it_waited_for_a_comet_is_not_sent_when_that_is_back() {
    let topic = topic();
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).flag("--max-age", "1s").start();
    job.await_line(&["partition 1: reading from offset"]);
    comet.stop();
    topic.produce(over_rooms(ROOMS, 0, SOME));
    topic.await_no_lag();
    assert_eq!(texts(&comet), Vec::<String>::new());
    job.stop();
    let end = job.lines_with(&[
        "stopped after",
        "0 messages delivered",
        "50 skipped as too old",
    ]);
    assert_eq!(end.len(), 1, "{:#?}", job.log());
}
