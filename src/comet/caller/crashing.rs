//! Servers of the tests, over bare sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// Says what an HTTP/2 server begins with: settings that change nothing.
pub fn greet(socket: &mut TcpStream) {
    socket
        .write_all(b"\0\0\0\x04\0\0\0\0\0")
        .expect("it is there");
}

/// Greets one client, and crashes over its first call whose body has `hello`.
pub fn crash_over_hello(listener: &TcpListener) {
    close(hello(listener));
}

/// As that, but says goodbye before: a GOAWAY with this code, by which it took all calls.
pub fn part_over_hello(listener: &TcpListener, code: u32) {
    let mut goodbye = b"\0\0\x0b\x07\0\0\0\0\0\x7f\xff\xff\xff".to_vec();
    goodbye.extend(code.to_be_bytes());
    goodbye.extend(b"bye");
    let mut socket = hello(listener);
    socket.write_all(&goodbye).expect("it is there");
    close(socket);
}

/// Closes without a reset, which what is unread would make.
fn close(mut socket: TcpStream) {
    socket.shutdown(Shutdown::Write).expect("it is there");
    // A client that isn't driven any more keeps its side open.
    let patience = Some(Duration::from_millis(500));
    socket.set_read_timeout(patience).expect("it is there");
    let _ = socket.read_to_end(&mut Vec::new());
}

/// A client whose whole call has come.
fn hello(listener: &TcpListener) -> TcpStream {
    let mut socket = listener.accept().expect("a client").0;
    greet(&mut socket);
    let mut bytes = Vec::new();
    while !bytes.windows(5).any(|five| five == b"hello") {
        let mut more = [0; 100];
        let length = socket.read(&mut more).expect("more");
        bytes.extend_from_slice(&more[..length]);
    }
    socket
}
