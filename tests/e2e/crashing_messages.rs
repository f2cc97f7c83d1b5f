//! Messages that crash a Comet.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::comet::{Answer, Comet};
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_in_order, over_rooms, to_room};
use crate::support::proxy::Proxy;
use crate::support::topic::Topic;

const ROOMS: usize = 5;
const MESSAGES: usize = 100;
const POISON: &str = "poison";

/// A Comet whose connections break whenever it gets the message. Behind a proxy, which is what job knows of it.
fn crashing() -> (Comet, Arc<Proxy>) {
    let comet = Comet::start();
    let proxy = Arc::new(Proxy::start(comet.address()));
    let cut = Arc::clone(&proxy);
    comet.answer(move |call| {
        if call.text() != POISON {
            return Answer::Ok;
        }
        cut.cut_all();
        Answer::Hang
    });
    (comet, proxy)
}

#[test]
fn it_is_a_dead_letter_and_the_others_get_there() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comets = [crashing(), crashing()];
    let addresses = comets.each_ref().map(|(_, proxy)| proxy.address());
    let (half, rest) = (MESSAGES / 2, MESSAGES - MESSAGES / 2);
    topic.produce(over_rooms(ROOMS, 0, half));
    topic.produce([to_room("room-1", POISON)]);
    topic.produce(over_rooms(ROOMS, half, rest));
    let mut job = topic
        .configure_for(JobCommand::new(), &addresses.join(","))
        .fault("well-before-trial=return(1000)")
        .start();
    let letters = topic.await_dead_letters(1);
    for (comet, _) in &comets {
        comet.await_delivered(MESSAGES);
    }
    topic.await_no_lag();
    let letter = letters.values().next().expect("there is one");
    let header = |name| letter.header_str(name).unwrap_or_default();
    assert!(
        header("job.error").contains("tried alone"),
        "{}",
        header("job.error")
    );
    let named: BTreeSet<_> = header("job.comet").split(',').map(str::to_owned).collect();
    assert_eq!(named, BTreeSet::from(addresses.clone()));
    let offset = format!("partition 0, offset {half}: ");
    for address in &addresses {
        let said = job.lines_with(&["ERROR", &offset, address, "crash"]);
        assert_eq!(said.len(), 1, "{:#?}", job.log());
    }
    job.stop();
    for (comet, _) in &comets {
        // The answers of calls that were in flight beside it are lost.
        assert_in_order(&comet.delivered(), ROOMS, MESSAGES);
    }
}

/// gRPC's library can't tell a stop from a crash.
#[test]
fn a_comet_that_is_stopped_on_purpose_again_and_again_makes_no_letter() {
    /// A message that crashes its Comet is a dead letter after six.
    const STOPS: usize = 8;
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let proxy = Arc::new(Proxy::start(comet.address()));
    let stops = Arc::new(AtomicUsize::new(0));
    let (stopped, count) = (Arc::clone(&proxy), Arc::clone(&stops));
    comet.answer(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= STOPS {
            return Answer::Ok;
        }
        stopped.say_goodbye_and_cut_all();
        Answer::Hang
    });
    topic.produce([to_room("room", "hello")]);
    let mut job = topic
        .configure_for(JobCommand::new(), &proxy.address())
        .flag("--caller", "lean")
        .fault("well-before-trial=return(0)")
        .start();
    topic.await_no_lag();
    assert_eq!(stops.load(Ordering::Relaxed), STOPS + 1, "{:#?}", job.log());
    assert_eq!(job.lines_with(&[" ERROR "]), Vec::<String>::new());
    assert!(
        !job.lines_with(&["said goodbye (NO_ERROR)"]).is_empty(),
        "{:#?}",
        job.log()
    );
    job.stop();
}
