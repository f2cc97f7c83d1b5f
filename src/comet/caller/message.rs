//! A call's request, as protobuf has it. Written straight into what is sent: the body is copied once, and nothing is allocated.

use crate::message::call::{Call, Frame, VERSION};
use crate::message::{Dialect, goim};

/// Kinds of fields.
const VARINT: u8 = 0;
const BYTES: u8 = 2;

/// Appends the request of a call. The fields' numbers are those of `protos/`.
pub fn write(call: &Call, dialect: Dialect, out: &mut Vec<u8>) {
    match call {
        Call::PushMsg { keys, frame } => {
            for key in keys {
                tag(1, BYTES, out);
                varint(key.len() as u64, out);
                out.extend_from_slice(key.as_bytes());
            }
            proto(2, frame, dialect, out);
            int32(3, frame.op, out);
        }
        Call::BroadcastRoom { room, frame } => {
            bytes(1, room.as_bytes(), out);
            proto(2, frame, dialect, out);
        }
        Call::Broadcast { speed, frame } => {
            int32(1, frame.op, out);
            proto(2, frame, dialect, out);
            int32(3, *speed, out);
        }
    }
}

fn proto(field: u8, frame: &Frame, dialect: Dialect, out: &mut Vec<u8>) {
    match dialect {
        Dialect::Goim if !frame.is_framed => {
            let body = (&goim::header(frame)[..], &frame.body[..]);
            proto_of(field, goim::OP_RAW, body, out);
        }
        Dialect::Goim | Dialect::Chatroom => {
            proto_of(field, frame.op, (&[], &frame.body), out);
        }
    }
}

/// The body is in two parts.
fn proto_of(field: u8, op: i32, (head, tail): (&[u8], &[u8]), out: &mut Vec<u8>) {
    let in_body = head.len() + tail.len();
    let body = match in_body {
        0 => 0,
        length => 1 + size(length as u64) + length,
    };
    let length = int32_size(VERSION) + int32_size(op) + body;
    tag(field, BYTES, out);
    varint(length as u64, out);
    int32(1, VERSION, out);
    int32(2, op, out);
    if in_body > 0 {
        tag(4, BYTES, out);
        varint(in_body as u64, out);
        out.extend_from_slice(head);
        out.extend_from_slice(tail);
    }
}

/// What is 0 or empty isn't written.
fn int32(field: u8, value: i32, out: &mut Vec<u8>) {
    if value != 0 {
        tag(field, VARINT, out);
        varint(i64::from(value) as u64, out);
    }
}

fn int32_size(value: i32) -> usize {
    match value {
        0 => 0,
        value => 1 + size(i64::from(value) as u64),
    }
}

fn bytes(field: u8, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        tag(field, BYTES, out);
        varint(value.len() as u64, out);
        out.extend_from_slice(value);
    }
}

fn tag(field: u8, kind: u8, out: &mut Vec<u8>) {
    out.push(field << 3 | kind);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How long a varint is.
fn size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(all(test, feature = "grpcio"))]
mod tests {
    use super::*;
    use crate::comet::request;
    use proptest::prelude::*;

    fn calls() -> impl Strategy<Value = Call> {
        let op = prop_oneof![Just(0), 1..200, any::<i32>()];
        let body = prop::collection::vec(any::<u8>(), 0..300);
        let frame = (op, body, any::<bool>()).prop_map(|(op, body, is_framed)| Frame {
            is_framed,
            ..Frame::new(op, body)
        });
        let keys = prop::collection::vec(".{0,200}", 0..4);
        let speed = prop_oneof![Just(0), any::<i32>()];
        (0..3, keys, ".{0,90}", speed, frame).prop_map(
            |(kind, keys, room, speed, frame)| match kind {
                0 => Call::PushMsg { keys, frame },
                1 => Call::BroadcastRoom { room, frame },
                _ => Call::Broadcast { speed, frame },
            },
        )
    }

    proptest! {
        #[test]
        fn a_request_is_the_same_as_by_the_library(call in calls()) {
            for dialect in [Dialect::Chatroom, Dialect::Goim] {
                let mut out = b"before".to_vec();
                write(&call, dialect, &mut out);
                prop_assert_eq!(&out[..6], b"before");
                prop_assert_eq!(&out[6..], &request::bytes(&call, dialect)[..]);
            }
        }
    }

    #[test]
    fn a_large_body_has_its_length() {
        for length in [127, 128, 16_383, 16_384, 3 << 20] {
            let call = Call::BroadcastRoom {
                room: "r".into(),
                frame: Frame::new(4, vec![7; length]),
            };
            for dialect in [Dialect::Chatroom, Dialect::Goim] {
                let mut out = Vec::new();
                write(&call, dialect, &mut out);
                assert!(out == request::bytes(&call, dialect), "{length}");
            }
        }
    }
}
