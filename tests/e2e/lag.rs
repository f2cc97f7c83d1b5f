//! How far behind job is, in records and in seconds: with timestamps and without, and while nothing is read.

use std::time::Duration;

use chatroom_job::observe::status::Status;

use crate::support::comet::{Answer, Comet};
use crate::support::command;
use crate::support::http::Pages;
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;

const SECONDS: &str = "job_lag_seconds";

fn topic(partitions: i32) -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), partitions)
}

fn start(command: JobCommand, fetch: &str) -> (Job, Pages) {
    let command = command.flag("--http", "127.0.0.1:0").flag("--fetch", fetch);
    let command = command.fault("lag-every=return(300)").log_level("INFO");
    let mut job = command.start();
    let pages = Pages::of(&mut job);
    (job, pages)
}

/// A Comet that takes nothing until it is let.
fn closed() -> Comet {
    let comet = Comet::start();
    comet.answer(|_| Answer::Hang);
    comet
}

#[test]
fn what_waited_before_the_start_is_as_old_as_its_timestamps() {
    for fetch in ["classic", "modern"] {
        let topic = topic(2);
        let comet = closed();
        let hour = Duration::from_secs(3_600);
        topic.produce_old(over_rooms(20, 0, 20), hour);
        let (mut job, pages) = start(topic.job(&[&comet]), fetch);
        let numbers = pages.await_metrics("an hour in both partitions", |now| {
            now.sum(SECONDS, &["partition=\"0\""]) >= 3_600.0
                && now.sum(SECONDS, &["partition=\"1\""]) >= 3_600.0
        });
        assert!(numbers.sum(SECONDS, &[]) < 2.0 * 4_000.0);
        let (_, text) = pages.get("/status.json");
        let status: Status = serde_json::from_str(&text).expect("a status");
        let seconds = status.partitions.iter().map(|one| one.lag_seconds);
        assert!(seconds.clone().all(|lag| lag >= Some(3_600.0)), "{text}");
        let shown = command::job(&["status", "--http", pages.address()]).well();
        assert!(
            shown.contains("LAG TIME") && shown.contains("60 min"),
            "{shown}"
        );
        job.kill();
    }
}

#[test]
fn what_comes_while_job_runs_needs_no_timestamps() {
    for fetch in ["classic", "modern"] {
        let topic = topic(1);
        let comet = Comet::start();
        let (mut job, pages) = start(topic.job(&[&comet]), fetch);
        topic.produce(over_rooms(1, 0, 10));
        comet.await_delivered(10);
        pages.await_metrics("no lag", |now| {
            now.count(SECONDS, &[]) == 1 && now.sum(SECONDS, &[]) == 0.0
        });
        comet.answer(|_| Answer::Hang);
        // The producer's clock is wrong by an hour: that is no lag.
        topic.produce_old(over_rooms(1, 10, 5), Duration::from_secs(3_600));
        let numbers =
            pages.await_metrics("a lag of two seconds", |now| now.sum(SECONDS, &[]) > 2.0);
        assert!(numbers.sum(SECONDS, &[]) < 3_000.0);
        assert_eq!(numbers.sum("job_lag_records", &[]), 5.0);
        job.kill();
    }
}

#[test]
fn what_comes_while_nothing_is_read_counts() {
    let topic = topic(1);
    let comet = closed();
    let command = topic.job(&[&comet]).flag("--hold-messages", "10");
    let (mut job, pages) = start(command, "auto");
    topic.produce(over_rooms(5, 0, 50));
    pages.await_metrics("the cap", |now| now.sum("job_messages_held", &[]) >= 10.0);
    // Reading pauses, so no fetch tells of these.
    topic.produce(over_rooms(5, 50, 1_000));
    pages.await_metrics("all of them", |now| {
        now.sum("job_lag_records", &[]) == 1_050.0 && now.sum(SECONDS, &[]) > 1.0
    });
    job.kill();
}
