use std::sync::Arc;

use super::*;
use crate::faults::Fault;
use crate::hub::{Limits, Seat};
use axum::extract::ws::Message;
use chatroom_job::message::call::Frame;
use chatroom_job::message::goim;

fn hub() -> Arc<Hub> {
    Arc::new(Hub::new(Limits::default()))
}

/// Messages of these operations and texts, in frames.
fn proto(messages: &[(i32, &str)]) -> Proto {
    let mut body = Vec::new();
    for (op, text) in messages {
        goim::write(&Frame::new(*op, (*text).to_owned()), &mut body);
    }
    let mut proto = Proto::new();
    (proto.ver, proto.op, proto.body) = (1, OP_RAW, body.into());
    proto
}

fn seat(hub: &Arc<Hub>, room: &str, key: &str, accepts: &[i32]) -> Seat {
    let seat = hub.connect(&[room.to_owned()], &[key.to_owned()]);
    seat.accept(accepts);
    seat
}

/// What waits for a person.
fn texts(seat: &mut Seat) -> Vec<String> {
    let mut texts = Vec::new();
    while let Ok(Message::Text(text)) = seat.frames.try_recv() {
        texts.push(text.to_string());
    }
    texts
}

fn keys(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

#[test]
fn people_get_each_frame_of_a_call_and_a_room_is_not_filtered() {
    let hub = hub();
    let mut here = seat(&hub, "live://1", "a", &[]);
    let mut elsewhere = seat(&hub, "live://2", "b", &[4]);
    let two = proto(&[(4, "one"), (1000, "two")]);
    assert_eq!(broadcast_room(&hub, "live://1", Some(&two)), Ok(()));
    assert_eq!(texts(&mut here), ["one", "two"]);
    assert!(texts(&mut elsewhere).is_empty());
}

#[test]
fn users_and_broadcasts_reach_who_accepts_the_calls_operation() {
    let hub = hub();
    let mut accepts = seat(&hub, "r", "a", &[1000, 1001]);
    let mut other = seat(&hub, "r", "b", &[1002]);
    let mut nothing = seat(&hub, "r", "c", &[]);
    let message = proto(&[(1002, "hello")]);
    // The call's operation decides, not the frame's.
    let to = keys(&["a", "b", "c"]);
    assert_eq!(push(&hub, None, (&to, 1000), Some(&message)), Ok(()));
    assert_eq!(broadcast(&hub, 1001, Some(&message)), Ok(()));
    assert_eq!(texts(&mut accepts), ["hello", "hello"]);
    assert!(texts(&mut other).is_empty() && texts(&mut nothing).is_empty());
}

#[test]
fn a_push_ends_at_the_first_user_whose_queue_is_full() {
    let (hub, faults) = (hub(), Faults::default());
    faults.set(Fault {
        full: keys(&["b"]),
        ..Fault::default()
    });
    let mut seats = ["a", "b", "c"].map(|key| seat(&hub, "r", key, &[4]));
    let (message, to) = (proto(&[(4, "hello")]), keys(&["a", "b", "c"]));
    let answer = push(&hub, Some(&faults), (&to, 4), Some(&message));
    assert_eq!(answer, Err(Error::Goims(FULL)));
    assert_eq!(seats.each_mut().map(texts).map(|got| got.len()), [1, 0, 0]);
}

#[test]
fn what_lacks_something_is_refused_in_goims_words() {
    let (hub, message) = (hub(), proto(&[(4, "x")]));
    let no_keys = push(&hub, None, (&[], 4), Some(&message));
    let no_proto = push(&hub, None, (&keys(&["a"]), 4), None);
    assert_eq!(no_keys, Err(Error::Goims("rpc pushmsg arg error")));
    assert_eq!(no_proto, no_keys);
    let to_all = broadcast(&hub, 4, None);
    assert_eq!(to_all, Err(Error::Goims("rpc broadcast arg error")));
    let no_room = broadcast_room(&hub, "", Some(&message));
    assert_eq!(no_room, Err(Error::Goims("rpc broadcast  room arg error")));
    assert_eq!(broadcast_room(&hub, "r", None), no_room);
}

#[test]
fn a_body_that_is_not_whole_frames_is_refused() {
    let good = proto(&[(4, "hello"), (-1, "")]).body;
    let taken = frames(&good).expect("whole frames");
    let seen: Vec<_> = taken.iter().map(|one| (one.op, &one.body[..])).collect();
    assert_eq!(seen, [(4, &b"hello"[..]), (-1, b"")]);
    for cut in 1..good.len() {
        let cut_short = frames(&good.slice(..cut));
        assert_eq!(cut_short.is_ok(), cut == 21, "{cut}");
    }
    for (at, byte) in [(0, 0xff), (3, 15), (5, 17), (7, 2), (15, 1)] {
        let mut bad = good.to_vec();
        bad[at] = byte;
        let error = frames(&bad.into()).expect_err("a bad header");
        assert!(error.starts_with("byte 0: "), "{error}");
    }
    let hub = hub();
    let mut bare = proto(&[]);
    bare.body = "no frame, just a text".into();
    let answer = broadcast_room(&hub, "r", Some(&bare));
    assert!(matches!(answer, Err(Error::NotFrames(_))), "{answer:?}");
}
