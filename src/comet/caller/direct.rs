//! A worker's calls to all its Comets, made by its own thread.
//!
//! A turn of that thread is: [`Direct::wait`], [`Direct::next_ended`] until there is none, new calls, [`Direct::flush`].

mod peer;
mod question;
#[cfg(all(test, feature = "grpcio"))]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slab::Slab;

use super::Ended;
use super::lean::{self, Along, By, Event, Finished, LinkId, Links};
use super::message;
use crate::base::mailbox::Bell;
use crate::comet::dialect::{self, Manner, understood};
use crate::comet::location::Location;
use crate::comet::metadata::Metadata;
use crate::comet::own;
use crate::comet::tls::{Certificate, Tls};
use crate::comet::verdict::{Verdict, verdict_on_status};
use crate::message::call::{Call, Method};
use crate::message::{Answer, ByComet, CometId, Sense, Status};
use peer::Peer;

/// gRPC's code for what can't be reached.
const UNAVAILABLE: i32 = 14;
const DEADLINE_EXCEEDED: i32 = 4;

pub struct Direct {
    links: Links,
    peers: ByComet<Peer>,
    /// What goes along with calls and what TLS needs, where a Comet has none of its own.
    metadata: Option<Arc<Metadata>>,
    tls: Option<Arc<Tls>>,
    /// Calls under way; the keys are their tags.
    made: Slab<Made>,
    ended: VecDeque<Ended>,
    /// What the call tells that is being made.
    along: Along,
    manner: Manner,
    bell: Arc<Bell>,
}

/// A call under way.
#[derive(Clone, Copy, Debug)]
struct Made {
    comet: CometId,
    purpose: Purpose,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// The worker's.
    Call {
        id: usize,
        method: Method,
    },
    /// The worker asks whether the Comet is there.
    Probe,
    /// Which rooms it has.
    Rooms,
    /// Whether a quiet connection still carries anything.
    Question,
    /// The same over another one, and there once more.
    Compared,
    Again,
}

impl Direct {
    /// # Errors
    /// The system has no poller left.
    pub fn new(
        manner: Manner,
        (metadata, tls): (Option<Arc<Metadata>>, Option<Arc<Tls>>),
    ) -> io::Result<Self> {
        let links = Links::new()?;
        let waker = links.waker();
        Ok(Self {
            links,
            peers: ByComet::default(),
            metadata,
            tls,
            made: Slab::new(),
            ended: VecDeque::new(),
            along: Along::default(),
            manner,
            bell: Bell::new(move || {
                if let Err(error) = waker.wake() {
                    log::error!("a worker that waits for answers could not be woken: {error}");
                }
            }),
        })
    }

    /// Calls the Comet there from now on. Calls under way to where it was before stay on that connection.
    pub fn join(&mut self, comet: CometId, location: Arc<Location>) {
        self.leave(comet);
        let node = location.node();
        let metadata = own::metadata_of(node, self.metadata.as_ref());
        let tls = own::tls_of(node, self.tls.as_ref());
        let peer = Peer::new(location, metadata, tls);
        self.peers.insert(comet, peer);
    }

    /// Ends the connections to a Comet when nothing is under way over them.
    pub fn leave(&mut self, comet: CometId) {
        if let Some(peer) = self.peers.remove(comet) {
            peer.retire(&mut self.links);
        }
    }

    pub fn bell(&self) -> Arc<Bell> {
        self.bell.clone()
    }

    pub fn call(
        &mut self,
        comet: CometId,
        id: usize,
        call: &Call,
        (doublings, along): (u32, &[(&str, &str)]),
        now: Instant,
    ) {
        let method = call.method();
        let purpose = Purpose::Call { id, method };
        let Manner { dialect, deadline } = self.manner;
        let within = deadline.saturating_mul(1 << doublings);
        let path = dialect::path(dialect, method);
        self.along.set(along);
        let made = self.make((comet, purpose), (path, within), now, |out| {
            message::write(call, dialect, out);
        });
        self.along.set(&[]);
        // The question goes behind the call: it is to delay nothing.
        if made {
            self.ask_if_quiet(comet, now);
        }
    }

    pub fn probe(&mut self, comet: CometId, now: Instant) {
        let what = (
            dialect::path_of_rooms(self.manner.dialect),
            self.manner.deadline,
        );
        self.make((comet, Purpose::Probe), what, now, |_| ());
    }

    /// Asks for the Comet's rooms.
    pub fn rooms(&mut self, comet: CometId, now: Instant) {
        let path = dialect::path_of_rooms(self.manner.dialect);
        let what = (path, self.manner.deadline);
        self.make((comet, Purpose::Rooms), what, now, |_| ());
    }

    /// Makes a call over the Comet's connection, a new one where there is none. Returns whether there is one; where not, the
    /// call has ended.
    fn make(
        &mut self,
        (comet, purpose): (CometId, Purpose),
        what: (&str, Duration),
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let at = now;
        let made = Made { comet, purpose, at };
        let peer = self.peers.get_mut(comet);
        let link = peer.map_or_else(
            || Err("it left the fleet".to_owned()),
            |peer| peer.link(&mut self.links, now),
        );
        match link {
            Ok(link) => {
                self.send(link, made, what, write);
                true
            }
            Err(why) => {
                self.over(made, Err(Status::new(UNAVAILABLE, why)), now);
                false
            }
        }
    }

    /// Makes a call over this connection.
    fn send(
        &mut self,
        link: LinkId,
        made: Made,
        (path, within): (&str, Duration),
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let tag = self.made.insert(made) as u64;
        let call = lean::Call { tag, path, within };
        if self
            .links
            .call_along(link, call, &self.along, made.at, write)
            .is_none()
        {
            // Its end is known to the peer before the next call: this is for the case alone that it isn't.
            self.made.remove(tag as usize);
            let status = Status::new(UNAVAILABLE, "the connection is gone");
            self.over(made, Err(status), made.at);
        }
    }

    /// A call of the worker's has ended.
    fn over(&mut self, made: Made, answer: Answer, now: Instant) {
        if let Err(status) = &answer
            && !matches!(
                verdict_on_status(status),
                Verdict::Finished | Verdict::Refused
            )
            && let Some(peer) = self.peers.get(made.comet)
        {
            // Another may have got its address.
            peer.location.failed();
        }
        self.ended.extend(ended(made, answer, now));
    }

    /// Sends what was called. Calls that start together leave together.
    pub fn flush(&mut self, now: Instant) {
        self.links.flush(now);
    }

    /// Gives up the connections over which calls of this turn have not left. They end as unsent.
    pub fn take_back(&mut self, now: Instant) {
        self.links
            .take_back("this process did not run for a while", now);
    }

    /// Waits until calls may have ended, the bell rings, or the time is up; or looks only, unless `nothing_came` for which the bell
    /// would have rung.
    ///
    /// # Errors
    /// The poller fails.
    pub fn wait(
        &mut self,
        nothing_came: impl Fn() -> bool,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let now = Instant::now();
        self.bell.rests();
        let longest = match self.ended.is_empty() && nothing_came() {
            true => until.map(|until| until.saturating_duration_since(now)),
            false => Some(Duration::ZERO),
        };
        let waited = self.links.wait(now, longest);
        self.bell.works();
        waited
    }

    /// What ended, in this order.
    pub fn next_ended(&mut self, now: Instant) -> Option<Ended> {
        loop {
            if let Some(ended) = self.ended.pop_front() {
                return Some(ended);
            }
            match self.links.next_event()? {
                Event::Finished(link, finished) => self.finished(link, finished, now),
                Event::Closed(link, closed) => {
                    for peer in self.peers.values_mut() {
                        peer.closed(link, &closed, &mut self.links, now);
                    }
                }
            }
        }
    }

    fn finished(&mut self, link: LinkId, mut finished: Finished, now: Instant) {
        let Some(made) = self.made.try_remove(finished.tag as usize) else {
            return;
        };
        let (by, body) = (finished.by, std::mem::take(&mut finished.body));
        let mut answer = understood(self.manner.dialect, answer(finished));
        if let (By::Unsent, Purpose::Call { .. }, Err(status)) = (by, made.purpose, &mut answer)
            && status.code == DEADLINE_EXCEEDED
        {
            // Its time was over before there was a connection, or a stream: that says nothing about the message.
            status.code = UNAVAILABLE;
        }
        if by == By::Server
            && let Some(peer) = self.peers.get_mut(made.comet)
        {
            peer.heard(link, &mut self.links, now);
        }
        match made.purpose {
            Purpose::Question => self.asked(made.comet, link, by, &answer, now),
            Purpose::Compared => self.compared(made.comet, link, (by, &answer), true, now),
            Purpose::Again => self.compared(made.comet, link, (by, &answer), false, now),
            Purpose::Rooms if answer.is_ok() => self.ended.push_back(Ended::Rooms {
                comet: made.comet,
                asked: made.at,
                reply: Ok(body),
            }),
            Purpose::Call { .. } | Purpose::Probe | Purpose::Rooms => self.over(made, answer, now),
        }
    }

    /// When [`Self::look_after`] is due. May be too early.
    pub fn look_at(&self, comet: CometId) -> Option<Instant> {
        self.peers.get(comet)?.look_at(&self.links)
    }

    /// Asks whether the connection is alive, if it wasn't used for long; or looks whether one in the making leads to the Comet.
    pub fn look_after(&mut self, comet: CometId, now: Instant) {
        if self.look_at(comet).is_none_or(|at| at > now) {
            return;
        }
        if let Some(peer) = self.peers.get_mut(comet) {
            peer.look_after(&mut self.links, now);
        }
        self.ask_if_quiet(comet, now);
        if let Some(peer) = self.peers.get_mut(comet) {
            peer.quiet.asked(now);
        }
    }

    /// Asks all Comets whether they are there, and ends.
    pub fn ask_each(mut self, answered: impl Fn(CometId, Answer, Option<Certificate>)) {
        let comets: Vec<CometId> = self.peers.ids().collect();
        let mut left = comets.len();
        for comet in comets {
            self.probe(comet, Instant::now());
        }
        while left > 0 {
            if let Err(error) = self.wait(|| true, None) {
                return log::error!("waiting for the Comets' answers failed: {error}");
            }
            while let Some(ended) = self.next_ended(Instant::now()) {
                if let Ended::Probe { comet, answer } = ended {
                    left -= 1;
                    let link = self.peers.get(comet).and_then(Peer::current);
                    let certificate = link.and_then(|link| self.links.certificate(link));
                    answered(comet, answer, certificate);
                }
            }
        }
    }
}

fn ended(made: Made, answer: Answer, now: Instant) -> Option<Ended> {
    let comet = made.comet;
    match made.purpose {
        Purpose::Call { id, method } => Some(Ended::Call {
            comet,
            id,
            method,
            took: now.saturating_duration_since(made.at),
            answer,
        }),
        Purpose::Probe => Some(Ended::Probe { comet, answer }),
        Purpose::Rooms => Some(Ended::Rooms {
            comet,
            asked: made.at,
            reply: answer.map(|()| Vec::new()),
        }),
        Purpose::Question | Purpose::Compared | Purpose::Again => None,
    }
}

fn answer(finished: Finished) -> Answer {
    match finished.code {
        0 => Ok(()),
        code => Err(Status {
            code,
            text: finished.text.into_owned(),
            broke: finished.by == By::Lost,
            sense: Sense::Code,
        }),
    }
}
