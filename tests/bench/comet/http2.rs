//! As much of HTTP/2 (RFC 9113) as a gRPC client needs to have its unary calls answered with OK and an empty message.
//!
//! Header blocks are not read at all: whatever is called, it is taken. So nothing here costs more than finding the frames.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind};
use std::sync::Arc;

use mio::net::TcpStream;

use super::line::Line;
use crate::frame::*;

/// The largest frame that a client may send.
const MOST: usize = 1 << 20;
/// How much a client may send on the connection before it hears that it was read.
const WINDOW: u32 = 1 << 30;
/// What HTTP/2 grants for answers until the client says otherwise.
const FIRST_WINDOW: i64 = 65_535;
/// gRPC's prefix of a message: one byte "not compressed", four of length.
const PREFIX: usize = 5;
/// The most that goes into one frame where the client hasn't said otherwise.
const FRAME: usize = 16 << 10;
/// A longer answer might not go into a stream's window.
pub const LONGEST: usize = 60_000;

/// `:status: 200`, content-type and grpc-status, entered into the client's header table by the first answer…
const FIRST_HEADERS: &[u8] = b"\x88\x5f\x10application/grpc";
const FIRST_TRAILERS: &[u8] = b"\x40\x0bgrpc-status\x010";
/// … and from then on named by their place there.
const HEADERS_AGAIN: &[u8] = b"\x88\xbf";
const TRAILERS_AGAIN: &[u8] = b"\xbe";

/// What a call gets.
pub enum Answer {
    Empty,
    /// [`Connection::answer`] gives it one later.
    Later,
    Message(Arc<[u8]>),
}

/// One client.
pub struct Connection {
    line: Line,
    input: Vec<u8>,
    /// How much of `input` was received.
    filled: usize,
    output: Vec<u8>,
    greeted: bool,
    /// Requests of which only a part has come.
    partial: HashMap<u32, Vec<u8>>,
    /// What may be sent before the client grants more.
    window: i64,
    waiting: VecDeque<(u32, Option<Arc<[u8]>>)>,
    answered_before: bool,
    /// Read since the client was last granted more.
    read: u32,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |n, byte| n << 8 | u32::from(*byte))
}

impl Connection {
    pub fn new(line: Line) -> Connection {
        let mut output = Vec::new();
        let mut settings = Vec::new();
        // 4: the window of each stream, 5: the largest frame.
        for (name, value) in [(4u16, WINDOW), (5, MOST as u32)] {
            settings.extend_from_slice(&name.to_be_bytes());
            settings.extend_from_slice(&value.to_be_bytes());
        }
        frame(&mut output, SETTINGS, 0, 0, &settings);
        let more = WINDOW - FIRST_WINDOW as u32;
        frame(&mut output, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        Connection {
            line,
            input: vec![0; 256 << 10],
            filled: 0,
            output,
            greeted: false,
            partial: HashMap::new(),
            window: FIRST_WINDOW,
            waiting: VecDeque::new(),
            answered_before: false,
            read: 0,
        }
    }

    pub fn socket(&mut self) -> &mut TcpStream {
        self.line.socket()
    }

    /// Reads until nothing is left, and hands each complete request (stream, gRPC message without its prefix) to `take`,
    /// which returns the answer. Returns false when the client has gone.
    pub fn receive(&mut self, mut take: impl FnMut(u32, &[u8]) -> Answer) -> io::Result<bool> {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(self.filled * 2, 0);
            }
            let room = self.input.len() - self.filled;
            match self.line.read(&mut self.input[self.filled..]) {
                Ok(0) => return Ok(false),
                Ok(read) => {
                    self.filled += read;
                    self.frames(&mut take)?;
                    // Less than asked for: there is no more now, and mio tells when there is.
                    if read < room && self.line.is_plain() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.send()?;
        Ok(true)
    }

    fn frames(&mut self, take: &mut impl FnMut(u32, &[u8]) -> Answer) -> io::Result<()> {
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        if !self.greeted && self.filled >= PREFACE.len() {
            if !input.starts_with(PREFACE) {
                return Err(wrong("this is not HTTP/2"));
            }
            self.greeted = true;
            at = PREFACE.len();
        }
        while self.greeted && self.filled - at >= HEAD {
            let head = &input[at..at + HEAD];
            let length = (number(&head[..4]) >> 8) as usize;
            if length > MOST {
                return Err(wrong("a frame is longer than agreed"));
            }
            let end = at + HEAD + length;
            if end > self.filled {
                break;
            }
            let stream = number(&head[5..]) & 0x7fff_ffff;
            self.frame(head[3], head[4], stream, &input[at + HEAD..end], take)?;
            at = end;
        }
        self.input = input;
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }

    fn frame(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
        take: &mut impl FnMut(u32, &[u8]) -> Answer,
    ) -> io::Result<()> {
        match kind {
            DATA => {
                if flags & PADDED != 0 {
                    return Err(wrong("padded data, which no gRPC client sends"));
                }
                self.grant(payload.len() as u32);
                let whole = flags & END_STREAM != 0;
                if whole && !self.partial.contains_key(&stream) {
                    self.request(stream, payload, take)?;
                } else {
                    self.partial
                        .entry(stream)
                        .or_default()
                        .extend_from_slice(payload);
                    if whole && let Some(request) = self.partial.remove(&stream) {
                        self.request(stream, &request, take)?;
                    }
                }
            }
            SETTINGS if flags & ACK == 0 => frame(&mut self.output, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.output, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                self.window += i64::from(number(payload));
                self.answer_waiting();
            }
            RST_STREAM => {
                self.partial.remove(&stream);
                self.waiting.retain(|(waits, _)| *waits != stream);
            }
            _ => {}
        }
        Ok(())
    }

    fn grant(&mut self, read: u32) {
        self.read += read;
        if self.read > WINDOW / 2 {
            frame(
                &mut self.output,
                WINDOW_UPDATE,
                0,
                0,
                &self.read.to_be_bytes(),
            );
            self.read = 0;
        }
    }

    fn request(
        &mut self,
        stream: u32,
        bytes: &[u8],
        take: &mut impl FnMut(u32, &[u8]) -> Answer,
    ) -> io::Result<()> {
        match bytes.split_at_checked(PREFIX) {
            Some(([0, length @ ..], message)) if number(length) as usize == message.len() => {
                match take(stream, message) {
                    Answer::Empty => self.answer(stream),
                    Answer::Later => {}
                    Answer::Message(message) => {
                        self.waiting.push_back((stream, Some(message)));
                        self.answer_waiting();
                    }
                }
                Ok(())
            }
            _ => Err(wrong("a request is not one uncompressed gRPC message")),
        }
    }

    /// Writes an empty answer to a call; [`Connection::send`] sends it.
    pub fn answer(&mut self, stream: u32) {
        self.waiting.push_back((stream, None));
        self.answer_waiting();
    }

    fn answer_waiting(&mut self) {
        while let Some((stream, message)) = self.waiting.front() {
            let message = message.as_deref().unwrap_or_default();
            // These bytes count against the client's window.
            let length = PREFIX + message.len();
            if self.window < length as i64 {
                return;
            }
            self.window -= length as i64;
            let (headers, trailers) = match std::mem::replace(&mut self.answered_before, true) {
                false => (FIRST_HEADERS, FIRST_TRAILERS),
                true => (HEADERS_AGAIN, TRAILERS_AGAIN),
            };
            let output = &mut self.output;
            frame(output, HEADERS, END_HEADERS, *stream, headers);
            let mut prefix = [0; PREFIX];
            prefix[1..].copy_from_slice(&(message.len() as u32).to_be_bytes());
            frame(output, DATA, 0, *stream, &prefix);
            for part in message.chunks(FRAME) {
                frame(output, DATA, 0, *stream, part);
            }
            let end = END_HEADERS | END_STREAM;
            frame(output, HEADERS, end, *stream, trailers);
            self.waiting.pop_front();
        }
    }

    /// Sends as much as the socket takes; mio tells when it takes more.
    pub fn send(&mut self) -> io::Result<()> {
        self.line.send(&mut self.output)
    }
}
