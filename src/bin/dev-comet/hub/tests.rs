use futures_util::FutureExt;
use tokio::sync::mpsc::error::TryRecvError;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn too_slow(seat: &Seat) -> bool {
    seat.too_slow().now_or_never().is_some()
}

/// What waits for a connection, as text.
fn waiting(seat: &mut Seat) -> Vec<String> {
    let mut out = Vec::new();
    while let Ok(frame) = seat.frames.try_recv() {
        let data = frame.into_data();
        seat.written(data.len());
        out.push(String::from_utf8(data.to_vec()).unwrap());
    }
    out
}

#[test]
fn a_body_reaches_those_in_the_room_and_nobody_else() {
    let hub = Arc::new(Hub::default());
    let mut a = hub.connect(&names(&["r1", "r2"]), &[]);
    let mut b = hub.connect(&names(&["r2"]), &[]);
    hub.broadcast_room("r1", "one".into());
    hub.broadcast_room("r2", "two".into());
    hub.broadcast_room("r3", "three".into());
    assert_eq!(waiting(&mut a), ["one", "two"]);
    assert_eq!(waiting(&mut b), ["two"]);
}

#[test]
fn joining_and_leaving_take_effect_at_once() {
    let hub = Arc::new(Hub::default());
    let mut a = hub.connect(&[], &[]);
    hub.broadcast_room("r1", "before".into());
    a.join("r1");
    a.join("");
    hub.broadcast_room("r1", "in".into());
    assert_eq!(hub.rooms(), ["r1"]);
    a.leave("r1");
    a.leave("never joined");
    hub.broadcast_room("r1", "after".into());
    assert_eq!(waiting(&mut a), ["in"]);
    assert!(hub.rooms().is_empty());
}

#[test]
fn a_push_is_one_frame_for_each_connection_of_the_users() {
    let hub = Arc::new(Hub::default());
    let mut both = hub.connect(&[], &names(&["u1", "u2"]));
    let mut second = hub.connect(&names(&["u1"]), &names(&["u2"]));
    let mut nobody = hub.connect(&[], &names(&[""]));
    hub.push(&names(&["u1", "u2", "u3", ""]), "hello".into());
    hub.push(&names(&["u1"]), "you".into());
    assert_eq!(waiting(&mut both), ["hello", "you"]);
    assert_eq!(waiting(&mut second), ["hello"]);
    assert!(waiting(&mut nobody).is_empty());
}

#[test]
fn a_broadcast_reaches_everybody_and_a_dropped_seat_is_empty() {
    let hub = Arc::new(Hub::default());
    let mut a = hub.connect(&names(&["r1"]), &[]);
    let b = hub.connect(&names(&["r1", "r2"]), &names(&["u1"]));
    drop(b);
    hub.broadcast("all".into());
    assert_eq!(waiting(&mut a), ["all"]);
    assert_eq!(hub.rooms(), ["r1"]);
    let stats = hub.stats();
    assert_eq!((stats.connections, stats.rooms), (1, 1));
    assert_eq!((stats.bodies, stats.frames, stats.dropped), (1, 1, 0));
    assert_eq!((stats.calls.broadcast, stats.calls.rooms), (1, 1));
}

#[test]
fn a_body_that_is_not_utf_8_goes_as_a_binary_frame() {
    assert_eq!(frame("聊天".into()), Message::text("聊天"));
    assert_eq!(frame(Bytes::new()), Message::text(""));
    let body = Bytes::from_static(b"\xff\x00");
    assert_eq!(frame(body.clone()), Message::Binary(body));
}

#[test]
fn who_reads_too_slowly_is_dropped_and_the_others_go_on() {
    let hub = Arc::new(Hub::new(Limits {
        frames: 2,
        bytes: 1000,
    }));
    let slow = hub.connect(&names(&["r1", "slow"]), &[]);
    let mut quick = hub.connect(&names(&["r1"]), &[]);
    for body in ["1", "2", "3"] {
        hub.broadcast_room("r1", body.into());
        assert_eq!(waiting(&mut quick), [body]);
    }
    assert!(too_slow(&slow) && !too_slow(&quick));
    slow.join("r1");
    assert_eq!(hub.rooms(), ["r1"]);
    let stats = hub.stats();
    assert_eq!((stats.dropped, stats.connections), (1, 1));
}

#[test]
fn bytes_that_wait_are_bounded_and_written_ones_wait_no_longer() {
    let hub = Arc::new(Hub::new(Limits {
        frames: 100,
        bytes: 10,
    }));
    let mut a = hub.connect(&names(&["r1"]), &[]);
    hub.broadcast_room("r1", "1234567890".into());
    assert_eq!(waiting(&mut a).len(), 1);
    hub.broadcast_room("r1", "12345".into());
    assert!(!too_slow(&a));
    hub.broadcast_room("r1", "123456".into());
    assert!(too_slow(&a));
}

#[test]
fn a_stop_ends_those_who_are_here_and_those_who_come() {
    let hub = Arc::new(Hub::default());
    let mut before = hub.connect(&names(&["r1"]), &[]);
    hub.broadcast("last".into());
    hub.stop();
    let after = hub.connect(&names(&["r1"]), &[]);
    after.join("r1");
    hub.broadcast("too late".into());
    assert_eq!(waiting(&mut before), ["last"]);
    for mut seat in [before, after] {
        assert_eq!(seat.frames.try_recv(), Err(TryRecvError::Disconnected));
    }
    let stats = hub.stats();
    assert_eq!((stats.connections, stats.rooms), (0, 0));
}
