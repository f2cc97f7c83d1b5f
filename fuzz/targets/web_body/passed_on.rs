//! dev-comet hands a body to everybody who should have it, byte for byte and in order.

use std::sync::Arc;

use crate::Parts;

// dev-comet is a program, no library.
#[allow(dead_code, reason = "the program uses the rest")]
#[path = "../../../src/bin/dev-comet/hub.rs"]
mod hub;

use hub::{Hub, Limits};

pub fn check(parts: &Parts) {
    let hub = Arc::new(Hub::new(Limits {
        frames: 3,
        bytes: 1 << 20,
    }));
    let names = [parts.name.clone()];
    let mut in_room = hub.connect(&names, &[]);
    let mut user = hub.connect(&[], &names);
    hub.broadcast_room(&parts.name, parts.body.clone());
    hub.push(&names, parts.body.clone());
    hub.broadcast(parts.body.clone());
    // An empty name is no room and no key.
    let expected = if parts.name.is_empty() { 1 } else { 2 };
    for seat in [&mut in_room, &mut user] {
        for _ in 0..expected {
            let frame = seat.frames.try_recv().expect("a frame");
            assert_eq!(frame.into_data(), parts.body);
        }
        assert!(seat.frames.try_recv().is_err(), "one frame too many");
    }
}
