//! Each kind of message comes to the Comets, and by the call, that it is meant for, with its body byte for byte.

use bytes::Bytes;
use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;

use crate::support::comet::{Call, Comet, Rpc};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{record, to_room};
use crate::support::topic::Topic;

on_each_kafka!(every_kind);

fn every_kind(kafka: &Kafka) {
    let topic = Topic::new(kafka, 4);
    let (here, there) = (Comet::start(), Comet::start());
    let every_byte: Vec<u8> = (0..=255).collect();
    let mebibyte: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();

    let room = |operation, body: &[u8]| PushMsg {
        type_: Type::ROOM.into(),
        operation,
        room: "r1".into(),
        msg: Bytes::copy_from_slice(body),
        ..Default::default()
    };
    let push = |server: String, body: &str| PushMsg {
        type_: Type::PUSH.into(),
        operation: 9,
        server,
        keys: vec!["user-1".into(), "user-2".into()],
        msg: Bytes::copy_from_slice(body.as_bytes()),
        ..Default::default()
    };
    let broadcast = |operation, body: &str| PushMsg {
        type_: Type::BROADCAST.into(),
        operation,
        speed: 10,
        msg: Bytes::copy_from_slice(body.as_bytes()),
        ..Default::default()
    };
    let push_to_room = PushMsg {
        type_: Type::PUSH.into(),
        ..room(0, b"push to a room")
    };
    let push_without_operation = PushMsg {
        operation: 0,
        ..push(String::new(), "push without operation")
    };
    topic.produce([
        room(0, b"room"),
        room(7, b"room with operation"),
        room(0, &every_byte),
        room(0, &mebibyte),
        push(here.address(), "push here"),
        push(there.address(), "push there"),
        push(String::new(), "push, no server"),
        push("elsewhere:50051".into(), "push, unknown server"),
        push_to_room,
        push_without_operation,
        broadcast(0, "broadcast"),
        broadcast(6, "broadcast with operation"),
    ]);

    let mut job = topic.job(&[&here, &there]).log_level("WARN").start();
    here.await_delivered(11);
    there.await_delivered(11);
    topic.await_no_lag();
    job.stop();

    for comet in [&here, &there] {
        let calls = comet.calls();
        assert_eq!(calls.len(), 11, "{calls:#?}");
        let find = |body: &[u8]| -> &Call {
            let mut found = calls.iter().filter(|call| call.body == body);
            let call = found.next().expect("it came");
            assert!(found.next().is_none(), "{} came twice", call.text());
            assert_eq!((call.ver, call.seq), (1, 0));
            call
        };

        for (body, op) in [
            (b"room".as_slice(), 4),
            (b"room with operation", 7),
            (&every_byte, 4),
            (&mebibyte, 4),
            (b"push to a room", 4),
        ] {
            let call = find(body);
            assert_eq!((call.rpc, call.op), (Rpc::BroadcastRoom, op));
            assert_eq!(call.room, "r1");
        }
        for (body, op) in [("broadcast", 5), ("broadcast with operation", 6)] {
            let call = find(body.as_bytes());
            assert_eq!(call.rpc, Rpc::Broadcast);
            assert_eq!((call.op, call.operation), (op, op));
            assert_eq!(call.speed, 5, "each of two Comets takes half of the speed");
        }
        for (body, op) in [
            ("push, no server", 9),
            ("push, unknown server", 9),
            ("push without operation", 4),
        ] {
            assert_push(find(body.as_bytes()), op);
        }
        let named = if comet.address() == here.address() {
            "push here"
        } else {
            "push there"
        };
        assert_push(find(named.as_bytes()), 9);
    }
}

#[track_caller]
fn assert_push(call: &Call, op: i32) {
    assert_eq!(call.rpc, Rpc::PushMsg);
    assert_eq!((call.op, call.operation), (op, op));
    assert_eq!(call.keys, ["user-1", "user-2"]);
}

#[test]
fn a_room_in_two_partitions_is_named() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    let mut job = topic.job(&[&comet]).log_level("WARN").start();
    for (came, partition) in (1..).zip([0, 1, 0, 1]) {
        let other = record(&topic.name, &to_room("stays", "b")).partition(0);
        let message = record(&topic.name, &to_room("r\n1", "b")).partition(partition);
        topic.kafka.produce(vec![other, message]);
        comet.await_delivered(2 * came);
    }
    let warning = [
        "WARN",
        "room r\\n1 comes from partitions 1 and 0",
        &topic.name,
    ];
    job.await_line(&warning);
    topic.await_no_lag();
    job.stop();
    assert_eq!(job.lines_with(&["comes from partitions"]).len(), 1);
}
