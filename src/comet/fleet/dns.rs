//! A name of which each address is a Comet.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::super::inquiry::{Inquiry, Lookup, News};
use super::super::lookup::NotFound;
use crate::message::fleet::Node;

pub struct Dns {
    host: String,
    port: u16,
    inquiry: Inquiry,
    /// Whether it was said that IPv6 addresses are left out.
    said_both: bool,
}

/// What lookups came to.
#[derive(Debug, PartialEq)]
pub enum Found {
    Nodes(Vec<Node>),
    /// The name isn't found, or no longer: why.
    Missing(String),
}

impl Dns {
    /// Looked up at once, and again each time that `refresh` has passed.
    pub fn new(host: String, port: u16, refresh: Duration, now: Instant) -> Self {
        Self {
            host,
            port,
            inquiry: Inquiry::refreshed(now, refresh),
            said_both: false,
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// A Comet at one of its addresses failed: the name may have others by now.
    pub fn failed(&mut self, now: Instant) {
        self.inquiry.failed(now);
    }

    /// The lookups to start now.
    pub fn round(&mut self, now: Instant) -> Option<Vec<Lookup>> {
        self.inquiry.round(now)
    }

    pub fn answered(
        &mut self,
        lookup: Lookup,
        answer: Result<Vec<IpAddr>, NotFound>,
        now: Instant,
    ) {
        self.inquiry.answered(lookup, answer, now);
    }

    /// What is new, where it is time to say so. What was known stays in use while the name isn't found.
    pub fn settle(&mut self, now: Instant) -> Option<Found> {
        Some(match self.inquiry.settle(now)? {
            News::Moved(addresses) => Found::Nodes(self.nodes(addresses)),
            News::Missing(why) => Found::Missing(why),
        })
    }

    pub fn wake_at(&self) -> Option<Instant> {
        self.inquiry.wake_at()
    }

    /// A Comet that has an address of each kind would get each message twice: where there are IPv4 addresses, only these count.
    fn nodes(&mut self, addresses: Vec<IpAddr>) -> Vec<Node> {
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|one| one.is_ipv4());
        let has_both = !v4.is_empty() && !v6.is_empty();
        if has_both && !std::mem::replace(&mut self.said_both, true) {
            let host = &self.host;
            log::warn!(
                "dns:///{host}:{}: the name has IPv4 and IPv6 addresses, which are taken for the same Comets: its {} IPv4 addresses \
                 are called. If others have an IPv6 address alone, list them in comet (--comet, JOB_COMET), too",
                self.port,
                v4.len()
            );
        }
        let used = if v4.is_empty() { v6 } else { v4 };
        let node = |ip| Node::from(SocketAddr::new(ip, self.port).to_string());
        used.into_iter().map(node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comet::lookup::Family;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn nodes(list: &[&str]) -> Option<Found> {
        Some(Found::Nodes(list.iter().map(|one| (*one).into()).collect()))
    }

    const REFRESH: Duration = Duration::from_secs(5);

    struct Life {
        dns: Dns,
        now: Instant,
    }

    impl Life {
        fn new() -> Self {
            let now = Instant::now();
            let dns = Dns::new("comet".into(), 50051, REFRESH, now);
            Self { dns, now }
        }

        /// Lets time go on to the next round, and answers it.
        fn round(
            &mut self,
            v4: Result<&[&str], bool>,
            v6: Option<Result<&[&str], bool>>,
        ) -> Option<Found> {
            let lookups = loop {
                if let Some(lookups) = self.dns.round(self.now) {
                    break lookups;
                }
                self.now = self.dns.wake_at().expect("it is looked up again");
            };
            for lookup in lookups {
                let answer = match lookup.family {
                    Family::V4 => Some(v4),
                    Family::V6 => v6,
                };
                let not_found = |certain| NotFound {
                    said: "no such name".into(),
                    certain,
                };
                if let Some(answer) = answer {
                    let answer = answer.map(ips).map_err(not_found);
                    self.dns.answered(lookup, answer, self.now);
                }
            }
            let wait = Duration::from_millis(100);
            let at = if v6.is_some() {
                self.now
            } else {
                self.now + wait
            };
            self.dns.settle(at)
        }
    }

    #[test]
    fn each_address_is_a_comet_and_the_name_is_looked_up_again_and_again() {
        let mut life = Life::new();
        let none = Some(Err(true));
        let begun = life.now;
        let found = life.round(Ok(&["10.0.0.2", "10.0.0.1"]), none);
        assert_eq!(found, nodes(&["10.0.0.2:50051", "10.0.0.1:50051"]));
        life.dns.inquiry_is_calm(begun);
        let found = life.round(Ok(&["10.0.0.1", "10.0.0.3"]), none);
        assert_eq!(found, nodes(&["10.0.0.1:50051", "10.0.0.3:50051"]));
        assert_eq!(life.now, begun + REFRESH);
        assert_eq!(life.round(Ok(&["10.0.0.1", "10.0.0.3"]), none), None);
        assert_eq!(life.now, begun + 2 * REFRESH);
        // At once where a Comet fails, and no more often than once a second.
        life.now += Duration::from_millis(1100);
        life.dns.failed(life.now);
        assert_eq!(
            life.round(Ok(&["10.0.0.3"]), none),
            nodes(&["10.0.0.3:50051"])
        );
        assert_eq!(life.now, begun + 2 * REFRESH + Duration::from_millis(1100));
    }

    impl Dns {
        /// Nothing more is to be found out at once.
        fn inquiry_is_calm(&self, begun: Instant) {
            assert_eq!(self.wake_at(), Some(begun + REFRESH));
        }
    }

    #[test]
    fn a_name_that_is_lost_empties_nothing() {
        let mut life = Life::new();
        let none = Some(Err(true));
        life.round(Ok(&["10.0.0.1"]), none);
        let missing = Found::Missing("no such name".into());
        assert_eq!(life.round(Err(true), none), Some(missing));
        // It is said once.
        for _ in 0..12 {
            assert_eq!(life.round(Err(true), none), None);
        }
        let found = life.round(Ok(&["10.0.0.1", "10.0.0.2"]), none);
        assert_eq!(found, nodes(&["10.0.0.1:50051", "10.0.0.2:50051"]));
    }

    #[test]
    fn a_question_about_ipv6_that_is_dropped_costs_a_tenth_of_a_second() {
        let mut life = Life::new();
        let begun = life.now;
        let found = life.round(Ok(&["10.0.0.1"]), None);
        assert_eq!(found, nodes(&["10.0.0.1:50051"]));
        assert_eq!(life.now, begun);
    }

    #[test]
    fn a_comet_with_addresses_of_both_kinds_is_one() {
        let mut life = Life::new();
        let found = life.round(Ok(&["10.0.0.1"]), Some(Ok(&["fd00::1"])));
        assert_eq!(found, nodes(&["10.0.0.1:50051"]));
        let found = life.round(Err(true), Some(Ok(&["fd00::1"])));
        assert_eq!(found, nodes(&["[fd00::1]:50051"]));
    }
}
