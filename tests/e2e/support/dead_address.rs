//! Addresses at which no Kafka answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use tokio::net::{TcpListener as Listener, TcpSocket, TcpStream};
use tokio::time::timeout;

use super::runtime;

/// One that drops who connects, as a host does that is down, for as long as this value lives.
pub struct DropsPackets {
    listener: Listener,
    /// They fill its queue: nobody accepts from it, and the kernel drops further requests to connect.
    _waiting: Vec<TcpStream>,
}

impl DropsPackets {
    pub fn start() -> DropsPackets {
        DropsPackets::at_port(0)
    }

    /// Where somebody else was just now, perhaps.
    pub fn at_port(port: u16) -> DropsPackets {
        runtime().block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("a socket takes that");
            socket
                .bind((Ipv4Addr::LOCALHOST, port).into())
                .expect("a free port");
            let listener = socket.listen(0).expect("it listens");
            let address = listener.local_addr().expect("it is bound");
            let mut waiting = Vec::new();
            while let Ok(connected) =
                timeout(Duration::from_millis(700), TcpStream::connect(address)).await
            {
                waiting.push(connected.expect("the kernel accepts it"));
            }
            DropsPackets {
                listener,
                _waiting: waiting,
            }
        })
    }

    pub fn address(&self) -> String {
        let address = self.listener.local_addr().expect("it is bound");
        address.to_string()
    }
}

/// A server that gives everybody this answer to the first line, until the process ends.
pub fn server_of_lines(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut byte = [0];
                while matches!(stream.read(&mut byte), Ok(1)) && byte != *b"\n" {}
                // Who asked may be gone.
                let _ = stream.write_all(answer);
            });
        }
    });
    address.to_string()
}
