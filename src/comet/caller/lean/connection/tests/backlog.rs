//! A socket that takes less than is called, though the windows are large.

use super::super::super::frame::{DATA, END_STREAM, MAX_31, PING};
use super::super::{By, MOST_OUTPUT};
use super::peer::{Frame, Peer, WITHIN, config};

const BODY: usize = 300_000;
const CALLS: usize = 40;

/// One that was called more than may wait for its socket.
fn called() -> Peer {
    const STREAMS_WINDOW: u16 = 4;
    let mut peer = Peer::with(&[(STREAMS_WINDOW, MAX_31)]);
    peer.window(0, 1 << 30);
    for tag in 0..CALLS {
        peer.call(tag as u64, &[tag as u8; BODY]);
    }
    peer
}

/// The length of a stream's body, and how often it ends.
fn body(sent: &[Frame], stream: u32) -> (usize, usize) {
    let of_stream = sent
        .iter()
        .filter(|frame| (frame.kind, frame.stream) == (DATA, stream));
    of_stream.fold((0, 0), |(length, ends), frame| {
        let is_end = frame.flags == END_STREAM;
        (length + frame.payload.len(), ends + usize::from(is_end))
    })
}

#[test]
fn all_leaves_as_the_socket_takes_it() {
    let mut peer = called();
    let mut sent = Vec::new();
    while !peer.client.output().is_empty() {
        assert!(peer.client.output().len() < MOST_OUTPUT + 20_000);
        sent.extend(peer.sent());
    }
    for stream in (0..CALLS as u32).map(|call| call * 2 + 1) {
        assert_eq!(body(&sent, stream), (BODY + 5, 1));
        peer.answer(stream, b"");
    }
    assert!(peer.ended().into_iter().all(|(_, code, _)| code == 0));
}

#[test]
fn what_nobody_waits_for_any_more_does_not_leave() {
    let mut peer = called();
    let last = peer.client.next_id - 2;
    for _ in 0..3 {
        peer.give(PING, 0, 0, &[0; 8]);
        peer.later(WITHIN / 3 + WITHIN / 100);
    }
    let ended = peer.ended();
    assert_eq!(ended.len(), CALLS);
    let unsent = ended.iter().filter(|ended| ended.2 == By::Unsent).count();
    assert_eq!(unsent, CALLS - last.div_ceil(2) as usize);
    assert!(ended.iter().all(|(_, code, _)| *code == 4));
    assert!(unsent > CALLS / 2 && peer.client.output().len() < MOST_OUTPUT + 20_000);
    peer.sent();
    assert!(peer.client.output().is_empty());
    // There is room again.
    peer.call(99, b"");
    assert_eq!(peer.sent().len(), 2);
    peer.answer(last + 2, b"");
    assert_eq!(peer.ended(), [(99, 0, By::Server)]);
}

#[test]
fn one_that_takes_nothing_is_given_up_though_no_call_has_a_stream() {
    let mut peer = called();
    peer.later(WITHIN);
    peer.ended();
    peer.call(99, b"");
    assert_eq!(peer.client.streams.opened(), 0);
    assert!(peer.client.wake_at() <= Some(peer.now + config().answer_within));
    peer.later(config().answer_within);
    assert_eq!(peer.ended(), [(99, 14, By::Unsent)]);
    assert!(peer.client.is_closed());
}
