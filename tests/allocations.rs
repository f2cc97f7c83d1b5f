//! What a call over the lean client allocates: nothing, once a connection has seen some.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

use chatroom_job::comet::caller::lean::{Call, Config, Connection};

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls that are under way at once.
const TOGETHER: u32 = 64;

/// Frames of an answer with OK and an empty message. The table has both fields from the first answer on.
fn answer(out: &mut Vec<u8>, stream: u32, is_first: bool) {
    let (head, trailers) = match is_first {
        true => (
            &b"\x88\x5f\x10application/grpc"[..],
            &b"\x40\x0bgrpc-status\x010"[..],
        ),
        false => (&b"\x88\xbf"[..], &b"\xbe"[..]),
    };
    for (kind, flags, payload) in [(1, 4, head), (0, 0, &[0; 5][..]), (1, 5, trailers)] {
        out.extend_from_slice(&[0, 0, payload.len() as u8, kind, flags]);
        out.extend_from_slice(&stream.to_be_bytes());
        out.extend_from_slice(payload);
    }
}

#[test]
fn a_call_allocates_nothing() {
    let config = Config {
        authority: "comet-1:3109".into(),
        user_agent: "job/1".into(),
        max_answer: 1 << 20,
        greeted_within: Duration::from_secs(1),
        ask_after: Duration::from_secs(5),
        answer_within: Duration::from_secs(2),
        tls: None,
    };
    let now = Instant::now();
    let mut connection = Connection::new(config, now);
    // SETTINGS, and a window for all that is sent here.
    connection.receive(b"\0\0\0\x04\0\0\0\0\0\0\0\x04\x08\0\0\0\0\0\x40\0\0\0", now);
    let (mut stream, mut answers) = (1, Vec::with_capacity(100 * TOGETHER as usize));
    for round in 0..1_000 {
        if round == 10 {
            ALLOCATIONS.set(0);
        }
        answers.clear();
        for _ in 0..TOGETHER {
            let call = Call {
                tag: u64::from(stream),
                path: "/ChatRoom.Comet.Comet/PushMsg",
                within: Duration::from_secs(5),
            };
            connection.call(call, now, |out| out.extend_from_slice(&[7; 256]));
            answer(&mut answers, stream, stream == 1);
            stream += 2;
        }
        let length = connection.output().len();
        connection.wrote(length, now);
        connection.receive(&answers, now);
        for _ in 0..TOGETHER {
            let finished = connection.next_finished().expect("it is answered");
            assert_eq!((finished.code, finished.body.len()), (0, 0));
        }
    }
    assert_eq!(ALLOCATIONS.get(), 0);
}
