//! goim's frames: what its Comet writes to people as it is, when a call's operation is "raw".
//!
//! Each message becomes a header of 16 bytes, big-endian, and the body: package length u32 (header and body), header
//! length u16, version u16, operation u32, sequence u32. The source is goim's `api/protocol/protocol.go`; its job joins them in
//! `internal/job/room.go`.

use crate::message::call::{Frame, VERSION};

/// The operation that makes goim's Comet write a body out as it is.
pub const OP_RAW: i32 = 9;

const HEADER: usize = 16;

/// Whether people get the same when this is put into a frame. What is raw already is not one message but whole frames.
pub fn may_be_framed(frame: &Frame) -> bool {
    frame.op != OP_RAW && i32::try_from(size(&frame.body)).is_ok()
}

/// The bytes of a frame with this body.
pub fn size(body: &[u8]) -> usize {
    HEADER + body.len()
}

/// Appends the message as a frame.
pub fn write(frame: &Frame, to: &mut Vec<u8>) {
    to.extend_from_slice(&(size(&frame.body) as u32).to_be_bytes());
    to.extend_from_slice(&(HEADER as u16).to_be_bytes());
    to.extend_from_slice(&(VERSION as u16).to_be_bytes());
    to.extend_from_slice(&frame.op.to_be_bytes());
    to.extend_from_slice(&0u32.to_be_bytes());
    to.extend_from_slice(&frame.body);
}
