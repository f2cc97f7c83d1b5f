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
    ($name:ident, $path:literal, $req:ty, $reply:ty) => {
        pub const $name: Method<$req, $reply> =
            method::method(concat!("/ChatRoom.Comet.Comet/", $path));
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
