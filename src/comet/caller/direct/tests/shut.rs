//! A server whose first connection lets no call out after a while, though it still says something. Others work.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::Bytes;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::*;

const PING: &[u8] = b"\0\0\x08\x06\0\0\0\0\0alive?\r\n";

/// Reads a frame: its type, its flags, and its stream.
fn frame(socket: &mut TcpStream) -> Option<(u8, u8, [u8; 4])> {
    let mut head = [0; 9];
    socket.read_exact(&mut head).ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    socket.read_exact(&mut vec![0; length]).ok()?;
    Some((kind, flags, stream))
}

/// Answers `calls` calls, or until the client is gone.
fn answer(socket: &mut TcpStream, calls: usize) {
    let (mut preface, mut answered) = ([0; 24], 0);
    socket.read_exact(&mut preface).expect("a preface");
    socket
        .write_all(b"\0\0\0\x04\0\0\0\0\0")
        .expect("it is there");
    while answered < calls
        && let Some((kind, flags, stream)) = frame(socket)
    {
        // The end of a body.
        if (kind, flags) == (0, 1) {
            let parts = [
                (1, 4, &b"\x88\x5f\x10application/grpc"[..]),
                (0, 0, &[0; 5]),
                (1, 5, b"\0\x0bgrpc-status\x010"),
            ];
            for (kind, flags, payload) in parts {
                let head = [0, 0, payload.len() as u8, kind, flags];
                let bytes = [&head, &stream[..], payload].concat();
                socket.write_all(&bytes).expect("it is there");
            }
            answered += 1;
        }
    }
}

/// The first connection answers one call and says this then, and PINGs. It takes what comes, or doesn't even read it.
fn serve(said: &'static [u8], reads: bool) -> (String, Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let (until, ended) = bounded(0);
    thread::spawn(move || {
        let mut shut = listener.accept().expect("a client").0;
        answer(&mut shut, 1);
        shut.write_all(said).expect("it is there");
        if reads {
            let mut reader = shut.try_clone().expect("a socket");
            thread::spawn(move || while frame(&mut reader).is_some() {});
        }
        thread::spawn(move || {
            let soon = Duration::from_millis(50);
            while ended.recv_timeout(soon) == Err(RecvTimeoutError::Timeout) {
                let _ = shut.write_all(PING);
            }
        });
        while let Ok((mut socket, _)) = listener.accept() {
            thread::spawn(move || answer(&mut socket, usize::MAX));
        }
    });
    (address, until)
}

/// Calls until one is answered: that goes over another connection.
fn assert_replaced((address, _until): (String, Sender<()>), body: usize) {
    let manner = Manner {
        deadline: Duration::from_millis(1500),
        ..MANNER
    };
    let mut direct = Direct::new(manner, (None, None)).expect("a poller");
    direct.join(COMET, located(&address));
    direct.start(COMET, 1, "r");
    assert_eq!(direct.await_call(), (COMET, 1, Ok(())));
    let first = direct.link_to(COMET);
    let large = Call::BroadcastRoom {
        room: "r".into(),
        frame: Frame::new(4, Bytes::from(vec![7; body])),
    };
    direct.call(COMET, 2, &large, (0, &[]), Instant::now());
    assert!(direct.await_call().2.is_err(), "it doesn't leave");
    let answered = (3..9).find(|id| {
        direct.start(COMET, *id, "r");
        direct.await_call().2.is_ok()
    });
    assert!(answered.is_some(), "nothing leaves any more");
    assert_ne!(direct.link_to(COMET), first);
}

#[test]
fn one_without_room_is_replaced() {
    assert_replaced(serve(b"", true), 70_000);
}

#[test]
fn one_that_wants_no_streams_is_replaced() {
    let no_streams = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\0";
    assert_replaced(serve(no_streams, true), 10);
}

#[test]
fn one_that_reads_nothing_is_replaced() {
    // Windows that are as large as they may be.
    let wide = b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff\0\0\x04\x08\0\0\0\0\0\x7f\xfe\0\0";
    assert_replaced(serve(wide, false), 40 << 20);
}
