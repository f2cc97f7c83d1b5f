//! What carries a connection's bytes: a socket as it is, or TLS over it.

use std::io;

use mio::{Registry, Token};

use super::connection::Config;
use super::socket::{Address, Socket};
use super::tls::Tls;
use crate::comet::tls::Certificate;

pub enum Stream {
    Plain(Socket),
    Tls(Box<Tls>),
}

impl Stream {
    /// Begins to connect. The token's events tell of when that is done, or failed. Nobody needs TLS on a Unix socket.
    pub fn connect(
        address: &Address,
        config: &Config,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Stream> {
        let mut socket = Socket::connect(address)?;
        socket.register(registry, token)?;
        match (&config.tls, address) {
            (Some(secured), Address::Tcp(_)) => {
                Ok(Stream::Tls(Box::new(Tls::new(socket, secured)?)))
            }
            _ => Ok(Stream::Plain(socket)),
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.socket(),
        }
    }

    /// Whether the socket is connected by now.
    pub fn is_connected(&self) -> io::Result<bool> {
        self.socket().is_connected()
    }

    /// Whether calls may be sent, once it is connected.
    ///
    /// # Errors
    /// The peer doesn't speak HTTP/2.
    pub fn is_open(&self) -> Result<bool, String> {
        match self {
            Stream::Plain(_) => Ok(true),
            Stream::Tls(tls) => tls.is_open(),
        }
    }

    /// `None` where nothing can be read now. `Some(0)` at the end.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Stream::Plain(socket) => socket.read(into),
            Stream::Tls(tls) => tls.read(into),
        }
    }

    /// Whether a read of so many bytes has left nothing, as far as one can know. The poller tells when there is more.
    pub fn is_drained(&self, read: usize, room: usize) -> bool {
        match self {
            Stream::Plain(_) => read < room,
            Stream::Tls(tls) => tls.is_drained(),
        }
    }

    /// `None` where nothing can be written now.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        }
    }

    /// Sends what was written and did not leave, as far as it goes.
    pub fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => tls.flush().map(drop),
        }
    }

    /// The peer's certificate.
    pub fn certificate(&self) -> Option<Certificate> {
        match self {
            Stream::Plain(_) => None,
            Stream::Tls(tls) => tls.certificate(),
        }
    }
}
