//! How calls to Comets are made. There are two ways, and they look the same to a worker:
//!
//! - [`Kind::Grpcio`]: gRPC's own library. Each worker has a channel to each Comet; answers come on gRPC's threads (`Client`).
//! - [`Kind::Lean`]: HTTP/2 of our own, for unary calls alone, with TLS or without (`lean`). The worker's own thread writes and reads (`direct`).

mod choice;
#[cfg(test)]
pub(super) mod crashing;
mod direct;
// Public for the fuzz targets.
pub mod lean;
pub(super) mod message;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::own;
use super::tls::{Certificate, Tls};
use super::{Client, Environment, Location, Manner, Metadata, Queues};
use crate::base::mailbox::Bell;
use crate::message::call::{Call, Method};
use crate::message::{Answer, ByComet, CometId, Status};
use direct::Direct;

pub use choice::kind;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Grpcio,
    Lean,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Grpcio => "grpcio",
            Kind::Lean => "lean",
        })
    }
}

/// What came of what a worker asked for.
#[derive(Debug)]
pub enum Ended {
    Call {
        comet: CometId,
        /// The worker's own name for it.
        id: usize,
        method: Method,
        took: Duration,
        answer: Answer,
    },
    Probe {
        comet: CometId,
        answer: Answer,
    },
    /// It was asked for its rooms. The answer is a `RoomsReply`, as it came.
    Rooms {
        comet: CometId,
        asked: Instant,
        reply: Result<Vec<u8>, Status>,
    },
}

impl Ended {
    pub fn comet(&self) -> CometId {
        let (Self::Call { comet, .. } | Self::Probe { comet, .. } | Self::Rooms { comet, .. }) =
            self;
        *comet
    }
}

/// Told what ended, on whatever thread that is heard. It must be quick.
pub type Tell = Arc<dyn Fn(Ended) + Send + Sync>;

/// What the callers of a process have in common.
pub struct Callers {
    way: Way,
    /// What goes along with each call.
    metadata: Option<Arc<Metadata>>,
}

enum Way {
    Grpcio(Queues),
    /// With what TLS needs, where Comets are spoken to with it.
    Lean(Option<Arc<Tls>>),
}

impl Callers {
    /// Calls over job's own connections, without TLS, and with nothing that goes along.
    pub fn lean() -> Self {
        let (way, metadata) = (Way::Lean(None), None);
        Self { way, metadata }
    }

    /// The caller of one worker, for no Comet so far.
    ///
    /// # Errors
    /// The system has no poller left.
    pub fn of(&self, worker: usize, manner: Manner) -> io::Result<Caller> {
        Ok(match &self.way {
            Way::Grpcio(queues) => Caller::Grpcio {
                environment: queues.of(worker),
                manner,
                metadata: self.metadata.clone(),
                clients: ByComet::default(),
            },
            Way::Lean(tls) => Caller::Lean(Box::new(self.direct(tls, manner)?)),
        })
    }

    fn direct(&self, tls: &Option<Arc<Tls>>, manner: Manner) -> io::Result<Direct> {
        Direct::new(manner, (self.metadata.clone(), tls.clone()))
    }

    /// Asks each Comet once whether it is there, over connections that end with the answers. With TLS, each comes with the Comet's
    /// certificate.
    ///
    /// # Errors
    /// The system has no poller or thread left.
    pub fn ask_each(
        &self,
        locations: &ByComet<Arc<Location>>,
        manner: Manner,
        answered: impl Fn(CometId, Answer, Option<Certificate>) + Clone + Send + 'static,
    ) -> io::Result<()> {
        match &self.way {
            Way::Grpcio(queues) => {
                for (comet, location) in locations.iter() {
                    let answered = answered.clone();
                    let metadata = own::metadata_of(location.node(), self.metadata.as_ref());
                    Client::new(queues.of(0), location.clone(), manner, metadata)
                        .probe_once(move |answer| answered(comet, answer, None));
                }
            }
            Way::Lean(tls) => {
                let mut direct = self.direct(tls, manner)?;
                for (comet, location) in locations.iter() {
                    direct.join(comet, location.clone());
                }
                thread::Builder::new()
                    .name("ask".into())
                    .spawn(move || direct.ask_each(answered))?;
            }
        }
        Ok(())
    }
}

/// How one worker calls its Comets.
pub enum Caller {
    Grpcio {
        environment: Arc<Environment>,
        manner: Manner,
        metadata: Option<Arc<Metadata>>,
        clients: ByComet<(Client, Tell)>,
    },
    Lean(Box<Direct>),
}

impl Caller {
    /// Calls the Comet there from now on, whether it is new or was elsewhere before. `tell` hears of its calls that end on other
    /// threads.
    pub fn join(&mut self, comet: CometId, location: Arc<Location>, tell: Tell) {
        match self {
            Self::Grpcio {
                environment,
                manner,
                metadata,
                clients,
            } => {
                let metadata = own::metadata_of(location.node(), metadata.as_ref());
                let client = Client::new(environment.clone(), location, *manner, metadata);
                clients.insert(comet, (client, tell));
            }
            Self::Lean(direct) => direct.join(comet, location),
        }
    }

    /// Ends what there is with a Comet that left. No call to it is under way, but perhaps a probe.
    pub fn leave(&mut self, comet: CometId) {
        match self {
            Self::Grpcio { clients, .. } => drop(clients.remove(comet)),
            Self::Lean(direct) => direct.leave(comet),
        }
    }

    /// Wakes the worker where it has to wait with [`Self::wait`]; `None` where nothing ends on its own thread.
    pub fn bell(&self) -> Option<Arc<Bell>> {
        match self {
            Self::Grpcio { .. } => None,
            Self::Lean(direct) => Some(direct.bell()),
        }
    }

    /// Waits for the next event, until then at the longest. Calls that ended on the caller's own thread end the wait as well: they
    /// are taken with [`Direct::next_ended`].
    ///
    /// # Errors
    /// None came.
    pub fn wait_for<T>(
        &mut self,
        events: &Receiver<T>,
        until: Option<Instant>,
    ) -> Result<T, RecvTimeoutError> {
        match (self, until) {
            (Self::Grpcio { .. }, Some(until)) => events.recv_deadline(until),
            (Self::Grpcio { .. }, None) => {
                events.recv().map_err(|_| RecvTimeoutError::Disconnected)
            }
            (Self::Lean(direct), until) => {
                let nothing_came = || events.is_empty();
                if let Err(error) = direct.wait(nothing_came, until) {
                    panic!("waiting for answers of the Comets failed: {error}");
                }
                events.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                })
            }
        }
    }

    /// Whether calls that start together leave together only in a [`Cork`](super::Cork).
    pub fn needs_cork(&self) -> bool {
        matches!(self, Self::Grpcio { .. })
    }

    /// Sends the calls that were made. Where this `may_send` no more, those that have not left end as unsent.
    pub fn flush(&mut self, may_send: bool) {
        match self {
            Self::Grpcio { .. } => {}
            Self::Lean(direct) if may_send => direct.flush(Instant::now()),
            Self::Lean(direct) => direct.take_back(Instant::now()),
        }
    }

    /// Starts a call. Its deadline is the usual one, doubled `doublings` times. It tells these names and values `along` with what all
    /// calls tell.
    pub fn call(
        &mut self,
        comet: CometId,
        id: usize,
        call: &Call,
        doublings: u32,
        now: Instant,
        along: &[(&str, &str)],
    ) {
        match self {
            Self::Grpcio { clients, .. } => {
                let Some((client, tell)) = clients.get_mut(comet) else {
                    return;
                };
                let (method, tell) = (call.method(), tell.clone());
                client.call(call, (doublings, along), now, move |answer| {
                    tell(Ended::Call {
                        comet,
                        id,
                        method,
                        took: now.elapsed(),
                        answer,
                    });
                });
            }
            Self::Lean(direct) => direct.call(comet, id, call, (doublings, along), now),
        }
    }

    /// Asks whether the Comet is there, with the one call that sends nobody anything.
    pub fn probe(&mut self, comet: CometId, now: Instant) {
        match self {
            Self::Grpcio { clients, .. } => {
                if let Some((client, tell)) = clients.get_mut(comet) {
                    let tell = tell.clone();
                    client.probe(move |answer| tell(Ended::Probe { comet, answer }));
                }
            }
            Self::Lean(direct) => direct.probe(comet, now),
        }
    }

    /// Asks the Comet for its rooms.
    pub fn rooms(&mut self, comet: CometId, now: Instant) {
        match self {
            Self::Grpcio { clients, .. } => {
                if let Some((client, tell)) = clients.get_mut(comet) {
                    let (tell, asked) = (tell.clone(), now);
                    client.rooms(move |reply| {
                        tell(Ended::Rooms {
                            comet,
                            asked,
                            reply,
                        });
                    });
                }
            }
            Self::Lean(direct) => direct.rooms(comet, now),
        }
    }

    /// An answer of the Comet's is being handled.
    pub fn heard(&mut self, comet: CometId, answer: &Answer, now: Instant) {
        // The other one hears by itself.
        if let Self::Grpcio { clients, .. } = self
            && let Some((client, _)) = clients.get_mut(comet)
        {
            client.heard(answer, now);
        }
    }

    /// When [`Self::look_after`] is due, though nothing happens until then. May be too early.
    pub fn look_at(&self, comet: CometId) -> Option<Instant> {
        match self {
            Self::Grpcio { clients, .. } => clients.get(comet)?.0.look_at(),
            Self::Lean(direct) => direct.look_at(comet),
        }
    }

    /// Asks whether the connection is alive, if it wasn't used for long.
    pub fn look_after(&mut self, comet: CometId, now: Instant) {
        match self {
            Self::Grpcio { clients, .. } => {
                if let Some((client, _)) = clients.get_mut(comet) {
                    client.look_after(now);
                }
            }
            Self::Lean(direct) => direct.look_after(comet, now),
        }
    }
}

#[cfg(all(test, feature = "grpcio"))]
mod tests;
