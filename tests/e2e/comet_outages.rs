//! Several Comets that are away at once: who is detached, what waits for whom, and what is never counted as delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use grpcio::RpcStatusCode;

use crate::support::comet::{Answer, Call, Comet, Rpc};
use crate::support::job::Job;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, numbered, over_rooms};
use crate::support::stream::to_user;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 20;
const MESSAGES: usize = 300;

/// After this a Comet is detached where others deliver; so long all others get to come back after the first.
const DETACH_AFTER: Duration = Duration::from_secs(10);
const LONGER: Duration = Duration::from_secs(12);

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 2)
}

fn start(topic: &Topic<'_>, comets: &[&Comet], detach_after: Duration) -> Job {
    topic
        .job(comets)
        .flag("--call-timeout", "1s")
        .fault(&format!(
            "detach-after=return({})",
            detach_after.as_millis()
        ))
        .log_level("INFO")
        .start()
}

/// Waits until calls to each of the Comets fail, and have for longer than it takes to be detached.
fn await_outage(job: &mut Job, comets: &[&Comet]) {
    for comet in comets {
        job.await_line(&["RPC failed", &comet.address()]);
    }
    thread::sleep(LONGER);
}

/// Ends a test in which nobody may be detached.
fn end(topic: &Topic<'_>, job: &mut Job) {
    topic.await_no_lag();
    let detached = job.lines_with(&["is detached"]);
    assert!(detached.is_empty(), "{detached:#?}");
    job.stop();
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn all_that_were_away_get_all_when_they_are_back_one_by_one() {
    let topic = topic();
    let comets = [(); 2].map(|()| Comet::start());
    let all: Vec<&Comet> = comets.iter().collect();
    let mut job = start(&topic, &all, DETACH_AFTER);
    topic.produce(over_rooms(ROOMS, 0, ROOMS));
    for comet in &comets {
        comet.await_delivered(ROOMS);
        comet.stop();
    }
    topic.produce(over_rooms(ROOMS, ROOMS, MESSAGES));
    await_outage(&mut job, &all);
    for comet in &comets {
        comet.start_again();
        comet.await_delivered(ROOMS + 1);
    }
    for comet in &comets {
        comet.await_delivered(ROOMS + MESSAGES);
        assert_in_order(&comet.delivered(), ROOMS, ROOMS + MESSAGES);
    }
    end(&topic, &mut job);
}

#[test]
fn job_may_start_long_before_its_comets() {
    let topic = topic();
    let comets = [(); 3].map(|()| Comet::not_started());
    let all: Vec<&Comet> = comets.iter().collect();
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = start(&topic, &all, DETACH_AFTER);
    await_outage(&mut job, &all);
    for comet in &comets {
        comet.start_again();
        comet.await_delivered(1);
    }
    for comet in &comets {
        comet.await_delivered(MESSAGES);
        assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);
    }
    end(&topic, &mut job);
}

#[test]
fn comets_that_all_answer_unavailable_get_all_when_they_heal() {
    all_heal(Answer::Status(RpcStatusCode::UNAVAILABLE));
}

#[test]
fn comets_that_all_answer_unknown_get_all_when_they_heal() {
    all_heal(Answer::Status(RpcStatusCode::UNKNOWN));
}

#[test]
fn comets_that_all_hang_get_all_when_they_heal() {
    all_heal(Answer::Hang);
}

/// Each of two Comets answers each call so for long, and then well.
fn all_heal(answer: Answer) {
    let topic = topic();
    let healed = Arc::new(AtomicBool::new(false));
    let comets = [(); 2].map(|()| Comet::start());
    for comet in &comets {
        let (healed, answer) = (Arc::clone(&healed), answer.clone());
        comet.answer(move |_| match healed.load(Ordering::Relaxed) {
            true => Answer::Ok,
            false => answer.clone(),
        });
    }
    let all: Vec<&Comet> = comets.iter().collect();
    let mut job = start(&topic, &all, DETACH_AFTER);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    await_outage(&mut job, &all);
    healed.store(true, Ordering::Relaxed);
    for comet in &comets {
        comet.await_delivered(MESSAGES);
        assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);
    }
    end(&topic, &mut job);
}

const SOON: Duration = Duration::from_secs(2);

/// Two Comets, the second of which is detached.
struct OneDetached {
    topic: Topic<'static>,
    first: Comet,
    second: Comet,
    job: Job,
    /// How many messages went to room `other` until then.
    others: usize,
}

impl OneDetached {
    /// `before` is written before job starts.
    fn start(before: impl FnOnce(&Topic<'_>, &Comet)) -> OneDetached {
        let topic = topic();
        let (first, second) = (Comet::start(), Comet::not_started());
        before(&topic, &second);
        let mut job = start(&topic, &[&first, &second], SOON);
        let mut others = 0;
        await_until("a Comet that is detached", || {
            topic.produce([numbered("other", others)]);
            others += 1;
            is(job.lines_with(&["ERROR", "is detached"]).len(), 1)
        });
        job.await_line(&["is detached", &second.address()]);
        OneDetached {
            topic,
            first,
            second,
            job,
            others,
        }
    }
}

/// All go away, and one comes back long before the other.
#[test]
fn one_that_is_back_first_does_not_wait_and_the_other_gets_all() {
    let topic = topic();
    let comets = [(); 2].map(|()| Comet::start());
    let [first, second] = &comets;
    let mut job = start(&topic, &[first, second], SOON);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    for comet in &comets {
        comet.await_delivered(MESSAGES);
        comet.stop();
    }
    topic.produce(over_rooms(ROOMS, MESSAGES, MESSAGES));
    for comet in &comets {
        job.await_line(&["RPC failed", &comet.address()]);
    }
    thread::sleep(SOON);
    first.start_again();
    let mut count = 2 * MESSAGES;
    await_until("the other one to be detached", || {
        topic.produce(over_rooms(ROOMS, count, 1));
        count += 1;
        is(job.lines_with(&["is detached"]).len(), 1)
    });
    job.await_line(&["is detached", &second.address()]);
    first.await_delivered(count);
    topic.await_no_lag();
    second.start_again();
    second.await_delivered(count);
    job.await_line(&[&second.address(), "has caught up"]);
    topic.await_no_lag();
    job.stop();
    for comet in &comets {
        assert_in_order(&comet.delivered(), ROOMS, count);
        comet.assert_no_overlaps();
    }
    assert_eq!(topic.dead_letters(), 0);
}

/// The other one goes away too, and the one that was detached is back first.
#[test]
fn one_that_is_detached_gets_all_though_the_others_go_away_too() {
    let OneDetached {
        topic,
        first,
        second,
        mut job,
        others,
    } = OneDetached::start(|_, _| {});
    topic.await_no_lag();
    first.stop();
    topic.produce([numbered("last", 0)]);
    job.await_line(&["RPC failed", &first.address()]);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let all = others + 1 + MESSAGES;
    second.start_again();
    second.await_delivered(all);
    first.start_again();
    first.await_delivered(all);
    topic.await_no_lag();
    job.stop();
    for comet in [&first, &second] {
        assert_each_once_in_order(&comet.delivered(), ROOMS + 2, all);
    }
    assert_eq!(topic.dead_letters(), 0);
}

/// What is for a user at the Comet that is detached waits for it, and is no dead letter.
#[test]
fn what_is_for_one_that_is_detached_waits_for_it() {
    let push = |down: &Comet, sequence| to_user("alice", down.address(), sequence);
    let mut scene = OneDetached::start(|topic, down| topic.produce([push(down, 0)]));
    let down = &scene.second;
    scene.topic.produce([push(down, 1)]);
    scene.topic.await_no_lag();
    assert_eq!(down.count(), 0);
    down.start_again();
    let for_others = scene.others;
    down.await_delivered(for_others + 2);
    scene.job.stop();
    let pushes = down.delivered().into_iter();
    let pushes: Vec<_> = pushes.filter(|call| call.rpc == Rpc::PushMsg).collect();
    let texts: Vec<_> = pushes.iter().map(Call::text).collect();
    assert_eq!(texts, ["alice/0", "alice/1"]);
    assert_eq!(scene.first.count(), for_others);
    assert_eq!(scene.topic.dead_letters(), 0);
}

/// What it misses is counted in the log where job ends before that Comet is back, and another job delivers it.
#[test]
fn a_stop_says_what_a_comet_misses() {
    let before = |topic: &Topic<'_>, _: &Comet| topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut scene = OneDetached::start(before);
    let all = MESSAGES + scene.others;
    scene.first.await_delivered(all);
    scene.topic.await_no_lag();
    scene.job.stop();
    let behind = format!("is still behind by {all} records");
    let words = ["WARN", &scene.second.address(), &behind];
    let said = scene.job.lines_with(&words);
    assert_eq!(said.len(), 1, "{:#?}", scene.job.log());

    scene.second.start_again();
    let comets = [&scene.first, &scene.second];
    let mut next = start(&scene.topic, &comets, SOON);
    for comet in comets {
        comet.await_delivered(all);
    }
    next.await_line(&[&scene.second.address(), "has caught up"]);
    next.stop();
    for comet in comets {
        assert_each_once_in_order(&comet.delivered(), ROOMS + 1, all);
    }
}
