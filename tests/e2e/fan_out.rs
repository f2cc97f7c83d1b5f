//! A room's messages go to the Comets that have the room, and to those that don't say.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use chatroom_job::message::proto::push::{PushMsg, push_msg::Type};
use grpcio::RpcStatusCode;

use crate::support::comet::{Answer, Comet, Rpc};
use crate::support::dev_comet::DevComet;
use crate::support::http::Pages;
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{arrived, assert_each_once_in_order, numbered, to_room};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

fn rooms(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn by_rooms(topic: &Topic<'_>, comets: &[&Comet]) -> JobCommand {
    let job = topic.job(comets).flag("--fan-out", "rooms");
    job.log_level("INFO").env("JOB_LOG_MESSAGES", "off")
}

/// Waits until the job knows the Comet's rooms.
fn await_rooms(job: &mut Job, comet: &Comet) {
    job.await_line(&[&comet.address(), "tells its rooms"]);
}

/// Two Comets with r1 and r2, and a job that knows it.
fn one_room_each(topic: &Topic<'_>) -> (Comet, Comet, Job) {
    let (a, b) = (Comet::start(), Comet::start());
    a.has_rooms(rooms(&["r1"]));
    b.has_rooms(rooms(&["r2"]));
    let mut job = by_rooms(topic, &[&a, &b]).start();
    await_rooms(&mut job, &a);
    await_rooms(&mut job, &b);
    (a, b, job)
}

/// The bodies that came to a Comet.
fn bodies(comet: &Comet) -> BTreeSet<String> {
    comet.delivered().iter().map(|call| call.text()).collect()
}

#[test]
fn a_comet_gets_the_messages_of_its_rooms_and_of_those_that_nobody_has() {
    let topic = Topic::new(shared(Version::V4_3_1), 4);
    let [a, b, silent, old] = [(); 4].map(|()| Comet::start());
    a.has_rooms(rooms(&["r1", "r2"]));
    b.has_rooms(rooms(&["r2", "r3"]));
    // One that knows no Rooms.
    old.answer(|call| match call.rpc {
        Rpc::Rooms => Answer::Status(RpcStatusCode::UNIMPLEMENTED),
        _ => Answer::Ok,
    });
    let all = [&a, &b, &silent, &old];
    let mut job = by_rooms(&topic, &all).flag("--http", "127.0.0.1:0").start();
    let pages = Pages::of(&mut job);
    await_rooms(&mut job, &a);
    await_rooms(&mut job, &b);
    for comet in [&silent, &old] {
        job.await_line(&[&comet.address(), "tells no rooms"]);
    }
    pages.await_metrics("both lists", |now| {
        now.count("job_comet_room_list_age_seconds", &[]) == 2
    });
    let to_users = PushMsg {
        type_: Type::PUSH.into(),
        keys: vec!["u".into()],
        msg: "users".into(),
        ..Default::default()
    };
    let to_all = PushMsg {
        type_: Type::BROADCAST.into(),
        msg: "all".into(),
        ..Default::default()
    };
    let to_rooms = ["r1", "r2", "r3", "r4"].map(|room| to_room(room, room));
    topic.produce(to_rooms.into_iter().chain([to_users, to_all]));
    topic.await_no_lag();
    for (comet, expected) in [
        (&a, &["r1", "r2", "r4", "users", "all"][..]),
        (&b, &["r2", "r3", "r4", "users", "all"]),
        (&silent, &["r1", "r2", "r3", "r4", "users", "all"]),
        (&old, &["r1", "r2", "r3", "r4", "users", "all"]),
    ] {
        let expected = rooms(expected).into_iter().collect();
        assert_eq!(bodies(comet), expected, "{}", comet.address());
    }
    assert_eq!(pages.metrics().sum("job_calls_saved_total", &[]), 2.0);

    // Somebody enters.
    a.has_rooms(rooms(&["r1", "r2", "r3"]));
    let mut sent = 0;
    await_until("a message to the new room", || {
        sent += 1;
        topic.produce([to_room("r3", format!("new {sent}"))]);
        topic.await_no_lag();
        is(bodies(&a).iter().any(|body| body.starts_with("new")), true)
    });
    job.stop();
}

#[test]
fn what_a_comet_told_counts_for_a_while_only() {
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let (a, b, mut job) = one_room_each(&topic);
    // It takes messages, and says nothing any more.
    b.answer(|call| match call.rpc {
        Rpc::Rooms => Answer::Hang,
        _ => Answer::Ok,
    });
    let sent = await_others_messages(&topic, "r1", &b);
    a.await_delivered(sent);
    job.stop();
}

#[test]
fn rooms_keep_their_order_while_comets_come_by_them_and_leave_them() {
    const ROUNDS: usize = 300;
    let topic = Topic::new(shared(Version::V4_3_1), 4);
    let comets = [(); 3].map(|()| Comet::start());
    let has = |comet: &Comet, some: &[&str]| {
        let stays = ["room-0", "room-1"];
        comet.has_rooms(rooms(&[&stays, some].concat()));
    };
    comets.iter().for_each(|comet| has(comet, &[]));
    let mut job = by_rooms(&topic, &comets.each_ref()).start();
    comets.iter().for_each(|comet| await_rooms(&mut job, comet));
    for round in 0..ROUNDS {
        topic.produce((0..4).map(|room| numbered(&format!("room-{room}"), round)));
        if round % 50 == 0 {
            let at = |offset| (round / 50 + offset) % comets.len();
            has(&comets[at(0)], &["room-2", "room-3"]);
            has(&comets[at(1)], &["room-3"]);
            has(&comets[at(2)], &[]);
            // Longer than it takes until the job knows.
            thread::sleep(Duration::from_millis(1_500));
        }
    }
    topic.await_no_lag();
    job.stop();
    let mut sizes = BTreeSet::new();
    for comet in &comets {
        comet.assert_no_overlaps();
        let (stay, come): (Vec<_>, Vec<_>) = comet
            .delivered()
            .into_iter()
            .partition(|call| matches!(&call.room[..], "room-0" | "room-1"));
        assert_each_once_in_order(&stay, 2, 2 * ROUNDS);
        for (room, sequences) in arrived(&come) {
            assert!(sequences.is_sorted(), "{room}: {sequences:?}");
        }
        sizes.insert(come.len());
    }
    assert!(
        sizes.iter().any(|size| (1..2 * ROUNDS).contains(size)),
        "{sizes:?}"
    );
}

#[test]
fn a_comet_with_a_hundred_thousand_rooms_tells_them() {
    const MANY: usize = 100_000;
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let (large, small) = (Comet::start(), Comet::start());
    let name = |n: usize| format!("live://a-room-with-a-name-that-is-somewhat-long-{n}");
    large.has_rooms((0..MANY).map(name));
    small.has_rooms(rooms(&["r1"]));
    let mut job = by_rooms(&topic, &[&large, &small]).start();
    job.await_line(&[&large.address(), "tells its rooms, 100000 now"]);
    await_rooms(&mut job, &small);
    topic.produce([to_room("r1", "small"), to_room(&name(MANY - 1), "large")]);
    topic.await_no_lag();
    assert_eq!(bodies(&large), ["large".to_owned()].into());
    assert_eq!(bodies(&small), ["small".to_owned()].into());
    job.stop();
}

/// Waits until a message to `room` comes to the Comet, which has another one. Returns how many were sent.
fn await_others_messages(topic: &Topic<'_>, room: &str, comet: &Comet) -> usize {
    let mut sent = 0;
    await_until("a message to another's room", || {
        sent += 1;
        topic.produce([to_room(room, format!("{room} {sent}"))]);
        topic.await_no_lag();
        is(comet.count() > 0, true)
    });
    sent
}

#[test]
fn an_answer_that_is_an_error_or_too_large_counts_as_none() {
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let (a, b, mut job) = one_room_each(&topic);
    b.answer(|call| match call.rpc {
        Rpc::Rooms => Answer::Said(RpcStatusCode::PERMISSION_DENIED, "who are you?".into()),
        _ => Answer::Ok,
    });
    let said = "answers Rooms with 7-PERMISSION_DENIED (who are you?)";
    job.await_line(&["WARN", &b.address(), said]);
    let sent = await_others_messages(&topic, "r1", &b);
    a.await_delivered(sent);

    // More than 64 MiB.
    b.has_rooms((0..70_000).map(|n| format!("{n:01000}")));
    b.answer(|_| Answer::Ok);
    job.await_line(&["WARN", &b.address(), "8-RESOURCE_EXHAUSTED"]);
    b.has_rooms(rooms(&["r2"]));
    await_rooms(&mut job, &b);
    topic.await_no_lag();
    await_until("a message that is spared", || {
        let (a_has, b_has) = (a.count(), b.count());
        topic.produce([to_room("r1", "r1 again")]);
        a.await_delivered(a_has + 1);
        topic.await_no_lag();
        is(b.count() == b_has, true)
    });
    job.stop();
}

#[test]
fn a_real_comet_tells_who_is_there() {
    for dialect in ["chatroom", "goim"] {
        tells_who_is_there(dialect);
    }
}

fn tells_who_is_there(dialect: &str) {
    let topic = Topic::new(shared(Version::V4_3_1), 1);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let records = ["here", "there"].map(|name| folder.path().join(name));
    let comets = records.each_ref().map(|record| {
        let record = record.to_str().expect("its name is text");
        let flags = [
            "--listen",
            "127.0.0.1:0",
            "--web",
            "127.0.0.1:0",
            "--dialect",
            dialect,
            "--record",
            record,
        ];
        DevComet::start_with(&flags)
    });
    let watch = |comet: &DevComet, room: &str| {
        let stream = std::net::TcpStream::connect(&comet.web).expect("it serves people");
        let url = format!("ws://{}/ws?ack=1&room={room}", comet.web);
        let (mut socket, _) = tungstenite::client(url, stream).expect("a WebSocket");
        socket.read().expect("it says that we are in");
        socket
    };
    let _here = watch(&comets[0], "r1");
    let _there = watch(&comets[1], "r2");
    let addresses = comets.each_ref().map(|comet| comet.grpc.clone());
    let mut job = topic
        .configure_for(JobCommand::new(), &addresses.join(","))
        .flag("--fan-out", "rooms")
        .flag("--dialect", dialect)
        .log_level("INFO")
        .env("JOB_LOG_MESSAGES", "off")
        .start();
    for address in &addresses {
        job.await_line(&[address, "tells its rooms, 1 now"]);
    }
    topic.produce((0..20).map(|n| to_room("r1", format!("{n}"))));
    topic.await_no_lag();
    job.stop();
    let calls = records.map(|record| {
        let record = std::fs::read_to_string(record).expect("the calls can be read");
        let is_call = |line: &&str| line.starts_with("call") && line.contains("BroadcastRoom");
        record.lines().filter(is_call).count()
    });
    assert_eq!(calls, [20, 0], "{dialect}");
}
