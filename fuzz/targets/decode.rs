//! Any bytes as a record's value: decoded, routed, and written as the request that a Comet gets.
//!
//! The input is the value.

#![no_main]

use bytes::Bytes;
use chatroom_job::comet::request::method_of;
use chatroom_job::consumer::decode::decode;
use chatroom_job::consumer::dispatch::worker_of;
use chatroom_job::consumer::route::Router;
use chatroom_job::message::Dialect;
use chatroom_job::message::call::{Call, Target};
use chatroom_job::message::proto::comet::{BroadcastReq, BroadcastRoomReq, PushMsgReq};
use chatroom_job::message::proto::protocol::Proto;
use chatroom_job::message::proto::push::PushMsg;
use grpcio::GrpcSlice;
use libfuzzer_sys::fuzz_target;
use protobuf::{Message, MessageField};

const COMETS: [&str; 3] = ["comet-a:50051", "comet-b:50051", "127.0.0.1:9"];

fuzz_target!(|value: &[u8]| {
    let record = Bytes::copy_from_slice(value);
    let Ok(push) = decode(Some(&record)) else {
        // Job's own way of parsing must not refuse what the generated one takes.
        assert!(value.is_empty() || PushMsg::parse_from_bytes(value).is_err());
        return;
    };
    assert_eq!(push, PushMsg::parse_from_bytes(value).expect("it parses"));
    if !push.msg.is_empty() {
        let (whole, body) = (record.as_ptr_range(), push.msg.as_ptr_range());
        assert!(
            whole.start <= body.start && body.end <= whole.end,
            "the body is not the record's own bytes"
        );
    }
    route(&push);
});

/// The message goes to whom it names, with its body and operation unchanged, or nowhere with a reason.
fn route(push: &PushMsg) {
    let router = Router::new(COMETS.map(Into::into).to_vec());
    let type_ = push.type_.value();
    let is_only = |comet: &&str| comet.eq_ignore_ascii_case(&push.only);
    let Ok(delivery) = router.route(push.clone()) else {
        if !push.only.is_empty() && !COMETS.iter().any(is_only) {
            return;
        }
        let names_nobody = match type_ {
            0 => push.keys.is_empty() && push.room.is_empty(),
            1 => push.room.is_empty(),
            2 => false,
            _ => true,
        };
        assert!(names_nobody, "it has somewhere to go");
        return;
    };
    for workers in 1..9 {
        assert!((worker_of(delivery.key, workers).0 as usize) < workers);
    }
    if let Target::One(comet) = delivery.target {
        let name = COMETS[comet.0 as usize];
        let is_its = match push.only.is_empty() {
            true => name.starts_with(&push.server),
            false => is_only(&name),
        };
        assert!(is_its, "another's Comet");
    }
    let written = serialize(&delivery.call);
    let op = |default| {
        if push.operation == 0 {
            default
        } else {
            push.operation
        }
    };
    match (type_, push.keys.is_empty()) {
        (2, _) => {
            let request = BroadcastReq::parse_from_bytes(&written).expect("a BroadcastReq");
            assert_eq!(request.protoOp, op(5));
            // The Comets' shares make up the whole, and no more than that, rounded up.
            let (whole, share) = (i64::from(push.speed.max(0)), i64::from(request.speed));
            let comets = COMETS.len() as i64;
            assert!(share * comets >= whole && share * comets < whole + comets);
            is_frame(&request.proto, op(5), push);
            same(&request, &written);
        }
        (0, false) => {
            let request = PushMsgReq::parse_from_bytes(&written).expect("a PushMsgReq");
            assert_eq!(request.keys, push.keys);
            assert_eq!(request.protoOp, op(4));
            is_frame(&request.proto, op(4), push);
            same(&request, &written);
        }
        _ => {
            let request = BroadcastRoomReq::parse_from_bytes(&written).expect("a BroadcastRoomReq");
            assert_eq!(request.roomID, push.room);
            is_frame(&request.proto, op(4), push);
            same(&request, &written);
        }
    }
}

/// What job hands to gRPC.
fn serialize(call: &Call) -> Vec<u8> {
    let mut to = GrpcSlice::default();
    (method_of(Dialect::Chatroom, call).req_mar.ser)(call, &mut to).expect("a call can be written");
    to.as_slice().to_vec()
}

fn is_frame(frame: &MessageField<Proto>, op: i32, push: &PushMsg) {
    let frame = frame.as_ref().expect("a frame");
    assert_eq!((frame.ver, frame.op, frame.seq), (1, op, 0));
    assert_eq!(frame.body, push.msg);
}

/// The generated code writes the same bytes.
fn same(request: &impl Message, written: &[u8]) {
    assert_eq!(request.write_to_bytes().expect("it is written"), written);
}
