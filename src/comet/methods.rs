//! The four unary calls of a Comet. grpcio's own stub compiler writes no protobuf-3 code, so they stand here.

use crate::message::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReply, RoomsReq,
};
use grpcio::{Marshaller, Method, MethodType, pb_de, pb_ser};

macro_rules! unary {
    ($name:ident, $path:literal, $req:ty, $reply:ty) => {
        pub const $name: Method<$req, $reply> = Method {
            ty: MethodType::Unary,
            name: concat!("/ChatRoom.Comet.Comet/", $path),
            req_mar: Marshaller {
                ser: pb_ser,
                de: pb_de,
            },
            resp_mar: Marshaller {
                ser: pb_ser,
                de: pb_de,
            },
        };
    };
}

unary!(PUSH_MSG, "PushMsg", PushMsgReq, PushMsgReply);
unary!(BROADCAST, "Broadcast", BroadcastReq, BroadcastReply);
unary!(
    BROADCAST_ROOM,
    "BroadcastRoom",
    BroadcastRoomReq,
    BroadcastRoomReply
);
unary!(ROOMS, "Rooms", RoomsReq, RoomsReply);
