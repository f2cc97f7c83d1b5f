//! How connections end: GOAWAY, ids that are used up, a socket that breaks.

use super::super::super::frame::{DATA, GOAWAY, HEADERS, MAX_31};
use super::super::By;
use super::peer::Peer;

#[test]
fn what_the_server_took_is_finished_and_the_rest_handed_back() {
    let mut peer = Peer::with(&[(3, 3)]);
    for tag in 1..6 {
        peer.call(tag, b"");
    }
    peer.sent();
    peer.goaway(3, 0);
    let unsent = |tag| (tag, 14, By::Unsent);
    // Those that wait first: they have no stream.
    assert_eq!(peer.ended(), [unsent(4), unsent(5), unsent(3)]);
    assert!(!peer.client.takes_calls() && !peer.client.is_closed());
    peer.call(6, b"");
    let finished = peer.finished();
    assert_eq!((finished[0].tag, finished[0].by), (6, By::Unsent));
    assert!(
        finished[0].text.contains("NO_ERROR: bye"),
        "{}",
        finished[0].text
    );
    assert!(peer.sent().is_empty());
    peer.answer(3, b"");
    assert!(!peer.client.is_closed());
    peer.answer(1, b"");
    assert_eq!(peer.ended(), [(2, 0, By::Server), (1, 0, By::Server)]);
    assert_eq!(peer.closed_with(), Some(0));
}

#[test]
fn a_server_may_say_goodbye_twice() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.call(2, b"");
    peer.goaway(MAX_31, 0);
    assert!(peer.ended().is_empty() && !peer.client.takes_calls());
    peer.goaway(1, 0);
    assert_eq!(peer.ended(), [(2, 14, By::Unsent)]);
    peer.answer(1, b"");
    assert_eq!(peer.ended(), [(1, 0, By::Server)]);
    assert!(peer.client.is_closed());
}

#[test]
fn the_last_words_of_a_server_are_in_what_is_said_of_its_calls() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.goaway(1, 11);
    peer.client.lost("the server closed the connection");
    let finished = peer.finished();
    assert_eq!((finished[0].code, finished[0].by), (14, By::Lost));
    assert_eq!(
        finished[0].text,
        "the server said goodbye (ENHANCE_YOUR_CALM: bye); then the server closed the connection"
    );
}

#[test]
fn what_is_lost_behind_a_goodbye_without_an_error_was_stopped_on_purpose() {
    let ends = |codes: &[u32]| {
        let mut peer = Peer::new();
        peer.call(1, b"");
        peer.sent();
        for code in codes {
            peer.goaway(MAX_31, *code);
        }
        peer.client.lost("the connection broke: reset by peer");
        peer.ended()
    };
    assert_eq!(ends(&[0]), [(1, 14, By::Stopped)]);
    assert_eq!(ends(&[2]), [(1, 14, By::Lost)]);
    // The last one tells how it ends (6.8).
    assert_eq!(ends(&[0, 2]), [(1, 14, By::Lost)]);
    assert_eq!(ends(&[0, 0]), [(1, 14, By::Stopped)]);
    // That this side wants to close says nothing about the server.
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.client.retire();
    peer.client.lost("reset by peer");
    assert_eq!(peer.ended(), [(1, 14, By::Lost)]);
}

#[test]
fn an_idle_connection_closes_at_once() {
    let mut peer = Peer::new();
    peer.goaway(0, 0);
    assert_eq!(peer.closed_with(), Some(0));
    let mut peer = Peer::new();
    peer.client.retire();
    assert_eq!(peer.closed_with(), Some(0));
    // Nothing is taken from then on.
    peer.answer(1, b"");
    peer.give(GOAWAY, 0, 7, b"");
    assert!(peer.sent().is_empty());
}

#[test]
fn one_that_is_to_close_finishes_its_calls() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.client.retire();
    peer.call(2, b"");
    assert_eq!(peer.ended(), [(2, 14, By::Unsent)]);
    peer.answer(1, b"");
    assert_eq!(peer.ended(), [(1, 0, By::Server)]);
    assert_eq!(peer.closed_with(), Some(0));
}

#[test]
fn when_it_breaks_what_has_not_left_was_not_taken() {
    let mut peer = Peer::with(&[(3, 3)]);
    peer.call(1, b"");
    let first = peer.client.output().len();
    for tag in 2..5 {
        peer.call(tag, b"");
    }
    // All of the first, and a byte of the second one's head.
    peer.client.wrote(first + 1, peer.now);
    peer.client.lost("reset by peer");
    let by: Vec<_> = peer
        .finished()
        .into_iter()
        .map(|f| (f.tag, f.code, f.by))
        .collect();
    let (lost, unsent) = (By::Lost, By::Unsent);
    assert_eq!(
        by,
        [
            (1, 14, lost),
            (2, 14, lost),
            (3, 14, unsent),
            (4, 14, unsent)
        ]
    );
    assert!(peer.client.is_closed() && peer.client.calls() == 0);
    peer.client.lost("again");
    peer.call(5, b"");
    assert_eq!(peer.ended(), [(5, 14, By::Unsent)]);
}

#[test]
fn ids_that_are_used_up_need_another_connection() {
    let mut peer = Peer::with(&[(3, 1)]);
    peer.client.next_id = MAX_31 - 2;
    for tag in 1..4 {
        peer.call(tag, b"");
    }
    assert_eq!(
        peer.sent_kinds(),
        [(HEADERS, MAX_31 - 2), (DATA, MAX_31 - 2)]
    );
    peer.answer(MAX_31 - 2, b"");
    assert_eq!(peer.sent_kinds(), [(HEADERS, MAX_31), (DATA, MAX_31)]);
    assert_eq!(peer.ended(), [(1, 0, By::Server), (3, 14, By::Unsent)]);
    assert!(!peer.client.takes_calls() && !peer.client.is_closed());
    peer.answer(MAX_31, b"");
    assert_eq!(peer.ended(), [(2, 0, By::Server)]);
    assert_eq!(peer.closed_with(), Some(0));

    let mut peer = Peer::new();
    peer.client.next_id = MAX_31;
    peer.call(1, b"");
    peer.call(2, b"");
    assert_eq!(peer.ended(), [(2, 14, By::Unsent)]);
    assert!(!peer.client.takes_calls());
}
