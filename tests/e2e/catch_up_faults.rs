//! Comets that are behind, and what makes it hard for them: caps that fill, brokers that take little, records that are gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;

use crate::catch_up::{
    DEADLINE, IN_FLIGHT, await_caught_up, await_detached, await_missing, await_nothing_missing,
    job, missing, topic, with_deadline,
};
use crate::support::comet::{Answer, Comet, Rpc};
use crate::support::job::Job;
use crate::support::kafka::{Kafka, Version};
use crate::support::messages::{assert_each_once_in_order, numbered, over_rooms};
use crate::support::stream::{Mixed, Stream};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const CAP: usize = 200;

/// Two Comets, one of which hangs while the other one fills what may be held. Only that may detach it.
struct Full {
    topic: Topic<'static>,
    lives: Comet,
    hangs: Comet,
    sent: Mixed,
}

impl Full {
    /// `deadline`: of a call.
    fn start(deadline: &str) -> (Full, Job) {
        let topic = topic();
        let (lives, hangs) = (Comet::start(), Comet::start());
        let mut sent = Mixed::new(&[]);
        sent.produce(&topic, CAP / 2);
        let job = with_deadline(&topic, &[&lives, &hangs], deadline);
        let job = job.flag("--hold-messages", &CAP.to_string());
        let job = job.fault("detach-after=return(600000)").start();
        for comet in [&lives, &hangs] {
            comet.await_delivered(CAP / 2);
        }
        hangs.answer(|_| Answer::Hang);
        let full = Full {
            topic,
            lives,
            hangs,
            sent,
        };
        (full, job)
    }

    /// The one that lives gets far more than what may be held; then the other one is well, and gets all too.
    fn ends_well(self, mut job: Job) {
        self.lives.await_delivered(self.sent.due(&self.lives));
        await_detached(&mut job, &self.hangs);
        self.hangs.answer(|_| Answer::Ok);
        await_caught_up(&mut job, &self.hangs);
        await_nothing_missing(&self.topic);
        job.stop();
        assert_eq!(self.sent.assert_all_in_order(&self.lives), 0);
        assert!(self.sent.assert_all_in_order(&self.hangs) <= IN_FLIGHT);
    }
}

#[test]
fn one_that_hangs_and_fills_what_is_held_stops_the_others_for_a_moment() {
    let (mut full, job) = Full::start(DEADLINE);
    full.sent.produce(&full.topic, 10 * CAP);
    full.ends_well(job);
}

/// Job itself stands still right then: afterwards nobody has delivered anything for a while, and nobody can. No call's deadline
/// passes meanwhile.
#[test]
fn job_stands_still_while_one_that_hangs_fills_what_is_held() {
    let (mut full, job) = Full::start("15s");
    full.sent.produce(&full.topic, 10 * CAP);
    // Less than the cap: it is not detached yet.
    full.lives.await_delivered(CAP / 2 + 1);
    job.freeze();
    let since = Instant::now();
    await_until("4 seconds", || is(since.elapsed().as_secs() >= 4, true));
    job.thaw();
    full.ends_well(job);
}

/// A broker that takes 64 bytes beside an offset: what doesn't fit there lowers the offset instead.
#[test]
fn a_broker_that_takes_little_metadata() {
    const PART: usize = 500;
    let kafka = Kafka::start_with(Version::V3_9_1, &["offset.metadata.max.bytes=64"]);
    let topic = Topic::new(&kafka, 4);
    let comets = [(); 3].map(|()| Comet::start());
    let [stays, goes, goes_too] = &comets;
    let mut sent = Mixed::new(&[stays, goes, goes_too]);
    let start = || job(&topic, &[stays, goes, goes_too]).start();
    let mut first = start();
    sent.produce(&topic, PART);
    for comet in &comets {
        comet.await_delivered(sent.due(comet));
    }
    for comet in [goes, goes_too] {
        comet.stop();
        await_sent_until(&topic, &mut sent, || {
            is(
                first.lines_with(&["is detached", &comet.address()]).len(),
                1,
            )
        });
    }
    sent.produce(&topic, PART);
    stays.await_delivered(sent.due(stays));
    first.kill();
    stays.forget_in_flight();
    let mut second = start();
    // They are behind from its first record on, so it may never find out that they are away.
    sent.produce(&topic, PART);
    stays.await_delivered(sent.due(stays));
    goes.start_again();
    await_until("what the first one missed", || {
        is(goes.count() >= sent.due(goes), true)
    });
    second.stop();
    goes_too.start_again();
    let mut third = start();
    for comet in &comets {
        comet.await_delivered(sent.due(comet));
    }
    await_nothing_missing(&topic);
    third.stop();
    for comet in &comets {
        sent.assert_all_in_order(comet);
    }
}

/// Writes a few messages again and again until `condition` holds: a Comet is detached while others deliver.
fn await_sent_until(
    topic: &Topic<'_>,
    sent: &mut Mixed,
    mut condition: impl FnMut() -> Result<(), String>,
) {
    await_until("what comes of more messages", || {
        sent.produce(topic, 5);
        condition()
    });
}

/// Its probes are well, and each call fails, for 20 seconds.
#[test]
fn one_whose_probes_are_well_and_whose_calls_fail() {
    let topic = topic();
    let (well, sick) = (Comet::start(), Comet::start());
    let healed = Arc::new(AtomicBool::new(false));
    let heal = Arc::clone(&healed);
    sick.answer(
        move |call| match call.rpc == Rpc::Rooms || healed.load(Ordering::Relaxed) {
            true => Answer::Ok,
            false => Answer::Status(RpcStatusCode::UNKNOWN),
        },
    );
    let mut job = job(&topic, &[&well, &sick]).start();
    let stream = Stream::start(&topic, Mixed::new(&[&well, &sick]), 100);
    await_detached(&mut job, &sick);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(20) {
        stream.await_up_to_now(&well);
    }
    assert_eq!(sick.count(), 0);
    heal.store(true, Ordering::Relaxed);
    stream.await_up_to_now(&sick);
    let sent = stream.stop();
    for comet in [&well, &sick] {
        comet.await_delivered(sent.due(comet));
    }
    await_nothing_missing(&topic);
    job.stop();
    for comet in [&well, &sick] {
        assert_eq!(sent.assert_all_in_order(comet), 0);
    }
}

/// Two Comets, one of which is detached and misses `CAP` messages or more.
fn one_behind(topic: &Topic<'_>, job: &mut Job, sent: &mut Mixed, [stays, goes]: [&Comet; 2]) {
    await_sent_until(topic, sent, || {
        is(job.lines_with(&["is detached", &goes.address()]).len(), 1)
    });
    sent.produce(topic, CAP);
    stays.await_delivered(sent.due(stays));
    await_missing(topic, goes, CAP as u64);
}

#[test]
fn one_that_is_behind_leaves_the_fleet() {
    let topic = topic();
    let (stays, goes) = (Comet::start(), Comet::not_started());
    let mut sent = Mixed::new(&[]);
    let mut first = job(&topic, &[&stays, &goes]).start();
    one_behind(&topic, &mut first, &mut sent, [&stays, &goes]);
    first.stop();
    let missed = missing(&topic)[&goes.address()];

    let mut second = job(&topic, &[&stays]).start();
    sent.produce(&topic, CAP);
    stays.await_delivered(sent.due(&stays));
    await_nothing_missing(&topic);
    let said = second.lines_with(&["WARN", &goes.address(), "is no longer in the fleet"]);
    let offsets = |line: &String| {
        let count = line
            .split('(')
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let count = count.unwrap_or_else(|| panic!("{line}"));
        count.parse::<u64>().expect("a number of offsets")
    };
    assert_eq!(said.iter().map(offsets).sum::<u64>(), missed, "{said:#?}");
    second.stop();
    assert_eq!(sent.assert_all_in_order(&stays), 0);
}

/// A message that another one refuses is a dead letter, and the one that is behind gets it all the same.
#[test]
fn another_one_refuses_what_one_misses() {
    let topic = topic();
    let (stays, goes) = (Comet::start(), Comet::not_started());
    stays.answer(|call| match call.room.as_str() {
        "refused" => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        _ => Answer::Ok,
    });
    let mut sent = Mixed::new(&[]);
    let mut job = job(&topic, &[&stays, &goes]).start();
    one_behind(&topic, &mut job, &mut sent, [&stays, &goes]);
    topic.produce([numbered("refused", 0)]);
    let letters = topic.await_dead_letters(1);
    let error = letters.into_values().next();
    let error = error.and_then(|letter| letter.header_str("job.error").map(ToOwned::to_owned));
    let error = error.unwrap_or_default();
    assert!(error.contains("INVALID_ARGUMENT"), "{error}");
    topic.await_no_lag();
    goes.start_again();
    goes.await_delivered(sent.due(&goes) + 1);
    await_caught_up(&mut job, &goes);
    topic.await_no_lag();
    job.stop();
    let texts: Vec<_> = goes.delivered().iter().map(|call| call.text()).collect();
    let refused = texts.iter().filter(|text| *text == "refused/0").count();
    assert_eq!(refused, 1);
    assert_eq!(topic.dead_letters(), 1);
    assert_eq!(goes.count(), sent.due(&goes) + 1);
}

/// What one misses is deleted from Kafka before it is back.
#[test]
fn retention_takes_what_one_misses() {
    const ROOMS: usize = 5;
    let topic = topic();
    let (stays, goes) = (Comet::start(), Comet::not_started());
    let mut sent = Mixed::new(&[]);
    let mut job = job(&topic, &[&stays, &goes]).start();
    one_behind(&topic, &mut job, &mut sent, [&stays, &goes]);
    topic.await_no_lag();
    let deleted = topic.kafka.delete_records(&topic.name);
    let rest = over_rooms(ROOMS, 0, ROOMS * 10);
    topic.produce(rest.map(|mut message| {
        message.room.insert_str(0, "late-");
        message.msg = [b"late-", &message.msg[..]].concat().into();
        message
    }));
    stays.await_delivered(sent.due(&stays) + ROOMS * 10);
    goes.start_again();
    await_caught_up(&mut job, &goes);
    goes.await_delivered(ROOMS * 10);
    await_nothing_missing(&topic);
    let said = job.lines_with(&["ERROR", &goes.address(), "deleted by the topic's retention"]);
    let records = |line: &String| {
        let count = line.split(" now: ").nth(1);
        let count = count.and_then(|rest| rest.split(' ').next());
        let count = count.unwrap_or_else(|| panic!("{line}"));
        count.parse::<i64>().expect("a number of records")
    };
    assert_eq!(said.iter().map(records).sum::<i64>(), deleted, "{said:#?}");
    job.stop();
    assert_each_once_in_order(&goes.delivered(), ROOMS, ROOMS * 10);
}
