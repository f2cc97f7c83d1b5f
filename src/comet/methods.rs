//! The four unary calls of a Comet.

#[cfg_attr(feature = "grpcio", path = "methods/library.rs")]
#[cfg_attr(not(feature = "grpcio"), path = "methods/alone.rs")]
mod method;

pub use method::Method;

use crate::message::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReply, RoomsReq,
};

macro_rules! unary {
    ($service:literal, $name:ident, $path:literal, $req:ty, $reply:ty) => {
        pub const $name: Method<$req, $reply> = method::method(concat!("/", $service, "/", $path));
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
