//! Servers of the tests, over bare sockets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Says what an HTTP/2 server begins with: settings that change nothing.
pub fn greet(socket: &mut TcpStream) {
    socket
        .write_all(b"\0\0\0\x04\0\0\0\0\0")
        .expect("it is there");
}

/// Greets one client, and crashes over its first call whose body has `hello`.
pub fn crash_over_hello(listener: &TcpListener) {
    let mut socket = listener.accept().expect("a client").0;
    greet(&mut socket);
    // The whole call, and then nothing.
    let mut bytes = Vec::new();
    while !bytes.windows(5).any(|five| five == b"hello") {
        let mut more = [0; 100];
        let length = socket.read(&mut more).expect("more");
        bytes.extend_from_slice(&more[..length]);
    }
}
