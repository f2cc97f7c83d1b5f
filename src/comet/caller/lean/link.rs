//! A connection with its socket: the addresses that are tried one after the other, and bytes to and fro.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use mio::{Registry, Token};

use super::connection::{Config, Connection};
use super::socket::{Address, Socket};

/// How often one connection reads before the others have their turn.
const READS: usize = 8;

pub struct Link {
    pub connection: Connection,
    /// Those that aren't tried yet.
    addresses: VecDeque<Address>,
    /// What came of those that were tried.
    errors: Vec<String>,
    attempt: Option<Attempt>,
    socket: Option<Socket>,
    connect_until: Instant,
    token: Token,
    /// Whether it waits to be flushed, and to be asked for what ended.
    pub is_touched: bool,
    pub has_events: bool,
    /// Whether calls were made since it was flushed.
    pub has_new_calls: bool,
}

/// The address that is being tried.
struct Attempt {
    address: Address,
    until: Instant,
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
            socket: None,
            connect_until,
            token,
            is_touched: false,
            has_events: false,
            has_new_calls: false,
        };
        link.try_next(registry, now);
        link
    }

    fn try_next(&mut self, registry: &Registry, now: Instant) {
        self.socket = None;
        self.attempt = None;
        while let Some(address) = self.addresses.pop_front() {
            let left = self.connect_until.saturating_duration_since(now);
            let until = now + left / (self.addresses.len() as u32 + 1);
            let registered = Socket::connect(&address).and_then(|mut socket| {
                socket.register(registry, self.token)?;
                Ok(socket)
            });
            match registered {
                Ok(socket) => {
                    self.socket = Some(socket);
                    self.attempt = Some(Attempt { address, until });
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
        if self
            .attempt
            .as_ref()
            .is_some_and(|attempt| attempt.until <= now)
        {
            self.attempt_failed("no connection within its time", registry, now);
        }
        self.connection.advance(now);
    }

    /// The socket may be written, or has failed: it is connected, or can take more.
    pub fn ready(&mut self, registry: &Registry, now: Instant) {
        if self.attempt.is_none() {
            return;
        }
        match self.socket.as_ref().map(Socket::is_connected) {
            Some(Ok(true)) => {
                self.attempt = None;
                self.addresses.clear();
            }
            Some(Ok(false)) | None => {}
            Some(Err(error)) => self.attempt_failed(error, registry, now),
        }
    }

    /// Reads what there is. Returns whether there may be more. `to_end` also where less came than could: the peer has closed its side.
    pub fn read(&mut self, input: &mut [u8], to_end: bool, now: Instant) -> bool {
        let Some(socket) = self.socket.as_mut().filter(|_| self.attempt.is_none()) else {
            return false;
        };
        for _ in 0..READS {
            match socket.read(input) {
                Ok(None) => return false,
                Ok(Some(0)) => {
                    self.connection.lost("the server closed the connection");
                    return false;
                }
                Ok(Some(length)) => {
                    self.connection.receive(&input[..length], now);
                    // There is no more now, and the poller tells when there is.
                    if self.connection.is_closed() || length < input.len() && !to_end {
                        return false;
                    }
                }
                Err(error) => {
                    self.connection.lost(broke(&error));
                    return false;
                }
            }
        }
        true
    }

    /// Sends as much as the socket takes. A connection that is over loses its socket. One that breaks says first what came over it:
    /// answers, or a goodbye by which calls weren't taken.
    pub fn flush(&mut self, input: &mut [u8], now: Instant) {
        if let Err(error) = self.send() {
            while self.read(input, true, now) {}
            self.connection.lost(broke(&error));
        }
        if self.connection.is_closed() {
            (self.socket, self.attempt) = (None, None);
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let Some(socket) = self.socket.as_mut().filter(|_| self.attempt.is_none()) else {
            return Ok(());
        };
        while !self.connection.output().is_empty() {
            match socket.write(self.connection.output())? {
                Some(length) => self.connection.wrote(length),
                None => break,
            }
        }
        Ok(())
    }
}

fn broke(error: &io::Error) -> String {
    format!("the connection broke: {error}")
}
