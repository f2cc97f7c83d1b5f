//! The server, by hand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::super::super::frame::{
    self, ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, PING, PREFACE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::super::peer::{answer_head, block, prefixed};

#[derive(Clone, Copy)]
pub struct Limits {
    pub streams: u32,
    pub window: u32,
    pub frame: u32,
}

pub struct Request {
    body: Vec<u8>,
    window: i64,
    pub is_whole: bool,
}

pub struct Server {
    input: Vec<u8>,
    greeted: bool,
    decoder: loona_hpack::Decoder<'static>,
    /// What the client has acknowledged, and what it will.
    pub limits: Limits,
    said: VecDeque<Limits>,
    pub window: i64,
    pub open: BTreeMap<u32, Request>,
    last: u32,
    /// Streams above this are not taken, after a GOAWAY.
    until: u32,
    /// Tags of the calls that it has answered, or could.
    pub taken: BTreeSet<u64>,
    pub out: Vec<u8>,
}

impl Server {
    pub fn new() -> Self {
        let limits = Limits {
            streams: u32::MAX,
            window: 65_535,
            frame: 16_384,
        };
        let mut server = Self {
            input: Vec::new(),
            greeted: false,
            decoder: loona_hpack::Decoder::new(),
            limits,
            said: VecDeque::from([limits]),
            window: 65_535,
            open: BTreeMap::new(),
            last: 0,
            until: u32::MAX,
            taken: BTreeSet::new(),
            out: Vec::new(),
        };
        server.say(SETTINGS, 0, 0, b"");
        server
    }

    pub fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame::write(&mut self.out, kind, flags, stream, payload);
    }

    pub fn settings(&mut self, limits: Limits, table: u32) {
        let mut payload = Vec::new();
        for (setting, value) in [
            (1_u16, table),
            (3, limits.streams),
            (4, limits.window),
            (5, limits.frame),
        ] {
            payload.extend(setting.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        // It may be larger than agreed until the client knows; this decoder has to be told by the client itself.
        self.decoder.set_max_allowed_table_size(4096);
        self.said.push_back(limits);
        self.say(SETTINGS, 0, 0, &payload);
    }

    pub fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if !self.greeted && self.input.len() >= PREFACE.len() {
            assert!(self.input.starts_with(PREFACE));
            self.input.drain(..PREFACE.len());
            self.greeted = true;
        }
        while self.greeted
            && let Some(head) = self.input.first_chunk().map(Head::parse)
            && self.input.len() >= HEAD + head.len
        {
            let frame: Vec<u8> = self.input.drain(..HEAD + head.len).collect();
            self.frame(head, &frame[HEAD..]);
        }
    }

    fn frame(&mut self, head: Head, payload: &[u8]) {
        assert!(head.len <= self.limits.frame as usize);
        match head.kind {
            SETTINGS if head.has(ACK) => {
                let limits = self.said.pop_front().expect("it was said");
                let more = i64::from(limits.window) - i64::from(self.limits.window);
                self.open
                    .values_mut()
                    .for_each(|request| request.window += more);
                self.limits = limits;
            }
            HEADERS => {
                assert!(
                    head.stream % 2 == 1 && head.stream > self.last && head.flags == END_HEADERS
                );
                self.last = head.stream;
                let fields = self
                    .decoder
                    .decode(payload)
                    .expect("a block that can be read");
                assert_eq!(fields.len(), 8);
                if head.stream > self.until {
                    return;
                }
                assert!(
                    self.open.len() < self.limits.streams as usize,
                    "too many streams"
                );
                let request = Request {
                    body: Vec::new(),
                    window: i64::from(self.limits.window),
                    is_whole: false,
                };
                self.open.insert(head.stream, request);
            }
            DATA => {
                self.window -= head.len as i64;
                assert!(self.window >= 0, "beyond the connection's window");
                let Some(request) = self.open.get_mut(&head.stream) else {
                    return;
                };
                assert!(
                    request.window >= head.len as i64,
                    "beyond the stream's window"
                );
                request.window -= head.len as i64;
                request.body.extend_from_slice(payload);
                request.is_whole = head.has(END_STREAM);
                if request.is_whole {
                    let tag = tag_of(&request.body);
                    self.taken.insert(tag);
                }
            }
            RST_STREAM => drop(self.open.remove(&head.stream)),
            PING if head.has(ACK) => {}
            SETTINGS | WINDOW_UPDATE | PING | GOAWAY => {}
            kind => panic!("a frame of type {kind}"),
        }
    }

    /// Answers what was asked: of each third call it says that there is no such key.
    pub fn answer(&mut self, which: usize) {
        let whole: Vec<_> = self
            .open
            .iter()
            .filter(|(_, request)| request.is_whole)
            .map(|(id, _)| *id)
            .collect();
        let Some(id) = whole.get(which % whole.len().max(1)) else {
            return;
        };
        let tag = tag_of(&self.open.remove(id).expect("it is there").body);
        if tag.is_multiple_of(3) {
            let fields = [
                (":status", "200"),
                ("grpc-status", "5"),
                ("grpc-message", &tag.to_string()),
            ];
            return self.say(HEADERS, END_HEADERS | END_STREAM, *id, &block(&fields));
        }
        self.say(HEADERS, END_HEADERS, *id, &answer_head());
        self.say(DATA, 0, *id, &prefixed(tag.to_string().as_bytes()));
        self.say(
            HEADERS,
            END_HEADERS | END_STREAM,
            *id,
            &block(&[("grpc-status", "0")]),
        );
    }

    pub fn refuse(&mut self, which: usize) {
        let part: Vec<_> = self
            .open
            .iter()
            .filter(|(_, request)| !request.is_whole)
            .map(|(id, _)| *id)
            .collect();
        if let Some(id) = part.get(which % part.len().max(1)) {
            self.open.remove(id);
            self.say(RST_STREAM, 0, *id, &[0, 0, 0, 7]);
        }
    }

    pub fn grant(&mut self, stream: u32, more: u32) {
        match self.open.get_mut(&stream) {
            Some(request) => request.window += i64::from(more),
            None => self.window += i64::from(more),
        }
        self.say(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    pub fn goaway(&mut self) {
        self.until = self.until.min(self.last);
        let payload = [self.until.to_be_bytes(), [0; 4]].concat();
        self.say(GOAWAY, 0, 0, &payload);
    }
}

/// gRPC's message of a request: its tag, and filling.
fn tag_of(body: &[u8]) -> u64 {
    let (prefix, message) = body.split_first_chunk::<5>().expect("a prefix");
    let length = u32::from_be_bytes(prefix[1..].try_into().expect("4 bytes"));
    assert!(
        prefix[0] == 0 && length as usize == message.len(),
        "a request that is cut"
    );
    u64::from_be_bytes(*message.first_chunk().expect("a tag"))
}
