//! goim's service: what its Comet does with a call, as far as job and people can tell.
//!
//! A body comes in frames of goim's, and each frame's body goes on to people as one frame of a WebSocket. Users and broadcasts
//! reach only who accepts the call's operation; a room's messages aren't filtered. The source is goim's
//! `internal/comet/grpc/server.go`.

use bytes::Bytes;
use chatroom_job::comet::{RpcStatusCode, methods};
use chatroom_job::message::goim::{HEADER, OP_RAW};
use chatroom_job::message::proto::comet::{
    BroadcastReply, BroadcastReq, BroadcastRoomReply, BroadcastRoomReq, PushMsgReply, PushMsgReq,
    RoomsReq,
};
use chatroom_job::message::proto::protocol::Proto;
use protobuf::{Message, MessageField};

use super::calls::{Handler, unreadable};
use super::faults::Faults;
use super::grpc::{Answer, Service, Status};
use super::hub::{Hub, To};

const PUSH_MSG: &str = methods::goim::PUSH_MSG.name;
const BROADCAST: &str = methods::goim::BROADCAST.name;
const BROADCAST_ROOM: &str = methods::goim::BROADCAST_ROOM.name;
const ROOMS: &str = methods::goim::ROOMS.name;

/// goim's service over a handler.
#[derive(Clone)]
pub struct Goims(pub Handler);

impl Service for Goims {
    fn has(&self, path: &str) -> bool {
        [PUSH_MSG, BROADCAST, BROADCAST_ROOM, ROOMS].contains(&path)
    }

    fn call(&self, path: &str, peer: &str, request: Bytes) -> Answer {
        self.read(path, peer, &request).unwrap_or_else(unreadable)
    }
}

impl Goims {
    /// An error where the request isn't what it should be.
    fn read(&self, path: &str, peer: &str, request: &Bytes) -> protobuf::Result<Answer> {
        let handler = &self.0;
        Ok(match path {
            PUSH_MSG => {
                let req = PushMsgReq::parse_from_tokio_bytes(request)?;
                let (target, faults) = (req.keys.join(","), handler.faults.clone());
                let call = ("PushMsg", target.as_str());
                handler.take(call, peer, shown(&req.proto), move |hub, _| {
                    let to = (&req.keys[..], req.protoOp);
                    push(hub, faults.as_deref(), to, req.proto.as_ref())?;
                    Ok(PushMsgReply::new())
                })
            }
            BROADCAST => {
                let req = BroadcastReq::parse_from_tokio_bytes(request)?;
                let call = ("Broadcast", "");
                handler.take(call, peer, shown(&req.proto), move |hub, _| {
                    broadcast(hub, req.protoOp, req.proto.as_ref())?;
                    Ok(BroadcastReply::new())
                })
            }
            BROADCAST_ROOM => {
                let req = BroadcastRoomReq::parse_from_tokio_bytes(request)?;
                let room = req.roomID.clone();
                let call = ("BroadcastRoom", room.as_str());
                handler.take(call, peer, shown(&req.proto), move |hub, _| {
                    broadcast_room(hub, &req.roomID, req.proto.as_ref())?;
                    Ok(BroadcastRoomReply::new())
                })
            }
            _ => {
                RoomsReq::parse_from_tokio_bytes(request)?;
                handler.rooms(peer)
            }
        })
    }
}

/// What is recorded of a body, which may be missing.
fn shown(proto: &MessageField<Proto>) -> Result<Bytes, Status> {
    let body = proto.as_ref().map(|proto| proto.body.clone());
    Ok(body.unwrap_or_default())
}

/// What its Comet answers, always as the status UNKNOWN.
const PUSH_ARGUMENT: &str = "rpc pushmsg arg error";
const BROADCAST_ARGUMENT: &str = "rpc broadcast arg error";
/// With two spaces.
const ROOM_ARGUMENT: &str = "rpc broadcast  room arg error";
const FULL: &str = "signal channel full, msg dropped";

/// Why a call fails.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// As goim's Comet has it.
    Goims(&'static str),
    /// The body is not what goim's clients can read. Its own Comet would pass it on.
    NotFrames(String),
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Goims(text) => Status::new(RpcStatusCode::UNKNOWN, text),
            Error::NotFrames(why) => Status::new(
                RpcStatusCode::INVALID_ARGUMENT,
                format!("the body isn't frames of goim's: {why}"),
            ),
        }
    }
}

/// A message as it was before it was put into a frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Framed {
    pub op: i32,
    pub body: Bytes,
}

/// Hands the message on to one user after the other, as far as the first whose queue is full.
pub fn push(
    hub: &Hub,
    faults: Option<&Faults>,
    (keys, operation): (&[String], i32),
    proto: Option<&Proto>,
) -> Result<(), Error> {
    let proto = proto
        .filter(|_| !keys.is_empty())
        .ok_or(Error::Goims(PUSH_ARGUMENT))?;
    let bodies = bodies(proto)?;
    let full = |key: &String| faults.is_some_and(|faults| faults.is_full(key));
    let reached = keys.iter().position(full).unwrap_or(keys.len());
    hub.deliver(To::Users(&keys[..reached]), Some(operation), &bodies);
    match reached < keys.len() {
        true => Err(Error::Goims(FULL)),
        false => Ok(()),
    }
}

pub fn broadcast(hub: &Hub, operation: i32, proto: Option<&Proto>) -> Result<(), Error> {
    let bodies = bodies(proto.ok_or(Error::Goims(BROADCAST_ARGUMENT))?)?;
    hub.deliver(To::Everybody, Some(operation), &bodies);
    Ok(())
}

pub fn broadcast_room(hub: &Hub, room: &str, proto: Option<&Proto>) -> Result<(), Error> {
    let proto = proto
        .filter(|_| !room.is_empty())
        .ok_or(Error::Goims(ROOM_ARGUMENT))?;
    hub.deliver(To::Room(room), None, &bodies(proto)?);
    Ok(())
}

/// What people get.
fn bodies(proto: &Proto) -> Result<Vec<Bytes>, Error> {
    if proto.op != OP_RAW {
        return Ok(vec![proto.body.clone()]);
    }
    let frames = frames(&proto.body).map_err(Error::NotFrames)?;
    Ok(frames.into_iter().map(|framed| framed.body).collect())
}

/// Takes a body apart. Whatever isn't whole frames of version 1 is an error, which says where it is.
pub fn frames(body: &Bytes) -> Result<Vec<Framed>, String> {
    let mut frames = Vec::new();
    let mut at = 0;
    while at < body.len() {
        let frame = frame(&body.slice(at..)).map_err(|why| format!("byte {at}: {why}"))?;
        at += HEADER + frame.body.len();
        frames.push(frame);
    }
    Ok(frames)
}

fn frame(from: &Bytes) -> Result<Framed, String> {
    let header = from
        .get(..HEADER)
        .ok_or_else(|| format!("a header of {} bytes", from.len()))?;
    let number = |at: usize| {
        let bytes = header[at..at + 4].try_into();
        i32::from_be_bytes(bytes.expect("four bytes of a header"))
    };
    let (length, sequence) = (number(0), number(12));
    if header[4..8] != [0, 16, 0, 1] || sequence != 0 {
        return Err(format!("another header: {}", header.escape_ascii()));
    }
    let body = usize::try_from(length)
        .ok()
        .filter(|length| (HEADER..=from.len()).contains(length))
        .map(|length| from.slice(HEADER..length))
        .ok_or_else(|| format!("a length of {length}, and {} bytes are left", from.len()))?;
    Ok(Framed {
        op: number(8),
        body,
    })
}

#[cfg(test)]
mod tests;
