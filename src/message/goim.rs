//! goim's frames: what its Comet writes to people as it is, when a call's operation is "raw".
//!
//! Each message becomes a header of 16 bytes, big-endian, and the body: package length u32 (header and body), header
//! length u16, version u16, operation u32, sequence u32. The source is goim's `api/protocol/protocol.go`; its job joins them in
//! `internal/job/room.go`.

use super::call::{Frame, VERSION};

/// The operation that makes goim's Comet write a body out as it is.
pub const OP_RAW: i32 = 9;

/// Bytes of a frame's header.
pub const HEADER: usize = 16;

/// The bytes of a frame with this body.
pub fn size(body: &[u8]) -> usize {
    HEADER + body.len()
}

/// The header that a message's body gets. Kafka carries no body whose size doesn't fit.
pub fn header(frame: &Frame) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&(size(&frame.body) as u32).to_be_bytes());
    header[4..6].copy_from_slice(&(HEADER as u16).to_be_bytes());
    header[6..8].copy_from_slice(&(VERSION as u16).to_be_bytes());
    header[8..12].copy_from_slice(&frame.op.to_be_bytes());
    header
}

/// Appends the message as a frame.
pub fn write(frame: &Frame, to: &mut Vec<u8>) {
    to.extend_from_slice(&header(frame));
    to.extend_from_slice(&frame.body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_goims_clients_read_it() {
        let mut out = Vec::new();
        write(&Frame::new(1000, "hi \u{4f60}"), &mut out);
        write(&Frame::new(-2, ""), &mut out);
        let expected = [
            &[0, 0, 0, 22, 0, 16, 0, 1, 0, 0, 3, 232, 0, 0, 0, 0][..],
            "hi \u{4f60}".as_bytes(),
            &[0, 0, 0, 16, 0, 16, 0, 1, 255, 255, 255, 254, 0, 0, 0, 0][..],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn a_large_frame_has_its_length() {
        let header = header(&Frame::new(4, vec![7; 70_000]));
        assert_eq!(header[..4], [0, 1, 17, 128]);
    }
}
