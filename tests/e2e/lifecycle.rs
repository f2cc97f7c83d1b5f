//! How job ends: by signals, with what is in flight, and while something around it is down.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::comet::{Answer, Comet};
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, numbered, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

on_each_kafka!(a_stop_finishes_what_is_in_flight);

const ROOMS: usize = 100;
const MESSAGES: usize = 5_000;

fn a_stop_finishes_what_is_in_flight(kafka: &Kafka) {
    stop_half_way(kafka, Signal::SIGTERM);
}

#[test]
fn sigint_stops_as_sigterm_does() {
    stop_half_way(shared(Version::V3_9_1), Signal::SIGINT);
}

#[test]
fn sighup_stops_as_sigterm_does() {
    stop_half_way(shared(Version::V3_9_1), Signal::SIGHUP);
}

/// A slow Comet has a call of every room when the signal comes. All of them are answered before job ends, and the
/// next job goes on behind them.
fn stop_half_way(kafka: &Kafka, signal: Signal) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    comet.answer(|_| Answer::OkAfter(Duration::from_secs(1)));
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic.job(&[&comet]).start();
    comet.await_delivered(ROOMS);

    job.signal(signal);
    let status = job.await_exit();
    assert!(status.success(), "job ended with {status}");
    let unanswered = comet.calls().len() - comet.count();
    assert_eq!(unanswered, 0, "calls that job did not wait for");
    let delivered = comet.count();
    assert!((ROOMS..MESSAGES).contains(&delivered), "{delivered}");
    assert_eq!(kafka.members(&topic.group).len(), 0, "it left the group");
    job.await_line(&["stopped", &delivered.to_string()]);

    comet.answer(|_| Answer::Ok);
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
}

/// One call ends after the signal, and is committed while another goes on. The stop ends with that one, not when its time
/// is up.
#[test]
fn a_stop_ends_with_the_last_call_in_flight() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    comet.answer(|call| match call.room.as_str() {
        "quick" => Answer::OkAfter(Duration::from_millis(1_500)),
        _ => Answer::OkAfter(Duration::from_secs(4)),
    });
    let job = topic.job(&[&comet]).flag("--call-timeout", "10m");
    let mut job = job.flag("--shutdown-timeout", "10m").start();
    topic.produce([numbered("quick", 0), numbered("slow", 0)]);
    await_until("the calls", || is(comet.calls().len(), 2));
    job.stop();
    assert_eq!(comet.count(), 2);
    assert_eq!(topic.lag(), 0, "{:?}", job.log());
}

#[test]
fn a_stop_while_comet_is_down_ends_within_the_shutdown_timeout() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comet = Comet::not_started();
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = topic
        .job(&[&comet])
        .flag("--shutdown-timeout", "1s")
        .start();
    job.await_line(&["RPC failed: "]);
    job.stop();
    assert_eq!(topic.lag(), MESSAGES as i64);

    comet.start_again();
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(MESSAGES);
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    comet.answer(|_| Answer::Hang);
    topic.produce(over_rooms(1, 0, 1));
    let job = topic.job(&[&comet]).flag("--call-timeout", "10m");
    let mut job = job.flag("--shutdown-timeout", "10m").start();
    await_until("the call", || is(comet.calls().len(), 1));

    job.signal(Signal::SIGTERM);
    job.await_line(&["Stopping"]);
    // A hang-up is no longer heard once a stop is under way: it shall not be the second signal.
    await_until("the hang-up is ignored", || {
        is(job.ignores(Signal::SIGHUP), true)
    });
    job.signal(Signal::SIGHUP);
    assert_eq!(job.try_exit(), None);
    job.signal(Signal::SIGTERM);
    let status = job.await_exit();
    assert!(!status.success(), "what was in flight is not finished");
}

#[test]
fn a_second_signal_ends_it_at_once_even_while_the_log_is_stuck() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    comet.answer(|_| Answer::Hang);
    topic.produce(over_rooms(ROOMS, 0, 2 * MESSAGES));
    let job = topic.job(&[&comet]).flag("--call-timeout", "10m");
    let job = job.flag("--shutdown-timeout", "10m");
    let job = job.flag("--hold-messages", "20000").log_level("INFO");
    let mut job = job.start_unread();
    job.await_line(&["stderr: ", "the log's reader on standard output is blocked"]);
    // With nothing in flight the first signal alone would end it.
    await_until("a call", || is(comet.calls().is_empty(), false));

    // One that comes before the first is taken is none.
    let status = await_until("its end", || {
        job.signal(Signal::SIGTERM);
        job.try_exit().ok_or("it runs".into())
    });
    assert_eq!(status.code(), Some(130));
}

#[test]
fn a_job_under_nohup_lives_through_sighup() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let mut job = topic
        .configure(JobCommand::under_nohup(), &[&comet])
        .start();
    topic.produce(over_rooms(ROOMS, 0, 1_000));
    comet.await_delivered(1_000);

    job.signal(Signal::SIGHUP);
    topic.produce(over_rooms(ROOMS, 1_000, 1_000));
    comet.await_delivered(2_000);
    topic.await_no_lag();
    assert_eq!(job.try_exit(), None);
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 2_000);
}

#[test]
fn a_stop_while_kafka_is_down_ends_well() {
    let kafka = Kafka::start(Version::V3_9_1);
    let topic = Topic::new(&kafka, 4);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let job = topic.job(&[&comet]).flag("--shutdown-timeout", "2s");
    let mut job = job.log_level("WARN").start();
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    kafka.stop();
    job.stop();

    kafka.start_again();
    topic.produce(over_rooms(ROOMS, MESSAGES, MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    comet.await_delivered(2 * MESSAGES);
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 2 * MESSAGES);
}

#[test]
fn job_goes_on_when_kafka_is_back() {
    goes_on_when_kafka_is_back(Version::V3_9_1, &[]);
}

/// Kafka has forgotten the member by then, or takes its name for another's.
#[test]
fn a_member_with_a_name_goes_on_when_kafka_is_back() {
    let flags = ["--group-instance-id", "a", "--session-timeout", "6s"];
    goes_on_when_kafka_is_back(Version::V3_9_1, &flags);
}

#[test]
fn a_member_with_a_name_of_kafkas_protocol_goes_on_when_kafka_is_back() {
    let flags = ["--group-instance-id", "a", "--group-protocol", "consumer"];
    goes_on_when_kafka_is_back(Version::V4_3_1, &flags);
}

/// Kafka goes away while job works, and comes back: job goes on.
fn goes_on_when_kafka_is_back(version: Version, flags: &[&str]) {
    let kafka = Kafka::start(version);
    let topic = Topic::new(&kafka, 4);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let job = topic.job(&[&comet]).args(flags);
    let mut job = job.log_level("WARN").start();
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    kafka.stop();
    kafka.start_again();
    topic.produce(over_rooms(ROOMS, MESSAGES, MESSAGES));
    comet.await_delivered(2 * MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 2 * MESSAGES);
}

/// A pipe whose reader hangs: messages arrive all the same, and the log says later what it lacks.
#[test]
fn a_stuck_reader_of_the_log_stops_nothing() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, 2 * MESSAGES));
    let mut job = topic.job(&[&comet]).log_level("INFO").start_unread();
    comet.await_delivered(2 * MESSAGES);
    job.await_line(&["stderr: ", "the log's reader on standard output is blocked"]);
    topic.await_no_lag();

    job.read();
    topic.produce(over_rooms(ROOMS, 2 * MESSAGES, MESSAGES));
    comet.await_delivered(3 * MESSAGES);
    job.await_line(&["the log's reader was blocked for ", " dropped"]);
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 3 * MESSAGES);
}

#[test]
fn a_panic_in_a_worker_ends_the_process_and_loses_nothing() {
    a_panic_loses_nothing("worker", "thread worker-");
}

#[test]
fn a_panic_in_decoding_ends_the_process_and_loses_nothing() {
    a_panic_loses_nothing("decode", "thread consumer");
}

/// Half way, so that a part of the messages is committed, a part delivered, and a part not.
fn a_panic_loses_nothing(place: &str, thread: &str) {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comet = Comet::start();
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let job = topic.job(&[&comet]).flag("--session-timeout", "6s");
    let mut job = job
        .log_level("WARN")
        .fault(&format!("{place}=2000*off->panic"))
        .start();
    job.await_line(&["bug: ", thread, "panicked"]);
    let status = job.await_exit();
    assert!(!status.success(), "a supervisor has to see it: {status}");

    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_no_lag();
    job.stop();
    assert_in_order(&comet.calls(), ROOMS, MESSAGES);
}
