//! What a server sends to the HTTP/2 of calls to Comets, frame by frame: the input chooses frames of known calls, with fields, windows
//! and settings that matter, and cuts the client's output. A judge reads that output as a server does, and knows what a client may send.

#![no_main]

#[path = "http2/config.rs"]
mod config;
#[path = "http2_frames/judge.rs"]
mod judge;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chatroom_job::comet::caller::lean::{By, Call, Connection, Key};
use config::config;
use judge::{Judge, MOST_31};
use libfuzzer_sys::fuzz_target;

const CALLS: u64 = 40;

/// The input, byte by byte; zeros behind its end.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn below(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % most
    }

    /// A number: mostly one at the border of what may be.
    fn number(&mut self) -> u32 {
        const BORDERS: [u32; 14] = [
            0,
            1,
            5,
            17,
            100,
            4_096,
            16_383,
            16_384,
            65_535,
            65_536,
            1 << 20,
            MOST_31 - 1,
            MOST_31,
            u32::MAX,
        ];
        match self.below(BORDERS.len() + 2) {
            at if at < BORDERS.len() => BORDERS[at],
            _ => u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(24);
        (0..length).map(|_| self.byte()).collect()
    }
}

fuzz_target!(|input: &[u8]| {
    let mut source = Source(input);
    let mut world = World::new(source.byte() % 8 != 0);
    while !source.0.is_empty() && !world.client.is_closed() {
        world.step(&mut source);
    }
    world.finish();
});

struct World {
    client: Connection,
    judge: Judge,
    now: Instant,
    keys: Vec<Key>,
    /// Who or what ended each call.
    ended: BTreeMap<u64, By>,
}

impl World {
    fn new(greets: bool) -> Self {
        let now = Instant::now();
        let mut world = Self {
            client: Connection::new(config(), now),
            judge: Judge::new(),
            now,
            keys: Vec::new(),
            ended: BTreeMap::new(),
        };
        if greets {
            world.give(4, 0, 0, &[]);
        }
        world
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.below(24) {
            0..4 => self.call(source),
            4 => {
                if let Some(key) = self.keys.get(source.below(CALLS as usize)) {
                    self.client.cancel(*key, self.now);
                }
            }
            5 => {
                self.now += Duration::from_millis(20 * u64::from(source.byte()));
                self.client.advance(self.now);
                let due = self.client.wake_at();
                assert!(due.is_none_or(|at| at > self.now), "it would never sleep");
            }
            6 => self.take(source.below(256)),
            7 => self.client.ask(self.now),
            8 if source.below(16) == 0 => self.client.retire(),
            9..13 => self.answer(source),
            _ => self.frame(source),
        }
        if source.below(4) != 0 {
            self.take(usize::MAX);
        }
        self.note();
    }

    fn call(&mut self, source: &mut Source<'_>) {
        let tag = self.keys.len() as u64;
        if tag == CALLS || !self.client.takes_calls() {
            return;
        }
        let call = Call {
            tag,
            path: ["/a", "/b", "/c"][source.below(3)],
            within: Duration::from_secs(1 + tag % 4),
        };
        let length = [0, 10, 100, 17_000, 70_000][source.below(5)];
        let write = |out: &mut Vec<u8>| out.resize(out.len() + length, 7);
        self.keys.push(self.client.call(call, self.now, write));
    }

    /// A part of a good answer, or all of it.
    fn answer(&mut self, source: &mut Source<'_>) {
        let stream = self.stream(source);
        let parts = source.byte();
        if parts & 1 != 0 {
            self.give(1, 4, stream, HEADS[source.below(3)]);
        }
        if parts & 2 != 0 {
            self.give(0, 0, stream, b"\0\0\0\0\x02ok");
        }
        if parts & 4 != 0 {
            self.give(1, 5, stream, TRAILERS[source.below(TRAILERS.len())]);
        }
    }

    fn stream(&self, source: &mut Source<'_>) -> u32 {
        match source.below(16) {
            0 => 0,
            1 => 2,
            2 => (self.judge.last() + 2) | 1,
            nth => self.judge.open_stream(nth),
        }
    }

    fn frame(&mut self, source: &mut Source<'_>) {
        let kind = source.byte() % 12;
        let flags = match source.below(8) {
            0 => source.byte(),
            _ => [0, 4, 5, 1][source.below(4)],
        };
        let stream = match kind {
            4 | 6 | 7 if source.below(16) != 0 => 0,
            _ => self.stream(source),
        };
        let mut payload = Vec::new();
        match kind {
            1 | 9 => {
                for _ in 0..source.below(5) {
                    payload.extend(FIELDS[source.below(FIELDS.len())]);
                }
            }
            3 | 8 => payload.extend(source.number().to_be_bytes()),
            4 if flags & 1 == 0 => {
                for _ in 0..source.below(4) {
                    payload.extend(
                        (source.byte() % 8)
                            .to_be_bytes()
                            .iter()
                            .flat_map(|id| [0, *id]),
                    );
                    payload.extend(source.number().to_be_bytes());
                }
            }
            6 => payload.extend([source.byte(); 8]),
            7 => {
                payload.extend(source.number().to_be_bytes());
                payload.extend(u32::from(source.byte()).to_be_bytes());
            }
            0 => payload.resize([0, 1, 5, 900, 16_384][source.below(5)], source.byte() % 2),
            _ => {}
        }
        if source.below(8) == 0 {
            payload.extend(source.bytes());
        }
        self.give(kind, flags, stream, &payload);
    }

    fn give(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        if stream > self.judge.last() {
            // A server speaks of what it has read.
            self.take(usize::MAX);
        }
        self.judge.given(kind, flags, stream, payload);
        // In two parts: a frame may be cut anywhere.
        let (first, second) = bytes.split_at(payload.len() % bytes.len());
        self.client.receive(first, self.now);
        self.client.receive(second, self.now);
        if kind == 7 && !self.client.takes_calls() {
            self.judge.no_heads_behind(self.client.output().len());
        }
    }

    /// The server reads so much; where that is all, also what there was no room for before.
    fn take(&mut self, most: usize) {
        loop {
            let length = self.client.output().len().min(most);
            self.judge.read(&self.client.output()[..length]);
            self.client.wrote(length, self.now);
            if most < usize::MAX || self.client.output().is_empty() {
                return;
            }
        }
    }

    fn note(&mut self) {
        while let Some(finished) = self.client.next_finished() {
            assert!(
                self.ended.insert(finished.tag, finished.by).is_none(),
                "a call ended twice"
            );
            assert!(finished.body.len() <= 1_000);
            assert!(finished.code == 0 || finished.body.is_empty());
            assert!(finished.code != 0 || finished.by == By::Server);
        }
    }

    /// Where the server takes everything, everything is sent. Whatever was sent, no call outlives its deadline, and none is without
    /// an end.
    fn finish(&mut self) {
        self.take(usize::MAX);
        if !self.client.is_closed() {
            self.give(4, 0, 0, &[0, 3, 0, 0, 1, 0]);
            self.take(usize::MAX);
            for (stream, more) in self.judge.wants() {
                self.give(8, 0, stream, &more.to_be_bytes());
            }
            self.take(usize::MAX);
        }
        if !self.client.is_closed() {
            self.judge.all_is_sent();
        }
        self.now += Duration::from_secs(10);
        self.client.advance(self.now);
        assert_eq!(self.client.calls(), 0);
        self.take(usize::MAX);
        self.client.lost("the input is over");
        self.note();
        assert_eq!(self.ended.len(), self.keys.len());
    }
}

const HEADS: [&[u8]; 3] = [
    b"\x88\x5f\x10application/grpc",
    b"\x88\0\x0ccontent-type\x10application/grpc",
    b"\x20\x3f\xe1\x1f\x88\x0f\x10\x10application/grpc",
];
const TRAILERS: [&[u8]; 5] = [
    b"\0\x0bgrpc-status\x010",
    b"\x40\x0bgrpc-status\x015",
    b"\xbe",
    b"\xbf\0\x0cgrpc-message\x06a%20b%",
    b"\0\x0bgrpc-status\x82\x07\xff",
];
const FIELDS: [&[u8]; 14] = [
    b"\x88",
    b"\x8d",
    b"\x08\x03103",
    b"\x08\x03502",
    b"\x5f\x10application/grpc",
    b"\0\x0bgrpc-status\x010",
    b"\x40\x0bgrpc-status\x0214",
    b"\x40\x0cgrpc-message\x02no",
    b"\xbe",
    b"\xc0",
    b"\x20",
    b"\x3f\xe1\x1f",
    b"\0\x01A\x01a",
    b"\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
];
