mod properties;

use super::*;
use crate::message::call::Call;
use bytes::Bytes;

fn coalescer(form: Coalesce, messages: usize, bytes: usize) -> Coalescer {
    Coalescer::new(form, Dialect::Chatroom, messages, bytes).expect("it is on")
}

fn to_room(room: &str, op: i32, body: impl Into<Bytes>) -> Call {
    Call::BroadcastRoom {
        room: room.into(),
        frame: Frame::new(op, body),
    }
}

fn web_body(room: &str, messages: &str) -> String {
    format!(
        r#"{{"type":"serverMessages","payload":{{"roomId":"{room}","messages":[{messages}]}}}}"#
    )
}

/// The calls that a queue becomes, each with how many of it it carries.
fn drain(coalescer: &Coalescer, queue: &[Call]) -> Vec<(usize, Call)> {
    let shapes: Vec<Shape> = queue.iter().map(|_| Shape::default()).collect();
    let mut calls = Vec::new();
    let mut at = 0;
    while at < queue.len() {
        let waiting = queue[at..].iter().zip(&shapes[at..]);
        let (count, call) = coalescer
            .merge(waiting)
            .unwrap_or_else(|| (1, queue[at].clone()));
        at += count;
        calls.push((count, call));
    }
    calls
}

fn parts(call: &Call) -> (&str, i32, &[u8]) {
    let Call::BroadcastRoom { room, frame } = call else {
        panic!("not to a room: {call:?}")
    };
    (room, frame.op, &frame.body)
}

fn counts(calls: &[(usize, Call)]) -> Vec<usize> {
    calls.iter().map(|(count, _)| *count).collect()
}

/// What a goim client reads from raw frames: the operations and bodies.
fn unframed(mut raw: &[u8]) -> Vec<(i32, Vec<u8>)> {
    let mut frames = Vec::new();
    while !raw.is_empty() {
        let number = |at: usize| u32::from_be_bytes(raw[at..at + 4].try_into().unwrap());
        assert_eq!(number(4), 16 << 16 | 1, "header length and version");
        assert_eq!(number(12), 0, "sequence");
        let length = number(0) as usize;
        frames.push((number(8) as i32, raw[16..length].to_vec()));
        raw = &raw[length..];
    }
    frames
}

#[test]
fn web_bodies_become_one_with_all_their_messages() {
    let json = coalescer(Coalesce::Json, 20, 65_536);
    let queue = [
        to_room("r1", 4, web_body("r1", r#"{"id":"1","content":"a]}}"}"#)),
        to_room("r1", 4, web_body("r1", r#"{"id":"2"},{"id":"3"}"#)),
        to_room("r1", 4, web_body("r1", r#"{ "id" : "4", "n":-1.5e3 }"#)),
    ];
    let calls = drain(&json, &queue);
    assert_eq!(counts(&calls), [3]);
    let all = r#"{"id":"1","content":"a]}}"},{"id":"2"},{"id":"3"},{ "id" : "4", "n":-1.5e3 }"#;
    let expected = to_room("r1", 4, web_body("r1", all));
    assert_eq!(calls[0].1, expected);
}

#[test]
fn goims_frames_are_those_of_its_own_job() {
    let goim = coalescer(Coalesce::Goim, 20, 65_536);
    let queue = [to_room("r1", 4, "ab"), to_room("r1", 4, "")];
    let (count, call) = goim
        .merge(queue.iter().zip(&[Shape::default(), Shape::default()]))
        .expect("both go together");
    let raw = b"\0\0\0\x12\0\x10\0\x01\0\0\0\x04\0\0\0\0ab\0\0\0\x10\0\x10\0\x01\0\0\0\x04\0\0\0\0";
    let frame = Frame {
        is_framed: true,
        ..Frame::new(9, &raw[..])
    };
    let room = "r1".to_owned();
    assert_eq!((count, call), (2, Call::BroadcastRoom { room, frame }));
}

#[test]
fn at_goims_own_comet_a_room_has_one_order_whatever_the_operations() {
    let queue = [
        to_room("r1", 4, "a"),
        to_room("r1", 9, "b"),
        to_room("r1", 1000, "c"),
        to_room("r2", 4, "d"),
    ];
    let own = Coalescer::new(Coalesce::Goim, Dialect::Goim, 20, 65_536).expect("it is on");
    assert_eq!(counts(&drain(&own, &queue)), [3, 1]);
    assert_eq!(
        counts(&drain(&coalescer(Coalesce::Goim, 20, 65_536), &queue)),
        [1, 1, 1, 1]
    );
}

#[test]
fn the_caps_hold() {
    for (form, one) in [
        (Coalesce::Json, web_body("r", "{}")),
        (Coalesce::Goim, "x".repeat(100)),
    ] {
        let queue = vec![to_room("r", 4, one); 10];
        assert_eq!(
            counts(&drain(&coalescer(form, 4, 65_536), &queue)),
            [4, 4, 2]
        );
        for bytes in 1..600 {
            for (count, call) in drain(&coalescer(form, 4, bytes), &queue) {
                let (_, _, body) = parts(&call);
                assert!(count == 1 || body.len() <= bytes, "{bytes}: {call:?}");
            }
        }
    }
    let large = web_body("r", &format!(r#"{{"content":"{}"}}"#, "x".repeat(2000)));
    let queue = [to_room("r", 4, large.clone()), to_room("r", 4, large)];
    assert_eq!(
        counts(&drain(&coalescer(Coalesce::Json, 20, 1000), &queue)),
        [1, 1]
    );
}

#[test]
fn only_the_same_call_is_merged() {
    let body = || web_body("r", "{}");
    let users = Call::PushMsg {
        keys: vec!["u".into()],
        frame: Frame::new(4, body()),
    };
    for form in [Coalesce::Json, Coalesce::Goim] {
        for other in [
            to_room("r", 5, body()),
            to_room("another of the same hash", 4, body()),
            users.clone(),
        ] {
            let queue = [to_room("r", 4, body()), other];
            assert_eq!(
                counts(&drain(&coalescer(form, 20, 65_536), &queue)),
                [1, 1],
                "{queue:?}"
            );
        }
    }
    // The room that a body names, and the one that it goes to.
    let queue = [
        to_room("r", 4, body()),
        to_room("r", 4, web_body("q", "{}")),
    ];
    assert_eq!(
        counts(&drain(&coalescer(Coalesce::Json, 20, 65_536), &queue)),
        [1, 1]
    );
    // What is raw already is whole frames, or meant to look like it.
    let queue = [to_room("r", 9, "ab"), to_room("r", 9, "cd")];
    assert_eq!(
        counts(&drain(&coalescer(Coalesce::Goim, 20, 65_536), &queue)),
        [1, 1]
    );
}

#[test]
fn plain_web_bodies_are_known() {
    for messages in [
        r#"{}"#,
        r#"{"id":"1","content":"你好 😀","user":{"id":1,"username":"a"},"timestamp":1700000000000}"#,
        r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#,
        r#"{"a":[[],[1,-0,0.5,1E+9,2e-7],{"b":null}],"c":true,"d":false}"#,
        "{ \"a\" :\t[ 1 ,\r\n2 ] , \"b\" : { } }",
        r#"{"a":"]}}"},{"b":"[{\"messages\":["}"#,
        r#"{"a":{"a":{"a":1}}}"#,
    ] {
        let body = web_body("r", messages);
        assert_eq!(
            json::messages(body.as_bytes()).map(|range| &body[range]),
            Some(messages)
        );
    }
    let escaped = web_body(r#"r\"]}}\u4f60"#, "{}");
    assert!(json::messages(escaped.as_bytes()).is_some());
}

#[test]
fn any_other_body_is_not_plain() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let names: Vec<_> = (0..17).map(|n| format!(r#""{n}":1"#)).collect();
    for messages in [
        "",
        " ",
        " {}",
        "{} ",
        "{}, {}",
        "{},",
        ",{}",
        "{}{}",
        "1",
        r#""a""#,
        "[]",
        "[{}]",
        "null",
        "{",
        "{}]",
        r#"{}]}}{"type":"serverMessages","payload":{"roomId":"r","messages":[{}"#,
        r#"{}],"messages":[{}"#,
        r#"{}]},"payload":{"roomId":"r","messages":[{}"#,
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\ude00\ud83d"}"#,
        r#"{"a":"\ud800\u0041"}"#,
        r#"{"a":"\x41"}"#,
        r#"{"a":"\u12g4"}"#,
        "{\"a\":\"line\nbreak\"}",
        "{\"a\":\"\0\"}",
        r#"{"a":01}"#,
        r#"{"a":-}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":1e400}"#,
        r#"{"a":111111111111111111111111111111111}"#,
        r#"{"a":NaN}"#,
        r#"{"a":True}"#,
        r#"{"a":'b'}"#,
        r#"{a:1}"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":1 // why
            }"#,
        &deep,
        &format!("{{{}}}", names.join(",")),
    ] {
        let body = web_body("r", messages);
        assert_eq!(json::messages(body.as_bytes()), None, "{body}");
    }
    let good = web_body("r", r#"{"id":"1"}"#);
    assert!(json::messages(good.as_bytes()).is_some());
    for (from, to) in [
        ("{\"type", " {\"type"),
        ("\"type\":", "\"type\": "),
        ("serverMessages", "servermessages"),
        ("\"r\"", "1"),
        ("\"r\"", "null"),
        ("\"r\"", "\"r"),
        ("\"r\"", "\"\\ud800\""),
        ("\"r\",", "\"r\",\"x\":1,"),
        ("\"type\":\"serverMessages\",", ""),
        ("]}}", "]} }"),
        ("]}}", "]}}\n"),
        ("]}}", "]}}x"),
        ("]}}", "],\"x\":1}}"),
        ("]}}", "]},\"x\":1}"),
        ("]}}", "]}"),
    ] {
        let body = good.replacen(from, to, 1);
        assert_ne!(body, good);
        assert_eq!(json::messages(body.as_bytes()), None, "{body}");
    }
    for end in 0..good.len() {
        assert_eq!(json::messages(&good.as_bytes()[..end]), None);
    }
    let mut latin1 = web_body("r", r#"{"a":"?"}"#).into_bytes();
    let at = latin1.iter().position(|byte| *byte == b'?').unwrap();
    latin1[at] = 0xe9;
    assert_eq!(json::messages(&latin1), None);
}
