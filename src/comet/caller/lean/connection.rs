//! One connection to a server, without the socket: bytes and the time go in; bytes to send and calls that ended come out.
//!
//! Whatever the peer does, each call ends once, and [`Finished::by`] says who ended it. The peer can neither make this side panic
//! nor have it keep more than its limits say: what breaks HTTP/2 ends the connection with a GOAWAY that says why.

mod alive;
mod end;
mod receive;
mod send;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::field::Field;
use super::flood::Flood;
use super::flow::{Credit, FIRST_WINDOW, Window};
use super::frame::{self, Code, HEAD, MAX_31};
use super::head::Heads;
use super::hpack::Decoder;
use super::settings::{Peer, greet};
use super::streams::Streams;
use crate::comet::metadata;
use crate::comet::tls::Secured;
use alive::Alive;

pub use super::streams::Key;

/// What the peer may send on the whole connection, and on one stream, before it has to wait.
const WINDOW: u32 = 16 << 20;
const STREAM_WINDOW: u32 = 1 << 20;
const _: () = assert!(WINDOW > FIRST_WINDOW && STREAM_WINDOW <= MAX_31);
/// The longest list of fields that the peer is told of. A header block may have more, as the peer can't always tell.
const MAX_HEADER_LIST: u32 = 256 << 10;
const LONGEST_BLOCK: usize = 1 << 20;
const _: () = assert!(LONGEST_BLOCK > MAX_HEADER_LIST as usize);

/// What may wait for the socket. Behind that, calls and bodies wait for it here, and are dropped when their time is over: a peer
/// whose windows are large would else be sent what nobody waits for any more, however slowly it takes it.
const MOST_OUTPUT: usize = 1 << 20;

/// How connections are made and kept.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is called: mostly `host:port`.
    pub authority: String,
    pub user_agent: String,
    /// The most bytes that an answer may have.
    pub max_answer: u32,
    /// How long the peer may take to say that it speaks HTTP/2.
    pub greeted_within: Duration,
    /// When nothing came for so long while calls wait, the peer is asked for a sign of life, and has so long for it.
    pub ask_after: Duration,
    pub answer_within: Duration,
    /// What TLS over TCP needs, where the peer is spoken to with it.
    pub tls: Option<Secured>,
}

/// What to call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Comes back with the answer.
    pub tag: u64,
    /// `/package.Service/Method`
    pub path: &'a str,
    /// The deadline, from now.
    pub within: Duration,
}

/// A call that ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Finished {
    pub tag: u64,
    /// gRPC's status code.
    pub code: i32,
    /// What was said to it. It may come from outside: it is to be escaped where it is shown.
    pub text: Cow<'static, str>,
    /// The message of the answer; empty unless the status is OK.
    pub body: Vec<u8>,
    pub by: By,
}

/// Who or what ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The server, or something in between, answered it.
    Server,
    /// This side: its deadline has passed, it was cancelled, or its answer can't be read. The server may have taken it.
    Client,
    /// The connection broke while it was under way. The server may have taken it.
    Lost,
    /// As [`By::Lost`], behind the server's goodbye without an error: it stopped on purpose, and nothing that was under way made it.
    Stopped,
    /// This side gave the connection up while it was under way: nothing came any more, or what no server may send. The server may
    /// have taken it.
    GivenUp,
    /// No server took it, surely: it never left, or was refused before anything was done for it. It may be made again; not at once
    /// again and again, though, as a server may refuse each time.
    Unsent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The peer's SETTINGS are awaited. Calls wait.
    Greeting,
    Open,
    /// Calls that were made are finished; there are no new ones.
    Retiring,
    Closed,
}

/// The header block that is being gathered (RFC 9113, 4.3).
#[derive(Default)]
struct Block {
    /// Its stream; 0 where there is none.
    stream: u32,
    ends: bool,
    frames: u32,
    bytes: Vec<u8>,
}

/// One connection.
pub struct Connection {
    config: Config,
    state: State,
    /// Whether the peer has said that it speaks HTTP/2.
    is_greeted: bool,
    peer: Peer,
    streams: Streams,
    /// Calls that wait for a stream.
    queued: VecDeque<Key>,
    /// Calls with a stream whose body waits for a window.
    blocked: VecDeque<Key>,
    /// How many of these have ended meanwhile, at most.
    stale: usize,
    /// Whether one of these may go on.
    may_go_on: bool,
    next_id: u32,
    /// What may be sent on the connection, and what the peer may send.
    window: Window,
    credit: Credit,
    heads: Heads,
    decoder: Decoder<Field>,
    /// The begin of a frame whose end has not come.
    partial: Vec<u8>,
    block: Block,
    output: Vec<u8>,
    /// How much of `output` is sent, and how much was before it.
    sent: usize,
    sent_before: u64,
    /// Acknowledgements in `output`.
    acks: u32,
    finished: VecDeque<Finished>,
    /// No call's deadline is earlier.
    first_deadline: Option<Instant>,
    alive: Alive,
    flood: Flood,
    /// The code of the server's last goodbye.
    goodbye: Option<Code>,
    /// Why there are no new calls.
    why: Cow<'static, str>,
}

impl Connection {
    /// For a connection that was just made.
    pub fn new(config: Config, now: Instant) -> Self {
        let (output, credit) = greeting();
        Self {
            heads: Heads::new(&config.authority, &config.user_agent).with_tls(config.tls.is_some()),
            alive: Alive::new(&config, now),
            config,
            state: State::Greeting,
            is_greeted: false,
            peer: Peer::new(),
            streams: Streams::default(),
            queued: VecDeque::new(),
            blocked: VecDeque::new(),
            stale: 0,
            may_go_on: false,
            next_id: 1,
            window: Window::new(FIRST_WINDOW),
            credit,
            decoder: Decoder::new(),
            partial: Vec::new(),
            block: Block::default(),
            output,
            sent: 0,
            sent_before: 0,
            acks: 0,
            finished: VecDeque::new(),
            first_deadline: None,
            flood: Flood::new(now),
            goodbye: None,
            why: "".into(),
        }
    }

    /// Speaks to another peer from now on, as the one before has not greeted. Its calls wait for that, as they did.
    pub fn start_over(&mut self) {
        if self.state == State::Greeting {
            (self.output, self.credit) = greeting();
            self.sent = 0;
            self.partial.clear();
        }
    }

    /// Has these fields in the head of each call from now on.
    pub fn send_along(&mut self, fields: &[metadata::Field]) {
        self.heads.extras.set(fields);
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether it takes calls. One that it doesn't take ends at once, as [`By::Unsent`].
    pub fn takes_calls(&self) -> bool {
        matches!(self.state, State::Greeting | State::Open)
    }

    /// Whether the peer has said that it speaks HTTP/2.
    pub fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// Whether it is over: [`Self::output`] is to be sent as far as it goes at once, and the socket closed.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Why it takes no calls.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Whether calls wait that have not left, or not all of them: for a stream, for the peer's window, or for the socket.
    pub fn holds_calls(&self) -> bool {
        let waits = !self.queued.is_empty() || !self.blocked.is_empty();
        self.streams.len() > 0 && (waits || !self.output().is_empty())
    }

    /// Whether the peer lets no call out now, though none is under way that it could wait for: it gives the connection no room, or
    /// wants no streams.
    pub fn is_shut(&self) -> bool {
        let wants_none = self.peer.max_streams == 0 && self.streams.opened() == 0;
        self.window.available() == 0 || wants_none
    }

    /// Calls under way.
    pub fn calls(&self) -> usize {
        self.streams.len()
    }

    /// A call that ended. They come in the order in which they ended.
    pub fn next_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Whether a call ended, or the connection, since that was asked for.
    pub fn has_news(&self) -> bool {
        !self.finished.is_empty() || self.is_closed()
    }

    /// What is to be sent.
    pub fn output(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// The socket took `length` bytes of the output. What waited for room may be added to it now.
    pub fn wrote(&mut self, length: usize, now: Instant) {
        let was_full = self.is_full();
        self.left(length);
        if was_full && !self.is_full() && self.state != State::Closed {
            self.may_go_on = true;
            self.go_on(now);
        }
    }

    /// Whether nothing more is written until the socket has taken some.
    fn is_full(&self) -> bool {
        self.output().len() >= MOST_OUTPUT
    }

    fn left(&mut self, length: usize) {
        /// Memory that is kept for the next time.
        const KEPT: usize = 128 << 10;
        self.sent = self.output.len().min(self.sent + length);
        if self.sent == self.output.len() {
            self.output.clear();
            self.output.shrink_to(KEPT);
            self.acks = 0;
        } else if self.sent > KEPT && self.sent > self.output.len() / 2 {
            self.output.drain(..self.sent);
        } else {
            return;
        }
        self.sent_before += self.sent as u64;
        self.sent = 0;
    }

    /// Where in all that is sent the next byte will be.
    fn position(&self) -> u64 {
        self.sent_before + self.output.len() as u64
    }

    /// Where in all that is sent the first byte is that has not left.
    fn left_until(&self) -> u64 {
        self.sent_before + self.sent as u64
    }
}

/// What this side says first, and what the peer may send then.
fn greeting() -> (Vec<u8>, Credit) {
    let mut credit = Credit::new(WINDOW, FIRST_WINDOW);
    let mut output = Vec::with_capacity(4 << 10);
    greet(&mut output, STREAM_WINDOW, MAX_HEADER_LIST);
    if let Some(more) = credit.due() {
        frame::write(&mut output, frame::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
    }
    (output, credit)
}

/// A frame's head, and gRPC's prefix.
const HEADS: usize = HEAD + super::answer::PREFIX;
