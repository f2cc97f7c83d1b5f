//! A server that keeps the rules and holds the client to them, whatever its limits are and however they change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::super::frame::{
    self, ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head, PING, PREFACE,
    RST_STREAM, SETTINGS, WINDOW_UPDATE,
};
use super::super::{By, Call, Connection, Finished, Key};
use super::peer::{WITHIN, answer_head, block, config, prefixed};

#[derive(Clone, Debug)]
enum Step {
    Call {
        length: usize,
    },
    Cancel(usize),
    /// So many bytes reach the server, or the client.
    Up(usize),
    Down(usize),
    Answer(usize),
    Refuse(usize),
    Window {
        of_connection: bool,
        which: usize,
        more: u32,
    },
    Settings {
        streams: u32,
        window: u32,
        table: u32,
        frame: u32,
    },
    Ping,
    Later(u64),
    Goaway,
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0..50_usize, 0..40_000_usize].prop_map(|length| Step::Call { length }),
        1 => (0..10_usize).prop_map(Step::Cancel),
        6 => prop_oneof![1..100_usize, Just(1_000_000)].prop_map(Step::Up),
        6 => prop_oneof![1..100_usize, Just(1_000_000)].prop_map(Step::Down),
        6 => (0..10_usize).prop_map(Step::Answer),
        1 => (0..10_usize).prop_map(Step::Refuse),
        3 => (any::<bool>(), 0..10_usize, 1..20_000_u32)
            .prop_map(|(of_connection, which, more)| Step::Window { of_connection, which, more }),
        1 => (0..12_u32, prop_oneof![0..100_u32, 0..70_000_u32], prop_oneof![0..300_u32, Just(4096)], 16_384..20_000_u32)
            .prop_map(|(streams, window, table, frame)| Step::Settings { streams, window, table, frame }),
        1 => Just(Step::Ping),
        1 => (0..700_u64).prop_map(Step::Later),
    ]
}

#[derive(Clone, Copy)]
struct Limits {
    streams: u32,
    window: u32,
    frame: u32,
}

struct Request {
    body: Vec<u8>,
    window: i64,
    is_whole: bool,
}

struct Server {
    input: Vec<u8>,
    greeted: bool,
    decoder: loona_hpack::Decoder<'static>,
    /// What the client has acknowledged, and what it will.
    limits: Limits,
    said: VecDeque<Limits>,
    window: i64,
    open: BTreeMap<u32, Request>,
    last: u32,
    /// Streams above this are not taken, after a GOAWAY.
    until: u32,
    /// Tags of the calls that it has answered, or could.
    taken: BTreeSet<u64>,
    out: Vec<u8>,
}

impl Server {
    fn new() -> Self {
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

    fn say(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        frame::write(&mut self.out, kind, flags, stream, payload);
    }

    fn settings(&mut self, limits: Limits, table: u32) {
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

    fn take(&mut self, bytes: &[u8]) {
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
    fn answer(&mut self, which: usize) {
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

    fn refuse(&mut self, which: usize) {
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

    fn grant(&mut self, stream: u32, more: u32) {
        match self.open.get_mut(&stream) {
            Some(request) => request.window += i64::from(more),
            None => self.window += i64::from(more),
        }
        self.say(WINDOW_UPDATE, 0, stream, &more.to_be_bytes());
    }

    fn goaway(&mut self) {
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

/// Client and server, with what is under way between them.
struct Both {
    client: Connection,
    server: Server,
    now: std::time::Instant,
    keys: Vec<Key>,
    ended: BTreeMap<u64, Finished>,
}

impl Both {
    fn new() -> Self {
        let now = std::time::Instant::now();
        Self {
            client: Connection::new(config(), now),
            server: Server::new(),
            now,
            keys: Vec::new(),
            ended: BTreeMap::new(),
        }
    }

    fn up(&mut self, most: usize) {
        let length = self.client.output().len().min(most);
        self.server.take(&self.client.output()[..length]);
        self.client.wrote(length);
    }

    fn down(&mut self, most: usize) {
        let length = self.server.out.len().min(most);
        let bytes: Vec<u8> = self.server.out.drain(..length).collect();
        self.client.receive(&bytes, self.now);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call { length } => {
                let tag = self.keys.len() as u64;
                let path = format!("/Comet/Method{}", tag % 11);
                let call = Call {
                    tag,
                    path: &path,
                    within: WITHIN,
                };
                let key = self.client.call(call, self.now, |out| {
                    out.extend_from_slice(&tag.to_be_bytes());
                    out.resize(out.len() + length, 7);
                });
                self.keys.push(key);
            }
            Step::Cancel(which) => {
                if let Some(key) = self.keys.iter().rev().nth(which) {
                    self.client.cancel(*key, self.now);
                }
            }
            Step::Up(most) => self.up(most),
            Step::Down(most) => self.down(most),
            Step::Answer(which) => self.server.answer(which),
            Step::Refuse(which) => self.server.refuse(which),
            Step::Window {
                of_connection,
                which,
                more,
            } => {
                let of_stream = self
                    .server
                    .open
                    .keys()
                    .nth(which)
                    .filter(|_| !of_connection);
                let stream = of_stream.copied().unwrap_or(0);
                self.server.grant(stream, more);
            }
            Step::Settings {
                streams,
                window,
                table,
                frame,
            } => {
                let limits = Limits {
                    streams,
                    window,
                    frame,
                };
                self.server.settings(limits, table);
            }
            Step::Ping => self.server.say(PING, 0, 0, b"a ping.."),
            Step::Later(millis) => {
                self.now += Duration::from_millis(millis);
                self.client.advance(self.now);
            }
            Step::Goaway => self.server.goaway(),
        }
        self.note();
    }

    fn note(&mut self) {
        while let Some(finished) = self.client.next_finished() {
            let tag = finished.tag;
            assert!(
                self.ended.insert(tag, finished).is_none(),
                "call {tag} ended twice"
            );
        }
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        for _ in 0..1_000 {
            let limits = Limits {
                streams: 100,
                window: 1 << 20,
                frame: 16_384,
            };
            if self.server.limits.window != limits.window {
                self.server.settings(limits, 4096);
            }
            if self.server.window < 1 << 20 {
                self.server.grant(0, 1 << 20);
            }
            self.up(usize::MAX);
            while self.server.open.values().any(|request| request.is_whole) {
                self.server.answer(0);
            }
            self.down(usize::MAX);
            self.note();
            if self.client.calls() == 0 {
                break;
            }
        }
        assert_eq!(self.client.calls(), 0, "calls that never end");
    }

    /// Each call ended, and as it should.
    fn check(&self) {
        assert_eq!(self.ended.len(), self.keys.len());
        for (tag, finished) in &self.ended {
            match finished.by {
                By::Server if tag % 3 == 0 => {
                    assert_eq!(
                        (finished.code, &*finished.text),
                        (5, tag.to_string().as_str())
                    );
                }
                By::Server => {
                    assert_eq!(
                        (finished.code, &finished.body),
                        (0, &tag.to_string().into_bytes())
                    );
                }
                By::Unsent => assert!(
                    !self.server.taken.contains(tag),
                    "call {tag} was taken: {finished:?}"
                ),
                By::Client => assert!([1, 4].contains(&finished.code), "{finished:?}"),
                By::Lost => assert_eq!(finished.code, 14),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_call_has_its_own_answer(steps in vec(a_step(), 1..150)) {
        let mut both = Both::new();
        steps.into_iter().for_each(|step| both.step(step));
        both.finish();
        both.check();
        prop_assert!(both.ended.values().all(|finished| finished.by != By::Lost), "{:?}", both.client.why());
    }

    #[test]
    fn a_goodbye_in_the_middle_loses_nothing(
        before in vec(a_step(), 1..80),
        after in vec(a_step(), 1..80),
    ) {
        let mut both = Both::new();
        before.into_iter().for_each(|step| both.step(step));
        both.step(Step::Goaway);
        after.into_iter().for_each(|step| both.step(step));
        both.finish();
        both.check();
        prop_assert!(both.ended.values().all(|finished| finished.by != By::Lost));
        prop_assert!(both.client.is_closed());
    }

    #[test]
    fn a_connection_that_breaks_says_which_calls_may_have_been_taken(steps in vec(a_step(), 1..100)) {
        let mut both = Both::new();
        steps.into_iter().for_each(|step| both.step(step));
        both.client.lost("it broke");
        both.note();
        both.check();
    }
}
