//! Calls and their answers.

use super::super::super::frame::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, WITH_PRIORITY,
};
use super::super::super::hpack::OVERHEAD;
use super::super::{By, Finished};
use super::peer::{PATH, Peer, answer_head, block, prefixed};

#[test]
fn a_call_leaves_as_head_and_body_and_its_answer_comes_back() {
    let mut peer = Peer::new();
    peer.call(7, b"hello");
    let sent = peer.sent();
    let [head, body] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(
        (head.kind, head.flags, head.stream),
        (HEADERS, END_HEADERS, 1)
    );
    let fields = loona_hpack::Decoder::new()
        .decode(&head.payload)
        .expect("it can be read");
    let path = fields
        .iter()
        .find(|(name, _)| name == b":path")
        .expect("there is one");
    assert_eq!(path.1, PATH.as_bytes());
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len() + OVERHEAD)
        .sum();
    assert!(size < 500);
    assert_eq!((body.kind, body.flags, body.stream), (DATA, END_STREAM, 1));
    assert_eq!(body.payload, prefixed(b"hello"));
    peer.answer(1, b"there");
    let expected = Finished {
        tag: 7,
        code: 0,
        text: "".into(),
        body: b"there".to_vec(),
        by: By::Server,
    };
    assert_eq!(peer.finished(), [expected]);
    assert_eq!(peer.client.calls(), 0);
}

#[test]
fn the_client_greets_first_and_calls_once_it_is_greeted() {
    let mut peer = Peer::silent();
    peer.call(1, b"a");
    assert_eq!(peer.sent_kinds(), [(SETTINGS, 0), (WINDOW_UPDATE, 0)]);
    assert!(!peer.client.is_greeted());
    peer.settings(&[]);
    assert!(peer.client.is_greeted());
    let sent = peer.sent();
    let kinds: Vec<_> = sent.iter().map(|frame| (frame.kind, frame.flags)).collect();
    assert_eq!(
        kinds,
        [(SETTINGS, 1), (HEADERS, END_HEADERS), (DATA, END_STREAM)]
    );
}

#[test]
fn answers_come_back_in_any_order_with_their_tags() {
    let mut peer = Peer::new();
    for tag in 10..14 {
        peer.call(tag, b"");
    }
    peer.answer(5, b"");
    peer.refuse(1, "5", "no%20such%20key");
    peer.refuse(7, "14", "");
    let said: Vec<_> = peer
        .finished()
        .into_iter()
        .map(|f| (f.tag, f.code, f.text.into_owned()))
        .collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(
        said,
        [
            (12, 0, text("")),
            (10, 5, text("no such key")),
            (13, 14, text(""))
        ]
    );
    assert_eq!(peer.client.calls(), 1);
}

#[test]
fn bytes_are_taken_however_they_are_cut() {
    let mut whole = Vec::new();
    let add = |bytes: &mut Vec<u8>, kind, flags, payload: &[u8]| {
        super::super::super::frame::write(bytes, kind, flags, 1, payload);
    };
    add(&mut whole, HEADERS, END_HEADERS, &answer_head());
    add(&mut whole, DATA, 0, &prefixed(b"message"));
    add(
        &mut whole,
        HEADERS,
        END_HEADERS | END_STREAM,
        &block(&[("grpc-status", "0")]),
    );
    for size in 1..whole.len() {
        let mut peer = Peer::new();
        peer.call(1, b"");
        for part in whole.chunks(size) {
            peer.client.receive(part, peer.now);
        }
        let finished = peer.finished();
        assert_eq!(
            (finished[0].code, finished[0].body.as_slice()),
            (0, &b"message"[..]),
            "{size}"
        );
    }
}

#[test]
fn padding_priority_and_continuation_are_taken() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    let head = answer_head();
    let (first, rest) = head.split_at(3);
    let padded = [&[2, 0, 0, 0, 0, 7], first, &[0, 0]].concat();
    peer.give(HEADERS, PADDED | WITH_PRIORITY, 1, &padded);
    peer.give(CONTINUATION, 0, 1, &[]);
    peer.give(CONTINUATION, END_HEADERS, 1, rest);
    let body = [&[3], prefixed(b"message").as_slice(), &[0; 3]].concat();
    peer.give(DATA, PADDED, 1, &body);
    let trailers = block(&[("grpc-status", "0")]);
    peer.give(HEADERS, END_STREAM, 1, &trailers[..1]);
    peer.give(CONTINUATION, END_HEADERS, 1, &trailers[1..]);
    let finished = peer.finished();
    assert_eq!(
        (finished[0].code, finished[0].body.as_slice()),
        (0, &b"message"[..])
    );
}

#[test]
fn what_nobody_knows_and_priority_are_ignored() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.give(0x77, 0xff, 1, b"whatever");
    peer.give(0x78, 0, 0, b"");
    peer.give(PRIORITY, 0, 9, &[0; 5]);
    peer.settings(&[(0x99, 1)]);
    peer.answer(1, b"");
    assert_eq!(peer.ended(), [(1, 0, By::Server)]);
    assert_eq!(peer.sent_kinds(), [(SETTINGS, 0)]);
}

#[test]
fn settings_and_pings_are_acknowledged() {
    let mut peer = Peer::new();
    peer.settings(&[(3, 100)]);
    peer.give(PING, 0, 0, b"12345678");
    peer.give(PING, 1, 0, b"unasked ");
    peer.give(SETTINGS, 1, 0, b"");
    let sent = peer.sent();
    let seen: Vec<_> = sent
        .iter()
        .map(|f| (f.kind, f.flags, f.payload.as_slice()))
        .collect();
    assert_eq!(seen, [(SETTINGS, 1, &b""[..]), (PING, 1, &b"12345678"[..])]);
}

#[test]
fn a_reset_has_its_status_and_a_refused_call_was_not_taken() {
    let mut peer = Peer::new();
    for tag in 0..4 {
        peer.call(tag, b"");
    }
    peer.reset(1, 7);
    peer.reset(3, 2);
    peer.reset(5, 8);
    peer.reset(7, 11);
    let expected = [
        (0, 14, By::Unsent),
        (1, 13, By::Server),
        (2, 1, By::Server),
        (3, 8, By::Server),
    ];
    assert_eq!(peer.ended(), expected);
    // Again, for streams that are closed.
    peer.reset(1, 7);
    assert!(peer.ended().is_empty() && !peer.client.is_closed());
}

#[test]
fn a_reset_behind_the_answer_changes_nothing() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.answer(1, b"");
    peer.reset(1, 0);
    peer.window(1, 100);
    peer.give(DATA, 0, 1, b"late");
    peer.give(HEADERS, END_HEADERS, 1, &answer_head());
    assert_eq!(peer.ended(), [(1, 0, By::Server)]);
    assert!(!peer.client.is_closed());
}

#[test]
fn an_answer_that_breaks_the_rules_costs_its_call_alone() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.call(2, b"");
    peer.sent();
    peer.give(
        HEADERS,
        END_HEADERS,
        1,
        &block(&[(":status", "200"), ("Date", "today")]),
    );
    peer.give(DATA, 0, 3, &prefixed(b"body before head"));
    assert_eq!(peer.ended(), [(1, 13, By::Client), (2, 13, By::Client)]);
    let sent = peer.sent();
    let resets: Vec<_> = sent
        .iter()
        .map(|f| (f.kind, f.stream, f.payload[3]))
        .collect();
    assert_eq!(resets, [(RST_STREAM, 1, 1), (RST_STREAM, 3, 1)]);
    assert!(!peer.client.is_closed());
}

#[test]
fn an_answer_that_is_too_large_is_given_up() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    peer.give(HEADERS, END_HEADERS, 1, &answer_head());
    peer.give(DATA, 0, 1, &[0, 0, 0x10, 0, 1, 7]);
    assert_eq!(peer.ended(), [(1, 8, By::Client)]);
    assert_eq!(peer.sent()[0].payload, [0, 0, 0, 8]);
}

#[test]
fn what_a_proxy_answers_has_a_status() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    let head = block(&[(":status", "502"), ("content-type", "text/html")]);
    peer.give(HEADERS, END_HEADERS, 1, &head);
    peer.give(DATA, END_STREAM, 1, b"<html>Bad Gateway</html>");
    let finished = peer.finished();
    assert_eq!((finished[0].code, finished[0].by), (14, By::Server));
    assert_eq!(finished[0].text, "HTTP status 502 without a grpc-status");
}

#[test]
fn the_head_table_of_the_peer_may_shrink_and_grow() {
    let mut peer = Peer::new();
    let mut decoder = loona_hpack::Decoder::new();
    for (round, size) in [4096, 0, 50, 200, 4096, 1 << 20].into_iter().enumerate() {
        peer.settings(&[(1, size)]);
        for _ in 0..2 {
            peer.call(round as u64, b"");
            let heads = peer
                .sent()
                .into_iter()
                .filter(|frame| frame.kind == HEADERS);
            for head in heads {
                let fields = decoder.decode(&head.payload).expect("it can be read");
                assert!(fields.contains(&(b":path".to_vec(), PATH.as_bytes().to_vec())));
                assert_eq!(fields.len(), 8);
            }
        }
    }
}

#[test]
fn the_least_of_two_table_sizes_is_said_too() {
    let mut peer = Peer::new();
    peer.call(1, b"");
    peer.sent();
    // The server may have emptied its table in between (RFC 7541, 4.2).
    peer.settings(&[(1, 0), (1, 100)]);
    peer.call(2, b"");
    let sent = peer.sent();
    let head = sent.iter().find(|frame| frame.kind == HEADERS);
    assert_eq!(head.expect("a head").payload[..3], [0x20, 0x3f, 69]);
}

#[test]
fn a_head_that_the_server_does_not_take_is_not_sent() {
    let mut peer = Peer::with(&[(6, 100)]);
    peer.call(1, b"");
    assert_eq!(peer.ended(), [(1, 13, By::Unsent)]);
    assert!(peer.sent().is_empty());
    peer.settings(&[(6, 10_000)]);
    peer.call(2, b"");
    assert_eq!(peer.sent_kinds(), [(SETTINGS, 0), (HEADERS, 1), (DATA, 1)]);
}

#[test]
fn a_cancelled_call_is_reset_once() {
    let mut peer = Peer::with(&[(3, 1)]);
    let open = peer.call(1, b"");
    let queued = peer.call(2, b"");
    peer.sent();
    peer.client.cancel(queued, peer.now);
    peer.client.cancel(open, peer.now);
    peer.client.cancel(open, peer.now);
    assert_eq!(peer.ended(), [(2, 1, By::Unsent), (1, 1, By::Client)]);
    assert_eq!(peer.sent_kinds(), [(RST_STREAM, 1)]);
    peer.answer(1, b"");
    assert!(peer.ended().is_empty());
}
