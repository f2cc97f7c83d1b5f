//! A server that answers each gRPC call with OK and, at first, no message, which a gRPC library's server can't do.

use std::io::{Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// HTTP/2's frame types and flags, as far as they matter here.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: usize = 24;

pub struct Bodiless {
    address: SocketAddr,
    bodies: Arc<AtomicBool>,
}

impl Bodiless {
    /// It serves for as long as the process.
    pub fn start() -> Bodiless {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let bodies = Arc::new(AtomicBool::new(false));
        let with = Arc::clone(&bodies);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let with = Arc::clone(&with);
                // An error is the end of a connection.
                thread::spawn(move || drop(serve(client, &with)));
            }
        });
        Bodiless { address, bodies }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// From now on each answer has an empty message.
    pub fn answer_with_bodies(&self) {
        self.bodies.store(true, Ordering::Relaxed);
    }
}

fn serve(mut client: TcpStream, bodies: &AtomicBool) -> Result<()> {
    client.set_nodelay(true)?;
    client.read_exact(&mut [0; PREFACE])?;
    send(&mut client, SETTINGS, 0, 0, &[])?;
    loop {
        let mut head = [0; 9];
        client.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        client.read_exact(&mut payload)?;
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let echo = if kind == PING {
                    payload.as_slice()
                } else {
                    &[]
                };
                send(&mut client, kind, ACK, 0, echo)?;
            }
            DATA if flags & END_STREAM != 0 => {
                if bodies.load(Ordering::Relaxed) {
                    send(&mut client, HEADERS, END_HEADERS, stream, &headers())?;
                    // Not compressed, no bytes long: an empty message.
                    send(&mut client, DATA, 0, stream, &[0; 5])?;
                    send(
                        &mut client,
                        HEADERS,
                        END_HEADERS | END_STREAM,
                        stream,
                        &status(),
                    )?;
                } else {
                    let all = [headers(), status()].concat();
                    send(&mut client, HEADERS, END_HEADERS | END_STREAM, stream, &all)?;
                }
            }
            _ => {}
        }
    }
}

fn send(client: &mut TcpStream, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<()> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    client.write_all(&frame)
}

/// `:status: 200` from HPACK's table, and a content type by the table's name, not added to the table.
fn headers() -> Vec<u8> {
    let mut block = vec![0x88, 0x0f, 0x10];
    block.extend(text("application/grpc"));
    block
}

/// `grpc-status: 0`, not added to the table.
fn status() -> Vec<u8> {
    [vec![0], text("grpc-status"), text("0")].concat()
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = vec![text.len() as u8];
    bytes.extend(text.as_bytes());
    bytes
}
