//! What holds for any messages: each comes out as it went in, in its order.

use super::*;
use proptest::prelude::*;
use serde_json::Value;

/// Text that is nearly JSON: pieces of it in any order.
fn scraps() -> impl Strategy<Value = String> {
    let scrap = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "]}}",
        ",",
        ":",
        "\"",
        "\\",
        "\"a\"",
        "\"b\":",
        "1",
        "-",
        ".",
        "e5",
        " ",
        "true",
        "null",
        "{}",
        "\\u00e9",
        "\\ud800",
        "é",
        "\n",
        "\"id\":\"x\"",
    ]);
    prop::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat())
}

/// JSON values, written as any producer may.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("[a-z\"é]{0,3}", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn objects() -> impl Strategy<Value = String> {
    (values(), any::<bool>()).prop_map(|(value, pretty)| {
        let object = serde_json::json!({ "content": value });
        match pretty {
            true => format!("{object:#}"),
            false => object.to_string(),
        }
    })
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => objects().prop_map(|message| web_body("r", &message).into_bytes()),
        2 => (objects(), objects()).prop_map(|(a, b)| web_body("r", &format!("{a},{b}")).into_bytes()),
        3 => scraps().prop_map(|text| web_body("r", &text).into_bytes()),
        1 => scraps().prop_map(|text| web_body("q", &text).into_bytes()),
        1 => scraps().prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        // A plain one with one byte changed.
        2 => (objects(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(message, at, byte)| {
            let mut body = web_body("r", &message).into_bytes();
            let at = at.index(body.len());
            body[at] = byte;
            body
        }),
    ]
}

/// The messages of a web body, as a parser of JSON reads them.
fn read(body: &[u8]) -> Option<Vec<Value>> {
    let read: Value = serde_json::from_slice(body).ok()?;
    let messages = read.get("payload")?.get("messages")?.as_array()?.clone();
    let room = read["payload"]["roomId"].clone();
    let whole = serde_json::json!({"type": "serverMessages", "payload": {"roomId": room, "messages": messages}});
    (whole == read).then_some(messages)
}

proptest! {
    /// What people get is what was queued, in its order; what isn't plain goes alone, byte for byte.
    #[test]
    fn json_keeps_each_message(
        queue in prop::collection::vec((bodies(), 4i32..6), 1..30),
        most in 2usize..8,
        bytes in 1usize..2000,
    ) {
        let queue: Vec<Call> = queue.into_iter().map(|(body, op)| to_room("r", op, body)).collect();
        let mut at = 0;
        for (count, call) in drain(&coalescer(Coalesce::Json, most, bytes), &queue) {
            let of = &queue[at..at + count];
            at += count;
            prop_assert!(count <= most);
            if count == 1 {
                prop_assert_eq!(&call, &of[0]);
                continue;
            }
            let (room, op, body) = parts(&call);
            prop_assert!(body.len() <= bytes);
            let mut expected = Vec::new();
            let mut joined = Vec::new();
            for one in of {
                let (of_room, of_op, of_body) = parts(one);
                prop_assert_eq!((room, op), (of_room, of_op));
                let messages = read(of_body);
                prop_assert!(messages.is_some(), "no web body was merged: {:?}", of_body);
                expected.extend(messages.unwrap());
                let range = json::messages(of_body).unwrap();
                joined.push(String::from_utf8(of_body[range].to_vec()).unwrap());
            }
            prop_assert_eq!(read(body), Some(expected));
            let room = if web_body("r", &joined.join(",")).as_bytes() == body { "r" } else { "q" };
            prop_assert_eq!(web_body(room, &joined.join(",")).into_bytes(), body);
        }
        prop_assert_eq!(at, queue.len());
    }

    #[test]
    fn goim_keeps_each_message(
        queue in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), 8i32..11), 1..30),
        most in 2usize..8,
        bytes in 1usize..300,
    ) {
        let queue: Vec<Call> = queue.into_iter().map(|(body, op)| to_room("r", op, body)).collect();
        let mut at = 0;
        for (count, call) in drain(&coalescer(Coalesce::Goim, most, bytes), &queue) {
            let of = &queue[at..at + count];
            at += count;
            if count == 1 {
                prop_assert_eq!(&call, &of[0]);
                continue;
            }
            let (_, op, body) = parts(&call);
            prop_assert!(count <= most && body.len() <= bytes && op == 9);
            let expected: Vec<_> = of.iter().map(parts).map(|(_, op, body)| (op, body.to_vec())).collect();
            prop_assert!(expected.iter().all(|(op, _)| *op != 9));
            prop_assert_eq!(unframed(body), expected);
        }
        prop_assert_eq!(at, queue.len());
    }

    /// Whatever is taken for plain is JSON of that form.
    #[test]
    fn what_is_plain_parses(body in bodies()) {
        if json::messages(&body).is_some() {
            prop_assert!(read(&body).is_some_and(|messages| messages.iter().all(Value::is_object)));
        }
    }

    /// And what a usual producer writes is plain.
    #[test]
    fn what_producers_write_is_plain(
        messages in prop::collection::vec((any::<String>(), any::<u64>(), any::<String>()), 1..4),
        room in any::<String>(),
    ) {
        let messages: Vec<_> = messages
            .into_iter()
            .map(|(content, id, name)| {
                serde_json::json!({"id": "x", "content": content, "user": {"id": id, "username": name}, "timestamp": id})
                    .to_string()
            })
            .collect();
        let room = Value::from(room).to_string();
        let body = web_body(&room[1..room.len() - 1], &messages.join(","));
        prop_assert_eq!(read(body.as_bytes()).map(|read| read.len()), Some(messages.len()));
        prop_assert!(json::messages(body.as_bytes()).is_some());
    }
}
