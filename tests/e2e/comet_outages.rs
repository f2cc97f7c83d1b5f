//! Several Comets that are away: who is left out, what waits for whom, and what is never counted as delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use grpcio::RpcStatusCode;

use crate::support::comet::{Answer, Comet};
use crate::support::job::Job;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, numbered, over_rooms};
use crate::support::topic::Topic;

const ROOMS: usize = 20;
const MESSAGES: usize = 300;

/// After this a Comet is left out where others deliver; so long all others get to come back after the first.
const LEAVE_OUT_AFTER: Duration = Duration::from_secs(10);
const LONGER: Duration = Duration::from_secs(12);

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 2)
}

fn start(topic: &Topic<'_>, comets: &[&Comet], leave_out_after: Duration) -> Job {
    topic
        .job(comets)
        .flag("--call-timeout", "1s")
        .fault(&format!(
            "leave-out-after=return({})",
            leave_out_after.as_millis()
        ))
        .log_level("INFO")
        .start()
}

/// Waits until calls to each of the Comets fail, and have for longer than it takes to be left out.
fn await_outage(job: &mut Job, comets: &[&Comet]) {
    for comet in comets {
        job.await_line(&["RPC failed", &comet.address()]);
    }
    thread::sleep(LONGER);
}

/// Ends a test in which nobody may be left out.
fn end(topic: &Topic<'_>, job: &mut Job) {
    topic.await_no_lag();
    let left_out = job.lines_with(&["took nothing"]);
    assert!(left_out.is_empty(), "{left_out:#?}");
    job.stop();
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn all_that_were_away_get_all_when_they_are_back_one_by_one() {
    let topic = topic();
    let comets = [(); 2].map(|()| Comet::start());
    let all: Vec<&Comet> = comets.iter().collect();
    let mut job = start(&topic, &all, LEAVE_OUT_AFTER);
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
    let mut job = start(&topic, &all, LEAVE_OUT_AFTER);
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
    let mut job = start(&topic, &all, LEAVE_OUT_AFTER);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    await_outage(&mut job, &all);
    healed.store(true, Ordering::Relaxed);
    for comet in &comets {
        comet.await_delivered(MESSAGES);
        assert_each_once_in_order(&comet.delivered(), ROOMS, MESSAGES);
    }
    end(&topic, &mut job);
}

/// Has messages delivered, to room `other`, until the job says that it leaves out a Comet.
fn deliver_until_left_out(topic: &Topic<'_>, job: &mut Job, more: &mut usize) {
    topic.produce_until("a Comet that is left out", more, || {
        let words = ["took nothing for 2 s while others live: messages pass it by"];
        match job.lines_with(&words).is_empty() {
            true => Err("nobody is".into()),
            false => Ok(()),
        }
    });
}

const SOON: Duration = Duration::from_secs(2);

/// Messages pass a Comet by only while another one takes them.
#[test]
fn one_that_is_left_out_gets_what_comes_while_the_others_are_away_too() {
    let topic = topic();
    let (first, second) = (Comet::start(), Comet::not_started());
    let mut job = start(&topic, &[&first, &second], SOON);
    let mut more = 0;
    deliver_until_left_out(&topic, &mut job, &mut more);
    topic.await_no_lag();
    first.stop();
    // The second one is looked at every second, and may be left out for as long as the first one's last answer is young.
    topic.produce([numbered("last", 0)]);
    job.await_line(&["RPC failed", &first.address()]);
    thread::sleep(SOON);
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    second.start_again();
    second.await_delivered(MESSAGES);
    first.start_again();
    topic.await_no_lag();
    job.stop();
    let came = |comet: &Comet| {
        let mut calls = comet.delivered();
        calls.retain(|call| call.room.starts_with("room-"));
        calls
    };
    assert_each_once_in_order(&came(&first), ROOMS, MESSAGES);
    assert_each_once_in_order(&came(&second), ROOMS, MESSAGES);
}

#[test]
fn what_is_for_the_one_that_is_left_out_is_a_dead_letter() {
    let topic = topic();
    let (alive, down) = (Comet::start(), Comet::not_started());
    let push = |body: &'static str| PushMsg {
        type_: Type::PUSH.into(),
        server: down.address(),
        keys: vec!["alice".into()],
        msg: body.as_bytes().into(),
        ..Default::default()
    };
    topic.produce([push("before")]);
    let mut job = start(&topic, &[&alive, &down], SOON);
    let mut more = 0;
    deliver_until_left_out(&topic, &mut job, &mut more);
    topic.produce([push("after")]);
    // Without a sign that others live it waits.
    topic.produce_until("the dead letters", &mut more, || {
        match topic.dead_letters() {
            2 => Ok(()),
            count => Err(format!("{count}")),
        }
    });
    topic.await_no_lag();
    job.stop();
    for letter in topic.await_dead_letters(2).into_values() {
        let error = letter.header_str("job.error").unwrap_or_default();
        assert!(
            error.contains(&down.address()) && error.contains("left out"),
            "{error}"
        );
    }
    assert_eq!(alive.count(), more);
    assert_eq!(down.count(), 0);
}

/// What was skipped is not sent later, so the log has it though job ends before that Comet is back.
#[test]
fn a_stop_says_what_was_skipped() {
    /// Fewer than what waits in each room.
    const ROOM: i64 = (MESSAGES / ROOMS) as i64;
    let topic = topic();
    let (alive, down) = (Comet::start(), Comet::not_started());
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let mut job = start(&topic, &[&alive, &down], Duration::from_secs(2));
    let mut more = 0;
    topic.produce_until(
        "messages that are finished without it",
        &mut more,
        || match topic.lag() {
            0..ROOM => Ok(()),
            lag => Err(format!("{lag} are not")),
        },
    );
    job.stop();
    let said = job.lines_with(&["WARN", "is still left out", &down.address()]);
    assert_eq!(said.len(), 1, "{said:?}");
    let count = said[0].split("left out: ").nth(1).expect("a count");
    let count: usize = count.split(' ').next().unwrap().parse().unwrap();
    assert!(
        (MESSAGES - ROOM as usize..=MESSAGES + more).contains(&count),
        "{said:?}"
    );
}
