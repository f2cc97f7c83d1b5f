//! The other end of a connection, by hand: what the client sent, frame by frame, and whatever is to come back.

use std::time::{Duration, Instant};

use super::super::super::frame::{
    self, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, PREFACE, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
use super::super::super::hpack::write_string;
use super::super::{By, Call, Config, Connection, Finished, Key};

pub const PATH: &str = "/ChatRoom.Comet.Comet/PushMsg";
pub const WITHIN: Duration = Duration::from_secs(5);

pub fn config() -> Config {
    Config {
        authority: "comet-1:3109".into(),
        user_agent: "job/1".into(),
        max_answer: 1 << 20,
        greeted_within: Duration::from_millis(1500),
        ask_after: Duration::from_secs(5),
        answer_within: Duration::from_secs(2),
        tls: None,
    }
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Peer {
    pub client: Connection,
    pub now: Instant,
    greeted: bool,
}

impl Peer {
    /// One that has greeted, and whose greeting is read.
    pub fn new() -> Self {
        let mut peer = Self::silent();
        peer.give(SETTINGS, 0, 0, &[]);
        peer.sent();
        peer
    }

    /// One that hasn't said anything.
    pub fn silent() -> Self {
        let now = Instant::now();
        Self {
            client: Connection::new(config(), now),
            now,
            greeted: false,
        }
    }

    /// One with settings.
    pub fn with(settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent();
        peer.settings(settings);
        peer.sent();
        peer
    }

    pub fn call(&mut self, tag: u64, body: &[u8]) -> Key {
        let call = Call {
            tag,
            path: PATH,
            within: WITHIN,
        };
        self.client
            .call(call, self.now, |out| out.extend_from_slice(body))
    }

    /// What the client sent since this was last asked.
    pub fn sent(&mut self) -> Vec<Frame> {
        let mut bytes = self.client.output();
        if !self.greeted {
            bytes = bytes
                .strip_prefix(PREFACE)
                .expect("the preface comes first");
            self.greeted = true;
        }
        let mut frames = Vec::new();
        while let Some(head) = bytes.first_chunk().map(Head::parse) {
            let (payload, rest) = bytes[HEAD..].split_at(head.len);
            frames.push(Frame {
                kind: head.kind,
                flags: head.flags,
                stream: head.stream,
                payload: payload.to_vec(),
            });
            bytes = rest;
        }
        assert!(bytes.is_empty(), "whole frames are sent");
        let all = self.client.output().len();
        self.client.wrote(all, self.now);
        frames
    }

    /// Types and streams of what the client sent.
    pub fn sent_kinds(&mut self) -> Vec<(u8, u32)> {
        self.sent()
            .iter()
            .map(|frame| (frame.kind, frame.stream))
            .collect()
    }

    pub fn give(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, kind, flags, stream, payload);
        self.client.receive(&bytes, self.now);
    }

    pub fn settings(&mut self, settings: &[(u16, u32)]) {
        let mut payload = Vec::new();
        for (setting, value) in settings {
            payload.extend(setting.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        self.give(SETTINGS, 0, 0, &payload);
    }

    pub fn window(&mut self, stream: u32, more: u32) {
        self.give(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.give(RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    pub fn goaway(&mut self, last: u32, code: u32) {
        let payload = [&last.to_be_bytes(), &code.to_be_bytes(), &b"bye"[..]].concat();
        self.give(GOAWAY, 0, 0, &payload);
    }

    /// OK, with a message.
    pub fn answer(&mut self, stream: u32, message: &[u8]) {
        self.give(HEADERS, END_HEADERS, stream, &answer_head());
        self.give(DATA, 0, stream, &prefixed(message));
        self.give(
            HEADERS,
            END_HEADERS | END_STREAM,
            stream,
            &block(&[("grpc-status", "0")]),
        );
    }

    /// An answer of trailers alone.
    pub fn refuse(&mut self, stream: u32, status: &str, message: &str) {
        let fields = [
            (":status", "200"),
            ("content-type", "application/grpc"),
            ("grpc-status", status),
            ("grpc-message", message),
        ];
        self.give(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields));
    }

    pub fn finished(&mut self) -> Vec<Finished> {
        std::iter::from_fn(|| self.client.next_finished()).collect()
    }

    /// Tags, codes, and who it was, of what ended.
    pub fn ended(&mut self) -> Vec<(u64, i32, By)> {
        let short = |finished: Finished| (finished.tag, finished.code, finished.by);
        self.finished().into_iter().map(short).collect()
    }

    /// The error code of the GOAWAY that the client said, with which it closed.
    pub fn closed_with(&mut self) -> Option<u32> {
        let last = self.sent().pop().filter(|frame| frame.kind == GOAWAY)?;
        assert!(self.client.is_closed() && !self.client.takes_calls());
        Some(u32::from_be_bytes(
            last.payload[4..8].try_into().expect("4 bytes"),
        ))
    }

    pub fn later(&mut self, by: Duration) {
        self.now += by;
        self.client.advance(self.now);
    }
}

/// A header block without anything that the table would keep.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        write_string(&mut block, name.as_bytes());
        write_string(&mut block, value.as_bytes());
    }
    block
}

pub fn answer_head() -> Vec<u8> {
    block(&[(":status", "200"), ("content-type", "application/grpc")])
}

pub fn prefixed(message: &[u8]) -> Vec<u8> {
    [&[0], &(message.len() as u32).to_be_bytes()[..], message].concat()
}
