//! A call's request, written straight into gRPC's buffer: the body is copied once. One that is put into a frame is copied twice.

use std::io::Read;

use grpcio::{GrpcSlice, Marshaller, Method, MethodType, pb_de, pb_ser};
use protobuf::MessageField;

use super::dialect;
use super::methods;
use crate::message::call::{self, Call, Frame, VERSION};
use crate::message::proto::comet::{
    BroadcastReq, BroadcastRoomReq, PushMsgReq, RoomsReply, RoomsReq,
};
use crate::message::proto::protocol::Proto;
use crate::message::{Dialect, goim};

/// The calls of one service.
struct Calls {
    push_msg: Method<Call, ()>,
    broadcast_room: Method<Call, ()>,
    broadcast: Method<Call, ()>,
    rooms: Method<RoomsReq, RoomsReply>,
    unread_rooms: Method<RoomsReq, Vec<u8>>,
}

type Serialize = fn(&Call, &mut GrpcSlice) -> grpcio::Result<()>;

static CHATROOM: Calls = calls(Dialect::Chatroom, methods::ROOMS, |call, to| {
    serialize(call, Dialect::Chatroom, to)
});
static GOIM: Calls = calls(Dialect::Goim, methods::goim::ROOMS, |call, to| {
    serialize(call, Dialect::Goim, to)
});

const fn calls(
    dialect: Dialect,
    rooms: Method<RoomsReq, RoomsReply>,
    serialize: Serialize,
) -> Calls {
    Calls {
        push_msg: method(dialect::path(dialect, call::Method::PushMsg), serialize),
        broadcast_room: method(
            dialect::path(dialect, call::Method::BroadcastRoom),
            serialize,
        ),
        broadcast: method(dialect::path(dialect, call::Method::Broadcast), serialize),
        unread_rooms: Method {
            ty: MethodType::Unary,
            name: rooms.name,
            req_mar: Marshaller {
                ser: pb_ser,
                de: pb_de,
            },
            resp_mar: Marshaller {
                ser: |_, _| Ok(()),
                de: |mut reader| {
                    let mut reply = Vec::new();
                    match reader.read_to_end(&mut reply) {
                        Ok(_) => Ok(reply),
                        Err(error) => Err(grpcio::Error::Codec(Box::new(error))),
                    }
                },
            },
        },
        rooms,
    }
}

const fn method(name: &'static str, ser: Serialize) -> Method<Call, ()> {
    Method {
        ty: MethodType::Unary,
        name,
        req_mar: Marshaller {
            ser,
            de: |_| Ok(Call::default()),
        },
        // The replies are empty messages.
        resp_mar: Marshaller {
            ser: |(), _| Ok(()),
            de: |_| Ok(()),
        },
    }
}

fn calls_of(dialect: Dialect) -> &'static Calls {
    match dialect {
        Dialect::Chatroom => &CHATROOM,
        Dialect::Goim => &GOIM,
    }
}

/// The method that a call is made with.
pub fn method_of(dialect: Dialect, call: &Call) -> &'static Method<Call, ()> {
    let calls = calls_of(dialect);
    match call {
        Call::PushMsg { .. } => &calls.push_msg,
        Call::BroadcastRoom { .. } => &calls.broadcast_room,
        Call::Broadcast { .. } => &calls.broadcast,
    }
}

/// The method that asks whether a Comet is there.
pub fn rooms(dialect: Dialect) -> &'static Method<RoomsReq, RoomsReply> {
    &calls_of(dialect).rooms
}

/// The same, with the reply as it comes.
pub fn unread_rooms(dialect: Dialect) -> &'static Method<RoomsReq, Vec<u8>> {
    &calls_of(dialect).unread_rooms
}

fn serialize(call: &Call, dialect: Dialect, to: &mut GrpcSlice) -> grpcio::Result<()> {
    match call {
        Call::PushMsg { keys, frame } => {
            let request = PushMsgReq {
                keys: keys.clone(),
                protoOp: frame.op,
                proto: proto(frame, dialect),
                ..Default::default()
            };
            pb_ser(&request, to)
        }
        Call::BroadcastRoom { room, frame } => {
            let request = BroadcastRoomReq {
                roomID: room.clone(),
                proto: proto(frame, dialect),
                ..Default::default()
            };
            pb_ser(&request, to)
        }
        Call::Broadcast { speed, frame } => {
            let request = BroadcastReq {
                protoOp: frame.op,
                speed: *speed,
                proto: proto(frame, dialect),
                ..Default::default()
            };
            pb_ser(&request, to)
        }
    }
}

/// Shares the frame's body, unless goim's header is to stand before it.
fn proto(frame: &Frame, dialect: Dialect) -> MessageField<Proto> {
    let (op, body) = match dialect {
        Dialect::Goim if !frame.is_framed => {
            let mut body = Vec::with_capacity(goim::size(&frame.body));
            goim::write(frame, &mut body);
            (goim::OP_RAW, body.into())
        }
        Dialect::Goim | Dialect::Chatroom => (frame.op, frame.body.clone()),
    };
    MessageField::some(Proto {
        ver: VERSION,
        op,
        body,
        ..Default::default()
    })
}

/// What a Comet gets.
#[cfg(test)]
pub fn bytes(call: &Call, dialect: Dialect) -> Vec<u8> {
    let mut slice = GrpcSlice::default();
    serialize(call, dialect, &mut slice).expect("it can be written");
    slice.as_slice().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comet::caller::message;
    use bytes::Bytes;
    use protobuf::Message;

    /// What a Comet reads.
    fn sent<M: Message>(call: &Call) -> M {
        M::parse_from_bytes(&bytes(call, Dialect::Chatroom)).expect("a Comet can read it")
    }

    fn frame(op: i32) -> Frame {
        Frame::new(op, Bytes::from_static(b"hello \xff"))
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

    /// A message as goim's clients read it: operation 7.
    const RAW: &[u8] = b"\0\0\0\x17\0\x10\0\x01\0\0\0\x07\0\0\0\0hello \xff";

    fn goim(call: &Call) -> Vec<u8> {
        let sent = bytes(call, Dialect::Goim);
        assert_eq!(
            request_of(call, Dialect::Goim),
            sent,
            "both callers send the same"
        );
        sent
    }

    /// What the other caller sends.
    fn request_of(call: &Call, dialect: Dialect) -> Vec<u8> {
        let mut out = Vec::new();
        message::write(call, dialect, &mut out);
        out
    }

    /// `Proto { ver: 1, op: 9, body: RAW }`, as a field of this tag.
    fn proto_of_raw(tag: u8) -> Vec<u8> {
        [&[tag, 29, 8, 1, 16, 9, 0x22, 23][..], RAW].concat()
    }

    #[test]
    fn goims_comet_gets_each_message_in_a_frame_byte_for_byte() {
        let push = Call::PushMsg {
            keys: vec!["k1".into()],
            frame: frame(7),
        };
        let expected = [b"\x0a\x02k1", &proto_of_raw(0x12)[..], &[0x18, 7]].concat();
        assert_eq!(goim(&push), expected);

        let broadcast = Call::Broadcast {
            speed: 3,
            frame: frame(7),
        };
        let expected = [&[8, 7], &proto_of_raw(0x12)[..], &[0x18, 3]].concat();
        assert_eq!(goim(&broadcast), expected);

        let room = "live://1000".to_owned();
        let to_room = Call::BroadcastRoom {
            room,
            frame: frame(7),
        };
        let expected = [b"\x0a\x0blive://1000", &proto_of_raw(0x12)[..]].concat();
        assert_eq!(goim(&to_room), expected);
    }

    #[test]
    fn what_is_frames_already_goes_as_it_is() {
        let room = "r".to_owned();
        let frame = Frame {
            is_framed: true,
            ..Frame::new(9, Bytes::from_static(RAW))
        };
        let merged = Call::BroadcastRoom { room, frame };
        let expected = [b"\x0a\x01r", &proto_of_raw(0x12)[..]].concat();
        assert_eq!(goim(&merged), expected);
        assert_eq!(bytes(&merged, Dialect::Chatroom), expected);
    }

    #[test]
    fn the_services_have_names_of_their_own() {
        let call = Call::default();
        let path = |dialect| method_of(dialect, &call).name;
        assert_eq!(
            path(Dialect::Chatroom),
            "/ChatRoom.Comet.Comet/BroadcastRoom"
        );
        assert_eq!(path(Dialect::Goim), "/goim.comet.Comet/BroadcastRoom");
        assert_eq!(rooms(Dialect::Goim).name, "/goim.comet.Comet/Rooms");
    }
}
