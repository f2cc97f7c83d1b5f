//! The gRPC side: the four calls of a Comet.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chatroom_job::comet::{RpcStatusCode, methods};
use chatroom_job::message::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReply, RoomsReq,
};
use chatroom_job::message::proto::protocol::Proto;
use protobuf::{Message, MessageField};
use tokio::sync::oneshot;

use super::faults::{Faults, Trouble};
use super::grpc::{Answer, Outcome, Service, Status};
use super::hub::Hub;
use super::record::Recorder;
use super::server::say;

const PUSH_MSG: &str = methods::PUSH_MSG.name;
const BROADCAST: &str = methods::BROADCAST.name;
const BROADCAST_ROOM: &str = methods::BROADCAST_ROOM.name;
const ROOMS: &str = methods::ROOMS.name;

/// Takes calls. It answers a call when everybody's frame is queued, never before.
#[derive(Clone)]
pub struct Handler {
    pub hub: Arc<Hub>,
    pub recorder: Option<Arc<Recorder>>,
    pub faults: Option<Arc<Faults>>,
}

/// The service of `comet.proto`.
impl Service for Handler {
    fn has(&self, path: &str) -> bool {
        [PUSH_MSG, BROADCAST, BROADCAST_ROOM, ROOMS].contains(&path)
    }

    fn call(&self, path: &str, peer: &str, request: Bytes) -> Answer {
        self.read(path, peer, &request).unwrap_or_else(unreadable)
    }
}

/// The answer to what is no request.
pub fn unreadable(error: protobuf::Error) -> Answer {
    let text = format!("the request can't be read: {error}");
    Answer::Now(Err(Status::new(RpcStatusCode::INTERNAL, text)))
}

fn body(proto: MessageField<Proto>) -> Result<Bytes, Status> {
    proto.into_option().map(|proto| proto.body).ok_or_else(|| {
        Status::new(
            RpcStatusCode::INVALID_ARGUMENT,
            "the request has no proto, so there is no body to pass on",
        )
    })
}

impl Handler {
    /// An error where the request isn't what it should be.
    fn read(&self, path: &str, peer: &str, request: &Bytes) -> protobuf::Result<Answer> {
        Ok(match path {
            PUSH_MSG => {
                let req = PushMsgReq::parse_from_tokio_bytes(request)?;
                let (target, body) = (req.keys.join(","), body(req.proto));
                self.take(("PushMsg", &target), peer, body, move |hub, body| {
                    hub.push(&req.keys, body);
                    Ok(PushMsgReply::new())
                })
            }
            BROADCAST => {
                let body = body(BroadcastReq::parse_from_tokio_bytes(request)?.proto);
                self.take(("Broadcast", ""), peer, body, |hub, body| {
                    hub.broadcast(body);
                    Ok(BroadcastReply::new())
                })
            }
            BROADCAST_ROOM => {
                let req = BroadcastRoomReq::parse_from_tokio_bytes(request)?;
                let (room, body) = (req.roomID, body(req.proto));
                let target = room.clone();
                self.take(("BroadcastRoom", &target), peer, body, move |hub, body| {
                    hub.broadcast_room(&room, body);
                    Ok(BroadcastRoomReply::new())
                })
            }
            _ => {
                RoomsReq::parse_from_tokio_bytes(request)?;
                self.rooms(peer)
            }
        })
    }

    /// Says which rooms there are.
    pub fn rooms(&self, peer: &str) -> Answer {
        self.take(("Rooms", ""), peer, Ok(Bytes::new()), |hub, _| {
            let mut reply = RoomsReply::new();
            reply.rooms = hub.rooms().into_iter().map(|room| (room, true)).collect();
            Ok(reply)
        })
    }

    /// Takes a call: records it, shows the faults that were asked for, and passes the body on, or says why not.
    pub fn take<R: Message>(
        &self,
        (rpc, target): (&str, &str),
        peer: &str,
        body: Result<Bytes, Status>,
        pass_on: impl FnOnce(&Hub, Bytes) -> Result<R, Status> + Send + 'static,
    ) -> Answer {
        let number = match &self.recorder {
            Some(recorder) => {
                let shown = body.as_ref().map_or(&[][..], |body| body);
                recorded(recorder.call(rpc, target, peer, shown))
            }
            None => 0,
        };
        let (trouble, delay) = match &self.faults {
            Some(faults) => faults.draw(),
            None => (Trouble::None, Duration::ZERO),
        };
        let body = match (trouble, &self.faults) {
            (Trouble::Hang, Some(faults)) => {
                let (answer, never) = oneshot::channel();
                faults.leave_hanging(answer);
                return Answer::Later(never);
            }
            (Trouble::Status(status), _) => Err(status),
            _ => body,
        };
        let (hub, recorder) = (self.hub.clone(), self.recorder.clone());
        let finish = move || -> Outcome {
            let outcome = body.and_then(|body| pass_on(&hub, body));
            if let Some(recorder) = recorder {
                let code = match &outcome {
                    Ok(_) => RpcStatusCode::OK,
                    Err(status) => status.code,
                };
                recorded(recorder.answer(number, code));
            }
            let reply = outcome?.write_to_bytes().map_err(|error| {
                let text = format!("the reply can't be written: {error}");
                Status::new(RpcStatusCode::INTERNAL, text)
            })?;
            Ok(reply.into())
        };
        if delay.is_zero() {
            return Answer::Now(finish());
        }
        // It is done then, also where its caller has gone: a slow Comet doesn't know.
        let (answer, later) = oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _gone = answer.send(finish());
        });
        Answer::Later(later)
    }
}

/// A record with holes would be taken for messages that were lost.
fn recorded<T>(written: std::io::Result<T>) -> T {
    written.unwrap_or_else(|error| {
        say(&format!("cannot record a call: {error}; ending"));
        std::process::abort()
    })
}
