//! Comets that move to another address behind their name: how soon they get messages there.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::await_until;
use crate::support::comet::Comet;
use crate::support::dead_address::DropsPackets;
use crate::support::dns::Dns;
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_in_order, over_rooms};
use crate::support::topic::Topic;

const ROOMS: usize = 20;
const NAME: &str = "comet.test";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// More than the 2 s that it may take, for a busy machine; less than a lookup takes that is waited for.
const SOON: Duration = Duration::from_secs(10);
/// Who sets it is told how long each move took, and has so many of them.
const SET_MOVES: &str = "JOB_TEST_MOVES";

/// Whether something at the old address refuses connections, or drops what comes.
#[derive(Clone, Copy, Debug)]
enum Old {
    Refuses,
    DropsPackets,
}

/// A Comet moves while messages for it wait. Returns how long the first one took from the moment at which its name was right.
fn moves(scheme: &str, caller: &str, old_is: Old, failing_for: Duration) -> Option<Duration> {
    let dns = Dns::start()?;
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let old = Comet::start();
    let new = old.same_port_on(THERE);
    dns.set(NAME, &[HERE]);
    let mut job = topic
        .configure_for(
            JobCommand::with_names_from(&dns),
            &format!("{scheme}{NAME}:{}", old.port()),
        )
        .flag("--caller", caller)
        .log_level("INFO")
        .start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    old.await_delivered(100);
    old.stop();
    let _dropping = match old_is {
        Old::Refuses => None,
        Old::DropsPackets => Some(DropsPackets::at_port(old.port())),
    };
    new.start_again();
    topic.produce(over_rooms(ROOMS, 100, 100));
    job.await_line(&["RPC failed: 14-UNAVAILABLE"]);
    thread::sleep(failing_for);
    dns.set(NAME, &[THERE]);
    let moved = Instant::now();
    // At a name of which each address is a Comet, the new one gets what is read when it is known.
    let mut sent = 200;
    await_until("a message at the new address", || {
        topic.produce(over_rooms(ROOMS, sent, ROOMS));
        sent += ROOMS;
        match new.count() {
            0 => Err("none came".into()),
            _ => Ok(()),
        }
    });
    let took = new.delivered()[0].at.saturating_duration_since(moved);
    if scheme.is_empty() {
        new.await_delivered(sent - 100);
    }
    topic.await_no_lag();
    job.stop();
    if scheme.is_empty() {
        let all = [old.delivered(), new.delivered()].concat();
        assert_in_order(&all, ROOMS, sent);
    }
    assert_eq!(topic.dead_letters(), 0);
    Some(took)
}

#[track_caller]
fn is_found_soon(scheme: &str, old: Old) {
    let times = std::env::var(SET_MOVES).map(|set| set.parse().expect("it is a number"));
    for n in 0..*times.as_ref().unwrap_or(&1) {
        for caller in ["lean", "grpcio"] {
            let Some(took) = moves(scheme, caller, old, Duration::from_millis(370 * (n % 8)))
            else {
                return;
            };
            if times.is_ok() {
                eprintln!("{scheme}{NAME}, {caller}, {old:?}: {took:?}");
            }
            assert!(took < SOON, "{caller}: it took {took:?}");
        }
    }
}

#[test]
fn a_comet_that_moved_from_an_address_that_refuses_is_found() {
    is_found_soon("", Old::Refuses);
}

#[test]
fn a_comet_that_moved_from_an_address_that_drops_packets_is_found() {
    is_found_soon("", Old::DropsPackets);
}

#[test]
fn an_address_in_place_of_one_that_refuses_is_found() {
    is_found_soon("dns:///", Old::Refuses);
}

#[test]
fn an_address_in_place_of_one_that_drops_packets_is_found() {
    is_found_soon("dns:///", Old::DropsPackets);
}
