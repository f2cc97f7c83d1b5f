//! The gRPC side: the four calls of a Comet.

use std::sync::Arc;

use bytes::Bytes;
use grpcio::{RpcContext, RpcStatus, RpcStatusCode, Service, ServiceBuilder, UnarySink};
use protobuf::MessageField;

use super::hub::Hub;
use crate::wire::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReply, RoomsReq,
};
use crate::wire::methods;
use crate::wire::protocol::Proto;

/// The service of `comet.proto` over a hub. A call is answered when everybody's frame is queued, never before.
pub fn service(hub: Arc<Hub>) -> Service {
    let (push, all, room, rooms) = (hub.clone(), hub.clone(), hub.clone(), hub);
    ServiceBuilder::new()
        .add_unary_handler(&methods::PUSH_MSG, move |ctx, req: PushMsgReq, sink| {
            let taken = body(req.proto).map(|body| push.push(&req.keys, body));
            answer(ctx, sink, taken.map(|()| PushMsgReply::new()));
        })
        .add_unary_handler(&methods::BROADCAST, move |ctx, req: BroadcastReq, sink| {
            let taken = body(req.proto).map(|body| all.broadcast(body));
            answer(ctx, sink, taken.map(|()| BroadcastReply::new()));
        })
        .add_unary_handler(
            &methods::BROADCAST_ROOM,
            move |ctx, req: BroadcastRoomReq, sink| {
                let taken = body(req.proto).map(|body| room.broadcast_room(&req.roomID, body));
                answer(ctx, sink, taken.map(|()| BroadcastRoomReply::new()));
            },
        )
        .add_unary_handler(&methods::ROOMS, move |ctx, _: RoomsReq, sink| {
            let mut reply = RoomsReply::new();
            reply.rooms = rooms.rooms().into_iter().map(|room| (room, true)).collect();
            answer(ctx, sink, Ok(reply));
        })
        .build()
}

fn body(proto: MessageField<Proto>) -> Result<Bytes, RpcStatus> {
    proto.into_option().map(|proto| proto.body).ok_or_else(|| {
        RpcStatus::with_message(
            RpcStatusCode::INVALID_ARGUMENT,
            "the request has no proto, so there is no body to pass on".to_owned(),
        )
    })
}

fn answer<R: Send + 'static>(
    ctx: RpcContext<'_>,
    sink: UnarySink<R>,
    outcome: Result<R, RpcStatus>,
) {
    let sent = match outcome {
        Ok(reply) => sink.success(reply),
        Err(status) => sink.fail(status),
    };
    ctx.spawn(async move {
        // It fails where the caller has gone away, who then asks again if it cares.
        let _ = sent.await;
    });
}
