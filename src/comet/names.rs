//! Looks up the Comets' names, beside everything else: channels get plain addresses.
//!
//! gRPC's own lookup doesn't serve: it waits for IPv4 and IPv6 both, asks at most once in 30 s, and waits ever longer
//! while a name isn't found. A Comet that moved was out of reach for half a minute after its name was right.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::inquiry::{Inquiry, Lookup, News};
use super::location::{Location, is_name};
use super::lookup::{self, NotFound};
use crate::base::limits;

/// Locations for these addresses, in their order. Blocks until each name was looked up, or until
/// `timeout` is over. The thread that looks names up lives as long as the process; where there are none it isn't started.
///
/// # Errors
/// When no thread can be started.
pub fn find(addresses: &[String], timeout: Duration) -> io::Result<Vec<Arc<Location>>> {
    let (events, heard) = unbounded();
    let mut named = Vec::new();
    let mut locations = Vec::new();
    for address in addresses {
        let (number, failed) = (named.len(), events.clone());
        let location = Arc::new(Location::new(address, move || {
            let _ = failed.send(Event::Failed(number));
        }));
        if is_name(address) {
            named.push((location.clone(), Inquiry::new(Instant::now())));
        }
        locations.push(location);
    }
    if !named.is_empty() {
        let (unsettled, all_settled) = bounded(0);
        let names = Names {
            named,
            own: events,
            heard,
            unsettled: Some(unsettled),
        };
        thread::Builder::new()
            .name("names".into())
            .spawn(move || names.run())?;
        // It never sends anything: it hangs up.
        let _: Result<(), _> = all_settled.recv_timeout(timeout);
    }
    Ok(locations)
}

enum Event {
    /// The Comet of this name failed.
    Failed(usize),
    Answered {
        number: usize,
        lookup: Lookup,
        answer: Result<Vec<IpAddr>, NotFound>,
    },
}

/// The thread that looks names up.
struct Names {
    named: Vec<(Arc<Location>, Inquiry)>,
    own: Sender<Event>,
    heard: Receiver<Event>,
    /// Dropped when each name was looked up once.
    unsettled: Option<Sender<()>>,
}

impl Names {
    fn run(mut self) {
        loop {
            let now = Instant::now();
            for number in 0..self.named.len() {
                self.bring_up_to_date(number, now);
            }
            let mut inquiries = self.named.iter().map(|(_, inquiry)| inquiry);
            if inquiries.all(Inquiry::is_settled) {
                self.unsettled = None;
            }
            let inquiries = self.named.iter().map(|(_, inquiry)| inquiry);
            let event = match inquiries.filter_map(Inquiry::wake_at).min() {
                Some(at) => self.heard.recv_deadline(at).ok(),
                None => self.heard.recv().ok(),
            };
            let now = Instant::now();
            match event {
                Some(Event::Failed(number)) => self.named[number].1.failed(now),
                Some(Event::Answered {
                    number,
                    lookup,
                    answer,
                }) => self.named[number].1.answered(lookup, answer, now),
                None => {}
            }
        }
    }

    /// Starts the lookups that are due for one name, and tells its location what came of those before.
    fn bring_up_to_date(&mut self, number: usize, now: Instant) {
        let (location, inquiry) = &mut self.named[number];
        if let Some(lookups) = inquiry.round(now) {
            location.lookup_begins();
            for lookup in lookups {
                look_up(location, number, lookup, &self.own);
            }
        }
        match inquiry.settle(now) {
            Some(News::Moved(addresses)) => location.moved(addresses),
            Some(News::Missing(why)) => location.missing(why),
            None => {}
        }
    }
}

/// Asks on a thread of its own: an answer may take minutes.
fn look_up(location: &Location, number: usize, lookup: Lookup, events: &Sender<Event>) {
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
        let addresses = ["localhost:1".to_owned(), "10.0.0.1:2".to_owned()];
        let locations = find(&addresses, Duration::from_secs(60)).unwrap();
        let [name, ip] = &locations[..] else {
            panic!("there are two")
        };
        let target = name.target().expect("it is found");
        assert!(target.contains("127.0.0.1"), "{target}");
        assert_eq!(ip.target().as_deref(), Some("ipv4:10.0.0.1:2"));
        name.failed();
    }
}
