//! A real client on a real socket.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::figures::Figures;
use crate::message::{Held, Topics};

struct Server {
    address: SocketAddr,
    figures: Arc<Figures>,
    asked: Arc<AtomicUsize>,
}

fn server() -> Server {
    let figures = Arc::new(Figures::new(&["a:1".into()], 1, Held::default()));
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = bind("127.0.0.1:0").expect("a port is free");
    let address = address_of(&listener).expect("it has one");
    let count = asked.clone();
    let source = Source {
        figures: figures.clone(),
        topics: Topics::new(["chat".to_owned()]),
        group: "job".into(),
        dead_letter_topics: vec!["chat.dead-letter".into()],
    };
    let ask = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    spawn(
        listener,
        Served {
            source,
            pulse: Arc::default(),
            ask,
        },
    )
    .expect("it starts");
    Server {
        address,
        figures,
        asked,
    }
}

impl Server {
    /// What comes for a request, until the server closes the connection.
    fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        // It may have enough before all is written.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).expect("text")
    }

    fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn each_page_has_its_answer_and_nothing_else_does() {
    let server = server();
    assert_eq!(status(&server.get("/metrics?a=b")), "200");
    assert!(server.get("/healthz").ends_with("\r\n\r\nwell\n"));
    for (path, kind) in [
        ("/", "text/html"),
        ("/status.js", "text/javascript"),
        ("/status.css", "text/css"),
        ("/status.json", "application/json"),
    ] {
        let page = server.get(path);
        assert_eq!(status(&page), "200", "{path}");
        assert!(page.contains(&format!("content-type: {kind}")), "{page}");
        let policy = "content-security-policy: default-src 'none'; script-src 'self'";
        assert!(page.contains(policy) && !page.contains("unsafe"), "{page}");
        assert!(page.contains("x-content-type-options: nosniff"), "{page}");
    }
    assert_eq!(status(&server.get("/../etc/passwd")), "404");
    for method in ["POST", "DELETE", "OPTIONS"] {
        let refused = server.raw(&format!("{method} /metrics HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(status(&refused), "405");
        assert!(refused.contains("allow: GET, HEAD"), "{refused}");
    }
    let head = server.raw("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status(&head), "200");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn readiness_asks_the_comets_until_one_answers() {
    let server = server();
    let missing = server.get("/readyz");
    assert_eq!(status(&missing), "503");
    assert!(missing.contains("no Comet answers (a:1)"), "{missing}");
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
    // Not as often as somebody likes.
    server.get("/readyz");
    assert_eq!(server.asked.load(Ordering::Relaxed), 1);
    server.figures.answered();
    assert!(!server.get("/readyz").contains("no Comet"));
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    let server = server();
    let long = "a".repeat(2 * REQUEST_BYTES);
    let answer = server.raw(&format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(["", "414", "431"].contains(&status(&answer)), "{answer}");
    let many = "a: b\r\n".repeat(HEADERS + 1);
    let answer = server.raw(&format!("GET / HTTP/1.1\r\n{many}\r\n"));
    assert!(["", "400", "431"].contains(&status(&answer)), "{answer}");
    assert_eq!(status(&server.get("/healthz")), "200");
}

#[test]
fn idle_connections_hold_nobody_up_for_long() {
    let server = server();
    let idle: Vec<_> = (0..2 * CONNECTIONS)
        .map(|_| TcpStream::connect(server.address).expect("it listens"))
        .collect();
    assert_eq!(status(&server.get("/healthz")), "200");
    drop(idle);
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let server = server();
    let error = bind(&server.address.to_string()).expect_err("it is taken");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}
