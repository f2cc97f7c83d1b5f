//! With TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use rustls::{ServerConfig, version};

use super::another_server::{
    Manners, PLAIN, assert_answered, body, call_under_all_limits, call_until_all_are_answered,
    serve_with,
};
use super::*;
use crate::comet::tls::certificates::{Authority, Made};
use crate::comet::tls::{Tls, server};
use crate::settings::CometTls;

const HERE: &str = "DNS:localhost,IP:127.0.0.1";

/// What a client needs that trusts this CA, and shows this certificate.
fn trusting(authority: &Authority, own: Option<&Made>) -> Secured {
    let settings = CometTls {
        ca: Some(authority.pem()),
        client: own.map(|own| (own.certificate.clone(), own.key.clone())),
        ..CometTls::default()
    };
    let tls = Tls::load(&settings).expect("the files are right");
    tls.secured("localhost").expect("a name")
}

fn client(tls: Secured) -> Client {
    Client {
        tls: Some(tls),
        ..Client::new()
    }
}

fn plain_server(authority: &Authority) -> Arc<ServerConfig> {
    let own = authority.certificate("server", HERE, 20);
    server::config(&own, &server::Manners::default())
}

/// What a call says that can't be made.
fn refused(address: &Address, tls: Secured) -> String {
    let mut client = client(tls);
    let link = client.open(std::slice::from_ref(address));
    client.call(link, 1, &body(1));
    client.until(|client| !client.closed.is_empty());
    let (code, by, text) = client.of(1);
    assert_eq!((code, by), (14, By::Unsent), "{text}");
    text.to_owned()
}

#[test]
fn each_call_has_its_answer_over_tls_too() {
    let authority = Authority::create();
    let own = authority.certificate("server", HERE, 20);
    let secured = trusting(&authority, None);
    for version in [&version::TLS13, &version::TLS12] {
        let manners = server::Manners {
            version,
            ..Default::default()
        };
        call_under_all_limits(Some((&server::config(&own, &manners), &secured)));
    }
}

#[test]
fn goodbyes_under_load_lose_no_call_over_tls() {
    let authority = Authority::create();
    let manners = Manners {
        goodbye_after: 20,
        streams: 30,
        ..PLAIN
    };
    let server = serve_with(manners, Some(plain_server(&authority)));
    let client = client(trusting(&authority, None));
    let client = call_until_all_are_answered(&server, 300, client);
    assert!(client.closed.len() >= 5, "{:?}", client.closed);
}

#[test]
fn each_side_shows_who_it_is() {
    let (authority, other) = (Authority::create(), Authority::create());
    let own = authority.certificate("server", HERE, 20);
    let manners = server::Manners {
        clients_of: Some(&authority),
        ..Default::default()
    };
    let server = serve_with(PLAIN, Some(server::config(&own, &manners)));
    let job = authority.certificate("job", "DNS:job", 20);

    let mut good = client(trusting(&authority, Some(&job)));
    let link = good.open(std::slice::from_ref(&server.address));
    good.call(link, 1, &body(1));
    good.until_ended(1);
    assert_answered(&good, 1);
    let certificate = good.links.certificate(link).expect("it has one");
    assert!(certificate.expires.is_some());

    let none = refused(&server.address, trusting(&authority, None));
    assert!(
        none.contains("the Comet wants a client certificate"),
        "{none}"
    );
    let stranger = other.certificate("job", "DNS:job", 20);
    let text = refused(&server.address, trusting(&authority, Some(&stranger)));
    let file = stranger.certificate.display().to_string();
    assert!(
        text.contains("doesn't accept the client certificate") && text.contains(&file),
        "{text}"
    );
}

#[test]
fn who_is_not_trusted_is_not_called() {
    let (authority, other) = (Authority::create(), Authority::create());
    let at = |own: &Made| {
        let config = server::config(own, &server::Manners::default());
        serve_with(PLAIN, Some(config))
    };
    let good = at(&authority.certificate("server", HERE, 20));
    let text = refused(&good.address, trusting(&other, None));
    let ca = other.pem().display().to_string();
    assert!(
        text.contains("not from a CA in comet-ca") && text.contains(&ca),
        "{text}"
    );
    assert!(text.contains(&good.address.to_string()), "{text}");

    let expired = at(&authority.expired("expired", HERE));
    let text = refused(&expired.address, trusting(&authority, None));
    assert!(
        text.contains("the certificate there expired at 2"),
        "{text}"
    );

    let elsewhere = at(&authority.certificate("elsewhere", "DNS:a.example", 20));
    let text = refused(&elsewhere.address, trusting(&authority, None));
    let expected = "is for a.example, not for localhost: reach the Comet by a name";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_server_without_http2_is_told_from_one_without_tls() {
    let authority = Authority::create();
    let own = authority.certificate("server", HERE, 20);
    for protocols in [&[][..], &["http/1.1"]] {
        let manners = server::Manners {
            protocols,
            ..Default::default()
        };
        let server = serve_with(PLAIN, Some(server::config(&own, &manners)));
        let text = refused(&server.address, trusting(&authority, None));
        assert!(text.contains("HTTP/2 (ALPN h2)"), "{text}");
    }
    let plain = serve_with(PLAIN, None);
    let text = refused(&plain.address, trusting(&authority, None));
    assert!(
        text.contains("doesn't speak TLS: set comet-tls = off"),
        "{text}"
    );

    // Where this side has none, what answers there is no HTTP/2.
    let secure = serve_with(PLAIN, Some(plain_server(&authority)));
    let mut client = Client::new();
    let link = client.open(std::slice::from_ref(&secure.address));
    client.call(link, 1, &body(1));
    client.until(|client| !client.closed.is_empty());
    assert_eq!(client.of(1).0, 14);
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_the_next_one_called() {
    let authority = Authority::create();
    // It is connected by the kernel.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = Address::Tcp(silent.local_addr().expect("its address"));
    let ends = TcpListener::bind("127.0.0.1:0").expect("a port");
    let ended = Address::Tcp(ends.local_addr().expect("its address"));
    let server = thread::spawn(move || {
        let mut socket = ends.accept().expect("a client").0;
        let _ = socket.read(&mut [0; 1_000]);
    });
    let good = serve_with(PLAIN, Some(plain_server(&authority)));
    let mut patient = client(trusting(&authority, None));
    let short = Config {
        greeted_within: Duration::from_millis(300),
        tls: patient.tls.clone(),
        ..config()
    };
    let now = Instant::now();
    let link = patient.links.open(vec![silent.clone()], short.clone(), now);
    patient.call(link, 1, &body(1));
    patient.until_ended(1);
    let (code, by, text) = patient.of(1);
    assert_eq!((code, by), (14, By::Unsent));
    assert!(
        text.contains("TLS: no handshake came within its time"),
        "{text}"
    );

    let all = vec![ended, silent, good.address.clone()];
    let longer = Config {
        greeted_within: Duration::from_secs(3),
        ..short
    };
    let link = patient.links.open(all, longer, Instant::now());
    patient.call(link, 2, &body(2));
    patient.until_ended(2);
    assert_answered(&patient, 2);
    server.join().expect("it left");
}

#[test]
fn whatever_comes_in_place_of_a_handshake_ends_the_attempt() {
    let authority = Authority::create();
    for said in [
        &b"\x16\x03\x03\x40\x00"[..],
        &[0xff; 5_000],
        b"\x15\x03\x03\0\x02\x02\x28",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = Address::Tcp(listener.local_addr().expect("its address"));
        let server = thread::spawn(move || {
            let mut socket = listener.accept().expect("a client").0;
            let _ = socket.read(&mut [0; 1_000]);
            let _ = socket.write_all(said);
        });
        let text = refused(&address, trusting(&authority, None));
        assert!(text.contains("TLS"), "{text}");
        server.join().expect("it left");
    }
}
