//! Comets that job knows by name: they move, their names are missing for a while, and name servers have faults.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::support::comet::Comet;
use crate::support::command::Ended;
use crate::support::dns::Dns;
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::topic::Topic;
use crate::support::{await_until, is};

const ROOMS: usize = 20;
const NAME: &str = "comet.test";

/// A Comet that can be reached again is to be called within 2 s. Half a minute is what a lookup took that waits for long;
/// between them is room for a busy machine.
const SOON: Duration = Duration::from_secs(10);

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 4)
}

fn job(topic: &Topic<'_>, dns: &Dns, comet: &Comet) -> JobCommand {
    let address = format!("{NAME}:{}", comet.port());
    topic
        .configure_for(JobCommand::with_names_from(dns), &address)
        .log_level("WARN")
}

/// Waits until so many more questions came to the name server.
fn await_questions(dns: &Dns, more: usize) {
    let enough = dns.questions() + more;
    await_until("lookups", || match dns.questions() {
        so_many if so_many >= enough => Ok(()),
        so_many => Err(format!("{so_many} of {enough}")),
    });
}

/// As with a pod that is replaced: the new one is up before its name is right.
#[test]
fn a_comet_that_moved_gets_everything() {
    let Some(dns) = Dns::start() else { return };
    let (topic, old) = (topic(), Comet::start());
    let new = old.same_port_on(THERE);
    dns.set(NAME, &[HERE]);
    let mut job = job(&topic, &dns, &old).log_level("INFO").start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    old.await_delivered(100);

    old.stop();
    new.start_again();
    topic.produce(over_rooms(ROOMS, 100, 100));
    await_questions(&dns, 6);
    dns.set(NAME, &[THERE]);
    let moved = Instant::now();
    new.await_delivered(100);
    assert!(moved.elapsed() < SOON, "it took {:?}", moved.elapsed());
    topic.await_no_lag();
    job.await_line(&["is at 127.0.0.2 now, no longer at 127.0.0.1"]);

    // While all is well nobody asks. The last question of the outage may still be on its way.
    let mut sent = 200;
    await_until("messages for which nobody asks", || {
        let questions = dns.questions();
        topic.produce(over_rooms(ROOMS, sent, 100));
        sent += 100;
        new.await_delivered(sent - 100);
        is(dns.questions(), questions)
    });
    topic.await_no_lag();
    job.stop();
    let all = [old.delivered(), new.delivered()].concat();
    assert_in_order(&all, ROOMS, sent);
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn a_name_that_is_missing_holds_all_messages_until_it_is_there() {
    let Some(dns) = Dns::start() else { return };
    let (topic, comet) = (topic(), Comet::start());
    topic.produce(over_rooms(ROOMS, 0, 100));
    let mut job = job(&topic, &dns, &comet).start();
    job.await_line(&[
        "RPC failed: 14-UNAVAILABLE",
        &format!("the name {NAME} was not found: Name or service not known"),
    ]);
    // However long it lasts, the lookups come no more rarely.
    await_questions(&dns, 20);
    assert_eq!(topic.lag(), 100);
    dns.set(NAME, &[HERE]);
    let there = Instant::now();
    comet.await_delivered(100);
    assert!(there.elapsed() < SOON, "it took {:?}", there.elapsed());

    // It is gone again, and so is the Comet for a moment: what was known is good enough.
    dns.remove(NAME);
    comet.stop();
    topic.produce(over_rooms(ROOMS, 100, 100));
    job.await_line(&[
        "was not found",
        "going on with what was known before: 127.0.0.1",
    ]);
    comet.start_again();
    comet.await_delivered(200);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, 200);
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn a_name_server_that_drops_questions_about_ipv6_delays_nothing() {
    let Some(dns) = Dns::start() else { return };
    let (topic, comet) = (topic(), Comet::start());
    dns.set(NAME, &[HERE]);
    dns.drop_questions_about_ipv6();
    topic.produce(over_rooms(ROOMS, 0, 100));
    let begin = Instant::now();
    let mut job = job(&topic, &dns, &comet).start();
    comet.await_delivered(100);
    assert!(begin.elapsed() < 3 * SOON, "it took {:?}", begin.elapsed());

    comet.stop();
    topic.produce(over_rooms(ROOMS, 100, 100));
    job.await_line(&["RPC failed: 14-UNAVAILABLE"]);
    comet.start_again();
    let back = Instant::now();
    comet.await_delivered(200);
    assert!(back.elapsed() < SOON, "it took {:?}", back.elapsed());
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, 200);
    assert_eq!(topic.dead_letters(), 0);
}

/// Of a name with both kinds of address the one is called that is there.
#[test]
fn an_ipv6_address_serves_where_nobody_is_at_the_ipv4_one() {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if TcpListener::bind((loopback, 0)).is_err() {
        return eprintln!("NOT TESTED: IPv6 addresses of a name. This machine has no IPv6.");
    }
    let Some(dns) = Dns::start() else { return };
    let topic = topic();
    let v4 = Comet::start();
    let v6 = v4.same_port_on(loopback);
    dns.set(NAME, &[HERE, loopback]);
    topic.produce(over_rooms(ROOMS, 0, 100));
    let mut job = job(&topic, &dns, &v4).start();
    v4.await_delivered(100);
    v4.stop();
    v6.start_again();
    topic.produce(over_rooms(ROOMS, 100, 100));
    v6.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_in_order(&[v4.delivered(), v6.delivered()].concat(), ROOMS, 200);
    // One Comet may well have both.
    assert_eq!(job.lines_with(&["calls go to one of them only"]).len(), 0);
}

#[test]
fn a_name_of_several_comets_is_warned_of() {
    let Some(dns) = Dns::start() else { return };
    let (topic, comet) = (topic(), Comet::start());
    dns.set(NAME, &[HERE, THERE]);
    let address = format!("{NAME}:{}", comet.port());
    let warning = format!(
        "Comet {address}: its name has 2 addresses (127.0.0.1, 127.0.0.2), and calls go to one of them only"
    );
    topic.produce(over_rooms(ROOMS, 0, 100));
    let mut job = job(&topic, &dns, &comet).start();
    job.await_line(&[&warning, "or write dns:///NAME:PORT there"]);
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    is(job.lines_with(&[&warning]).len(), 1).expect("it is said once");

    let mut check = dns.command(env!("CARGO_BIN_EXE_job"));
    check.args(["check", "--brokers", &topic.kafka.address()]);
    check.args(["--topic", &topic.name, "--comet", &address]);
    let report = Ended::from(check.output().expect("job starts")).well();
    assert!(report.contains(&format!("! {warning}\n")), "{report}");

    dns.remove(NAME);
    let ended = Ended::from(check.output().expect("job starts"));
    let says = format!(
        "✗ Comet {address}: 14-UNAVAILABLE the name {NAME} was not found: Name or service not known"
    );
    assert!(ended.out.contains(&says), "{}", ended.out);
}
