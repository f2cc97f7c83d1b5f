//! TLS to Comets: who is trusted, who job is, and what a server with faults costs the others.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::support::certificates::{Authority, Made, put};
use crate::support::comet::Comet;
use crate::support::command::{Ended, complains, job};
use crate::support::dev_comet::DevComet;
use crate::support::front::{Front, Manner};
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::tls_server::{self, Manners};
use crate::support::topic::Topic;

const ROOMS: usize = 20;
const HERE: &str = "DNS:localhost,IP:127.0.0.1";

fn topic() -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), 4)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a folder's name is text")
}

fn server(own: &Made) -> Manner {
    Manner::Tls(tls_server::config(own, &Manners::default()))
}

/// One that lets in whom this CA knows.
fn mutual(own: &Made, authority: &Authority) -> Arc<ServerConfig> {
    let manners = Manners {
        clients_of: Some(authority),
        ..Manners::default()
    };
    tls_server::config(own, &manners)
}

/// A job that calls these addresses with TLS, whose certificates are from this CA.
fn job_for(topic: &Topic<'_>, comets: &str, ca: &Path) -> JobCommand {
    topic
        .configure_for(JobCommand::new(), comets)
        .flag("--caller", "auto")
        .flag("--comet-tls", "on")
        .flag("--comet-ca", text(ca))
        .log_level("INFO")
}

/// `job check` for the same.
fn check(topic: &Topic<'_>, comets: &str, more: &[&str]) -> Ended {
    let brokers = topic.kafka.address();
    let args = [
        "check",
        "--brokers",
        &brokers,
        "--topic",
        &topic.name,
        "--group",
        &topic.group,
        "--comet",
        comets,
        "--comet-tls",
        "on",
    ];
    job(&[&args, more].concat())
}

#[test]
fn each_message_arrives_over_tls() {
    let (topic, comet, authority) = (topic(), Comet::start(), Authority::create());
    let own = authority.certificate("server", HERE, 20);
    let front = Front::start(server(&own), comet.port());
    let ca = authority.pem();
    let mut job = job_for(&topic, &front.address, &ca).start();
    job.await_line(&[
        "Comets are called through lean with TLS",
        "caller is auto, and comet-tls is on",
    ]);
    topic.produce(over_rooms(ROOMS, 0, 2_000));
    comet.await_delivered(2_000);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, 2_000);
    assert_eq!(topic.dead_letters(), 0);

    let said = check(&topic, &front.address, &["--comet-ca", text(&ca)]).well();
    let expected = format!(
        "Comet {}: answers over TLS; its certificate is valid until 2",
        front.address
    );
    assert!(
        said.contains(&expected) && !said.contains("Renew"),
        "{said}"
    );
}

#[test]
fn what_job_shows_lets_it_in() {
    let (topic, comet) = (topic(), Comet::start());
    let (authority, other) = (Authority::create(), Authority::create());
    let own = authority.certificate("server", HERE, 20);
    let front = Front::start(Manner::Tls(mutual(&own, &authority)), comet.port());
    let (ca, mine) = (authority.pem(), authority.certificate("job", "DNS:job", 5));
    let shows = |made: &Made| {
        [
            ("--comet-ca", text(&ca).to_owned()),
            ("--comet-certificate", text(&made.certificate).to_owned()),
            ("--comet-key", text(&made.key).to_owned()),
        ]
    };
    let checked = |made: &Made| {
        let flags = shows(made);
        let flags: Vec<_> = flags
            .iter()
            .flat_map(|(flag, file)| [*flag, file])
            .collect();
        check(&topic, &front.address, &flags)
    };
    let said = checked(&mine).well();
    assert!(said.contains("answers over TLS"), "{said}");
    assert!(
        said.contains("(4 days) only") && said.contains("Renew it before"),
        "{said}"
    );
    let strange = other.certificate("job", "DNS:job", 20);
    let said = complains(checked(&strange), 1);
    assert!(
        said.contains("the Comet doesn't accept the client certificate in"),
        "{said}"
    );
    let none = complains(check(&topic, &front.address, &["--comet-ca", text(&ca)]), 1);
    assert!(
        none.contains("the Comet wants a client certificate"),
        "{none}"
    );

    let mut command = job_for(&topic, &front.address, &ca);
    for (flag, file) in &shows(&mine)[1..] {
        command = command.flag(flag, file);
    }
    let mut job = command.start();
    topic.produce(over_rooms(ROOMS, 0, 200));
    comet.await_delivered(200);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, 200);
}

/// Each of them is said with what to do, and nothing is lost: it waits until somebody puts it right.
#[test]
fn a_comet_that_is_not_trusted_gets_everything_when_that_is_mended() {
    let (topic, comet) = (topic(), Comet::start());
    let (authority, other) = (Authority::create(), Authority::create());
    let ca = authority.pem();
    let front = Front::start(server(&other.certificate("other", HERE, 20)), comet.port());
    let mut job = job_for(&topic, &front.address, &ca).start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    let file = format!("not from a CA in comet-ca {}", ca.display());
    job.await_line(&["RPC failed: 14-UNAVAILABLE", &file, &front.address]);
    let said = complains(check(&topic, &front.address, &["--comet-ca", text(&ca)]), 1);
    assert!(
        said.contains(&file) && said.contains("set comet-ca"),
        "{said}"
    );

    let expired = authority.expired("expired", HERE);
    front.set(server(&expired));
    job.await_line(&[
        "RPC failed: 14-UNAVAILABLE",
        "the certificate there expired at 2",
    ]);
    front.set(server(&authority.certificate(
        "elsewhere",
        "DNS:a.example",
        20,
    )));
    job.await_line(&["is for a.example, not for localhost", "comet-server-name"]);
    let manners = Manners {
        protocols: &["http/1.1"],
        ..Manners::default()
    };
    let own = authority.certificate("server", HERE, 20);
    front.set(Manner::Tls(tls_server::config(&own, &manners)));
    job.await_line(&["HTTP/2 (ALPN h2)"]);
    assert_eq!(comet.delivered().len(), 0);

    front.set(server(&own));
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.delivered(), ROOMS, 100);
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn a_server_without_tls_gets_nothing() {
    let (topic, comet, authority) = (topic(), Comet::start(), Authority::create());
    let address = format!("127.0.0.1:{}", comet.port());
    let mut job = job_for(&topic, &address, &authority.pem()).start();
    topic.produce(over_rooms(ROOMS, 0, 10));
    job.await_line(&["TLS: ", "comet-tls = off", &address]);
    job.stop();
    assert_eq!((comet.delivered().len(), topic.dead_letters()), (0, 0));
}

#[test]
fn another_name_is_taken_where_it_is_set() {
    let (topic, comet, authority) = (topic(), Comet::start(), Authority::create());
    let own = authority.certificate("server", "DNS:comet.internal", 20);
    let front = Front::start(server(&own), comet.port());
    let ca = authority.pem();
    let mut job = job_for(&topic, &front.address, &ca)
        .flag("--comet-server-name", "comet.internal")
        .start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    comet.await_delivered(100);
    topic.await_no_lag();
    job.stop();
}

/// The CA, the server's certificate and job's own are replaced; a broken file in between changes nothing.
#[test]
fn new_certificates_are_taken_while_job_runs() {
    let (topic, comet) = (topic(), Comet::start());
    let (before, after) = (Authority::create(), Authority::create());
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let (ca, certificate, key) = (file("ca.pem"), file("job.pem"), file("job.key"));
    let rotate = |to: &Authority, name: &str| {
        let mine = to.certificate(name, "DNS:job", 20);
        put(&to.pem(), &ca);
        put(&mine.certificate, &certificate);
        put(&mine.key, &key);
    };
    let own = |of: &Authority| Manner::Tls(mutual(&of.certificate("server", HERE, 20), of));
    rotate(&before, "first");
    let front = Front::start(own(&before), comet.port());
    let mut job = job_for(&topic, &front.address, &ca)
        .flag("--comet-certificate", text(&certificate))
        .flag("--comet-key", text(&key))
        .start();
    topic.produce(over_rooms(ROOMS, 0, 200));
    comet.await_delivered(200);

    std::fs::write(&key, "no key\n").expect("written");
    let line = job.await_line(&["can't be used; going on with what was in them", "comet-key"]);
    assert!(
        line.contains(" WARN ") && !line.contains("no key\n"),
        "{line}"
    );
    front.cut_all();
    topic.produce(over_rooms(ROOMS, 200, 200));
    comet.await_delivered(400);

    rotate(&after, "second");
    job.await_line(&["have changed and were read again"]);
    // What is open goes on.
    topic.produce(over_rooms(ROOMS, 400, 200));
    comet.await_delivered(600);
    front.set(own(&after));
    front.cut_all();
    topic.produce(over_rooms(ROOMS, 600, 200));
    topic.await_no_lag();
    assert_eq!(job.lines_with(&["going on with what was in them"]).len(), 1);
    job.stop();
    assert_in_order(&comet.delivered(), ROOMS, 800);
    assert_eq!(topic.dead_letters(), 0);
}

#[test]
fn one_that_never_answers_the_handshake_delays_no_other() {
    let (topic, good, stuck) = (topic(), Comet::start(), Comet::start());
    let authority = Authority::create();
    let own = authority.certificate("server", HERE, 20);
    let front = Front::start(server(&own), good.port());
    let silent = Front::start(Manner::Silent, stuck.port());
    let comets = format!("{},{}", front.address, silent.address);
    let mut job = job_for(&topic, &comets, &authority.pem()).start();
    topic.produce(over_rooms(ROOMS, 0, 500));
    good.await_delivered(500);
    job.await_line(&["TLS: no handshake came within its time", &silent.address]);
    silent.set(server(&own));
    stuck.await_delivered(500);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&good.delivered(), ROOMS, 500);
    assert_each_once_in_order(&stuck.delivered(), ROOMS, 500);
}

/// As people try it.
#[test]
fn dev_comet_is_called_with_certificates_on_both_sides_and_at_a_unix_socket() {
    let (topic, authority) = (topic(), Authority::create());
    let ca = authority.pem();
    let own = authority.certificate("server", HERE, 20);
    let mine = authority.certificate("job", "DNS:job", 20);
    let folder = tempfile::tempdir().expect("a folder");
    let [record, near] = ["record", "comet.sock"].map(|name| folder.path().join(name));
    let near = format!("unix:{}", near.display());
    let web = ["--web", "127.0.0.1:0"];
    let secured = [
        ["--listen", "127.0.0.1:0"],
        ["--tls-certificate", text(&own.certificate)],
        ["--tls-key", text(&own.key)],
        ["--tls-client-ca", text(&ca)],
        ["--record", text(&record)],
        web,
    ];
    let far = DevComet::start_with(secured.as_flattened());
    let _near = DevComet::start_with([["--listen", &near], web].as_flattened());
    let comets = format!("{},{near}", far.grpc);
    let flags = [
        ["--comet-ca", text(&ca)],
        ["--comet-certificate", text(&mine.certificate)],
        ["--comet-key", text(&mine.key)],
    ];
    let said = check(&topic, &comets, flags.as_flattened()).well();
    for expected in [
        format!(
            "Comet {}: answers over TLS; its certificate is valid",
            far.grpc
        ),
        format!("Comet {near}: answers\n"),
        format!(
            "comet-certificate {}: it is valid until",
            mine.certificate.display()
        ),
    ] {
        assert!(said.contains(&expected), "{expected} is not in {said}");
    }
    let mut command = job_for(&topic, &comets, &ca);
    for [flag, file] in &flags[1..] {
        command = command.flag(flag, file);
    }
    let mut job = command.start();
    topic.produce(over_rooms(ROOMS, 0, 200));
    topic.await_no_lag();
    job.stop();
    assert_eq!(topic.dead_letters(), 0);
    let record = std::fs::read_to_string(record).expect("it wrote down what it got");
    assert!(record.lines().count() >= 200, "{record}");
}
