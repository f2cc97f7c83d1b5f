//! TLS over a socket that never blocks. It waits for nothing: what it needs is read when the socket has it.

use std::io::{self, ErrorKind, Read, Write};

use rustls::ClientConnection;

use super::socket::Socket;
use crate::comet::tls::{Certificate, Secured, words};

/// How much of the room for what is read holds it enciphered first: plain, it is shorter.
const CIPHERED: usize = 3;
/// How often the socket is read for one piece that is for the caller, before others have their turn.
const READS: usize = 8;
/// The most that is enciphered before it leaves.
const PIECE: usize = 64 << 10;

pub struct Tls {
    socket: Socket,
    session: ClientConnection,
    secured: Secured,
    /// The last read of the socket took all that was there.
    is_drained: bool,
    /// Why nothing can be written any more, which is to be told.
    failed: Option<io::Error>,
    /// Why nothing can be read any more, behind what was deciphered.
    broken: Option<io::Error>,
}

impl Tls {
    pub fn new(socket: Socket, secured: &Secured) -> io::Result<Tls> {
        let session = ClientConnection::new(secured.config.clone(), secured.name.clone());
        Ok(Tls {
            socket,
            session: session.map_err(|error| io::Error::other(secured.said(&error)))?,
            secured: secured.clone(),
            is_drained: true,
            failed: None,
            broken: None,
        })
    }

    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Whether the handshake is over.
    ///
    /// # Errors
    /// The server has not chosen HTTP/2.
    pub fn is_open(&self) -> Result<bool, String> {
        if self.session.is_handshaking() {
            return Ok(false);
        }
        let chosen = self.session.alpn_protocol();
        self.secured.chose_http2(chosen).map(|()| true)
    }

    pub fn certificate(&self) -> Option<Certificate> {
        let own = self.session.peer_certificates()?.first()?;
        Some(Certificate::of(own))
    }

    /// Goes on with the handshake, or reads. `None` where nothing came that is for the caller.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let half = into.len() - into.len() / CIPHERED;
        let (plain, ciphered) = into.split_at_mut(half);
        for _ in 0..READS {
            if let Some(length) = self.deciphered(plain)? {
                return Ok(Some(length));
            }
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            let came = match self.socket.read(ciphered) {
                Err(error) if self.session.is_handshaking() => return Err(ended(Some(&error))),
                came => came?,
            };
            let Some(came) = came else {
                self.is_drained = true;
                return Ok(None);
            };
            self.is_drained = came < ciphered.len();
            if came == 0 {
                return match self.session.is_handshaking() {
                    true => Err(ended(None)),
                    false => Ok(Some(0)),
                };
            }
            let length = self.decipher(&ciphered[..came], plain)?;
            // Alerts, and what the handshake needs. Where it can't leave, there may still be something to read.
            if let Err(error) = self.flush() {
                self.failed = Some(error);
            }
            if length > 0 {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }

    fn is_over(error: &io::Error) -> bool {
        error.kind() == ErrorKind::UnexpectedEof
    }

    /// What is deciphered already. `None` where there is nothing.
    fn deciphered(&mut self, plain: &mut [u8]) -> io::Result<Option<usize>> {
        match self.session.reader().read(plain) {
            Ok(length) => {
                // At its end there is nothing that the poller would tell of.
                self.is_drained &= length > 0;
                Ok(Some(length))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) if Self::is_over(&error) => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Deciphers all that came, which has room. Returns how long it is.
    fn decipher(&mut self, mut came: &[u8], plain: &mut [u8]) -> io::Result<usize> {
        let mut length = 0;
        while !came.is_empty() {
            self.session.read_tls(&mut came)?;
            let processed = self.session.process_new_packets();
            // Also what came before that which is wrong.
            length += match self.session.reader().read(&mut plain[length..]) {
                Ok(more) => more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if Self::is_over(&error) => 0,
                Err(error) => return Err(error),
            };
            let is_over = match processed {
                Ok(state) => state.peer_has_closed(),
                Err(error) => {
                    self.broken = Some(io::Error::other(self.secured.said(&error)));
                    true
                }
            };
            if is_over {
                // Who asks for more is told of the end.
                self.is_drained = false;
                break;
            }
        }
        Ok(length)
    }

    /// Whether nothing is left to read that the poller would not tell of.
    pub fn is_drained(&self) -> bool {
        self.is_drained
    }

    /// Takes some to send. It counts as having left, so that it is not more than one piece that hasn't.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        if self.session.is_handshaking() || !self.flush()? {
            return Ok(None);
        }
        let piece = &bytes[..bytes.len().min(PIECE)];
        let length = self.session.writer().write(piece)?;
        // Some of it may have left before it failed.
        self.failed = self.send().err();
        Ok(Some(length))
    }

    /// Sends what is enciphered. Returns whether all has left.
    pub fn flush(&mut self) -> io::Result<bool> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.send(),
        }
    }

    fn send(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Drop for Tls {
    /// Says goodbye, unless that would send something that was not to leave any more.
    fn drop(&mut self) {
        if !self.session.is_handshaking() && !self.session.wants_write() {
            self.session.send_close_notify();
            let _ = self.send();
        }
    }
}

/// The server is gone before TLS began.
fn ended(error: Option<&io::Error>) -> io::Error {
    io::Error::other(match error {
        None => words::ENDED.into(),
        Some(error) => format!("{} ({error})", words::ENDED),
    })
}
