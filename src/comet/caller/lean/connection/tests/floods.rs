//! Peers that keep this side busy, or have it keep much.

use super::super::super::frame::{
    CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::super::super::hpack::write_string;
use super::super::{By, LONGEST_BLOCK};
use super::peer::{Peer, answer_head, block};

const ENHANCE_YOUR_CALM: u32 = 11;

/// Gives the same frame again and again; the client's output is taken each time. Returns how often it took it.
fn flooded(peer: &mut Peer, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> usize {
    for n in 0..100_000 {
        if peer.client.is_closed() {
            return n;
        }
        let all = peer.client.output().len();
        peer.client.wrote(all, peer.now);
        peer.give(kind, flags, stream, payload);
    }
    panic!("it takes any number");
}

#[test]
fn frames_that_no_call_needs_end_the_connection_when_they_are_a_flood() {
    let informing = block(&[(":status", "103")]);
    for (kind, flags, stream, payload) in [
        (SETTINGS, 0, 0, &b""[..]),
        (SETTINGS, 1, 0, b""),
        (PING, 0, 0, &[0; 8]),
        (PING, 1, 0, &[0; 8]),
        (PRIORITY, 0, 1, &[0; 5]),
        (0x99, 0, 0, b"whatever"),
        (WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        (WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        // Of a call that ended.
        (RST_STREAM, 0, 3, &[0; 4]),
        (DATA, 0, 3, b"x"),
        (HEADERS, END_HEADERS, 3, &[0x88]),
        // Of one that waits.
        (HEADERS, END_HEADERS, 1, &informing),
    ] {
        let mut peer = Peer::new();
        peer.call(1, b"");
        peer.call(2, b"");
        peer.answer(3, b"");
        assert_eq!(peer.ended(), [(2, 0, By::Server)]);
        let taken = flooded(&mut peer, kind, flags, stream, payload);
        assert!((5_000..20_000).contains(&taken), "{kind}: {taken}");
        assert_eq!(peer.closed_with(), Some(ENHANCE_YOUR_CALM), "{kind}");
        assert_eq!(peer.ended(), [(1, 14, By::GivenUp)]);
    }
}

#[test]
fn empty_data_is_a_flood_too() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.give(HEADERS, END_HEADERS, 1, &answer_head());
    flooded(&mut peer, DATA, 0, 1, b"");
    assert_eq!(peer.closed_with(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_peer_that_takes_nothing_does_not_fill_the_output() {
    let mut peer = Peer::new();
    let mut given = 0;
    while !peer.client.is_closed() {
        peer.give(PING, 0, 0, &[0; 8]);
        given += 1;
    }
    assert!(given < 10_000 && peer.client.output().len() < 200_000);
    assert_eq!(peer.closed_with(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_header_block_has_an_end() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.give(HEADERS, 0, 1, &answer_head());
    let taken = flooded(&mut peer, CONTINUATION, 0, 1, b"");
    assert!(taken < 1_000, "{taken} frames without anything in them");
    assert_eq!(peer.closed_with(), Some(ENHANCE_YOUR_CALM));

    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.give(HEADERS, 0, 1, &answer_head());
    let taken = flooded(&mut peer, CONTINUATION, 0, 1, &[0; 16_384]);
    assert!(taken * 16_384 <= LONGEST_BLOCK + 16_384);
    assert_eq!(peer.closed_with(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn a_long_message_of_a_status_is_cut_but_the_status_counts() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    let long = "m".repeat(300_000);
    let fields = [
        (":status", "200"),
        ("grpc-status", "3"),
        ("grpc-message", &long),
    ];
    let block = block(&fields);
    let (first, rest) = block.split_at(16_384);
    peer.give(HEADERS, 1, 1, first);
    for part in rest.chunks(16_384) {
        peer.give(CONTINUATION, 0, 1, part);
    }
    peer.give(CONTINUATION, END_HEADERS, 1, b"");
    let finished = peer.finished();
    assert_eq!((finished[0].code, finished[0].text.len()), (3, 16 << 10));
}

#[test]
fn a_block_that_unpacks_to_too_much_is_a_flood() {
    for (name, times, expected) in [
        ("a", 200, None),
        ("a", 12_000, Some(ENHANCE_YOUR_CALM)),
        ("grpc-message", 200, None),
        ("grpc-message", 12_000, Some(ENHANCE_YOUR_CALM)),
    ] {
        let mut peer = Peer::new();
        peer.call(1, b"");
        // One long entry, named again and again: 16 KiB that stand for 50 MB.
        let mut bomb = block(&[(":status", "200"), ("grpc-status", "3")]);
        bomb.push(0x40);
        write_string(&mut bomb, name.as_bytes());
        write_string(&mut bomb, &[b'a'; 4_000]);
        bomb.resize(bomb.len() + times, 0xbe);
        peer.give(HEADERS, END_HEADERS | 1, 1, &bomb);
        assert_eq!(peer.closed_with(), expected, "{name}");
        let finished = peer.finished();
        match expected {
            None => assert_eq!((finished[0].code, finished[0].by), (3, By::Server)),
            Some(_) => assert_eq!((finished[0].code, finished[0].by), (14, By::GivenUp)),
        }
        assert!(finished[0].text.len() <= 4_000);
    }
}

#[test]
fn streams_that_are_reset_leave_no_trace() {
    let mut peer = Peer::new();
    for n in 0..50_000 {
        peer.call(n, b"hello");
        peer.reset(n as u32 * 2 + 1, 7);
        assert_eq!(peer.ended(), [(n, 14, By::Unsent)]);
        let all = peer.client.output().len();
        peer.client.wrote(all, peer.now);
    }
    assert!(peer.client.calls() == 0 && !peer.client.is_closed());
}

#[test]
fn calls_that_end_while_they_wait_leave_no_trace() {
    let mut peer = Peer::with(&[(4, 0)]);
    for n in 0..10_000 {
        peer.call(n, b"hello");
        peer.refuse(n as u32 * 2 + 1, "8", "");
        assert_eq!(peer.ended(), [(n, 8, By::Server)]);
        assert!(peer.client.blocked.len() < 100);
        peer.sent();
    }
    peer.settings(&[(3, 0)]);
    for n in 0..10_000 {
        let key = peer.call(n, b"hello");
        peer.client.cancel(key, peer.now);
        assert_eq!(peer.ended(), [(n, 1, By::Unsent)]);
        assert!(peer.client.queued.len() < 100);
    }
    peer.settings(&[(3, 1), (4, 100)]);
    peer.call(7, b"hello");
    peer.answer(20_001, b"");
    assert_eq!(peer.ended(), [(7, 0, By::Server)]);
}
