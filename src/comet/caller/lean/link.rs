//! A connection with its socket: the addresses that are tried one after the other, and bytes to and fro.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use mio::{Registry, Token};

use super::connection::{Config, Connection};
use super::socket::Address;
use super::stream::Stream;
use crate::comet::tls::{Certificate, words};

/// How often one connection reads before the others have their turn.
const READS: usize = 8;

pub struct Link {
    pub connection: Connection,
    /// Those that aren't tried yet.
    addresses: VecDeque<Address>,
    /// What came of those that were tried.
    errors: Vec<String>,
    attempt: Option<Attempt>,
    stream: Option<Stream>,
    connect_until: Instant,
    token: Token,
    /// The socket took less than there was to send.
    pub is_full: bool,
    /// Whether it waits to be flushed, and to be asked for what ended.
    pub is_touched: bool,
    pub has_events: bool,
}

/// The address that is being tried.
struct Attempt {
    address: Address,
    until: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// The handshake of TLS is under way.
    Securing,
    /// The server has yet to say that it speaks HTTP/2, and there are other addresses.
    Greeting,
}

impl Link {
    /// Begins to connect. The addresses share the time that the server has until it must have greeted.
    pub fn open(
        addresses: Vec<Address>,
        config: Config,
        token: Token,
        registry: &Registry,
        now: Instant,
    ) -> Link {
        let connect_until = now + config.greeted_within;
        let mut link = Link {
            connection: Connection::new(config, now),
            addresses: addresses.into(),
            errors: Vec::new(),
            attempt: None,
            stream: None,
            connect_until,
            token,
            is_full: false,
            is_touched: false,
            has_events: false,
        };
        link.try_next(registry, now);
        link
    }

    fn try_next(&mut self, registry: &Registry, now: Instant) {
        self.stream = None;
        self.attempt = None;
        self.is_full = false;
        self.connection.start_over();
        while let Some(address) = self.addresses.pop_front() {
            let left = self.connect_until.saturating_duration_since(now);
            let until = now + left / (self.addresses.len() as u32 + 1);
            let config = self.connection.config();
            match Stream::connect(&address, config, registry, self.token) {
                Ok(stream) => {
                    self.stream = Some(stream);
                    self.attempt = Some(Attempt {
                        address,
                        until,
                        stage: Stage::Connecting,
                    });
                    return;
                }
                Err(error) => self.errors.push(format!("{address}: {error}")),
            }
        }
        let why = match self.errors.is_empty() {
            true => "there is no address to connect to".to_owned(),
            false => format!("could not connect: {}", self.errors.join("; ")),
        };
        self.connection.lost(why);
    }

    fn attempt_failed(&mut self, error: impl std::fmt::Display, registry: &Registry, now: Instant) {
        if let Some(attempt) = self.attempt.take() {
            self.errors.push(format!("{}: {error}", attempt.address));
        }
        self.try_next(registry, now);
    }

    /// When [`Self::advance`] is due. May be too early.
    pub fn wake_at(&self) -> Option<Instant> {
        let attempt = self.attempt.as_ref().map(|attempt| attempt.until);
        attempt.into_iter().chain(self.connection.wake_at()).min()
    }

    pub fn advance(&mut self, registry: &Registry, now: Instant) {
        if let Some(attempt) = self.attempt.as_ref().filter(|tried| tried.until <= now) {
            let why = match attempt.stage {
                Stage::Connecting => "no connection within its time",
                Stage::Securing => words::SILENT,
                Stage::Greeting => "it didn't say within its time that it speaks HTTP/2",
            };
            self.attempt_failed(why, registry, now);
        }
        self.connection.advance(now);
    }

    /// The socket may be written, or has failed: it is connected, or can take more.
    pub fn ready(&mut self, registry: &Registry, now: Instant) {
        let (Some(attempt), Some(stream)) = (&mut self.attempt, &mut self.stream) else {
            return;
        };
        if attempt.stage != Stage::Connecting {
            // What is wrong is told by what can still be read.
            let _ = stream.flush();
            return;
        }
        // TLS begins with what this side sends.
        let connected = stream.is_connected().and_then(|is_connected| {
            if is_connected {
                attempt.stage = Stage::Securing;
                stream.flush()?;
            }
            Ok(())
        });
        match connected {
            Ok(()) => self.open_if_ready(registry, now),
            Err(error) => self.attempt_failed(error, registry, now),
        }
    }

    /// When the stream is open, the server has to greet. Where there is no other, the connection itself sees to that.
    fn open_if_ready(&mut self, registry: &Registry, now: Instant) {
        let (Some(attempt), Some(stream)) = (&mut self.attempt, &self.stream) else {
            return;
        };
        if attempt.stage == Stage::Securing {
            match stream.is_open() {
                Ok(true) if self.addresses.is_empty() => self.attempt = None,
                Ok(true) => attempt.stage = Stage::Greeting,
                Ok(false) => {}
                Err(why) => self.attempt_failed(why, registry, now),
            }
        }
    }

    /// Whether the stream is open.
    fn is_open(&self) -> bool {
        let attempt = self.attempt.as_ref();
        self.stream.is_some() && attempt.is_none_or(|tried| tried.stage == Stage::Greeting)
    }

    /// The peer's certificate, where it is spoken to with TLS.
    pub fn certificate(&self) -> Option<Certificate> {
        self.stream.as_ref()?.certificate()
    }

    /// Reads what there is. Returns whether there may be more. `to_end` also where less came than could: the peer has closed its side.
    pub fn read(
        &mut self,
        input: &mut [u8],
        to_end: bool,
        registry: &Registry,
        now: Instant,
    ) -> bool {
        for _ in 0..READS {
            let Some(stream) = self.stream.as_mut() else {
                return false;
            };
            let stage = self.attempt.as_ref().map(|attempt| attempt.stage);
            if stage == Some(Stage::Connecting) {
                return false;
            }
            match stream.read(input) {
                Ok(None) => {
                    let is_drained = stream.is_drained(0, input.len());
                    self.open_if_ready(registry, now);
                    if is_drained {
                        return false;
                    }
                }
                Ok(Some(0)) => {
                    self.broke("the server closed the connection".into(), registry, now);
                    return false;
                }
                Ok(Some(length)) => {
                    let is_drained = stream.is_drained(length, input.len()) && !to_end;
                    if stage == Some(Stage::Securing) {
                        self.open_if_ready(registry, now);
                        if !self.is_open() {
                            // It has failed, and what came was of no use: the next one has its turn.
                            return false;
                        }
                    }
                    self.connection.receive(&input[..length], now);
                    if self.connection.is_greeted() {
                        self.attempt = None;
                        self.addresses.clear();
                    }
                    // There is no more now, and the poller tells when there is.
                    if self.connection.is_closed() || is_drained {
                        return false;
                    }
                }
                Err(error) => {
                    self.broke(broke(&error), registry, now);
                    return false;
                }
            }
        }
        true
    }

    /// The socket has ended. Where the server had not greeted, another address may be better.
    fn broke(&mut self, why: String, registry: &Registry, now: Instant) {
        match self.attempt {
            Some(_) => self.attempt_failed(why, registry, now),
            None => self.connection.lost(why),
        }
    }

    /// Sends as much as the socket takes. A connection that is over loses its socket. One that breaks says first what came over it:
    /// answers, or a goodbye by which calls weren't taken.
    pub fn flush(&mut self, input: &mut [u8], registry: &Registry, now: Instant) {
        if let Err(error) = self.send(now) {
            if self.attempt.is_some() {
                return self.attempt_failed(broke(&error), registry, now);
            }
            while self.read(input, true, registry, now) {}
            self.connection.lost(broke(&error));
        }
        if self.connection.is_closed() {
            (self.stream, self.attempt) = (None, None);
        }
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        if !self.is_open() {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        while !self.connection.output().is_empty() {
            let wrote = stream.write(self.connection.output())?;
            self.is_full = wrote.is_none();
            match wrote {
                Some(length) => self.connection.wrote(length, now),
                None => return Ok(()),
            }
        }
        stream.flush()
    }
}

/// TLS says what is wrong by itself.
fn broke(error: &io::Error) -> String {
    let said = error.to_string();
    match said.starts_with("TLS") {
        true => said,
        false => format!("the connection broke: {said}"),
    }
}
