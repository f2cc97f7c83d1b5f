//! The gRPC side: the four calls of a Comet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use grpcio::{RpcContext, RpcStatus, RpcStatusCode, Service, ServiceBuilder, UnarySink};
use protobuf::MessageField;
use tokio::runtime::Handle;

use super::faults::{Faults, Trouble};
use super::goim;
use super::hub::Hub;
use super::record::Recorder;
use super::server::say;
use chatroom_job::comet::methods;
use chatroom_job::message::Dialect;
use chatroom_job::message::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReply, RoomsReq,
};
use chatroom_job::message::proto::protocol::Proto;

/// Takes calls. It answers a call when everybody's frame is queued, never before.
#[derive(Clone)]
pub struct Handler {
    pub hub: Arc<Hub>,
    pub recorder: Option<Arc<Recorder>>,
    pub faults: Option<Arc<Faults>>,
    /// Where delayed calls wait.
    pub runtime: Handle,
}

/// The service of this dialect over a handler.
pub fn service(dialect: Dialect, handler: Handler) -> Service {
    match dialect {
        Dialect::Chatroom => chatroom(handler),
        Dialect::Goim => goims(handler),
    }
}

/// goim's service.
fn goims(handler: Handler) -> Service {
    let [push, all, room, rooms] = [handler.clone(), handler.clone(), handler.clone(), handler];
    ServiceBuilder::new()
        .add_unary_handler(
            &methods::goim::PUSH_MSG,
            move |ctx, req: PushMsgReq, sink| {
                let (call, faults) = (("PushMsg", &*req.keys.join(",")), push.faults.clone());
                push.take(ctx, sink, call, shown(&req.proto), move |hub, _| {
                    let to = (&req.keys[..], req.protoOp);
                    let pushed = goim::push(hub, faults.as_deref(), to, req.proto.as_ref());
                    pushed.map(|()| PushMsgReply::new()).map_err(status)
                });
            },
        )
        .add_unary_handler(
            &methods::goim::BROADCAST,
            move |ctx, req: BroadcastReq, sink| {
                all.take(
                    ctx,
                    sink,
                    ("Broadcast", ""),
                    shown(&req.proto),
                    move |hub, _| {
                        let sent = goim::broadcast(hub, req.protoOp, req.proto.as_ref());
                        sent.map(|()| BroadcastReply::new()).map_err(status)
                    },
                );
            },
        )
        .add_unary_handler(
            &methods::goim::BROADCAST_ROOM,
            move |ctx, req: BroadcastRoomReq, sink| {
                let call = ("BroadcastRoom", &*req.roomID.clone());
                room.take(ctx, sink, call, shown(&req.proto), move |hub, _| {
                    let sent = goim::broadcast_room(hub, &req.roomID, req.proto.as_ref());
                    sent.map(|()| BroadcastRoomReply::new()).map_err(status)
                });
            },
        )
        .add_unary_handler(&methods::goim::ROOMS, move |ctx, _: RoomsReq, sink| {
            let call = ("Rooms", "");
            rooms.take(ctx, sink, call, Ok(Bytes::new()), |hub, _| {
                Ok(rooms_of(hub))
            });
        })
        .build()
}

/// What is recorded of a body, which may be missing.
fn shown(proto: &MessageField<Proto>) -> Result<Bytes, RpcStatus> {
    Ok(proto
        .as_ref()
        .map_or_else(Bytes::new, |proto| proto.body.clone()))
}

fn status(error: goim::Error) -> RpcStatus {
    match error {
        goim::Error::Goims(text) => RpcStatus::with_message(RpcStatusCode::UNKNOWN, text.into()),
        goim::Error::NotFrames(why) => RpcStatus::with_message(
            RpcStatusCode::INVALID_ARGUMENT,
            format!("the body isn't frames of goim's: {why}"),
        ),
    }
}

fn rooms_of(hub: &Hub) -> RoomsReply {
    let mut reply = RoomsReply::new();
    reply.rooms = hub.rooms().into_iter().map(|room| (room, true)).collect();
    reply
}

/// The service of `comet.proto`.
fn chatroom(handler: Handler) -> Service {
    let [push, all, room, rooms] = [handler.clone(), handler.clone(), handler.clone(), handler];
    ServiceBuilder::new()
        .add_unary_handler(&methods::PUSH_MSG, move |ctx, req: PushMsgReq, sink| {
            let (target, body) = (req.keys.join(","), body(req.proto));
            push.take(ctx, sink, ("PushMsg", &target), body, move |hub, body| {
                hub.push(&req.keys, body);
                Ok(PushMsgReply::new())
            });
        })
        .add_unary_handler(&methods::BROADCAST, move |ctx, req: BroadcastReq, sink| {
            let body = body(req.proto);
            all.take(ctx, sink, ("Broadcast", ""), body, |hub, body| {
                hub.broadcast(body);
                Ok(BroadcastReply::new())
            });
        })
        .add_unary_handler(
            &methods::BROADCAST_ROOM,
            move |ctx, req: BroadcastRoomReq, sink| {
                let (target, body) = (req.roomID.clone(), body(req.proto));
                let call = ("BroadcastRoom", target.as_str());
                room.take(ctx, sink, call, body, move |hub, body| {
                    hub.broadcast_room(&req.roomID, body);
                    Ok(BroadcastRoomReply::new())
                });
            },
        )
        .add_unary_handler(&methods::ROOMS, move |ctx, _: RoomsReq, sink| {
            rooms.take(ctx, sink, ("Rooms", ""), Ok(Bytes::new()), |hub, _| {
                Ok(rooms_of(hub))
            });
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

impl Handler {
    fn take<R: Send + 'static>(
        &self,
        ctx: RpcContext<'_>,
        sink: UnarySink<R>,
        (rpc, target): (&str, &str),
        body: Result<Bytes, RpcStatus>,
        pass_on: impl FnOnce(&Hub, Bytes) -> Result<R, RpcStatus> + Send + 'static,
    ) {
        let number = match &self.recorder {
            Some(recorder) => {
                let shown = body.as_ref().map_or(&[][..], |body| body);
                recorded(recorder.call(rpc, target, &ctx.peer(), shown))
            }
            None => 0,
        };
        let (trouble, delay) = match &self.faults {
            Some(faults) => faults.draw(),
            None => (Trouble::None, Duration::ZERO),
        };
        let body = match (trouble, &self.faults) {
            (Trouble::Hang, Some(faults)) => return faults.leave_hanging(sink),
            (Trouble::Status(status), _) => Err(status),
            _ => body,
        };
        let (hub, recorder) = (self.hub.clone(), self.recorder.clone());
        let finish = move || {
            let outcome = body.and_then(|body| pass_on(&hub, body));
            if let Some(recorder) = recorder {
                let code = match &outcome {
                    Ok(_) => RpcStatusCode::OK,
                    Err(status) => status.code(),
                };
                recorded(recorder.answer(number, code));
            }
            match outcome {
                Ok(reply) => sink.success(reply),
                Err(status) => sink.fail(status),
            }
        };
        // Sending fails when the caller has gone; it calls again if it cares.
        if delay.is_zero() {
            let sent = finish();
            ctx.spawn(async move { drop(sent.await) });
        } else {
            self.runtime.spawn(async move {
                tokio::time::sleep(delay).await;
                drop(finish().await);
            });
        }
    }
}

/// A record with holes would be taken for messages that were lost.
fn recorded<T>(written: std::io::Result<T>) -> T {
    written.unwrap_or_else(|error| {
        say(&format!("cannot record a call: {error}; ending"));
        std::process::abort()
    })
}
