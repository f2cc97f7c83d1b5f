//! Windows, frame sizes and the number of streams.

use super::super::super::frame::{
    DATA, END_HEADERS, END_STREAM, HEADERS, MAX_31, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::super::{By, Credit, STREAM_WINDOW, WINDOW};
use super::peer::{Frame, Peer, answer_head, prefixed};

const MAX_STREAMS: u16 = 3;
const STREAMS_WINDOW: u16 = 4;
const MAX_FRAME: u16 = 5;

/// The data that was sent of a stream, and whether it ended.
fn data(sent: &[Frame], stream: u32) -> (Vec<u8>, bool) {
    let frames = || {
        sent.iter()
            .filter(|frame| frame.kind == DATA && frame.stream == stream)
    };
    let bytes = frames().flat_map(|frame| frame.payload.clone()).collect();
    (bytes, frames().any(|frame| frame.flags == END_STREAM))
}

#[test]
fn a_body_waits_for_the_window_of_its_stream() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, 7)]);
    let body = prefixed(b"0123456789");
    peer.call(1, &body[5..]);
    let mut sent = peer.sent();
    assert_eq!(data(&sent, 1), (body[..7].to_vec(), false));
    peer.window(1, 1);
    sent.extend(peer.sent());
    assert_eq!(data(&sent, 1), (body[..8].to_vec(), false));
    peer.window(1, 100);
    sent.extend(peer.sent());
    assert_eq!(data(&sent, 1), (body, true));
    peer.answer(1, b"");
    assert_eq!(peer.ended(), [(1, 0, By::Server)]);
}

#[test]
fn a_window_of_nothing_lets_the_head_alone_pass() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, 0)]);
    peer.call(1, b"a");
    assert_eq!(peer.sent_kinds(), [(HEADERS, 1)]);
    // All streams get more, also those that are open.
    peer.settings(&[(STREAMS_WINDOW, 100)]);
    let sent = peer.sent();
    assert_eq!(data(&sent, 1), (prefixed(b"a"), true));
}

#[test]
fn a_window_that_was_taken_back_has_to_be_granted_first() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, 10)]);
    peer.call(1, &[7; 95]);
    assert_eq!(data(&peer.sent(), 1).0.len(), 10);
    peer.settings(&[(STREAMS_WINDOW, 0)]);
    peer.window(1, 10);
    assert_eq!(data(&peer.sent(), 1).0.len(), 0);
    peer.window(1, 1);
    assert_eq!(data(&peer.sent(), 1).0.len(), 1);
}

#[test]
fn the_connection_has_a_window_too_and_bodies_share_it() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, MAX_31)]);
    let body = [1; 40_000];
    peer.call(1, &body);
    peer.call(2, &body);
    let mut sent = peer.sent();
    assert_eq!(data(&sent, 1).0.len() + data(&sent, 3).0.len(), 65_535);
    assert!(data(&sent, 1).1 && !data(&sent, 3).1);
    peer.window(0, 30_000);
    sent.extend(peer.sent());
    assert_eq!(data(&sent, 3), (prefixed(&body), true));
}

#[test]
fn large_bodies_take_turns() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, 0)]);
    peer.call(1, &[1; 40_000]);
    peer.call(2, &[2; 40_000]);
    peer.sent();
    peer.window(0, 1 << 20);
    peer.settings(&[(STREAMS_WINDOW, 1 << 20)]);
    let sent = peer.sent();
    let order: Vec<_> = sent
        .iter()
        .filter(|f| f.kind == DATA)
        .map(|f| (f.stream, f.payload.len()))
        .collect();
    let last = 40_005 - 2 * 16_384;
    assert_eq!(
        order,
        [
            (1, 16_384),
            (3, 16_384),
            (1, 16_384),
            (3, 16_384),
            (1, last),
            (3, last)
        ]
    );
}

#[test]
fn frames_are_as_long_as_the_peer_takes() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, 1 << 20), (MAX_FRAME, 20_000)]);
    peer.window(0, 1 << 20);
    peer.call(1, &[1; 50_000]);
    let sent = peer.sent();
    let lengths: Vec<_> = sent
        .iter()
        .filter(|f| f.kind == DATA)
        .map(|f| f.payload.len())
        .collect();
    assert_eq!(lengths, [20_000, 20_000, 10_005]);
}

#[test]
fn calls_wait_for_a_stream() {
    let mut peer = Peer::with(&[(MAX_STREAMS, 1)]);
    for tag in 1..4 {
        peer.call(tag, b"a");
    }
    assert_eq!(peer.sent_kinds(), [(HEADERS, 1), (DATA, 1)]);
    peer.answer(1, b"");
    assert_eq!(peer.sent_kinds(), [(HEADERS, 3), (DATA, 3)]);
    peer.settings(&[(MAX_STREAMS, 0)]);
    peer.answer(3, b"");
    peer.call(4, b"a");
    assert_eq!(peer.sent_kinds(), [(SETTINGS, 0)]);
    peer.settings(&[(MAX_STREAMS, 2)]);
    assert_eq!(
        peer.sent_kinds(),
        [
            (SETTINGS, 0),
            (HEADERS, 5),
            (HEADERS, 7),
            (DATA, 5),
            (DATA, 7)
        ]
    );
    peer.answer(7, b"");
    peer.answer(5, b"");
    let ok = |tag| (tag, 0, By::Server);
    assert_eq!(peer.ended(), [ok(1), ok(2), ok(4), ok(3)]);
}

#[test]
fn fewer_streams_than_are_open_end_none() {
    let mut peer = Peer::new();
    for tag in 1..4 {
        peer.call(tag, b"");
    }
    peer.sent();
    peer.settings(&[(MAX_STREAMS, 1)]);
    peer.call(4, b"");
    peer.answer(1, b"");
    peer.answer(3, b"");
    assert_eq!(peer.sent_kinds(), [(SETTINGS, 0)]);
    peer.answer(5, b"");
    assert_eq!(peer.sent_kinds(), [(HEADERS, 7), (DATA, 7)]);
}

#[test]
fn what_came_is_granted_again() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.give(HEADERS, END_HEADERS, 1, &answer_head());
    let mut message = prefixed(&vec![7; 1 << 20]);
    let last = message.split_off(message.len() - 1);
    let (mut of_stream, mut came) = (0, 0);
    for part in message.chunks(16_384) {
        peer.give(DATA, 0, 1, part);
        came += part.len();
        for frame in peer.sent() {
            assert_eq!((frame.kind, frame.stream), (WINDOW_UPDATE, 1));
            of_stream += u32::from_be_bytes(frame.payload.try_into().expect("4 bytes"));
        }
        assert!(came - of_stream as usize <= STREAM_WINDOW as usize / 2 + 16_384);
    }
    peer.give(DATA, 0, 1, &last);
    assert!(of_stream > 0);
    // For answers that come late too: whoever sends them must not wait forever.
    peer.reset(1, 8);
    peer.sent();
    let mut of_connection = 0;
    for _ in 0..WINDOW / 16_384 {
        peer.give(DATA, 0, 1, &[0; 16_384]);
        for frame in peer.sent() {
            assert_eq!((frame.kind, frame.stream), (WINDOW_UPDATE, 0));
            of_connection += u32::from_be_bytes(frame.payload.try_into().expect("4 bytes"));
        }
    }
    assert!(of_connection >= WINDOW / 2);
}

#[test]
fn data_beyond_a_window_is_an_error() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.give(HEADERS, END_HEADERS, 1, &answer_head());
    let (_, stream) = peer.client.streams.find(1).expect("it is open");
    let opened = stream.opened.as_mut().expect("it is open");
    opened.credit = Credit::new(u32::MAX, 10);
    peer.give(DATA, 0, 1, &[0; 11]);
    let reset = peer.sent().pop().map(|frame| (frame.kind, frame.payload));
    assert_eq!(reset, Some((RST_STREAM, vec![0, 0, 0, 3])));
    assert_eq!(peer.ended(), [(1, 13, By::Client)]);
    peer.client.credit = Credit::new(u32::MAX, 10);
    peer.give(DATA, 0, 1, &[0; 11]);
    assert_eq!(peer.closed_with(), Some(3));
}

#[test]
fn a_window_that_is_too_large_is_an_error_of_its_stream_or_the_connection() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.window(1, MAX_31);
    assert_eq!(peer.ended(), [(1, 13, By::Client)]);
    assert_eq!(
        peer.sent().pop().map(|f| (f.kind, f.payload)),
        Some((RST_STREAM, vec![0, 0, 0, 3]))
    );
    peer.call(2, b"");
    peer.window(3, 0);
    assert_eq!(peer.ended(), [(2, 13, By::Client)]);
    assert_eq!(
        peer.sent().pop().map(|f| (f.kind, f.payload)),
        Some((RST_STREAM, vec![0, 0, 0, 1]))
    );
    peer.call(3, b"");
    peer.window(5, MAX_31 - 100_000);
    assert!(!peer.client.is_closed());
    peer.settings(&[(STREAMS_WINDOW, 200_000)]);
    assert_eq!(peer.closed_with(), Some(3));

    let mut peer = Peer::new();
    peer.window(0, MAX_31);
    assert_eq!(peer.closed_with(), Some(3));
    let mut peer = Peer::new();
    peer.window(0, 0);
    assert_eq!(peer.closed_with(), Some(1));
}

#[test]
fn an_answer_before_the_whole_request_ends_the_call() {
    let mut peer = Peer::with(&[(STREAMS_WINDOW, 10)]);
    peer.call(1, &[7; 100]);
    peer.call(2, b"");
    peer.sent();
    peer.refuse(1, "8", "too large");
    assert_eq!(peer.ended(), [(1, 8, By::Server)]);
    let sent = peer.sent();
    assert_eq!(
        (sent[0].kind, sent[0].stream, &sent[0].payload[..]),
        (RST_STREAM, 1, &[0, 0, 0, 8][..])
    );
    peer.window(1, 1000);
    assert!(peer.sent().is_empty());
}
