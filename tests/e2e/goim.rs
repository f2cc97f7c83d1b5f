//! job in place of goim's own: the calls that goim's Comet takes, and what people get of them.

mod client;
mod real;

use std::net::TcpStream;
use std::path::Path;

use chatroom_job::message::proto::push::{PushMsg, push_msg::Type};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::support::dev_comet::{DevComet, PATIENCE};
use crate::support::http::Pages;
use crate::support::job::JobCommand;
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::topic::Topic;

/// A Comet of goim's kind, which writes down its calls.
struct Goim {
    comet: DevComet,
    folder: TempDir,
}

impl Goim {
    fn start() -> Goim {
        let folder = TempDir::new().expect("a folder can be made");
        let record = folder.path().join("calls");
        let record = record.to_str().expect("its name is text");
        let ports = ["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"];
        let goim = ["--dialect", "goim", "--faults", "--record", record];
        let comet = DevComet::start_with(&[&ports[..], &goim].concat());
        Goim { comet, folder }
    }

    fn fault(&self, fault: &str) {
        let (head, body) = self.comet.request("POST", "/fault", fault);
        assert!(head.starts_with("HTTP/1.1 204"), "{head} {body}");
    }

    /// Whom each call of this kind was for, in the order of the calls.
    fn called(&self, rpc: &str) -> Vec<String> {
        let record = read(&self.folder.path().join("calls"));
        let calls = record.lines().filter_map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            (fields[0] == "call" && fields[3] == rpc).then(|| fields[4].to_owned())
        });
        calls.collect()
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the calls can be read")
}

/// Somebody at a dev-comet.
struct Person(WebSocket<TcpStream>);

impl Person {
    /// Comes with this query, and is in when this returns.
    fn at(goim: &Goim, query: &str) -> Person {
        let stream = TcpStream::connect(&goim.comet.web).expect("it serves people");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        let url = format!("ws://{}/ws?ack=1&{query}", goim.comet.web);
        let (socket, _) = tungstenite::client(url, stream).expect("a WebSocket");
        let mut person = Person(socket);
        person.next();
        person
    }

    fn next(&mut self) -> String {
        match self.0.read().expect("a frame comes") {
            Message::Text(text) => text.to_string(),
            other => panic!("not text: {other:?}"),
        }
    }

    fn next_ones(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.next()).collect()
    }
}

fn to_room(room: &str, operation: i32, body: &str) -> PushMsg {
    PushMsg {
        type_: Type::ROOM.into(),
        operation,
        room: room.into(),
        msg: body.to_owned().into_bytes().into(),
        ..Default::default()
    }
}

fn to_users(server: &str, keys: &[&str], operation: i32, body: &str) -> PushMsg {
    PushMsg {
        type_: Type::PUSH.into(),
        server: server.into(),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        room: String::new(),
        ..to_room("", operation, body)
    }
}

fn to_all(operation: i32, body: &str) -> PushMsg {
    PushMsg {
        type_: Type::BROADCAST.into(),
        ..to_room("", operation, body)
    }
}

fn job(topic: &Topic<'_>, comets: &str) -> JobCommand {
    let job = topic.configure_for(JobCommand::new(), comets);
    job.flag("--dialect", "goim").log_level("WARN")
}

on_each_kafka!(every_kind);

fn every_kind(kafka: &Kafka) {
    let topic = Topic::new(kafka, 1);
    let (here, there) = (Goim::start(), Goim::start());
    let mut user = Person::at(&here, "key=u1&room=live://1&accept=1000");
    let mut deaf = Person::at(&here, "key=u2&room=live://1&accept=7");
    let mut far = Person::at(&there, "key=u1&room=live://1&accept=1000");
    let at = |comet: &Goim| comet.comet.grpc.clone();
    topic.produce([
        to_users(&at(&here), &["u1", "u2"], 1000, "push here"),
        to_users(&at(&there), &["u1"], 1000, "push there"),
        to_users("comet-9", &["u1"], 1000, "push nowhere"),
        to_all(1000, "to all"),
        to_all(0, "to all, operation 0"),
        to_room("live://1", 1000, "to the room"),
        to_room("live://1", 9, "raw to the room"),
        to_room("live://1", 1000, "the end"),
    ]);
    let mut job = job(&topic, &format!("{},{}", at(&here), at(&there))).start();
    topic.await_no_lag();
    let letters = topic.await_dead_letters(1);
    job.stop();

    // A room's messages and the others have no order among themselves.
    let sorted = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let room = ["raw to the room", "the end", "to the room"];
    let own = |push| {
        sorted(
            [&room[..], &[push, "to all"]]
                .concat()
                .iter()
                .map(|text| (*text).to_owned())
                .collect(),
        )
    };
    assert_eq!(sorted(user.next_ones(5)), own("push here"));
    assert_eq!(sorted(far.next_ones(5)), own("push there"));
    assert_eq!(sorted(deaf.next_ones(3)), room);
    assert_eq!(here.called("PushMsg"), ["u1", "u2"]);
    let why = letters[&(0, 2)].header_str("job.error").expect("a reason");
    assert!(
        why.contains("the server comet-9, which isn't in the fleet"),
        "{why}"
    );
}

#[test]
fn a_message_for_an_unknown_server_goes_to_all_where_that_is_wanted() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comets = [Goim::start(), Goim::start()];
    let mut people = [0, 1].map(|n| Person::at(&comets[n], "key=u1&accept=4"));
    topic.produce([to_users("comet-9", &["u1"], 4, "hello")]);
    let addresses = format!("{},{}", comets[0].comet.grpc, comets[1].comet.grpc);
    let job = job(&topic, &addresses).flag("--push-unknown-server", "all");
    let mut job = job.start();
    for person in &mut people {
        assert_eq!(person.next(), "hello");
    }
    topic.await_no_lag();
    job.stop();
}

#[test]
fn a_rooms_messages_go_together_and_keep_their_order() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let goim = Goim::start();
    let mut person = Person::at(&goim, "room=live://1");
    let text = |n: usize| format!("message {n}");
    // Of two operations, as goim's own job would merge them.
    topic.produce((0..400).map(|n| to_room("live://1", 1000 + (n % 2) as i32, &text(n))));
    let job = job(&topic, &goim.comet.grpc).flag("--coalesce", "goim");
    let mut job = job.start();
    assert_eq!(
        person.next_ones(400),
        (0..400).map(text).collect::<Vec<_>>()
    );
    topic.await_no_lag();
    job.stop();
    let calls = goim.called("BroadcastRoom").len();
    assert!((20..400).contains(&calls), "{calls} calls");
}

#[test]
fn who_is_too_slow_loses_the_message_and_the_others_get_it_once() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let goim = Goim::start();
    goim.fault(r#"{"full": ["u2", "u9"]}"#);
    let mut people =
        ["u1", "u2", "u3"].map(|key| Person::at(&goim, &format!("key={key}&accept=4")));
    let server = goim.comet.grpc.clone();
    topic.produce([
        to_users(&server, &["u1", "u2", "u3"], 4, "slow in between"),
        to_users(&server, &["u9"], 4, "slow and alone"),
    ]);
    let mut job = job(&topic, &server)
        .log_level("INFO")
        .flag("--http", "127.0.0.1:0")
        .start();
    let pages = Pages::of(&mut job);
    topic.await_no_lag();
    // One of the two: the same is said once a second.
    let line = job.await_line(&["dropped a message for user u", "signal channel full"]);
    assert!(line.contains("WARN"), "{line}");
    pages.await_metrics("both are counted", |numbers| {
        numbers.sum("job_dropped_total", &[]) == 2.0
    });
    assert_eq!(topic.dead_letters(), 0);

    // What comes after that is the next thing that each of them gets.
    goim.fault("{}");
    topic.produce([to_users(&server, &["u1", "u2", "u3"], 4, "after")]);
    topic.await_no_lag();
    job.stop();
    let [one, slow, three] = &mut people;
    for person in [one, three] {
        assert_eq!(person.next_ones(2), ["slow in between", "after"]);
    }
    assert_eq!(slow.next(), "after");
    let mut called = goim.called("PushMsg");
    called.sort();
    assert_eq!(called, ["u1", "u1", "u2", "u2", "u3", "u3", "u9"]);
}

#[test]
fn what_goims_comet_refuses_becomes_a_dead_letter_at_once() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let goim = Goim::start();
    let server = goim.comet.grpc.clone();
    let messages = [
        ("rpc pushmsg arg error", to_users(&server, &["u1"], 4, "a")),
        ("rpc broadcast arg error", to_all(4, "b")),
        ("rpc broadcast  room arg error", to_room("r", 4, "c")),
    ];
    let mut job = job(&topic, &server).start();
    for (count, (text, message)) in (1..).zip(messages) {
        goim.fault(&format!(r#"{{"status": 2, "text": "{text}"}}"#));
        topic.produce([message]);
        let letters = topic.await_dead_letters(count);
        let letter = letters.values().last().expect("a letter");
        let why = letter.header_str("job.error").expect("a reason");
        assert!(why.contains(text), "{why}");
    }
    topic.await_no_lag();
    job.stop();
    let calls = ["PushMsg", "Broadcast", "BroadcastRoom"].map(|rpc| goim.called(rpc).len());
    assert_eq!(calls, [1, 1, 1], "none is called again");
}

#[test]
fn another_error_of_goims_comet_is_tried_again() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let goim = Goim::start();
    let mut person = Person::at(&goim, "key=u1&accept=4");
    goim.fault(r#"{"status": 2, "text": "logic rpc is not available"}"#);
    topic.produce([to_users(&goim.comet.grpc, &["u1"], 4, "hello")]);
    let mut job = job(&topic, &goim.comet.grpc).start();
    job.await_line(&["RPC failed: 2-UNKNOWN logic rpc is not available"]);
    goim.fault("{}");
    assert_eq!(person.next(), "hello");
    topic.await_no_lag();
    job.stop();
}
