//! dev-comet as job and people meet it: the real binary, gRPC calls on one side, WebSockets on the other.

#[path = "e2e/support/dev_comet.rs"]
mod dev_comet;
#[path = "dev_comet/grpc.rs"]
mod grpc;
#[path = "dev_comet/look.rs"]
mod look;
#[path = "dev_comet/record.rs"]
mod record;
#[path = "dev_comet/sockets.rs"]
mod sockets;
#[path = "dev_comet/watch.rs"]
mod watch;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatroom_job::comet::methods;
use chatroom_job::message::proto::comet::{BroadcastReq, BroadcastRoomReq, PushMsgReq, RoomsReq};
use chatroom_job::message::proto::protocol::Proto;
use dev_comet::{DevComet, PATIENCE};
use grpcio::{CallOption, ChannelBuilder, Client, EnvBuilder, RpcStatusCode};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protobuf::MessageField;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// Calls a Comet as job does.
struct Caller(Client);

impl Caller {
    fn new(comet: &DevComet) -> Caller {
        let env = Arc::new(EnvBuilder::new().cq_count(1).build());
        let channel = ChannelBuilder::new(env)
            .max_send_message_len(-1)
            .connect(&comet.grpc);
        Caller(Client::new(channel))
    }

    fn push(&self, keys: &[&str], body: impl Into<Bytes>) {
        let mut req = PushMsgReq::new();
        req.keys = keys.iter().map(|key| key.to_string()).collect();
        req.proto = proto(body);
        self.0
            .unary_call(&methods::PUSH_MSG, &req, in_time())
            .expect("PushMsg");
    }

    fn broadcast(&self, body: impl Into<Bytes>) {
        let mut req = BroadcastReq::new();
        req.proto = proto(body);
        self.0
            .unary_call(&methods::BROADCAST, &req, in_time())
            .expect("Broadcast");
    }

    fn room(&self, room: &str, body: impl Into<Bytes>) {
        let mut req = BroadcastRoomReq::new();
        req.roomID = room.to_owned();
        req.proto = proto(body);
        self.0
            .unary_call(&methods::BROADCAST_ROOM, &req, in_time())
            .expect("BroadcastRoom");
    }

    fn rooms(&self) -> Vec<String> {
        let reply = self
            .0
            .unary_call(&methods::ROOMS, &RoomsReq::new(), in_time())
            .expect("Rooms");
        let mut rooms: Vec<_> = reply.rooms.into_iter().filter(|room| room.1).collect();
        rooms.sort();
        rooms.into_iter().map(|room| room.0).collect()
    }
}

fn proto(body: impl Into<Bytes>) -> MessageField<Proto> {
    let mut proto = Proto::new();
    proto.ver = 1;
    proto.op = 4;
    proto.body = body.into();
    MessageField::some(proto)
}

fn in_time() -> CallOption {
    CallOption::default().timeout(PATIENCE)
}

/// Somebody connected to a dev-comet.
struct Person {
    socket: WebSocket<TcpStream>,
}

impl Person {
    /// Connects with the query of `/ws`, and returns when the joins have been acknowledged.
    fn join(comet: &DevComet, query: &str) -> Person {
        let stream = TcpStream::connect(&comet.web).expect("connect to dev-comet");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a read timeout");
        let config = WebSocketConfig::default().max_frame_size(Some(64 << 20));
        let url = format!("ws://{}/ws?ack=1&{query}", comet.web);
        let (mut socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .expect("open the WebSocket");
        let ack = socket.read().expect("read the acknowledgement");
        assert!(
            ack.to_text()
                .is_ok_and(|ack| ack.starts_with(r#"{"joined":["#))
        );
        Person { socket }
    }

    /// The next frame.
    fn frame(&mut self) -> Message {
        self.socket.read().expect("a frame")
    }

    /// The next frame, which must be text.
    fn text(&mut self) -> String {
        match self.frame() {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("a text frame was due and {other:?} came"),
        }
    }
}

/// A frame that was sent to everybody comes next: nothing else came before it.
fn nothing_but(person: &mut Person, marker: &str) {
    assert_eq!(person.text(), marker);
}

#[test]
fn each_body_reaches_those_it_is_for() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let mut one = Person::join(&comet, "room=r1&room=r2&key=u1");
    let mut two = Person::join(&comet, "room=r2&key=u2&key=u3");
    caller.room("r1", "to r1");
    caller.room("r2", "to r2 聊天");
    caller.room("r3", "to nobody");
    caller.push(&["u2", "u3", "u4"], "to u2 and u3");
    caller.broadcast("to all");
    assert_eq!(one.text(), "to r1");
    assert_eq!(one.text(), "to r2 聊天");
    nothing_but(&mut one, "to all");
    assert_eq!(two.text(), "to r2 聊天");
    assert_eq!(two.text(), "to u2 and u3");
    nothing_but(&mut two, "to all");
}

#[test]
fn rooms_are_joined_and_left_by_text_frames() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let mut person = Person::join(&comet, "room=r1");
    assert_eq!(caller.rooms(), ["r1"]);
    for ask in [r#"{"join":"聊"}"#, r#"{"leave":"r1"}"#] {
        person.socket.send(Message::text(ask)).unwrap();
    }
    comet.await_stats("leaving r1", |_| caller.rooms() == ["聊"]);
    caller.room("r1", "left");
    caller.room("聊", "joined");
    assert_eq!(person.text(), "joined");
    drop(person);
    comet.await_stats("an empty Comet", |stats| stats["connections"] == 0);
    assert!(caller.rooms().is_empty());
}

#[test]
fn what_is_not_understood_is_said() {
    let comet = DevComet::start();
    let mut person = Person::join(&comet, "");
    person.socket.send(Message::text("hello?")).unwrap();
    match person.frame() {
        Message::Close(Some(close)) => {
            assert_eq!(close.code, CloseCode::Unsupported);
            assert!(close.reason.contains(r#"{"join":"room"}"#), "{close}");
        }
        other => panic!("a close frame was due and {other:?} came"),
    }
}

#[test]
fn bodies_pass_through_unchanged_whatever_they_are() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let mut person = Person::join(&comet, "room=r1");
    let binary: Vec<u8> = (0..=255).collect();
    caller.room("r1", binary.clone());
    assert_eq!(person.frame(), Message::binary(binary));
    caller.room("r1", "");
    assert_eq!(person.text(), "");
    caller.room("r1", "{\"a\":\r\n\t\"\u{0}\u{2028}\"}");
    assert_eq!(person.text(), "{\"a\":\r\n\t\"\u{0}\u{2028}\"}");
    for size in [1 << 20, 16 << 20] {
        let body: String = (0..size)
            .map(|i| char::from(b'a' + (i % 23) as u8))
            .collect();
        caller.room("r1", body.clone());
        assert!(person.text() == body, "{size} bytes changed on the way");
    }
}

#[test]
fn a_request_without_a_proto_is_refused() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let mut req = BroadcastRoomReq::new();
    req.roomID = "r1".to_owned();
    match caller
        .0
        .unary_call(&methods::BROADCAST_ROOM, &req, in_time())
    {
        Err(grpcio::Error::RpcFailure(status)) => {
            assert_eq!(status.code(), RpcStatusCode::INVALID_ARGUMENT);
        }
        other => panic!("a refusal was due and {other:?} came"),
    }
}

#[test]
fn a_room_s_order_holds_beside_other_rooms() {
    const MESSAGES: usize = 1000;
    let comet = DevComet::start();
    let mut person = Person::join(&comet, "room=r1&room=r2&room=r3");
    std::thread::scope(|scope| {
        for room in ["r1", "r2", "r3"] {
            let caller = Caller::new(&comet);
            scope.spawn(move || {
                for i in 0..MESSAGES {
                    caller.room(room, format!("{room} {i}"));
                }
            });
        }
        let mut next = [0; 3];
        for _ in 0..3 * MESSAGES {
            let text = person.text();
            let (room, i) = text.split_once(' ').unwrap();
            let room: usize = room[1..].parse().unwrap();
            assert_eq!(i.parse(), Ok(next[room - 1]), "{text}");
            next[room - 1] += 1;
        }
        assert_eq!(next, [MESSAGES; 3]);
    });
}

#[test]
fn who_reads_nothing_is_dropped_and_told_while_others_go_on() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let mut slow = Person::join(&comet, "room=r1");
    let mut quick = Person::join(&comet, "room=r1");
    let body = "x".repeat(8 << 20);
    let mut sent = 0;
    while comet.stats()["dropped"] == 0 {
        assert!(
            sent < 40,
            "{sent} frames of 8 MiB wait, and none is too many"
        );
        caller.room("r1", body.clone());
        assert!(quick.text() == body);
        sent += 1;
    }
    let close = loop {
        match slow.frame() {
            Message::Text(text) => assert!(*text == body),
            Message::Close(close) => break close.expect("a reason"),
            other => panic!("a frame or the end was due and {other:?} came"),
        }
    };
    assert_eq!(close.code, CloseCode::Policy);
    assert!(close.reason.starts_with("too slow"), "{close}");
    caller.room("r1", "still here");
    assert_eq!(quick.text(), "still here");
}

#[test]
fn the_page_and_the_counts_are_served() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let (head, page) = comet.get("/?room=r1");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/html; charset=utf-8"), "{head}");
    assert!(
        page.contains("trying and testing"),
        "the page says what it is"
    );
    assert!(page.contains("const SEND = \"job send\";"), "its hint");
    let told = DevComet::start_with(&[
        "--listen",
        "127.0.0.1:0",
        "--web",
        "127.0.0.1:0",
        "--send-command",
        "job send --brokers \"a\":1 </script>",
    ]);
    let (_, page) = told.get("/");
    assert!(
        page.contains("const SEND = \"job send --brokers \\\"a\\\":1 \\u003c/script>\";"),
        "what it was told"
    );
    assert!(comet.get("/nothing").0.starts_with("HTTP/1.1 404"));

    let _one = Person::join(&comet, "room=r1&room=r2");
    let _two = Person::join(&comet, "room=r1");
    caller.room("r1", "a");
    caller.room("r2", "b");
    caller.push(&["u1"], "c");
    caller.broadcast("d");
    caller.rooms();
    let expected = serde_json::json!({
        "calls": {"PushMsg": 1, "Broadcast": 1, "BroadcastRoom": 2, "Rooms": 1},
        "bodies": 4, "frames": 5, "connections": 2, "dropped": 0, "rooms": 2,
    });
    assert_eq!(comet.stats(), expected);
}

#[test]
fn a_signal_ends_it_well_and_says_goodbye() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut comet = DevComet::start();
        let mut person = Person::join(&comet, "room=r1");
        Caller::new(&comet).room("r1", "last");
        let pid = i32::try_from(comet.process.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        assert_eq!(person.text(), "last");
        match person.frame() {
            Message::Close(Some(close)) => assert_eq!(close.code, CloseCode::Away),
            other => panic!("a goodbye was due and {other:?} came"),
        }
        // The answer to the goodbye goes out with the next read.
        assert!(person.socket.read().is_err());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = comet.process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "dev-comet doesn't end");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let comet = DevComet::start();
    for (listen, web, taken) in [
        (comet.grpc.as_str(), "127.0.0.1:0", &comet.grpc),
        ("127.0.0.1:0", comet.web.as_str(), &comet.web),
        ("nonsense", "127.0.0.1:0", &"nonsense".to_owned()),
    ] {
        let second = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
            .args(["serve", "--listen", listen, "--web", web])
            .output()
            .unwrap();
        let error = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{error}");
        assert!(
            error.contains(taken) && error.lines().count() == 1,
            "{error}"
        );
    }
}
