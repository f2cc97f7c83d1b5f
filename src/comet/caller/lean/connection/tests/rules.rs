//! What breaks HTTP/2 ends the connection, with the code that the RFC has for it.

use super::super::super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, GOAWAY, HEADERS, PADDED, PING, PRIORITY, PUSH_PROMISE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, WITH_PRIORITY,
};
use super::super::By;
use super::peer::{Peer, answer_head};

const PROTOCOL_ERROR: u32 = 1;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// A frame: type, flags, stream, payload.
type Given<'a> = (u8, u8, u32, &'a [u8]);

fn assert_closes(code: u32, frames: &[Given<'_>]) {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    for (kind, flags, stream, payload) in frames {
        peer.give(*kind, *flags, *stream, payload);
    }
    assert_eq!(peer.closed_with(), Some(code), "{frames:?}");
    let finished = peer.finished();
    assert_eq!((finished[0].code, finished[0].by), (14, By::GivenUp));
    assert!(
        finished[0].text.starts_with("what answers there sent "),
        "{}",
        finished[0].text
    );
}

#[test]
fn frames_of_streams_that_nobody_opened() {
    for stream in [0, 2, 3, 4] {
        for kind in [DATA, HEADERS, RST_STREAM] {
            assert_closes(PROTOCOL_ERROR, &[(kind, END_HEADERS, stream, &[0; 4])]);
        }
    }
    assert_closes(PROTOCOL_ERROR, &[(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])]);
    assert_closes(PROTOCOL_ERROR, &[(WINDOW_UPDATE, 0, 2, &[0, 0, 0, 1])]);
    assert_closes(PROTOCOL_ERROR, &[(PRIORITY, 0, 0, &[0; 5])]);
}

#[test]
fn frames_of_the_connection_that_have_a_stream() {
    assert_closes(PROTOCOL_ERROR, &[(SETTINGS, 0, 1, b"")]);
    assert_closes(PROTOCOL_ERROR, &[(PING, 0, 1, &[0; 8])]);
    assert_closes(PROTOCOL_ERROR, &[(GOAWAY, 0, 1, &[0; 8])]);
}

#[test]
fn frames_of_a_wrong_length() {
    for (kind, stream, length) in [
        (RST_STREAM, 1, 3),
        (RST_STREAM, 1, 5),
        (SETTINGS, 0, 5),
        (PING, 0, 7),
        (PING, 0, 9),
        (GOAWAY, 0, 7),
        (WINDOW_UPDATE, 0, 3),
        (WINDOW_UPDATE, 1, 5),
        (PRIORITY, 1, 4),
        (DATA, 1, 16_385),
        (0x99, 0, 16_385),
    ] {
        assert_closes(FRAME_SIZE_ERROR, &[(kind, 0, stream, &vec![0; length])]);
    }
    assert_closes(FRAME_SIZE_ERROR, &[(SETTINGS, ACK, 0, &[0; 6])]);
    assert_closes(
        FRAME_SIZE_ERROR,
        &[(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &[0; 4])],
    );
}

#[test]
fn padding_longer_than_the_payload() {
    assert_closes(PROTOCOL_ERROR, &[(DATA, PADDED, 1, &[4, 0, 0, 0])]);
    assert_closes(PROTOCOL_ERROR, &[(DATA, PADDED, 1, &[])]);
    assert_closes(
        PROTOCOL_ERROR,
        &[(HEADERS, PADDED | END_HEADERS, 1, &[4, 0, 0, 0])],
    );
}

#[test]
fn header_blocks_that_are_cut_into() {
    let head = answer_head();
    let begun = (HEADERS, 0, 1, head.as_slice());
    assert_closes(PROTOCOL_ERROR, &[begun, (DATA, 0, 1, b"")]);
    assert_closes(PROTOCOL_ERROR, &[begun, (PING, 0, 0, &[0; 8])]);
    assert_closes(PROTOCOL_ERROR, &[begun, (0x99, 0, 0, b"")]);
    assert_closes(
        PROTOCOL_ERROR,
        &[begun, (CONTINUATION, END_HEADERS, 3, b"")],
    );
    assert_closes(PROTOCOL_ERROR, &[(CONTINUATION, END_HEADERS, 1, b"")]);
    assert_closes(PROTOCOL_ERROR, &[(CONTINUATION, END_HEADERS, 0, b"")]);
}

#[test]
fn header_blocks_that_cannot_be_read() {
    assert_closes(COMPRESSION_ERROR, &[(HEADERS, END_HEADERS, 1, &[0xbe])]);
    assert_closes(
        COMPRESSION_ERROR,
        &[(HEADERS, END_HEADERS, 1, &[0x3f, 0xe2, 0x1f])],
    );
}

#[test]
fn a_push() {
    assert_closes(
        PROTOCOL_ERROR,
        &[(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])],
    );
    assert_closes(PROTOCOL_ERROR, &[(SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1])]);
}

#[test]
fn something_else_than_http_2() {
    for (bytes, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "HTTP/1 instead of HTTP/2",
        ),
        (
            b"\x15\x03\x01\x00\x02\x02\x50 and so on",
            "something that isn't HTTP/2",
        ),
        (
            b"\0\0\x08\x06\0\0\0\0\x0012345678",
            "something that isn't HTTP/2",
        ),
        (b"\0\0\0\x04\x01\0\0\0\0", "something that isn't HTTP/2"),
    ] {
        let mut peer = Peer::silent();
        peer.call(1, b"");
        peer.sent();
        peer.client.receive(bytes, peer.now);
        assert_eq!(peer.closed_with(), Some(PROTOCOL_ERROR));
        let finished = peer.finished();
        assert_eq!((finished[0].code, finished[0].by), (14, By::Unsent));
        assert!(finished[0].text.contains(expected), "{}", finished[0].text);
    }
}

#[test]
fn a_header_block_of_a_call_that_ended_is_read_for_the_table() {
    let mut peer = Peer::new();
    let gone = peer.call(1, b"");
    peer.call(2, b"");
    peer.client.cancel(gone, peer.now);
    // It enters grpc-status, which the next one names by its place.
    let entered = b"\x88\x5f\x10application/grpc\x40\x0bgrpc-status\x015";
    peer.give(HEADERS, END_HEADERS | 1, 1, entered);
    peer.give(HEADERS, END_HEADERS | 1, 3, b"\x88\xbf\xbe");
    assert_eq!(peer.ended(), [(1, 1, By::Client), (2, 5, By::Server)]);
}
