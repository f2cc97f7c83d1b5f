//! A registry that answers as bilibili's does, and how it is asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use crossbeam_channel::{Receiver, unbounded};
use serde_json::json;

use super::*;

/// How long the test's registry holds back an answer.
const HOLDS: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(60);
const REFRESH: Duration = Duration::from_millis(20);

#[derive(Default)]
struct State {
    /// Hostnames and their addresses; `None`: it knows the appid no longer.
    comets: Option<Vec<(&'static str, &'static str)>>,
    latest: i64,
    /// Whether it answers polls at all.
    has_poll: bool,
    /// Whether it answers polls at once.
    is_hasty: bool,
    /// What it answers instead: status and body.
    fault: Option<(&'static str, String)>,
    /// What was asked for.
    asked: Vec<String>,
}

#[derive(Clone)]
struct Server {
    state: Arc<(Mutex<State>, Condvar)>,
    address: String,
}

impl Server {
    fn start(has_poll: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            has_poll,
            ..State::default()
        };
        let server = Self {
            state: Arc::new((Mutex::new(state), Condvar::new())),
            address: listener.local_addr().unwrap().to_string(),
        };
        let own = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (own, stream) = (own.clone(), stream.unwrap());
                thread::spawn(move || own.serve(stream));
            }
        });
        server
    }

    fn set(&self, comets: Option<Vec<(&'static str, &'static str)>>) {
        let mut state = self.state.0.lock().unwrap();
        state.comets = comets;
        state.latest += 1;
        self.state.1.notify_all();
    }

    fn fails(&self, fault: Option<(&'static str, String)>) {
        self.state.0.lock().unwrap().fault = fault;
        self.state.1.notify_all();
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let Some(Ok(first)) = lines.next() else {
            return;
        };
        // The rest of the head.
        lines
            .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
            .for_each(drop);
        let path = first.split(' ').nth(1).unwrap().to_owned();
        let (status, body) = self.answer(&path);
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }

    fn answer(&self, path: &str) -> (&'static str, String) {
        let mut state = self.state.0.lock().unwrap();
        state.asked.push(path.to_owned());
        if let Some(fault) = &state.fault {
            return fault.clone();
        }
        let poll = path.starts_with("/discovery/poll?");
        if poll && !state.has_poll || !poll && !path.starts_with("/discovery/fetch?") {
            return ("404 Not Found", "404 page not found".into());
        }
        if poll {
            let since: i64 = path
                .rsplit_once("latest_timestamp=")
                .unwrap()
                .1
                .parse()
                .unwrap();
            let end = Instant::now() + HOLDS;
            while state.comets.is_some() && state.latest <= since && state.fault.is_none() {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() || state.is_hasty {
                    return ("200 OK", r#"{"code":-304,"data":null}"#.repeat(2));
                }
                state = self.state.1.wait_timeout(state, left).unwrap().0;
            }
        }
        let Some(comets) = &state.comets else {
            return (
                "200 OK",
                r#"{"code":-404,"message":"-404","data":null}"#.into(),
            );
        };
        let instance = |(hostname, address): &(&str, &str)| {
            json!({"zone": "sh001", "env": "dev", "appid": "goim.comet", "hostname": hostname,
                "addrs": [format!("grpc://{address}")], "metadata": {"weight": "10"}, "status": 1})
        };
        let instances: Vec<_> = comets.iter().map(instance).collect();
        let data = json!({"instances": {"sh001": instances}, "latest_timestamp": state.latest});
        let answer = |data| json!({"code": 0, "message": "0", "ttl": 1, "data": data});
        let answer = match poll {
            true => answer(answer(data)),
            false => answer(data),
        };
        ("200 OK", answer.to_string())
    }

    fn asked(&self) -> Vec<String> {
        self.state.0.lock().unwrap().asked.clone()
    }
}

type Heard = Result<Vec<Node>, String>;

fn ask(server: &Server, zone: Option<&str>) -> (Asking, Receiver<Heard>) {
    let registry = Registry {
        address: server.address.clone(),
        app: "goim.comet".into(),
        env: "dev".into(),
        zone: zone.map(Into::into),
    };
    let (to, heard) = unbounded();
    let listed = move |answer| to.send(answer).is_ok();
    (Asking::start(registry, REFRESH, listed), heard)
}

/// Waits until this is heard.
fn awaits(heard: &Receiver<Heard>, is_it: impl Fn(&Heard) -> bool) {
    while !is_it(&heard.recv_timeout(SOON).expect("it is heard")) {}
}

fn names(expected: &'static [&str]) -> impl Fn(&Heard) -> bool {
    move |heard| {
        let nodes = heard.as_deref().unwrap_or_default();
        let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
        names == expected
    }
}

#[test]
fn changes_are_heard_of_and_a_registry_that_forgot_all_is_in_trouble() {
    for has_poll in [true, false] {
        let server = Server::start(has_poll);
        server.set(Some(vec![("comet1", "10.0.0.1:3109")]));
        let (asking, heard) = ask(&server, Some("sh001"));
        awaits(&heard, names(&["comet1"]));
        server.set(Some(vec![
            ("comet2", "10.0.0.2:3109"),
            ("comet1", "10.0.0.1:3109"),
        ]));
        awaits(&heard, names(&["comet1", "comet2"]));
        // It was started anew.
        server.set(None);
        awaits(&heard, |heard| {
            heard.as_ref().is_err_and(|why| why.contains("-404"))
        });
        server.set(Some(Vec::new()));
        awaits(&heard, |heard| {
            heard.as_ref().is_err_and(|why| why.contains("no Comet"))
        });
        server.set(Some(vec![("comet2", "10.0.0.2:3109")]));
        awaits(&heard, names(&["comet2"]));
        let asked = server.asked();
        let of = "appid=goim.comet&env=dev&zone=sh001";
        assert_eq!(asked[0], format!("/discovery/fetch?{of}&status=1"));
        let poll = asked
            .iter()
            .find(|path| path.starts_with("/discovery/poll"));
        let poll = poll.expect("it is tried");
        assert!(
            poll.starts_with(&format!("/discovery/poll?{of}&hostname=")),
            "{poll}"
        );
        let client = format!("-job-{}&latest_timestamp=1", std::process::id());
        assert!(poll.ends_with(&client), "{poll}");
        drop(asking);
        // The thread ends with its next question.
        while heard.recv().is_ok() {}
    }
}

#[test]
fn polls_are_understood_as_bilibilis_registry_answers_them_and_as_others_do() {
    let listed = r#"{"code": 0, "data": {"instances": {"sh001": [{"hostname": "comet1",
        "addrs": ["grpc://10.0.0.1:3109"]}]}, "latest_timestamp": 2}}"#;
    for answer in [
        listed.to_owned(),
        format!(r#"{{"code": 0, "data": {listed}}}"#),
    ] {
        let Ok(Answer::Listed(registered)) = read(answer.as_bytes()) else {
            panic!("{answer}");
        };
        assert_eq!(registered.latest_timestamp, 2);
        assert_eq!(nodes(registered).0.len(), 1);
    }
    let same = r#"{"code":-304,"data":null}"#;
    for answer in [same.to_owned(), same.repeat(2)] {
        assert!(matches!(read(answer.as_bytes()), Ok(Answer::NotModified)));
    }
}

#[test]
fn failures_list_nobody_else() {
    let server = Server::start(true);
    server.set(Some(vec![("comet1", "10.0.0.1:3109")]));
    let (_asking, heard) = ask(&server, None);
    awaits(&heard, names(&["comet1"]));
    for (status, body, says) in [
        ("503 Service Unavailable", String::new(), "HTTP status 503"),
        ("302 Found", String::new(), "HTTP status 302"),
        ("200 OK", "<html>".into(), "not that of a discovery server"),
        ("200 OK", String::new(), "not that of a discovery server"),
        (
            "200 OK",
            " ".repeat(LONGEST + 1),
            "its answer has more than 4 MiB",
        ),
        ("200 OK", r#"{"code": 0, "data": null}"#.into(), "not that"),
        (
            "200 OK",
            r#"{"code": 0, "data": {"instances": {}, "latest_timestamp": 9}}"#.into(),
            "it lists no Comet",
        ),
    ] {
        server.fails(Some((status, body)));
        awaits(&heard, |heard| match heard {
            // Asked before it failed.
            Ok(nodes) => {
                assert_eq!(nodes.len(), 1);
                false
            }
            Err(why) => why.contains(says),
        });
    }
    server.fails(None);
    server.set(Some(vec![("comet2", "10.0.0.2:3109")]));
    awaits(&heard, names(&["comet2"]));
}

#[test]
fn a_registry_that_holds_nothing_back_is_not_asked_without_a_pause() {
    let server = Server::start(true);
    server.state.0.lock().unwrap().is_hasty = true;
    server.set(Some(vec![("comet1", "10.0.0.1:3109")]));
    let begun = Instant::now();
    let (_asking, heard) = ask(&server, None);
    let rounds = 5;
    for _ in 0..=rounds {
        awaits(&heard, names(&["comet1"]));
    }
    assert!(begun.elapsed() >= rounds * REFRESH);
}

#[test]
fn what_is_wrong_is_said() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let server = Server {
        address: gone,
        ..Server::start(true)
    };
    let (_asking, heard) = ask(&server, None);
    awaits(&heard, |heard| {
        heard
            .as_ref()
            .is_err_and(|why| why.contains("cannot connect"))
    });
}

#[test]
fn answers_that_are_no_registrys() {
    for (body, says) in [
        ("<html>", "not that of a discovery server"),
        (r#"{"data": {}}"#, "not that of a discovery server"),
        (
            r#"{"code": 0, "data": 7}"#,
            "not that of a discovery server",
        ),
        (r#"{"code": -500, "message": "no\n"}"#, r"code -500 no\n"),
    ] {
        let Err(why) = read(body.as_bytes()) else {
            panic!("{body}")
        };
        assert!(why.contains(says), "{why}");
    }
}
