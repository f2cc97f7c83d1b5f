//! Reads what the client sends as a server does, and knows what a client may send (RFC 9113, sections 4 to 6; RFC 7541, 4.2).

use std::collections::{BTreeMap, VecDeque};

pub const MOST_31: u32 = (1 << 31) - 1;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More than all calls of an input carry.
const ENOUGH: i64 = 4 << 20;

pub struct Judge {
    /// What was read, and how much before it.
    bytes: Vec<u8>,
    read: usize,
    no_heads_from: usize,
    /// Streams above it were not taken.
    last_taken: u32,
    greeted: bool,
    said_goodbye: bool,
    streams: BTreeMap<u32, Stream>,
    last: u32,
    window: i64,
    /// SETTINGS that are not acknowledged, and PINGs.
    unacknowledged: VecDeque<Vec<(u16, u32)>>,
    pings: VecDeque<Vec<u8>>,
    max_streams: u32,
    first_window: i64,
    max_frame: usize,
    decoder: loona_hpack::Decoder<'static>,
    /// The size of the table that the client has said, the one that it may have, and the least in between.
    table: usize,
    table_allowed: usize,
    table_least: Option<usize>,
}

struct Stream {
    window: i64,
    client_ended: bool,
    server_ended: bool,
    was_reset: bool,
}

impl Judge {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            read: 0,
            no_heads_from: usize::MAX,
            last_taken: MOST_31,
            greeted: false,
            said_goodbye: false,
            streams: BTreeMap::new(),
            last: 0,
            window: 65_535,
            unacknowledged: VecDeque::new(),
            pings: VecDeque::new(),
            max_streams: u32::MAX,
            first_window: 65_535,
            max_frame: 16_384,
            decoder: loona_hpack::Decoder::new(),
            table: 4_096,
            table_allowed: 4_096,
            table_least: None,
        }
    }

    /// The last stream whose head was read; 0 before that.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// One that isn't over, or else some.
    pub fn open_stream(&self, nth: usize) -> u32 {
        let open: Vec<_> = self
            .streams
            .iter()
            .filter(|(_, stream)| !stream.is_over())
            .collect();
        match open.is_empty() {
            true => 1,
            false => *open[nth % open.len()].0,
        }
    }

    /// The server sends this. What no server may send need not be known: the client closes over it.
    pub fn given(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let number = payload
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes));
        let of = self.streams.get_mut(&stream);
        match kind {
            0 | 1 if flags & 1 != 0 => of.into_iter().for_each(|of| of.server_ended = true),
            // What is under way of it may still come.
            3 => of.into_iter().for_each(|of| of.was_reset = true),
            4 if stream == 0 && flags & 1 == 0 => {
                let settings = payload.chunks_exact(6).map(|setting| {
                    let id = u16::from_be_bytes([setting[0], setting[1]]);
                    (
                        id,
                        u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]),
                    )
                });
                self.unacknowledged.push_back(settings.collect());
            }
            6 if flags & 1 == 0 => self.pings.push_back(payload.to_vec()),
            7 if stream == 0 => {
                let last = number.unwrap_or(MOST_31) & MOST_31;
                self.last_taken = self.last_taken.min(last);
            }
            8 => {
                let more = i64::from(number.unwrap_or(0) & MOST_31);
                match of {
                    Some(of) => of.window += more,
                    None if stream == 0 => self.window += more,
                    None => {}
                }
            }
            _ => {}
        }
    }

    /// The client knows that the server goes: it opens no stream behind what it has still to send.
    pub fn no_heads_behind(&mut self, output: usize) {
        self.no_heads_from = self
            .no_heads_from
            .min(self.read + self.bytes.len() + output);
    }

    /// By how much which window has to grow for all that may be left.
    pub fn wants(&self) -> Vec<(u32, u32)> {
        let open = self.streams.iter().filter(|(_, stream)| !stream.is_over());
        let windows = open.map(|(id, stream)| (*id, stream.window));
        windows
            .chain([(0, self.window)])
            .flat_map(|(id, window)| {
                // A window may lack more than one frame can give.
                let wanted = ENOUGH - window;
                let first = wanted.clamp(0, i64::from(MOST_31));
                let second = (wanted - first).clamp(0, i64::from(MOST_31));
                [(id, first as u32), (id, second as u32)]
            })
            .filter(|(_, more)| *more > 0)
            .collect()
    }

    pub fn all_is_sent(&self) {
        for (id, stream) in self.streams.range(..=self.last_taken) {
            assert!(stream.client_ended || stream.is_over(), "{id} stalls");
        }
    }

    pub fn read(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if !self.greeted {
            if self.bytes.len() < PREFACE.len() {
                return;
            }
            assert!(self.bytes.starts_with(PREFACE));
            self.drop(PREFACE.len());
            self.greeted = true;
        }
        while let Some([a, b, c, kind, flags, id @ ..]) = self.bytes.first_chunk::<9>().copied() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            let Some(payload) = self.bytes.get(9..9 + length).map(<[u8]>::to_vec) else {
                break;
            };
            assert!(!self.said_goodbye, "nothing comes behind the goodbye");
            assert!(length <= self.max_frame, "a frame of {length} bytes");
            self.frame(kind, flags, u32::from_be_bytes(id), &payload);
            self.drop(9 + length);
        }
    }

    fn drop(&mut self, length: usize) {
        self.bytes.drain(..length);
        self.read += length;
    }

    fn frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        match kind {
            0 => {
                let stream = self.streams.get_mut(&id).expect("a stream that was opened");
                assert!(!stream.client_ended, "data behind the end of {id}");
                stream.window -= payload.len() as i64;
                self.window -= payload.len() as i64;
                let is_empty = payload.is_empty();
                assert!(
                    is_empty || stream.window >= 0 && self.window >= 0,
                    "more than the window of {id}"
                );
                stream.client_ended = flags & 1 != 0;
            }
            1 => self.head(flags, id, payload),
            3 => {
                let stream = self.streams.get_mut(&id).expect("a stream that was opened");
                assert_eq!(payload.len(), 4);
                (stream.client_ended, stream.server_ended) = (true, true);
            }
            4 if flags & 1 != 0 => self.acknowledged(payload),
            4 => assert_eq!((id, payload.len() % 6), (0, 0)),
            6 if flags & 1 != 0 => {
                let asked = self.pings.pop_front();
                assert_eq!(asked.as_deref(), Some(payload), "another answer to a PING");
            }
            6 => assert_eq!((id, payload.len()), (0, 8)),
            7 => {
                assert_eq!(
                    (id, &payload[..4]),
                    (0, &[0; 4][..]),
                    "the server has no streams"
                );
                self.said_goodbye = true;
            }
            8 => {
                let more = payload
                    .first_chunk()
                    .map(|bytes| u32::from_be_bytes(*bytes));
                assert!(more.is_some_and(|more| (1..=MOST_31).contains(&more)));
                assert!(id == 0 || self.streams.contains_key(&id));
            }
            _ => panic!("a client sends no frame of the type {kind}"),
        }
    }

    fn head(&mut self, flags: u8, id: u32, payload: &[u8]) {
        assert!(self.read < self.no_heads_from, "a call behind the goodbye");
        assert_eq!(flags, 4, "a head is one frame, and has a body");
        assert!(id % 2 == 1 && id > self.last, "{id} follows {}", self.last);
        self.last = id;
        let open = self
            .streams
            .values()
            .filter(|stream| !stream.is_over())
            .count();
        assert!(open < self.max_streams as usize, "{open} streams are open");
        let stream = Stream {
            window: self.first_window,
            client_ended: false,
            server_ended: false,
            was_reset: false,
        };
        self.streams.insert(id, stream);
        self.sizes(payload);
        let fields = self
            .decoder
            .decode(payload)
            .expect("another implementation reads it");
        let names: Vec<_> = fields.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(
            &names[..4],
            [&b":method"[..], b":scheme", b":path", b":authority"]
        );
        assert_eq!(fields.len(), 8);
    }

    /// A table that has to shrink does so in the next block.
    fn sizes(&mut self, mut block: &[u8]) {
        let mut least = self.table;
        while let Some((first, rest)) = block
            .split_first()
            .filter(|(first, _)| *first & 0xe0 == 0x20)
        {
            let mut size = usize::from(first & 0x1f);
            block = rest;
            if size == 31 {
                for shift in (0..28).step_by(7) {
                    let (byte, rest) = block.split_first().expect("a whole number");
                    block = rest;
                    size += usize::from(byte & 0x7f) << shift;
                    if byte & 0x80 == 0 {
                        break;
                    }
                }
            }
            assert!(size <= self.table_allowed, "a table of {size} bytes");
            least = least.min(size);
            self.table = size;
        }
        let allowed = self.table_least.take().unwrap_or(usize::MAX);
        assert!(
            least <= allowed && self.table <= self.table_allowed,
            "the table is too large"
        );
    }

    fn acknowledged(&mut self, payload: &[u8]) {
        assert!(payload.is_empty());
        let settings = self.unacknowledged.pop_front().expect("there was one");
        let before = self.first_window;
        for (id, value) in settings {
            match id {
                1 => {
                    self.table_allowed = 4_096.min(value as usize);
                    let least = self.table_least.unwrap_or(usize::MAX);
                    self.table_least = Some(least.min(self.table_allowed));
                }
                3 => self.max_streams = value,
                4 => self.first_window = i64::from(value),
                5 => self.max_frame = value as usize,
                _ => {}
            }
        }
        let more = self.first_window - before;
        self.streams
            .values_mut()
            .for_each(|stream| stream.window += more);
    }
}

impl Stream {
    fn is_over(&self) -> bool {
        self.was_reset || self.client_ended && self.server_ended
    }
}
