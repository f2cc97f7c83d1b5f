//! Deadlines, the greeting, and signs of life.

use std::time::Duration;

use super::super::super::frame::{ACK, DATA, HEADERS, PING, RST_STREAM};
use super::super::{By, Call};
use super::peer::{PATH, Peer, WITHIN, config};

#[test]
fn a_call_ends_at_its_deadline_and_its_stream_is_reset() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.later(Duration::from_secs(1));
    peer.call(2, b"");
    peer.sent();
    peer.later(Duration::from_millis(3_999));
    assert!(peer.ended().is_empty());
    assert_eq!(
        peer.client.wake_at(),
        Some(peer.now + Duration::from_millis(1))
    );
    peer.later(Duration::from_millis(1));
    assert_eq!(peer.ended(), [(1, 4, By::Client)]);
    let sent = peer.sent();
    assert_eq!(
        (sent[0].kind, sent[0].stream, &sent[0].payload[..]),
        (RST_STREAM, 1, &[0, 0, 0, 8][..])
    );
    // The late answer is nobody's.
    peer.answer(1, b"");
    peer.answer(3, b"");
    assert_eq!(peer.ended(), [(2, 0, By::Server)]);
}

#[test]
fn deadlines_may_come_in_any_order() {
    let mut peer = Peer::new();
    for (tag, secs) in [(1, 9), (2, 3), (3, 6), (4, 3)] {
        let call = Call {
            tag,
            path: PATH,
            within: Duration::from_secs(secs),
        };
        peer.client.call(call, peer.now, |_| ());
    }
    let mut ended = Vec::new();
    for second in 1..10 {
        // Something comes, so that the peer is never asked.
        peer.give(PING, ACK, 0, &[0; 8]);
        peer.later(Duration::from_secs(1));
        ended.extend(
            peer.ended()
                .into_iter()
                .map(|(tag, code, _)| (second, tag, code)),
        );
    }
    assert_eq!(ended, [(3, 2, 4), (3, 4, 4), (6, 3, 4), (9, 1, 4)]);
    assert_eq!(peer.client.wake_at(), None);
}

#[test]
fn a_reset_at_the_deadline_is_the_deadline() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.now += WITHIN;
    peer.reset(1, 8);
    assert_eq!(peer.ended(), [(1, 4, By::Client)]);
}

#[test]
fn a_call_that_waits_has_what_is_left_of_its_limit() {
    let mut peer = Peer::with(&[(3, 1)]);
    peer.call(1, b"");
    peer.call(2, b"");
    peer.call(3, b"");
    peer.sent();
    peer.now += Duration::from_millis(1_250);
    peer.answer(1, b"");
    let sent = peer.sent();
    assert_eq!((sent[0].kind, sent[0].stream), (HEADERS, 3));
    let mut decoder = loona_hpack::Decoder::new();
    // The table of the first head is not there, so the limit alone is looked for.
    let _ = decoder.decode(&sent[0].payload);
    let block = String::from_utf8_lossy(&sent[0].payload).into_owned();
    assert!(block.contains("3750m"), "{block:?}");
    peer.later(WITHIN);
    let unsent = By::Unsent;
    assert_eq!(
        peer.ended(),
        [(1, 0, By::Server), (2, 4, By::Client), (3, 4, unsent)]
    );
}

#[test]
fn a_peer_that_never_greets_is_given_up() {
    let mut peer = Peer::silent();
    assert_eq!(
        peer.client.wake_at(),
        Some(peer.now + config().greeted_within)
    );
    peer.call(1, b"");
    peer.later(config().greeted_within - Duration::from_millis(1));
    assert!(!peer.client.is_closed());
    peer.later(Duration::from_millis(1));
    let finished = peer.finished();
    assert_eq!((finished[0].code, finished[0].by), (14, By::Unsent));
    assert!(
        finished[0].text.contains("within 1.5 s"),
        "{}",
        finished[0].text
    );
    assert!(peer.client.is_closed());
}

/// A call that may take long.
fn long_call(peer: &mut Peer) {
    let call = Call {
        tag: 1,
        path: PATH,
        within: Duration::from_secs(1000),
    };
    peer.client.call(call, peer.now, |_| ());
    peer.sent();
}

#[test]
fn a_silent_peer_is_asked_for_a_sign_of_life_and_given_up() {
    let mut peer = Peer::new();
    peer.later(Duration::from_secs(100));
    assert!(peer.sent().is_empty(), "nobody waits for anything");
    long_call(&mut peer);
    assert_eq!(peer.client.wake_at(), Some(peer.now + config().ask_after));
    peer.later(config().ask_after);
    assert_eq!(peer.sent_kinds(), [(PING, 0)]);
    assert_eq!(
        peer.client.wake_at(),
        Some(peer.now + config().answer_within)
    );
    peer.later(config().answer_within);
    let finished = peer.finished();
    assert_eq!((finished[0].code, finished[0].by), (14, By::GivenUp));
    assert!(
        finished[0].text.contains("no sign of life came within 2 s"),
        "{}",
        finished[0].text
    );
}

#[test]
fn one_that_was_silent_is_asked_when_the_next_call_gets_the_stream_of_one_that_is_overdue() {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let mut peer = Peer::with(&[(MAX_CONCURRENT_STREAMS, 1)]);
    peer.call(1, b"");
    long_call(&mut peer);
    peer.later(config().ask_after);
    assert_eq!(peer.ended(), [(1, 4, By::Client)]);
    assert_eq!(peer.sent_kinds().last(), Some(&(PING, 0)));
    assert_eq!(
        peer.client.wake_at(),
        Some(peer.now + config().answer_within)
    );
}

#[test]
fn whatever_comes_is_a_sign_of_life() {
    let mut peer = Peer::new();
    long_call(&mut peer);
    peer.later(config().ask_after);
    assert_eq!(peer.sent_kinds(), [(PING, 0)]);
    peer.give(PING, ACK, 0, b"alive?\r\n");
    peer.later(config().answer_within);
    assert!(!peer.client.is_closed() && peer.sent().is_empty());
}

#[test]
fn it_is_not_asked_more_often_than_servers_let_one() {
    let mut peer = Peer::new();
    long_call(&mut peer);
    let mut asked = 0;
    for _ in 0..20 {
        peer.later(config().ask_after);
        for _ in peer.sent() {
            asked += 1;
            peer.give(PING, ACK, 0, b"alive?\r\n");
        }
    }
    assert_eq!(asked, 2);
    // A part of an answer lets it ask again.
    peer.give(HEADERS, 4, 1, &super::peer::answer_head());
    peer.later(config().ask_after);
    assert_eq!(peer.sent_kinds(), [(PING, 0)]);
}

#[test]
fn one_that_is_idle_can_be_asked() {
    let mut peer = Peer::new();
    peer.later(Duration::from_secs(100));
    let before = peer.client.heard();
    peer.client.ask(peer.now);
    peer.client.ask(peer.now);
    assert_eq!(peer.sent_kinds(), [(PING, 0)]);
    peer.give(PING, ACK, 0, b"alive?\r\n");
    assert!(peer.client.heard() > before && peer.client.wake_at().is_none());
    peer.client.ask(peer.now);
    peer.later(config().answer_within);
    assert!(peer.client.is_closed());
}

#[test]
fn a_connection_that_closes_still_keeps_its_deadlines() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.goaway(1, 0);
    assert!(peer.sent().is_empty());
    peer.later(WITHIN);
    assert_eq!(peer.ended(), [(1, 4, By::Client)]);
    let kinds = peer.sent_kinds();
    assert_eq!(kinds[0], (RST_STREAM, 1));
    assert!(peer.client.is_closed() && kinds.iter().all(|kind| kind.0 != DATA));
}
