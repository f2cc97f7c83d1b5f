//! Looks up the Comets' names, beside everything else: channels get plain addresses.
//!
//! gRPC's own lookup doesn't serve: it waits for IPv4 and IPv6 both, asks at most once in 30 s, and waits ever longer
//! while a name isn't found. A Comet that moved was out of reach for half a minute after its name was right.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::inquiry::{Inquiry, Lookup, News};
use super::location::{Location, is_name};
use super::lookup::{self, NotFound};
use crate::base::limits;
use crate::message::CometId;
use crate::message::fleet::Node;

/// Looks names up, for as long as their locations are in use. The thread that does it is started with the first name, and lives as
/// long as the process.
#[derive(Default)]
pub struct Names(Mutex<Told>);

#[derive(Default)]
struct Told {
    thread: Option<Sender<Event>>,
    /// Counts the names.
    names: u64,
}

impl Names {
    /// Locations for these Comets, in their order; where one is an address already, `failed` is told of its failures. Blocks until each name was looked up, or until `timeout` is over.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn find(
        &self,
        comets: &[Node],
        timeout: Duration,
        failed: impl Fn(CometId) + Clone + Send + Sync + 'static,
    ) -> io::Result<Vec<Arc<Location>>> {
        // It never sends anything: it hangs up.
        let (unsettled, all_settled) = bounded(0);
        let mut locations = Vec::new();
        for (comet, node) in (0..).map(CometId).zip(comets) {
            let failed = failed.clone();
            let failed = move || failed(comet);
            locations.push(self.locate(node.clone(), (None, Some(unsettled.clone())), failed)?);
        }
        drop(unsettled);
        let _: Result<(), _> = all_settled.recv_timeout(timeout);
        Ok(locations)
    }

    /// A location whose name is looked up. Until the answer comes it has the addresses of `known`. Where it is an address already,
    /// `failed` is called at its first failure.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn add(
        &self,
        node: Node,
        known: Option<&Location>,
        failed: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Arc<Location>> {
        self.locate(node, (known, None), failed)
    }

    fn locate(
        &self,
        node: Node,
        (known, unsettled): (Option<&Location>, Option<Sender<()>>),
        failed: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Arc<Location>> {
        if !is_name(&node.address) {
            return Ok(Arc::new(Location::new(node, failed)));
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = match &told.thread {
            Some(thread) => thread.clone(),
            None => told.thread.insert(start()?).clone(),
        };
        told.names += 1;
        let (number, failed) = (told.names, thread.clone());
        let location = Location::new(node, move || {
            let _ = failed.send(Event::Failed(number));
        });
        let location = Arc::new(match known {
            Some(known) => location.as_known(known),
            None => location,
        });
        let _ = thread.send(Event::Add {
            number,
            location: Arc::downgrade(&location),
            unsettled,
        });
        Ok(location)
    }
}

fn start() -> io::Result<Sender<Event>> {
    let (own, heard) = unbounded();
    let looking = Looking {
        named: BTreeMap::new(),
        own: own.clone(),
        heard,
    };
    thread::Builder::new()
        .name("names".into())
        .spawn(move || looking.run())?;
    Ok(own)
}

enum Event {
    /// This name is to be looked up. `unsettled` is dropped when it was looked up once.
    Add {
        number: u64,
        location: Weak<Location>,
        unsettled: Option<Sender<()>>,
    },
    /// The Comet of this name failed.
    Failed(u64),
    Answered {
        number: u64,
        lookup: Lookup,
        answer: Result<Vec<IpAddr>, NotFound>,
    },
}

/// The thread that looks names up.
struct Looking {
    named: BTreeMap<u64, Named>,
    own: Sender<Event>,
    heard: Receiver<Event>,
}

struct Named {
    location: Weak<Location>,
    inquiry: Inquiry,
    unsettled: Option<Sender<()>>,
}

impl Looking {
    fn run(mut self) {
        loop {
            let now = Instant::now();
            let own = &self.own;
            self.named
                .retain(|number, named| named.bring_up_to_date(*number, now, own));
            let inquiries = self.named.values().map(|named| &named.inquiry);
            let event = match inquiries.filter_map(Inquiry::wake_at).min() {
                Some(at) => self.heard.recv_deadline(at).ok(),
                None => self.heard.recv().ok(),
            };
            if let Some(event) = event {
                self.take(event, Instant::now());
            }
        }
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Add {
                number,
                location,
                unsettled,
            } => {
                let named = Named {
                    location,
                    inquiry: Inquiry::new(now),
                    unsettled,
                };
                self.named.insert(number, named);
            }
            Event::Failed(number) => {
                if let Some(named) = self.named.get_mut(&number) {
                    named.inquiry.failed(now);
                }
            }
            Event::Answered {
                number,
                lookup,
                answer,
            } => {
                if let Some(named) = self.named.get_mut(&number) {
                    named.inquiry.answered(lookup, answer, now);
                }
            }
        }
    }
}

impl Named {
    /// Starts the lookups that are due, and tells the location what came of those before. Returns false if nobody uses it any more.
    fn bring_up_to_date(&mut self, number: u64, now: Instant, own: &Sender<Event>) -> bool {
        let Some(location) = self.location.upgrade() else {
            return false;
        };
        if let Some(lookups) = self.inquiry.round(now) {
            location.lookup_begins();
            for lookup in lookups {
                look_up(&location, number, lookup, own);
            }
        }
        match self.inquiry.settle(now) {
            Some(News::Moved(addresses)) => location.moved(addresses),
            Some(News::Missing(why)) => location.missing(why),
            None => {}
        }
        if self.inquiry.is_settled() {
            self.unsettled = None;
        }
        true
    }
}

/// Asks on a thread of its own: an answer may take minutes.
fn look_up(location: &Location, number: u64, lookup: Lookup, events: &Sender<Event>) {
    let host = location.host().to_owned();
    let to = events.clone();
    let answered = move |answer| Event::Answered {
        number,
        lookup,
        answer,
    };
    let started = thread::Builder::new().name("lookup".into()).spawn(move || {
        let answer = lookup::addresses(&host, lookup.family);
        let _ = to.send(answered(answer));
    });
    if let Err(error) = started {
        let said = format!("starting a thread failed: {}", limits::explained(&error));
        let _ = events.send(answered(Err(NotFound {
            said,
            certain: false,
        })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_before_anybody_calls() {
        let comets = ["localhost:1".into(), "10.0.0.1:2".into()];
        let names = Names::default();
        let locations = names
            .find(&comets, Duration::from_secs(60), |_| ())
            .unwrap();
        let [name, ip] = &locations[..] else {
            panic!("there are two")
        };
        let target = name.target().expect("it is found");
        assert!(target.contains("127.0.0.1"), "{target}");
        assert_eq!(ip.target().as_deref(), Some("ipv4:10.0.0.1:2"));
        name.failed();
    }
}
