//! A call's request, written from the message straight into gRPC's buffer: the body is copied once.

use grpcio::{GrpcSlice, Marshaller, Method, MethodType};
use protobuf::CodedOutputStream;
use protobuf::rt::{bytes_size, compute_raw_varint64_size, int32_size, string_size, tag_size};

use super::methods;
use crate::message::call::{Call, Frame, VERSION};

const PUSH_MSG: Method<Call, ()> = method(methods::PUSH_MSG.name);
const BROADCAST_ROOM: Method<Call, ()> = method(methods::BROADCAST_ROOM.name);
const BROADCAST: Method<Call, ()> = method(methods::BROADCAST.name);

const fn method(name: &'static str) -> Method<Call, ()> {
    Method {
        ty: MethodType::Unary,
        name,
        req_mar: Marshaller {
            ser: serialize,
            de: |_| Ok(Call::default()),
        },
        // The replies are empty messages.
        resp_mar: Marshaller {
            ser: |(), _| Ok(()),
            de: |_| Ok(()),
        },
    }
}

/// The method that a call is made with.
pub fn method_of(call: &Call) -> &'static Method<Call, ()> {
    match call {
        Call::PushMsg { .. } => &PUSH_MSG,
        Call::BroadcastRoom { .. } => &BROADCAST_ROOM,
        Call::Broadcast { .. } => &BROADCAST,
    }
}

fn serialize(call: &Call, to: &mut GrpcSlice) -> grpcio::Result<()> {
    let size = size(call) as usize;
    // SAFETY: the bytes are written, each of them, before anybody reads them: `check_eof` sees to it.
    let buffer = unsafe { &mut *(std::ptr::from_mut(to.realloc(size)) as *mut [u8]) };
    let mut output = CodedOutputStream::bytes(buffer);
    write(call, &mut output).map_err(|error| grpcio::Error::Codec(error.into()))?;
    output.check_eof();
    Ok(())
}

// Field numbers are those of protos/comet.proto and protos/protocol.proto. Zeros are left out, as proto3 does.

fn size(call: &Call) -> u64 {
    match call {
        Call::PushMsg { keys, frame } => {
            let keys: u64 = keys.iter().map(|key| string_size(1, key)).sum();
            keys + message_size(2, frame_size(frame)) + number_size(3, frame.op)
        }
        Call::BroadcastRoom { room, frame } => {
            let room = if room.is_empty() {
                0
            } else {
                string_size(1, room)
            };
            room + message_size(2, frame_size(frame))
        }
        Call::Broadcast { speed, frame } => {
            number_size(1, frame.op) + message_size(2, frame_size(frame)) + number_size(3, *speed)
        }
    }
}

fn write(call: &Call, to: &mut CodedOutputStream<'_>) -> protobuf::Result<()> {
    match call {
        Call::PushMsg { keys, frame } => {
            for key in keys {
                to.write_string(1, key)?;
            }
            write_frame(2, frame, to)?;
            write_number(3, frame.op, to)
        }
        Call::BroadcastRoom { room, frame } => {
            if !room.is_empty() {
                to.write_string(1, room)?;
            }
            write_frame(2, frame, to)
        }
        Call::Broadcast { speed, frame } => {
            write_number(1, frame.op, to)?;
            write_frame(2, frame, to)?;
            write_number(3, *speed, to)
        }
    }
}

fn frame_size(frame: &Frame) -> u64 {
    let body = if frame.body.is_empty() {
        0
    } else {
        bytes_size(4, &frame.body)
    };
    number_size(1, VERSION) + number_size(2, frame.op) + body
}

fn write_frame(field: u32, frame: &Frame, to: &mut CodedOutputStream<'_>) -> protobuf::Result<()> {
    to.write_tag(field, protobuf::rt::WireType::LengthDelimited)?;
    to.write_raw_varint64(frame_size(frame))?;
    write_number(1, VERSION, to)?;
    write_number(2, frame.op, to)?;
    if !frame.body.is_empty() {
        to.write_bytes(4, &frame.body)?;
    }
    Ok(())
}

fn message_size(field: u32, size: u64) -> u64 {
    tag_size(field) + compute_raw_varint64_size(size) + size
}

fn number_size(field: u32, value: i32) -> u64 {
    if value == 0 {
        0
    } else {
        int32_size(field, value)
    }
}

fn write_number(field: u32, value: i32, to: &mut CodedOutputStream<'_>) -> protobuf::Result<()> {
    if value == 0 {
        Ok(())
    } else {
        to.write_int32(field, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::proto::comet::{BroadcastReq, BroadcastRoomReq, PushMsgReq};
    use crate::message::proto::protocol::Proto;
    use bytes::Bytes;
    use proptest::prelude::*;
    use protobuf::{Message, MessageField};

    /// The same request, as the generated code has it.
    fn generated(call: &Call) -> Vec<u8> {
        let proto = |frame: &Frame| {
            MessageField::some(Proto {
                ver: VERSION,
                op: frame.op,
                body: frame.body.clone(),
                ..Default::default()
            })
        };
        match call.clone() {
            Call::PushMsg { keys, frame } => PushMsgReq {
                keys,
                protoOp: frame.op,
                proto: proto(&frame),
                ..Default::default()
            }
            .write_to_bytes(),
            Call::BroadcastRoom { room, frame } => BroadcastRoomReq {
                roomID: room,
                proto: proto(&frame),
                ..Default::default()
            }
            .write_to_bytes(),
            Call::Broadcast { speed, frame } => BroadcastReq {
                protoOp: frame.op,
                speed,
                proto: proto(&frame),
                ..Default::default()
            }
            .write_to_bytes(),
        }
        .unwrap()
    }

    fn calls() -> impl Strategy<Value = Call> {
        let frame = || {
            let body = prop::collection::vec(any::<u8>(), 0..300);
            let op = prop_oneof![Just(0), any::<i32>()];
            (op, body).prop_map(|(op, body)| Frame {
                op,
                body: Bytes::from(body),
            })
        };
        prop_oneof![
            (prop::collection::vec(".{0,20}", 0..4), frame())
                .prop_map(|(keys, frame)| Call::PushMsg { keys, frame }),
            (".{0,200}", frame()).prop_map(|(room, frame)| Call::BroadcastRoom { room, frame }),
            (-2i32..300, frame()).prop_map(|(speed, frame)| Call::Broadcast { speed, frame }),
        ]
    }

    proptest! {
        #[test]
        fn it_is_what_the_generated_code_writes(call in calls()) {
            let mut written = vec![0xaa; size(&call) as usize];
            let mut output = CodedOutputStream::bytes(&mut written);
            write(&call, &mut output).unwrap();
            output.check_eof();
            drop(output);
            prop_assert_eq!(written, generated(&call));
        }
    }
}
