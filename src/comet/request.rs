//! A call's request, written straight into gRPC's buffer: the body is copied once.

use grpcio::{GrpcSlice, Marshaller, Method, MethodType, pb_ser};
use protobuf::MessageField;

use super::methods;
use crate::message::call::{Call, Frame, VERSION};
use crate::message::proto::comet::{BroadcastReq, BroadcastRoomReq, PushMsgReq};
use crate::message::proto::protocol::Proto;

const PUSH_MSG: Method<Call, ()> = method(methods::PUSH_MSG.name);
const BROADCAST_ROOM: Method<Call, ()> = method(methods::BROADCAST_ROOM.name);
const BROADCAST: Method<Call, ()> = method(methods::BROADCAST.name);

const fn method(name: &'static str) -> Method<Call, ()> {
    Method {
        ty: MethodType::Unary,
        name,
        req_mar: Marshaller {
            ser: serialize,
            de: |_| Ok(Call::default()),
        },
        // The replies are empty messages.
        resp_mar: Marshaller {
            ser: |(), _| Ok(()),
            de: |_| Ok(()),
        },
    }
}

/// The method that a call is made with.
pub fn method_of(call: &Call) -> &'static Method<Call, ()> {
    match call {
        Call::PushMsg { .. } => &PUSH_MSG,
        Call::BroadcastRoom { .. } => &BROADCAST_ROOM,
        Call::Broadcast { .. } => &BROADCAST,
    }
}

fn serialize(call: &Call, to: &mut GrpcSlice) -> grpcio::Result<()> {
    match call {
        Call::PushMsg { keys, frame } => {
            let request = PushMsgReq {
                keys: keys.clone(),
                protoOp: frame.op,
                proto: proto(frame),
                ..Default::default()
            };
            pb_ser(&request, to)
        }
        Call::BroadcastRoom { room, frame } => {
            let request = BroadcastRoomReq {
                roomID: room.clone(),
                proto: proto(frame),
                ..Default::default()
            };
            pb_ser(&request, to)
        }
        Call::Broadcast { speed, frame } => {
            let request = BroadcastReq {
                protoOp: frame.op,
                speed: *speed,
                proto: proto(frame),
                ..Default::default()
            };
            pb_ser(&request, to)
        }
    }
}

/// Shares the frame's body.
fn proto(frame: &Frame) -> MessageField<Proto> {
    MessageField::some(Proto {
        ver: VERSION,
        op: frame.op,
        body: frame.body.clone(),
        ..Default::default()
    })
}

/// What a Comet gets.
#[cfg(test)]
pub fn bytes(call: &Call) -> Vec<u8> {
    let mut slice = GrpcSlice::default();
    serialize(call, &mut slice).expect("it can be written");
    slice.as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use protobuf::Message;

    /// What a Comet reads.
    fn sent<M: Message>(call: &Call) -> M {
        M::parse_from_bytes(&bytes(call)).expect("a Comet can read it")
    }

    fn frame(op: i32) -> Frame {
        let body = Bytes::from_static(b"hello \xff");
        Frame { op, body }
    }

    fn assert_has(proto: &MessageField<Proto>, op: i32) {
        assert_eq!((proto.ver, proto.op, proto.seq), (VERSION, op, 0));
        assert_eq!(proto.body, frame(op).body);
    }

    #[test]
    fn each_call_says_who_gets_what() {
        let keys = vec!["a".to_owned(), "\u{4f60}".to_owned()];
        let call = Call::PushMsg {
            keys: keys.clone(),
            frame: frame(7),
        };
        let push: PushMsgReq = sent(&call);
        assert_eq!((push.keys, push.protoOp), (keys, 7));
        assert_has(&push.proto, 7);

        let room = "r1".to_owned();
        let call = Call::BroadcastRoom {
            room: room.clone(),
            frame: frame(4),
        };
        let to_room: BroadcastRoomReq = sent(&call);
        assert_eq!(to_room.roomID, room);
        assert_has(&to_room.proto, 4);

        let call = Call::Broadcast {
            speed: 9,
            frame: frame(-1),
        };
        let to_all: BroadcastReq = sent(&call);
        assert_eq!((to_all.protoOp, to_all.speed), (-1, 9));
        assert_has(&to_all.proto, -1);
    }
}
