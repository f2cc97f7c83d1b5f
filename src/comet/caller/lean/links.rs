//! All connections of one thread, with one poller.
//!
//! A turn is: [`Links::wait`], [`Links::next_event`] until there is none, new calls, [`Links::flush`]. What a turn's calls are on
//! one connection leaves in one write. Who makes calls says what time it is; the time of a turn is good enough for all of it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::connection::{Call, Config, Connection, Finished, Key};
use super::head::Along;
use super::link::Link;
use super::socket::Address;
use crate::comet::tls::Certificate;

/// Wakes the thread.
const WAKE: Token = Token(usize::MAX);
/// What is read at once.
const INPUT: usize = 256 << 10;
const EVENTS: usize = 256;

/// One connection, until its [`Event::Closed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId(usize);

#[derive(Debug)]
pub enum Event {
    Finished(LinkId, Finished),
    /// It is over, and all its calls have ended.
    Closed(LinkId, Closed),
}

/// How a connection ended.
#[derive(Debug)]
pub struct Closed {
    /// May come from outside.
    pub why: String,
    /// Whether it ever was one.
    pub was_greeted: bool,
}

pub struct Links {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    input: Box<[u8]>,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    /// Links that were given something to send.
    touched: Vec<usize>,
    /// Links on which calls may have ended.
    eventful: Vec<usize>,
    /// Links on which there is more to read.
    unread: Vec<usize>,
    /// No link is due earlier.
    wake_at: Option<Instant>,
}

impl Links {
    pub fn new() -> io::Result<Links> {
        let poll = Poll::new()?;
        Ok(Links {
            waker: Arc::new(Waker::new(poll.registry(), WAKE)?),
            poll,
            events: Events::with_capacity(EVENTS),
            input: vec![0; INPUT].into(),
            links: Vec::new(),
            free: Vec::new(),
            touched: Vec::new(),
            eventful: Vec::new(),
            unread: Vec::new(),
            wake_at: None,
        })
    }

    /// Ends [`Self::wait`], from any thread.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Begins to connect, to the first of the addresses that can be reached. It takes calls at once.
    pub fn open(&mut self, addresses: Vec<Address>, config: Config, now: Instant) -> LinkId {
        let place = self.free.pop().unwrap_or_else(|| {
            self.links.push(None);
            self.links.len() - 1
        });
        let link = Link::open(addresses, config, Token(place), self.poll.registry(), now);
        self.links[place] = Some(link);
        self.touch(place);
        LinkId(place)
    }

    /// As [`Self::call_along`], with the fields alone that all calls have.
    pub fn call(
        &mut self,
        id: LinkId,
        call: Call<'_>,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Key> {
        self.call_along(id, call, &Along::default(), now, write)
    }

    /// Makes a call on a connection that isn't closed. It leaves with the next [`Self::flush`].
    pub fn call_along(
        &mut self,
        id: LinkId,
        call: Call<'_>,
        along: &Along,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Key> {
        self.with(id, |connection| {
            connection.call_along(call, along, now, write)
        })
    }

    /// How a connection is, until its [`Event::Closed`].
    pub fn see(&self, id: LinkId) -> Option<&Connection> {
        let link = self.links.get(id.0)?.as_ref()?;
        Some(&link.connection)
    }

    /// The certificate of a connection's peer, where it is spoken to with TLS.
    pub fn certificate(&self, id: LinkId) -> Option<Certificate> {
        self.links.get(id.0)?.as_ref()?.certificate()
    }

    /// Whether a connection works: something came after `since`, and calls can be sent.
    pub fn carries(&self, id: LinkId, since: Instant) -> bool {
        self.heard(id) > Some(since) && self.lets_out(id)
    }

    /// When anything came over a connection last.
    pub fn heard(&self, id: LinkId) -> Option<Instant> {
        self.see(id).map(Connection::heard)
    }

    fn lets_out(&self, id: LinkId) -> bool {
        let link = self.links.get(id.0).and_then(Option::as_ref);
        link.is_some_and(|link| !link.is_full && !link.connection.is_shut())
    }

    /// Closes a connection as soon as the calls under way there have ended.
    pub fn retire(&mut self, id: Option<LinkId>) {
        if let Some(id) = id {
            self.with(id, Connection::retire);
        }
    }

    /// Takes a connection for dead.
    pub fn give_up(&mut self, id: LinkId, why: String) {
        self.with(id, |connection| connection.give_up(why));
    }

    /// Gives up the connections on which calls wait: for the next [`Self::flush`], for a stream, or for room. They don't leave.
    pub fn take_back(&mut self, why: &'static str, now: Instant) {
        for place in 0..self.links.len() {
            if let Some(link) = &mut self.links[place]
                && link.connection.holds_calls()
            {
                link.connection.give_up(why);
                self.touch(place);
            }
        }
        self.flush(now);
    }

    /// Does something with a connection: cancel, ask, retire, or see how it is.
    pub fn with<T>(&mut self, id: LinkId, act: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        let link = self.links.get_mut(id.0)?.as_mut()?;
        let outcome = act(&mut link.connection);
        self.touch(id.0);
        Some(outcome)
    }

    fn touch(&mut self, place: usize) {
        if let Some(link) = self.links.get_mut(place).and_then(Option::as_mut) {
            if !std::mem::replace(&mut link.is_touched, true) {
                self.touched.push(place);
            }
            self.tell_of(place);
        }
    }

    /// Calls may have ended on it, or it has.
    fn tell_of(&mut self, place: usize) {
        if let Some(link) = self.links.get_mut(place).and_then(Option::as_mut)
            && !std::mem::replace(&mut link.has_events, true)
        {
            self.eventful.push(place);
        }
    }

    /// Sends what there is to send.
    pub fn flush(&mut self, now: Instant) {
        while let Some(place) = self.touched.pop() {
            if let Some(link) = &mut self.links[place] {
                link.is_touched = false;
                link.flush(&mut self.input, self.poll.registry(), now);
                let due = link.wake_at();
                self.wake_at = self.wake_at.into_iter().chain(due).min();
                // Where it broke over that, nothing else tells.
                if link.connection.has_news() {
                    self.tell_of(place);
                }
            }
        }
    }

    /// The next thing that happened.
    pub fn next_event(&mut self) -> Option<Event> {
        while let Some(place) = self.eventful.last().copied() {
            let Some(link) = &mut self.links[place] else {
                self.eventful.pop();
                continue;
            };
            let id = LinkId(place);
            if let Some(finished) = link.connection.next_finished() {
                return Some(Event::Finished(id, finished));
            }
            link.has_events = false;
            self.eventful.pop();
            if link.connection.is_closed() {
                link.flush(&mut self.input, self.poll.registry(), Instant::now());
                let closed = Closed {
                    why: link.connection.why().to_owned(),
                    was_greeted: link.connection.is_greeted(),
                };
                self.links[place] = None;
                self.free.push(place);
                return Some(Event::Closed(id, closed));
            }
        }
        None
    }

    /// Waits until something happens, the waker is used, or the time is up. Then takes all that came.
    pub fn wait(&mut self, now: Instant, longest: Option<Duration>) -> io::Result<()> {
        self.flush(now);
        self.drop_uneventful();
        let until_due = self.wake_at.map(|at| at.saturating_duration_since(now));
        let timeout = match self.unread.is_empty() && self.eventful.is_empty() {
            true => until_due.into_iter().chain(longest).min(),
            false => Some(Duration::ZERO),
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            polled => polled?,
        }
        let now = Instant::now();
        self.read_on(now);
        self.take_events(now);
        self.advance(now);
        Ok(())
    }

    /// Forgets links on which nothing ended: there is nothing to be fetched, and no reason not to wait.
    fn drop_uneventful(&mut self) {
        let links = &mut self.links;
        self.eventful.retain(|place| match &mut links[*place] {
            Some(link) => {
                link.has_events = link.connection.has_news();
                link.has_events
            }
            None => false,
        });
    }

    /// Reads where the last turn left something.
    fn read_on(&mut self, now: Instant) {
        for place in std::mem::take(&mut self.unread) {
            if let Some(link) = &mut self.links[place] {
                if link.read(&mut self.input, true, self.poll.registry(), now)
                    && !self.unread.contains(&place)
                {
                    self.unread.push(place);
                }
                self.touch(place);
            }
        }
    }

    fn take_events(&mut self, now: Instant) {
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in events.iter() {
            let place = event.token().0;
            let Some(link) = self.links.get_mut(place).and_then(Option::as_mut) else {
                continue;
            };
            if event.is_writable() || event.is_error() {
                link.ready(self.poll.registry(), now);
            }
            let to_end = event.is_read_closed() || event.is_error();
            let is_unread = (event.is_readable() || to_end)
                && link.read(&mut self.input, to_end, self.poll.registry(), now);
            if is_unread && !self.unread.contains(&place) {
                self.unread.push(place);
            }
            self.touch(place);
        }
        self.events = events;
    }

    /// Lets the time pass on all links, when the earliest is due.
    fn advance(&mut self, now: Instant) {
        if self.wake_at.is_none_or(|at| at > now) {
            return;
        }
        self.wake_at = None;
        for place in 0..self.links.len() {
            let Some(link) = &mut self.links[place] else {
                continue;
            };
            let due = link.wake_at();
            if due.is_some_and(|at| at <= now) {
                link.advance(self.poll.registry(), now);
                self.touch(place);
            } else {
                self.wake_at = self.wake_at.into_iter().chain(due).min();
            }
        }
    }
}

#[cfg(test)]
mod tests;
