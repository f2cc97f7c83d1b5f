//! What a server sends to the HTTP/2 of calls to Comets, and when.
//!
//! The input's first byte says in parts of which size the rest arrives, and whether the server greets first. Calls are under way
//! all along. Some end, and new ones begin.

#![no_main]

#[path = "http2/config.rs"]
mod config;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use chatroom_job::comet::caller::lean::{Call, Connection};
use config::config;
use libfuzzer_sys::fuzz_target;

const CALLS: u64 = 6;
/// Nothing that a server sends makes the client have more to send than its calls, resets and acknowledgements.
const MOST_OUTPUT: usize = 400_000;

fuzz_target!(|input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else {
        return;
    };
    let mut now = Instant::now();
    let mut connection = Connection::new(config(), now);
    if how & 1 != 0 {
        connection.receive(&[0, 0, 0, 4, 0, 0, 0, 0, 0], now);
    }
    let (mut made, mut ended) = (0, BTreeSet::new());
    for (turn, part) in bytes.chunks(usize::from(how >> 1) + 1).enumerate() {
        while connection.calls() < CALLS as usize / 2
            && made < CALLS * 10
            && connection.takes_calls()
        {
            call(&mut connection, made, now);
            made += 1;
        }
        connection.receive(part, now);
        if turn % 16 == 15 {
            now += Duration::from_millis(300);
            connection.advance(now);
            // Or else whoever drives it would never sleep.
            assert!(connection.wake_at().is_none_or(|at| at > now));
        }
        assert!(connection.wake_at().is_some() || connection.calls() == 0);
        assert!(connection.output().len() < MOST_OUTPUT);
        let half = connection.output().len().div_ceil(2);
        connection.wrote(half, now);
        note(&mut connection, &mut ended);
    }
    // Whatever was sent, no call outlives its deadline, and none is without an end.
    now += Duration::from_secs(10);
    connection.advance(now);
    assert_eq!(connection.calls(), 0);
    connection.lost("the input is over");
    note(&mut connection, &mut ended);
    assert!(connection.is_closed());
    assert_eq!(ended.len() as u64, made);
});

fn call(connection: &mut Connection, tag: u64, now: Instant) {
    let call = Call {
        tag,
        path: "/ChatRoom.Comet.Comet/PushMsg",
        within: Duration::from_secs(1 + tag % 5),
    };
    // Some are larger than the first window.
    let length = [0, 10, 40_000][tag as usize % 3];
    connection.call(call, now, |out| out.resize(out.len() + length, 7));
}

fn note(connection: &mut Connection, ended: &mut BTreeSet<u64>) {
    while let Some(finished) = connection.next_finished() {
        assert!(ended.insert(finished.tag), "a call ended twice");
        assert!(finished.body.len() <= 1_000);
        assert!(finished.code == 0 || finished.body.is_empty());
    }
}
