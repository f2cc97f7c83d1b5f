//! Bodies that coalescing may join: whatever they are, people get the same messages in the same order.

use bytes::Bytes;
use chatroom_job::worker::coalesce::{Coalescer, Shape};
use chatroom_job::settings::Coalesce;
use chatroom_job::message::Dialect;
use chatroom_job::message::call::{Call, Frame};
use serde_json::Value;

use crate::Parts;

pub fn check(parts: &Parts) {
    // As it is, and as the messages of a web body that is plain around them.
    let mut around = br#"{"type":"serverMessages","payload":{"roomId":"r","messages":["#.to_vec();
    around.extend_from_slice(&parts.body);
    around.extend_from_slice(b"]}}");
    let plain = br#"{"type":"serverMessages","payload":{"roomId":"r","messages":[{"id":"1"}]}}"#;
    let plain = Bytes::from_static(plain);
    for body in [parts.body.clone(), Bytes::from(around)] {
        json([plain.clone(), body.clone()]);
        json([body.clone(), plain.clone()]);
        json([body.clone(), body.clone()]);
        goim([body.clone(), plain.clone(), body]);
    }
}

/// How many of them go together, and the body that carries them.
fn merged(form: Coalesce, bodies: &[Bytes]) -> Option<(usize, Bytes)> {
    let calls: Vec<(Call, Shape)> = bodies
        .iter()
        .map(|body| {
            let frame = Frame::new(4, body.clone());
            let room = "r".to_owned();
            (Call::BroadcastRoom { room, frame }, Shape::default())
        })
        .collect();
    let coalescer = Coalescer::new(form, Dialect::Chatroom, 20, 1 << 20).expect("it merges");
    let (count, call) = coalescer.merge(calls.iter().map(|(call, shape)| (call, shape)))?;
    let Call::BroadcastRoom { room, frame } = call else {
        panic!("not to a room")
    };
    assert_eq!(room, "r");
    Some((count, frame.body))
}

fn json(bodies: [Bytes; 2]) {
    let Some((count, joined)) = merged(Coalesce::Json, &bodies) else {
        return;
    };
    assert_eq!(count, 2);
    let read = |body: &[u8]| -> Value { serde_json::from_slice(body).expect("it is JSON") };
    let [first, second] = bodies.each_ref().map(|body| read(body));
    let mut wanted = first.clone();
    let (Some(messages), Some(more)) = (
        wanted["payload"]["messages"].as_array_mut(),
        second["payload"]["messages"].as_array(),
    ) else {
        panic!("merged without messages")
    };
    messages.extend_from_slice(more);
    assert_eq!(read(&joined), wanted);
    assert_eq!(first["payload"]["roomId"], second["payload"]["roomId"]);
}

fn goim(bodies: [Bytes; 3]) {
    let Some((count, joined)) = merged(Coalesce::Goim, &bodies) else {
        return;
    };
    let mut wanted = Vec::new();
    for body in &bodies[..count] {
        wanted.extend_from_slice(&(16 + body.len() as u32).to_be_bytes());
        wanted.extend_from_slice(&[0, 16, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0]);
        wanted.extend_from_slice(body);
    }
    assert_eq!(joined, wanted);
}
