//! What is committed, whatever the broker makes of a commit, and what a member does that Kafka no longer knows.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chatroom_job::message::offset_map;
use nix::sys::signal::Signal;

use crate::rebalance::await_members;
use crate::support::comet::{Answer, Call, Comet};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Kafka, Version, shared};
use crate::support::messages::{assert_each_once_in_order, numbered, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

/// The broker takes 64 bytes beside an offset, and a room hangs from the first message on. What is finished above it still
/// goes along, as far as that reaches.
#[test]
fn a_broker_that_takes_little_metadata_gets_less() {
    const BEFORE: usize = 2_000;
    const HOLES: usize = 100;
    let settings = ["offset.metadata.max.bytes=64"];
    let kafka = Kafka::start_with(Version::V3_9_1, &settings);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    comet.answer(|call| match call.room.as_str() {
        "hangs" => Answer::Hang,
        _ => Answer::Ok,
    });
    let holes = (1..=HOLES).flat_map(|n| [numbered("hangs", n), numbered("holes", n - 1)]);
    topic.produce(
        std::iter::once(numbered("hangs", 0))
            .chain(over_rooms(50, 0, BEFORE))
            .chain(holes),
    );
    let job = topic.job(&[&comet]).flag("--call-timeout", "10m");
    let mut job = job.flag("--session-timeout", "6s").start();
    comet.await_delivered(BEFORE + HOLES);
    await_until("a commit of what is finished above the hole", || {
        let committed = kafka.committed(&topic.group, &topic.name);
        let commit = committed.get(&0).cloned().ok_or("there is none")?;
        let offset = commit.offset.unwrap_or_default();
        let map = commit.metadata.unwrap_or_default();
        assert!(map.len() <= 64, "{map}");
        let finished = offset_map::decode(offset, &map)?.finished;
        match finished.first() {
            Some(run) if (run.start, run.end) == (1, BEFORE as i64 + 1) => Ok(()),
            _ => Err(format!("it is {finished:?} above {offset}")),
        }
    });
    // It is said once, not with each commit.
    topic.produce((HOLES..2 * HOLES).map(|n| numbered("holes", n)));
    comet.await_delivered(BEFORE + 2 * HOLES);
    let said = job.lines_with(&["WARN", "offset.metadata.max.bytes"]);
    assert_eq!(said.len(), 1, "{said:?}");
    job.kill();

    comet.forget_in_flight();
    comet.answer(|_| Answer::Ok);
    let mut job = topic.job(&[&comet]).start();
    topic.await_no_lag();
    job.stop();
    let mut times = HashMap::<String, usize>::new();
    for call in comet.delivered() {
        *times.entry(call.text()).or_default() += 1;
    }
    assert_eq!(times.len(), 1 + BEFORE + HOLES + 2 * HOLES, "messages lost");
    let again = times.values().filter(|&&times| times > 1).count();
    assert!(again <= 2 * HOLES, "{again} messages came again");
}

/// The broker closes a connection that is idle, and the next thing that job has to say on it is its last commit.
#[test]
fn the_last_commit_finds_its_connection_closed() {
    const ROOMS: usize = 5;
    let kafka = Kafka::start_with(Version::V3_9_1, &["connections.max.idle.ms=5000"]);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).start();
    for round in 0..2 {
        topic.produce(over_rooms(ROOMS, round * ROOMS, ROOMS));
        comet.await_delivered((round + 1) * ROOMS);
        topic.await_no_lag();
        await_until("a connection that the broker closed", || {
            is(job.half_closed(kafka.port()) > 0, true)
        });
    }

    comet.answer(|_| Answer::OkAfter(Duration::from_secs(1)));
    topic.produce(over_rooms(ROOMS, 2 * ROOMS, ROOMS));
    await_until("the calls", || is(comet.calls().len(), 3 * ROOMS));
    job.stop();
    assert_eq!(topic.lag(), 0, "{:?}", job.log());
    let failed = job.lines_with(&["commit", "failed"]);
    assert!(failed.is_empty(), "{failed:?}");

    comet.answer(|_| Answer::Ok);
    let mut job = topic.job(&[&comet]).start();
    topic.produce(over_rooms(ROOMS, 3 * ROOMS, ROOMS));
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 4 * ROOMS);
}

/// The coordinator of the group hangs when job is to stop: it ends in its time.
#[test]
fn a_stop_with_kafka_frozen_ends_in_time() {
    let kafka = Kafka::start(Version::V3_9_1);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    topic.produce(over_rooms(5, 0, 5));
    let job = topic.job(&[&comet]).flag("--shutdown-timeout", "3s");
    let mut job = job.start();
    topic.await_no_lag();
    comet.answer(|_| Answer::OkAfter(Duration::from_secs(1)));
    topic.produce(over_rooms(5, 5, 5));
    await_until("the calls", || is(comet.calls().len(), 10));
    kafka.freeze();
    job.stop();
    job.await_line(&["time is up: leaving without a last commit"]);
    kafka.thaw();
}

mod a_frozen_member_sends_nothing_that_another_delivered {
    use super::*;

    #[test]
    fn kafka_3_9_1() {
        frozen_beside_another(shared(Version::V3_9_1));
    }

    #[test]
    fn kafka_4_3_1() {
        frozen_beside_another(shared(Version::V4_3_1));
    }
}

const ROOMS: usize = 200;
const MESSAGES: usize = 2_000;
const SESSION: Duration = Duration::from_secs(6);

/// Calls have time: none of them is to fail because its deadline passed meanwhile.
fn with_short_session(topic: &Topic, comet: &Comet) -> JobCommand {
    let job = topic.job(&[comet]).flag("--session-timeout", "6s");
    job.flag("--call-timeout", "10m")
}

/// Freezes a job that has its hands full, and lets another deliver all of it. Returns how many calls were made by then.
fn freeze_while_another_delivers(
    topic: &Topic,
    comet: &Comet,
    frozen: &Job,
    start_another: impl FnOnce() -> Option<Job>,
) -> (usize, Option<Job>) {
    // No second call of a room is begun before the freeze, however late that comes: it would leave after the thaw.
    let later = Answer::OkAfter(Duration::from_secs(5));
    comet.answer(move |_| later.clone());
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    comet.await_delivered(ROOMS);
    frozen.freeze();
    let since = Instant::now();
    comet.answer(|_| Answer::Ok);
    let another = start_another();
    topic.await_no_lag();
    // One that stands still for less than half a session doesn't notice it.
    await_until("a session's time", || is(since.elapsed() >= SESSION, true));
    await_until("an answer to each call", || {
        is(comet.delivered().len(), comet.calls().len())
    });
    (comet.calls().len(), another)
}

fn texts(calls: &[Call]) -> Vec<String> {
    let mut texts: Vec<String> = calls.iter().map(Call::text).collect();
    texts.sort();
    texts
}

fn frozen_beside_another(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    let [mut frozen, mut stays] = [(); 2].map(|()| with_short_session(&topic, &comet).start());
    await_members(&topic, 2);
    let (calls, _) = freeze_while_another_delivers(&topic, &comet, &frozen, || None);

    frozen.thaw();
    await_members(&topic, 2);
    let new: Vec<_> = over_rooms(ROOMS, MESSAGES, ROOMS).collect();
    let mut expected: Vec<String> = new
        .iter()
        .map(|message| String::from_utf8_lossy(&message.msg).into_owned())
        .collect();
    expected.sort();
    topic.produce(new);
    topic.await_no_lag();
    frozen.stop();
    stays.stop();
    assert_eq!(texts(&comet.calls()[calls..]), expected);
}

/// Kafka gives another process the name of one that is frozen, and all that it had.
#[test]
fn a_member_whose_name_another_took_sends_nothing_more() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comet = Comet::start();
    let named = || {
        let job = with_short_session(&topic, &comet);
        job.flag("--group-instance-id", "named").start()
    };
    let mut frozen = named();
    await_members(&topic, 1);
    let (calls, another) = freeze_while_another_delivers(&topic, &comet, &frozen, || Some(named()));

    frozen.thaw();
    frozen.await_line(&["Another process is in group"]);
    assert_eq!(frozen.lines_with(&["Failed to initialize"]), [""; 0]);
    frozen.signal(Signal::SIGKILL);
    drop(another);
    // The calls that a worker was just starting together may still leave.
    let late = texts(&comet.calls()[calls..]);
    assert!(late.len() <= 64, "{late:?}");
}
