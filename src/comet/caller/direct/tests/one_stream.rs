//! A server that takes one call at a time: the others wait for a stream.

use std::thread::JoinHandle;

use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};

use super::*;

/// Takes each call, and answers none. Tells of each; ends with the connection, and says then how many there were.
fn serve() -> (String, Receiver<()>, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let (took, taken) = unbounded();
    let serving = async move {
        let (socket, _) = listener.accept().expect("a client");
        socket.set_nonblocking(true).expect("a socket");
        let socket = tokio::net::TcpStream::from_std(socket).expect("a socket");
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(1);
        let mut connection = builder
            .handshake::<_, Bytes>(socket)
            .await
            .expect("a client of HTTP/2");
        let mut held = Vec::new();
        while let Some(Ok(call)) = connection.accept().await {
            held.push(call);
            let _ = took.send(());
        }
        held.len()
    };
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(serving)
    });
    (address, taken, server)
}

#[test]
fn a_call_that_gets_no_stream_in_time_tells_nothing_of_its_message() {
    let (address, _, server) = serve();
    let manner = Manner {
        deadline: Duration::from_secs(1),
        ..MANNER
    };
    let mut direct = Direct::new(manner, (None, None)).expect("a poller");
    direct.join(COMET, located(&address));
    direct.start(COMET, 1, "r");
    direct.start(COMET, 2, "r");
    let mut ended = [direct.await_call(), direct.await_call()];
    ended.sort_by_key(|(_, id, _)| *id);
    let [taken, waited] = ended.map(|(_, _, answer)| answer.expect_err("nothing is answered"));
    assert_eq!(taken.code, DEADLINE_EXCEEDED, "{taken:?}");
    assert_eq!(waited.code, UNAVAILABLE, "{waited:?}");
    assert!(
        waited.text.contains("before the server had a stream"),
        "{waited:?}"
    );
    drop(direct);
    assert_eq!(server.join().expect("it served"), 1);
}

#[test]
fn what_waits_for_a_stream_is_taken_back_too() {
    let (address, taken, server) = serve();
    let mut direct = direct(&[&address]);
    direct.start(COMET, 1, "r");
    direct.flush(Instant::now());
    while taken.is_empty() {
        let soon = Instant::now() + Duration::from_millis(20);
        direct.wait(|| true, Some(soon)).expect("it polls");
    }
    direct.start(COMET, 2, "r");
    direct.flush(Instant::now());
    // A turn in which nothing was called.
    direct.take_back(Instant::now());
    for _ in 0..2 {
        let status = direct.await_call().2.expect_err("it was taken back");
        assert_eq!(status.code, UNAVAILABLE);
    }
    assert_eq!(server.join().expect("it served"), 1);
}
