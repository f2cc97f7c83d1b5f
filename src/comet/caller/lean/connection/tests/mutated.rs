//! Peers that send anything: nothing panics, little is kept, and each call ends once.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::super::frame::{
    self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::super::LONGEST_BLOCK;
use super::peer::{Peer, answer_head, block, prefixed};

/// A frame of any kind, mostly of a stream that may be open, and mostly of a length that it may have.
fn a_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        vec(any::<u8>(), 0..40),
        vec(any::<u8>(), 4..=4),
        vec(any::<u8>(), 8..=8),
        Just(vec![0, 0, 0, 100]),
        Just(answer_head()),
        Just(block(&[("grpc-status", "0")])),
        Just(prefixed(b"message")),
        (1..7_u16, any::<u32>()).prop_map(|(setting, value)| {
            [&setting.to_be_bytes()[..], &value.to_be_bytes()].concat()
        }),
    ];
    let flags = prop_oneof![
        Just(0),
        Just(END_HEADERS),
        Just(END_HEADERS | END_STREAM),
        any::<u8>()
    ];
    (0..12_u8, flags, 0..16_u32, payload).prop_map(|(kind, flags, stream, payload)| {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, flags, stream, &payload);
        bytes
    })
}

/// What a good server sends for some calls.
fn good() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut add = |kind, flags, stream, payload: &[u8]| {
        frame::write(&mut bytes, kind, flags, stream, payload)
    };
    add(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 5]);
    for stream in [3, 1, 7] {
        add(HEADERS, END_HEADERS, stream, &answer_head());
        add(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0]);
        add(DATA, 0, stream, &prefixed(b"a message"));
        add(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block(&[("grpc-status", "5"), ("grpc-message", "no%20")]),
        );
    }
    add(RST_STREAM, 0, 5, &[0, 0, 0, 7]);
    add(GOAWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 0]);
    bytes
}

/// What is done to a byte.
fn a_mutation() -> impl Strategy<Value = (usize, u8, u8)> {
    (0..400_usize, 0..4_u8, any::<u8>())
}

fn mutated(mutations: Vec<(usize, u8, u8)>) -> Vec<u8> {
    let mut bytes = good();
    for (at, kind, byte) in mutations {
        let at = at % bytes.len();
        match kind {
            0 => bytes[at] = byte,
            1 => bytes[at] ^= 1 << (byte % 8),
            2 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}

/// Gives the bytes in parts of this size to a client with calls under way.
fn drive(mut peer: Peer, bytes: &[u8], size: usize) {
    const CALLS: u64 = 8;
    let mut ended = Vec::new();
    for tag in 0..CALLS / 2 {
        peer.call(tag, b"a body");
    }
    for (n, part) in bytes.chunks(size).enumerate() {
        peer.client.receive(part, peer.now);
        if n == 3 {
            for tag in CALLS / 2..CALLS {
                peer.call(tag, &[7; 30_000]);
            }
        }
        if n % 4 == 3 {
            peer.later(Duration::from_millis(50));
        }
        assert!(peer.client.partial.len() <= frame::HEAD + frame::MAX_FRAME);
        assert!(peer.client.block.bytes.len() <= LONGEST_BLOCK);
        assert!(peer.client.output().len() < 200_000);
        ended.extend(peer.ended());
        let half = peer.client.output().len().div_ceil(2);
        peer.client.wrote(half, peer.now);
    }
    peer.client.lost("the test is over");
    assert_eq!(peer.client.calls(), 0);
    ended.extend(peer.ended());
    let mut tags: Vec<_> = ended.iter().map(|(tag, _, _)| *tag).collect();
    let made = tags.len();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), made, "a call ended twice: {ended:?}");
    assert!(made == 4 || made == 8, "a call never ended: {ended:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_frames(frames in vec(a_frame(), 1..60), greets: bool, size in 1..200_usize) {
        let peer = if greets { Peer::new() } else { Peer::silent() };
        drive(peer, &frames.concat(), size);
    }

    #[test]
    fn frames_of_a_good_server_with_faults(mutations in vec(a_mutation(), 0..6), size in 1..200_usize) {
        drive(Peer::silent(), &mutated(mutations), size);
    }

    #[test]
    fn any_bytes(bytes in vec(any::<u8>(), 0..300), size in 1..50_usize) {
        drive(Peer::new(), &bytes, size);
    }
}
