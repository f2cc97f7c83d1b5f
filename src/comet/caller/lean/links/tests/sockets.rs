//! What sockets do: they connect or don't, break, and hang.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::thread;

use super::super::super::frame::{
    self, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, Head, PREFACE, SETTINGS,
};
use super::*;
use crate::comet::caller::crashing::{crash_over_hello, greet};

fn listen() -> (TcpListener, Address) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    (listener, Address::Tcp(address))
}

/// An address where nobody listens any more.
fn nobody() -> Address {
    listen().1
}

/// Answers so many calls with OK, and leaves.
fn serve(mut socket: impl Read + Write, calls: usize) {
    let mut preface = [0; PREFACE.len()];
    socket.read_exact(&mut preface).expect("a preface");
    assert_eq!(preface, PREFACE);
    let mut out = Vec::new();
    frame::write(&mut out, SETTINGS, 0, 0, b"");
    socket.write_all(&out).expect("it is there");
    let mut answered = 0;
    while answered < calls {
        let mut head = [0; HEAD];
        socket.read_exact(&mut head).expect("a frame");
        let head = Head::parse(&head);
        let mut payload = vec![0; head.len];
        socket.read_exact(&mut payload).expect("its payload");
        if head.kind != DATA {
            continue;
        }
        out.clear();
        let answer = b"\x88\x5f\x10application/grpc";
        frame::write(&mut out, HEADERS, END_HEADERS, head.stream, answer);
        frame::write(&mut out, DATA, 0, head.stream, &payload);
        let trailers = b"\0\x0bgrpc-status\x010";
        frame::write(
            &mut out,
            HEADERS,
            END_HEADERS | END_STREAM,
            head.stream,
            trailers,
        );
        socket.write_all(&out).expect("it is there");
        answered += 1;
    }
}

#[test]
fn the_first_address_that_can_be_reached_is_taken() {
    let (listener, address) = listen();
    let server = thread::spawn(move || serve(listener.accept().expect("a client").0, 1));
    let mut client = Client::new();
    let link = client.open(&[nobody(), nobody(), address]);
    client.call(link, 1, b"hello");
    client.until_ended(1);
    assert_eq!(client.of(1), (0, By::Server, ""));
    assert_eq!(client.ended[&1].body, b"hello");
    server.join().expect("it served");
}

#[test]
fn where_none_can_be_reached_each_is_named() {
    let (first, second) = (nobody(), nobody());
    let mut client = Client::new();
    let link = client.open(&[first.clone(), second.clone()]);
    client.call(link, 1, b"");
    client.until(|client| !client.closed.is_empty());
    let (code, by, text) = client.of(1);
    assert_eq!((code, by), (14, By::Unsent));
    for address in [first, second] {
        assert!(
            text.contains(&format!("{address}: Connection refused")),
            "{text}"
        );
    }
    assert!(
        client
            .links
            .call(link, call(), Instant::now(), |_| ())
            .is_none(),
        "it is gone"
    );

    let link = client.open(&[]);
    client.call(link, 2, b"");
    client.until_ended(2);
    assert_eq!(client.of(2).1, By::Unsent);
}

fn call() -> Call<'static> {
    Call {
        tag: 9,
        path: PATH,
        within: PATIENCE,
    }
}

#[test]
fn a_socket_of_the_unix_domain_is_called_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("comet.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = thread::spawn(move || serve(listener.accept().expect("a client").0, 2));
    let mut client = Client::new();
    let missing = Address::Unix(folder.path().join("nobody.sock"));
    let link = client.open(&[missing, Address::Unix(path)]);
    client.call(link, 1, b"a");
    client.call(link, 2, b"b");
    client.until_ended(2);
    assert_eq!((client.of(1).0, client.of(2).0), (0, 0));
    server.join().expect("it served");
}

#[test]
fn a_connection_that_the_server_closes_loses_its_calls() {
    let (listener, address) = listen();
    let server = thread::spawn(move || serve(listener.accept().expect("a client").0, 1));
    let mut client = Client::new();
    let link = client.open(&[address]);
    client.call(link, 1, b"");
    client.until_ended(1);
    server.join().expect("it served");
    client.until(|client| !client.closed.is_empty());
    assert_eq!(
        client.closed[0],
        (link, "the server closed the connection".into())
    );

    let (listener, address) = listen();
    let server = thread::spawn(move || crash_over_hello(&listener));
    let link = client.open(&[address]);
    client.call(link, 2, b"hello");
    client.until_ended(2);
    let (code, by, _) = client.of(2);
    assert_eq!((code, by), (14, By::Lost));
    server.join().expect("it served");
}

#[test]
fn what_is_no_server_of_grpc_says_so() {
    for (said, expected) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
            "HTTP/1 instead of HTTP/2",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "something that isn't HTTP/2"),
    ] {
        let (listener, address) = listen();
        let server = thread::spawn(move || {
            let mut socket = listener.accept().expect("a client").0;
            socket.read_exact(&mut [0; 24]).expect("a preface");
            socket.write_all(said).expect("it is there");
            socket
        });
        let mut client = Client::new();
        let link = client.open(&[address]);
        client.call(link, 1, b"");
        client.until(|client| !client.closed.is_empty());
        let (code, by, text) = client.of(1);
        assert_eq!((code, by), (14, By::Unsent));
        assert!(text.contains(expected), "{text}");
        drop(server.join());
    }
}

#[test]
fn a_server_that_hangs_costs_a_deadline() {
    let (listener, address) = listen();
    let mut client = Client::new();
    let link = client.open(&[address]);
    // It is connected by the kernel, and greets nobody.
    client.call_within(link, 1, b"", Duration::from_millis(30));
    client.until_ended(1);
    assert_eq!((client.of(1).0, client.of(1).1), (4, By::Unsent));
    let (mut socket, _) = listener.accept().expect("a client");
    greet(&mut socket);
    client.until_greeted(link);
    client.call_within(link, 2, b"", Duration::from_millis(30));
    client.until_ended(2);
    assert_eq!((client.of(2).0, client.of(2).1), (4, By::Client));
}

#[test]
fn a_server_that_never_greets_is_left() {
    let (listener, address) = listen();
    let mut client = Client::new();
    let mut config = config();
    config.greeted_within = Duration::from_millis(50);
    let link = client.links.open(vec![address], config, Instant::now());
    client.call(link, 1, b"");
    client.until(|client| !client.closed.is_empty());
    assert_eq!((client.of(1).0, client.of(1).1), (14, By::Unsent));
    drop(listener);
}

#[test]
fn calls_leave_together_when_they_are_flushed() {
    let (listener, address) = listen();
    let mut client = Client::new();
    let link = client.open(&[address]);
    let mut socket: TcpStream = listener.accept().expect("a client").0;
    greet(&mut socket);
    client.until_greeted(link);
    client.links.flush(Instant::now());
    for tag in 0..100 {
        client.call(link, tag, b"hello");
    }
    let pending = client
        .links
        .with(link, |connection| connection.output().len())
        .expect("it is there");
    assert!(pending > 100 * 30, "nothing has left yet: {pending}");
    client.links.flush(Instant::now());
    let left = client
        .links
        .with(link, |connection| connection.output().len());
    assert_eq!(left, Some(0));
}

#[test]
fn another_thread_can_wake_it() {
    let mut client = Client::new();
    let waker = client.links.waker();
    let other = thread::spawn(move || waker.wake());
    let begin = Instant::now();
    client.turn();
    assert!(begin.elapsed() < PATIENCE);
    other.join().expect("it ran").expect("it woke");
}

#[test]
fn one_that_breaks_under_a_write_says_first_what_came() {
    let (listener, address) = listen();
    let mut client = Client::new();
    let link = client.open(&[address]);
    client.call(link, 1, b"taken");
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let server = thread::spawn(move || {
        let mut socket = listener.accept().expect("a client").0;
        serve(&mut socket, 1);
        may_go_on.recv().expect("it is told to");
        let goodbye = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0";
        socket.write_all(goodbye).expect("it is there");
        // What the client sent since then is not read, so the connection is reset.
    });
    client.until_ended(1);
    client.call(link, 2, b"not taken");
    client.links.flush(Instant::now());
    go_on.send(()).expect("it waits");
    server.join().expect("it served");
    client.call(link, 3, b"not sent");
    client.links.flush(Instant::now());
    client.until_ended(3);
    assert_eq!((client.of(2).1, client.of(3).1), (By::Unsent, By::Unsent));
    assert!(client.of(2).2.contains("goodbye"), "{}", client.of(2).2);
}

#[test]
fn one_that_breaks_under_a_write_that_no_call_needs_is_told_of() {
    let (listener, address) = listen();
    let mut client = Client::new();
    let link = client.open(&[address]);
    client.call(link, 1, b"");
    let mut socket = listener.accept().expect("a client").0;
    greet(&mut socket);
    client.until_greeted(link);
    client.links.flush(Instant::now());
    socket
        .write_all(b"\0\0\x08\x06\0\0\0\0\0alive?\r\n")
        .expect("it is there");
    let waits = |client: &Client| client.links.see(link).map(|seen| seen.output().len());
    client.until(|client| waits(client) > Some(0));
    // The PING is answered on a connection that is reset by now, as nothing was read of it. Who waits has nothing else to do.
    drop(socket);
    client.until(|client| !client.closed.is_empty());
    assert_eq!((client.of(1).0, client.of(1).1), (14, By::Lost));
}

#[test]
fn an_address_that_does_not_greet_is_left_for_the_next() {
    let ((hanging, first), (closing, second), (listener, third)) = (listen(), listen(), listen());
    let mut client = Client::new();
    let mut config = config();
    config.greeted_within = Duration::from_secs(3);
    // The kernel connects to the first one, and nobody is there.
    let addresses = vec![first, second, third];
    let link = client.links.open(addresses, config, Instant::now());
    client.call(link, 1, b"hello");
    client.call(link, 2, b"again");
    let servers = [
        thread::spawn(move || drop(closing.accept().expect("a client"))),
        thread::spawn(move || serve(listener.accept().expect("a client").0, 2)),
    ];
    client.until_ended(2);
    for (tag, body) in [(1, b"hello"), (2, b"again")] {
        assert_eq!(client.of(tag), (0, By::Server, ""));
        assert_eq!(client.ended[&tag].body, body);
    }
    for server in servers {
        server.join().expect("it served");
    }
    drop(hanging);
}

/// Connections that nobody accepts, so many that the kernel takes no more: who connects waits.
fn crowded() -> (TcpListener, Address, Vec<TcpStream>) {
    use std::os::fd::AsRawFd;
    let (listener, address) = listen();
    // SAFETY: it is a listening socket; this makes its queue shorter.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let to = listener.local_addr().expect("its address");
    let briefly = Duration::from_millis(100);
    let waiting = std::iter::from_fn(|| TcpStream::connect_timeout(&to, briefly).ok())
        .take(10)
        .collect();
    (listener, address, waiting)
}

#[test]
fn an_address_that_does_not_answer_is_left_for_the_next() {
    let (_crowd, silent, _waiting) = crowded();
    let (listener, address) = listen();
    let server = thread::spawn(move || serve(listener.accept().expect("a client").0, 1));
    let mut client = Client::new();
    let mut config = config();
    config.greeted_within = Duration::from_secs(3);
    let link = client
        .links
        .open(vec![silent, address], config, Instant::now());
    client.call(link, 1, b"");
    client.until_ended(1);
    assert_eq!(client.of(1), (0, By::Server, ""));
    server.join().expect("it served");
}
