//! Where one Comet is: what it is called, its IP addresses now, and how gRPC and people are told of them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::trial;
use crate::message::fleet::Node;
use crate::settings::UNIX;

/// Shared by all that call this Comet.
pub struct Location {
    node: Node,
    /// How often its IP addresses have changed.
    version: AtomicU64,
    found: Mutex<Found>,
    /// Asks for a lookup.
    look_up: LookUp,
    /// Whether a lookup was asked for that hasn't begun.
    asked: AtomicBool,
}

type LookUp = Box<dyn Fn() + Send + Sync>;

/// What the lookups of a name came to.
struct Found {
    /// In the order in which they are tried.
    addresses: Vec<IpAddr>,
    /// Why there are none, or none any more.
    missing: Option<String>,
}

/// Its IP address, where a configured address (`host:port`) has one instead of a name.
pub fn ip_of(address: &str) -> Option<IpAddr> {
    host_and_port(address).0.parse().ok()
}

/// The path of its Unix socket, where it is at one.
pub fn path_of(address: &str) -> Option<&str> {
    address.strip_prefix(UNIX)
}

/// Host, without brackets, and port.
fn host_and_port(address: &str) -> (&str, &str) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    (inner.unwrap_or(host), port)
}

/// Whether a configured address has a name, which is to be looked up.
pub fn is_name(address: &str) -> bool {
    ip_of(address).is_none() && path_of(address).is_none()
}

impl Location {
    /// Of a Comet. `look_up` is called when it failed: where the host of its address is a name, it asks for its lookup.
    pub fn new(node: Node, look_up: impl Fn() + Send + Sync + 'static) -> Self {
        let ip = ip_of(&node.address);
        Self {
            node,
            version: AtomicU64::new(0),
            found: Mutex::new(Found {
                addresses: ip.into_iter().collect(),
                missing: None,
            }),
            look_up: Box::new(look_up),
            asked: AtomicBool::new(false),
        }
    }

    /// Where another one was, of the same name, until the first lookup comes back.
    pub fn as_known(mut self, other: &Location) -> Self {
        let addresses = other.locked().addresses.clone();
        self.found
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .addresses = addresses;
        self
    }

    /// The Comet that is there.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.node.address
    }

    /// The name, without the port.
    pub fn host(&self) -> &str {
        host_and_port(&self.node.address).0
    }

    /// Changes when the IP addresses have changed.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// How gRPC takes the addresses, so that it has nothing to look up; `None` while there are none.
    pub fn target(&self) -> Option<String> {
        let addresses = self.locked().addresses.clone();
        let port = self.port().to_string();
        (!addresses.is_empty()).then(|| target(&addresses, &port))
    }

    /// The path of its Unix socket, where it is at one.
    pub fn path(&self) -> Option<&str> {
        path_of(&self.node.address)
    }

    /// Its addresses, in the order in which they are tried.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let port = self.port();
        let found = self.locked();
        let with_port = |ip: &IpAddr| SocketAddr::new(*ip, port);
        found.addresses.iter().map(with_port).collect()
    }

    fn port(&self) -> u16 {
        // The settings take nothing that has none.
        let port = host_and_port(&self.node.address)
            .1
            .parse()
            .unwrap_or_default();
        // In a trial each process has its own way to a Comet of one name.
        match trial::number("comet-port-shift") {
            Some(by) => u16::try_from(u64::from(port) + by).unwrap_or(port),
            None => port,
        }
    }

    /// Why there is no address to connect to, as an error says it.
    pub fn not_found(&self) -> String {
        let said = self.locked().missing.clone();
        format!(
            "the name {} was not found: {}",
            self.host(),
            said.as_deref().unwrap_or("no answer so far")
        )
    }

    /// The Comet failed. Its name is looked up within a second, and again for as long as it fails.
    pub fn failed(&self) {
        if !self.asked.swap(true, Ordering::AcqRel) {
            (self.look_up)();
        }
    }

    /// A lookup begins. What fails from now on may be due to a change that it doesn't see.
    pub fn lookup_begins(&self) {
        self.asked.store(false, Ordering::Release);
    }

    /// The name has other addresses now.
    pub fn moved(&self, addresses: Vec<IpAddr>) {
        let now = listed(&addresses);
        let found = Found {
            addresses,
            missing: None,
        };
        let before = std::mem::replace(&mut *self.locked(), found);
        // A lookup that was asked for doesn't come any more: what fails from now on asks anew.
        self.lookup_begins();
        if listed(&before.addresses) == now {
            return;
        }
        self.version.fetch_add(1, Ordering::Release);
        let node = &self.node;
        if !before.addresses.is_empty() {
            let before = listed(&before.addresses);
            log::info!(comet = node.name; "Comet {node} is at {now} now, no longer at {before}");
        } else if before.missing.is_some() {
            log::info!(comet = node.name; "Comet {node} was found: it is at {now}");
        }
        if let Some(several) = self.several() {
            log::warn!(comet = node.name; "Comet {node}: {several}. {ONE_NAME_EACH}");
        }
    }

    /// The name isn't found, or no longer. What was known stays in use.
    pub fn missing(&self, why: String) {
        let known = {
            let mut found = self.locked();
            found.missing = Some(why);
            listed(&found.addresses)
        };
        let go_on = match known.is_empty() {
            true => "looking again while messages wait for it".to_owned(),
            false => format!("going on with what was known before: {known}"),
        };
        let node = &self.node;
        log::warn!(comet = node.name; "Comet {node}: {}; {go_on}", self.not_found());
    }

    /// What is wrong where the name has several addresses of a kind: as a rule these are several Comets.
    pub fn several(&self) -> Option<String> {
        let addresses = self.locked().addresses.clone();
        let v4 = addresses.iter().filter(|one| one.is_ipv4()).count();
        (v4 > 1 || addresses.len() - v4 > 1).then(|| {
            format!(
                "its name has {} addresses ({}), and calls go to one of them only",
                addresses.len(),
                listed(&addresses)
            )
        })
    }

    fn locked(&self) -> MutexGuard<'_, Found> {
        // A panic ends the process.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What to do about a name of several addresses.
pub const ONE_NAME_EACH: &str = "If they are several Comets, people on the others get nothing: give each Comet its own \
                                 name or address in comet (--comet, JOB_COMET), or write dns:///NAME:PORT there, which makes \
                                 each address of the name a Comet";

fn listed(addresses: &[IpAddr]) -> String {
    let addresses: Vec<_> = addresses.iter().map(IpAddr::to_string).collect();
    addresses.join(", ")
}

/// gRPC knows one family in a target only: IPv4 goes with IPv6 in the form that IPv6 has for it, and which gRPC itself
/// uses wherever it can.
fn target(addresses: &[IpAddr], port: &str) -> String {
    let all_v4 = addresses.iter().all(IpAddr::is_ipv4);
    let one = |address: &IpAddr| match address {
        IpAddr::V4(v4) if all_v4 => format!("{v4}:{port}"),
        IpAddr::V4(v4) => bracketed(v4.to_ipv6_mapped(), port),
        IpAddr::V6(v6) => bracketed(*v6, port),
    };
    let list: Vec<_> = addresses.iter().map(one).collect();
    let family = if all_v4 { "ipv4" } else { "ipv6" };
    format!("{family}:{}", list.join(","))
}

/// A bracket can't stand in a URI's path.
fn bracketed(address: Ipv6Addr, port: &str) -> String {
    format!("%5B{address}%5D:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    fn at(list: &[&str]) -> Location {
        let location = Location::new("comet:50051".into(), || {});
        location.moved(ips(list));
        location
    }

    #[test]
    fn what_grpc_is_given() {
        for (addresses, expected) in [
            (&["10.0.0.1"][..], "ipv4:10.0.0.1:50051"),
            (
                &["10.0.0.1", "10.0.0.2"],
                "ipv4:10.0.0.1:50051,10.0.0.2:50051",
            ),
            (&["::1"], "ipv6:%5B::1%5D:50051"),
            (
                &["127.0.0.1", "::1"],
                "ipv6:%5B::ffff:127.0.0.1%5D:50051,%5B::1%5D:50051",
            ),
        ] {
            let location = at(addresses);
            assert_eq!(location.target().as_deref(), Some(expected));
            let with_port = |ip| SocketAddr::new(ip, 50051);
            let all: Vec<_> = ips(addresses).into_iter().map(with_port).collect();
            assert_eq!(location.addresses(), all);
        }
    }

    #[test]
    fn an_ip_address_is_known_from_the_start() {
        for (address, expected) in [
            ("10.0.0.1:1", "ipv4:10.0.0.1:1"),
            ("[::1]:1", "ipv6:%5B::1%5D:1"),
        ] {
            let location = Location::new(address.into(), || ());
            assert_eq!(location.target().as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_unix_socket_has_no_ip_address() {
        let location = Location::new("unix:/run/c:1.sock".into(), || ());
        assert_eq!(location.path(), Some("/run/c:1.sock"));
        assert_eq!((location.target(), location.addresses()), (None, vec![]));
    }

    #[test]
    fn failures_ask_for_one_lookup_until_it_begins() {
        let lookups = Arc::new(AtomicUsize::new(0));
        let asked = lookups.clone();
        let location = Location::new("comet:1".into(), move || {
            asked.fetch_add(1, Ordering::Relaxed);
        });
        location.failed();
        location.failed();
        assert_eq!(lookups.load(Ordering::Relaxed), 1);
        location.lookup_begins();
        location.failed();
        assert_eq!(lookups.load(Ordering::Relaxed), 2);
        location.moved(ips(&["10.0.0.1"]));
        location.failed();
        assert_eq!(lookups.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_name_that_is_lost_keeps_its_addresses() {
        let location = Location::new("comet:1".into(), || {});
        assert_eq!(location.target(), None);
        location.missing("no such name".into());
        assert_eq!(
            location.not_found(),
            "the name comet was not found: no such name"
        );
        location.moved(ips(&["10.0.0.1"]));
        location.missing("no such name".into());
        assert_eq!(location.target().as_deref(), Some("ipv4:10.0.0.1:1"));
    }

    #[test]
    fn several_of_one_family_are_too_many() {
        for one in [&["10.0.0.1"][..], &["10.0.0.1", "::1"]] {
            assert_eq!(at(one).several(), None);
        }
        for several in [&["10.0.0.1", "10.0.0.2"][..], &["10.0.0.1", "::1", "::2"]] {
            let said = at(several).several().expect("they are several");
            assert!(said.contains(&several.join(", ")), "{said}");
        }
    }
}
