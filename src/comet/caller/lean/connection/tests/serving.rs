//! A server that keeps the rules and holds the client to them, whatever its limits are and however they change.

mod server;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::super::frame::PING;
use super::super::{By, Call, Connection, Finished, Key};
use super::peer::{WITHIN, config};
use server::{Limits, Server};

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

/// Client and server, with what is under way between them.
struct Both {
    client: Connection,
    server: Server,
    now: Instant,
    keys: Vec<Key>,
    ended: BTreeMap<u64, Finished>,
}

impl Both {
    fn new() -> Self {
        let now = Instant::now();
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
        self.client.wrote(length, self.now);
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
                // Or else whoever drives it would never sleep.
                assert!(self.client.wake_at().is_none_or(|at| at > self.now));
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
                By::Server if tag.is_multiple_of(3) => {
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
                By::Lost | By::Stopped | By::GivenUp => assert_eq!(finished.code, 14),
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
        prop_assert!(both.ended.values().all(|finished| ![By::Lost, By::GivenUp].contains(&finished.by)), "{:?}", both.client.why());
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
        prop_assert!(both.ended.values().all(|finished| ![By::Lost, By::GivenUp].contains(&finished.by)));
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
