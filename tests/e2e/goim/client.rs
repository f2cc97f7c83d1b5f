//! A client of goim's Comet, over TCP and over WebSocket.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use tungstenite::{Message, WebSocket};

use crate::support::dev_comet::PATIENCE;

const HEADER: usize = 16;
const OP_AUTH: u32 = 7;
const OP_AUTH_REPLY: u32 = 8;
const OP_RAW: u32 = 9;

/// What comes to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Came {
    pub op: u32,
    pub text: String,
}

pub enum Client {
    Tcp(TcpStream),
    /// With what came in one binary message and was not taken yet.
    Web(Box<WebSocket<TcpStream>>, Vec<u8>),
}

impl Client {
    pub fn over_tcp(address: &str) -> Client {
        Client::Tcp(connect(address))
    }

    pub fn over_websocket(address: &str) -> Client {
        let url = format!("ws://{address}/sub");
        let (socket, _) = tungstenite::client(url, connect(address)).expect("a WebSocket");
        Client::Web(Box::new(socket), Vec::new())
    }

    /// Signs in as this user, into this room.
    pub fn sign_in(&mut self, (mid, key): (u64, &str), room: &str, accepts: &[i32]) {
        let token = json!({
            "mid": mid,
            "key": key,
            "room_id": room,
            "platform": "test",
            "accepts": accepts,
        });
        let token = token.to_string();
        let mut frame = ((HEADER + token.len()) as u32).to_be_bytes().to_vec();
        frame.extend([0, HEADER as u8, 0, 1]);
        frame.extend(OP_AUTH.to_be_bytes());
        frame.extend(1u32.to_be_bytes());
        frame.extend(token.as_bytes());
        match self {
            Client::Tcp(stream) => stream.write_all(&frame).expect("it is sent"),
            Client::Web(socket, _) => socket.send(frame.into()).expect("it is sent"),
        }
        assert_eq!(self.next().op, OP_AUTH_REPLY);
    }

    /// The next frame. Over WebSocket, raw frames are taken out of the one around them.
    pub fn next(&mut self) -> Came {
        let header = self.take(HEADER);
        assert_eq!(header[4..8], [0, 16, 0, 1]);
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("four"));
        let op = number(8);
        if op == OP_RAW && matches!(self, Client::Web(..)) {
            return self.next();
        }
        let body = self.take(number(0) as usize - HEADER);
        let text = String::from_utf8(body).expect("text");
        Came { op, text }
    }

    pub fn texts(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next().text).collect()
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        match self {
            Client::Tcp(stream) => {
                let mut taken = vec![0; bytes];
                stream.read_exact(&mut taken).expect("a frame comes");
                taken
            }
            Client::Web(socket, left) => {
                while left.len() < bytes {
                    if let Message::Binary(more) = socket.read().expect("a message comes") {
                        left.extend(more);
                    }
                }
                left.drain(..bytes).collect()
            }
        }
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("goim's Comet serves people");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    stream
}
