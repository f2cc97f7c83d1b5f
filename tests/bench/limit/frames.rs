//! Frames of HTTP/2 (RFC 9113) and no client: requests are copied, answers are counted. It works with the bench's own Comet
//! alone, whose windows and number of streams it doesn't watch.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{Asked, PATH};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
// Frame types and flags.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// The four fields of [`first_headers`], by their places in the peer's table.
const HEADERS_AGAIN: &[u8] = b"\x83\x86\xc1\xc0\xbf\xbe";

/// Keeps the window of one connection full until all its calls are made.
pub fn calls(requests: &[Vec<u8>], asked: &Asked, failed: &AtomicUsize) -> io::Result<()> {
    let calls = asked.calls / asked.channels;
    let mut socket = TcpStream::connect(&asked.address)?;
    socket.set_nodelay(true)?;
    let mut out = PREFACE.to_vec();
    frame(&mut out, SETTINGS, 0, 0, &[]);
    // No answers wait for more of the window after that.
    frame(&mut out, WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    let (mut input, mut filled) = (vec![0; 1 << 16], 0);
    let (mut sent, mut answered) = (0, 0);
    let mut ring = requests.iter().cycle();
    while answered < calls {
        while sent < calls && sent - answered < asked.window {
            let Some(request) = ring.next() else {
                return Ok(());
            };
            let stream = sent as u32 * 2 + 1;
            match sent {
                0 => frame(
                    &mut out,
                    HEADERS,
                    END_HEADERS,
                    1,
                    &first_headers(&asked.address),
                ),
                _ => frame(&mut out, HEADERS, END_HEADERS, stream, HEADERS_AGAIN),
            }
            let length = request.len() as u32;
            frame_head(&mut out, DATA, END_STREAM, stream, request.len() + 5);
            out.push(0);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(request);
            sent += 1;
        }
        socket.write_all(&out)?;
        out.clear();
        match socket.read(&mut input[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
        let mut at = 0;
        while let Some(head) = input[at..filled].first_chunk::<HEAD>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if at + HEAD + length > filled {
                break;
            }
            at += HEAD + length;
            match (head[3], head[4]) {
                (HEADERS | DATA, flags) if flags & END_STREAM != 0 => answered += 1,
                (RST_STREAM, _) => {
                    answered += 1;
                    failed.fetch_add(1, Relaxed);
                }
                (SETTINGS, flags) if flags & ACK == 0 => frame(&mut out, SETTINGS, ACK, 0, &[]),
                (GOAWAY, _) => return Err(io::Error::other("the Comet said GOAWAY")),
                _ => (),
            }
        }
        input.copy_within(at..filled, 0);
        filled -= at;
    }
    Ok(())
}

/// Enters path, authority, content-type and te into the peer's table (RFC 7541, 6.2.1).
fn first_headers(authority: &str) -> Vec<u8> {
    let mut block = b"\x83\x86".to_vec();
    let mut enter = |name: &[u8], value: &str| {
        block.extend_from_slice(name);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    };
    enter(b"\x44", PATH);
    enter(b"\x41", authority);
    enter(b"\x5f", "application/grpc");
    enter(b"\x40\x02te", "trailers");
    block
}

fn frame_head(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    out.extend_from_slice(&(length as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    frame_head(out, kind, flags, stream, payload.len());
    out.extend_from_slice(payload);
}
