//! Frames of HTTP/2 (RFC 9113) and no client: requests are copied, answers are counted. It works with the bench's own Comet
//! alone, whose windows and number of streams it doesn't watch.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{Asked, PATH};
use crate::frame::*;

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
