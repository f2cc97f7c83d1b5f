//! The four unary calls of a Comet. grpcio's own stub compiler writes no protobuf-3 code, so they stand here.

use crate::message::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReply, RoomsReq,
};
use grpcio::{Marshaller, Method, MethodType, pb_de, pb_ser};

macro_rules! unary {
    ($service:literal, $name:ident, $path:literal, $req:ty, $reply:ty) => {
        pub const $name: Method<$req, $reply> = Method {
            ty: MethodType::Unary,
            name: concat!("/", $service, "/", $path),
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

macro_rules! service {
    ($service:literal) => {
        pub const SERVICE: &str = $service;
        unary!($service, PUSH_MSG, "PushMsg", PushMsgReq, PushMsgReply);
        unary!(
            $service,
            BROADCAST,
            "Broadcast",
            BroadcastReq,
            BroadcastReply
        );
        unary!(
            $service,
            BROADCAST_ROOM,
            "BroadcastRoom",
            BroadcastRoomReq,
            BroadcastRoomReply
        );
        unary!($service, ROOMS, "Rooms", RoomsReq, RoomsReply);
    };
}

service!("ChatRoom.Comet.Comet");

/// The same of goim's Comet, whose messages have the same fields.
pub mod goim {
    use super::*;

    service!("goim.comet.Comet");
}
