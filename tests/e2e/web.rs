//! The page in a real browser, and the whole way to it: `job send`, Kafka, job, dev-comet, WebSocket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use chatroom_job::comet::methods;
use chatroom_job::message::proto::comet::BroadcastRoomReq;
use chatroom_job::message::proto::protocol::Proto;
use chatroom_job::message::proto::push::{PushMsg, push_msg::Type};
use grpcio::{CallOption, ChannelBuilder, Client, EnvBuilder};
use protobuf::MessageField;
use serde_json::json;

use crate::support::browser::Browser;
use crate::support::dev_comet::{DevComet, PATIENCE};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::topic::Topic;

/// What the page is fed by.
trait Chat {
    /// Delivers a chat message to a room.
    fn deliver_by(&self, sender: &str, room: &str, text: &str);

    fn deliver(&self, room: &str, text: &str) {
        self.deliver_by("job", room, text);
    }
}

/// The whole way, as the demo's.
struct ThroughJob {
    topic: Topic<'static>,
    _job: Job,
}

impl ThroughJob {
    fn new(comet: &DevComet) -> ThroughJob {
        let topic = Topic::new(shared(Version::V3_9_1), 4);
        let job = topic.configure_for(JobCommand::new(), &comet.grpc).start();
        ThroughJob { topic, _job: job }
    }

    /// Delivers any body to a room.
    fn deliver_raw(&self, room: &str, body: Vec<u8>) {
        self.topic.produce([PushMsg {
            type_: Type::ROOM.into(),
            room: room.to_owned(),
            msg: body.into(),
            ..Default::default()
        }]);
    }
}

impl Chat for ThroughJob {
    fn deliver_by(&self, sender: &str, room: &str, text: &str) {
        let send = JobCommand::send(&self.topic.kafka.address(), &self.topic.name);
        let mut send = send
            .args(&["--chat", "--user", sender, "--room", room, "--", text])
            .start();
        assert!(send.await_exit().success(), "{:#?}", send.log());
    }
}

/// Calls of the test's own.
struct Direct {
    caller: Client,
}

impl Direct {
    fn new(comet: &DevComet) -> Direct {
        let env = Arc::new(EnvBuilder::new().cq_count(1).build());
        let channel = ChannelBuilder::new(env).connect(&comet.grpc);
        Direct {
            caller: Client::new(channel),
        }
    }
}

impl Chat for Direct {
    fn deliver_by(&self, sender: &str, room: &str, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let millis = now.as_millis() as u64;
        let body = json!({"type": "serverMessages", "payload": {"roomId": room, "messages": [
            {"id": "1", "content": text, "user": {"id": 1, "username": sender}, "timestamp": millis},
        ]}});
        let mut proto = Proto::new();
        proto.ver = 1;
        proto.op = 4;
        proto.body = body.to_string().into_bytes().into();
        let mut req = BroadcastRoomReq::new();
        req.roomID = room.to_owned();
        req.proto = MessageField::some(proto);
        let in_time = CallOption::default().timeout(PATIENCE);
        self.caller
            .unary_call(&methods::BROADCAST_ROOM, &req, in_time)
            .expect("BroadcastRoom");
    }
}

fn join(browser: &mut Browser, comet: &DevComet, room: &str, rooms: u64) {
    browser.click("#room");
    browser.type_text(room);
    browser.click("#join");
    comet.await_stats("the join", |stats| stats["rooms"] == rooms);
}

fn await_text(browser: &mut Browser, selector: &str, text: &str) {
    browser.await_true(
        &format!("{text:?} in {selector}"),
        &format!(
            "[...document.querySelectorAll({selector:?})].some((e) => e.textContent.includes({}))",
            json!(text)
        ),
    );
}

fn await_count(browser: &mut Browser, count: &str) {
    let now = format!("document.getElementById('count').textContent === {count:?}");
    browser.await_true(&format!("a count of {count}"), &now);
}

fn await_state(browser: &mut Browser, state: &str) {
    let now = format!("document.getElementById('state').dataset.state === {state:?}");
    browser.await_true(state, &now);
}

/// `docs/page.png` where it is missing or asked for, else a place that no one minds.
fn screenshot_path() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = root.join("docs/page.png");
    let wanted = std::env::var_os("UPDATE_SCREENSHOT").is_some_and(|value| value == "1");
    if wanted || !docs.exists() {
        docs
    } else {
        other_screenshot("page.png")
    }
}

fn other_screenshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[test]
fn one_joins_a_room_and_sees_messages_arrive() {
    let comet = DevComet::start();
    let chat = ThroughJob::new(&comet);
    let mut browser = Browser::start();
    browser.look(1180, 700, false);
    browser.open(&format!("http://{}/", comet.web));
    await_state(&mut browser, "connected");
    browser.screenshot(&other_screenshot("page-empty.png"));
    join(&mut browser, &comet, "r1", 1);
    join(&mut browser, &comet, "聊天室", 2);

    chat.deliver("r1", "hello");
    await_text(&mut browser, "#messages .said", "hello");
    await_text(&mut browser, "#messages .room", "r1");
    await_text(&mut browser, "#raw", r#""type":"serverMessages""#);

    chat.deliver_by("陈晓", "聊天室", "大家好，今晚八点的直播别忘了！");
    await_text(&mut browser, "#messages b", "陈晓");
    // What looks like HTML is text like any other.
    chat.deliver_by("Mallory", "r1", "<img src=x onerror=alert(1)> is only text");
    await_text(
        &mut browser,
        "#messages .said",
        "<img src=x onerror=alert(1)>",
    );
    assert_eq!(
        browser.eval("document.querySelectorAll('img, iframe').length"),
        0
    );

    // Bodies that aren't the web's: plain text, other JSON, and bytes.
    chat.deliver_raw("r1", b"just a line of text\x1b".to_vec());
    await_text(
        &mut browser,
        "#messages .said.raw",
        r"just a line of text\u001b",
    );
    chat.deliver_raw(
        "r1",
        br#"{"type":"other","payload":{"messages":"none"}}"#.to_vec(),
    );
    await_text(&mut browser, "#messages .said.raw", r#"{"type":"other""#);
    chat.deliver_raw("聊天室", b"\x00\xff\xfe chat \x80".to_vec());
    await_text(&mut browser, "#raw", r"\x00\xff\xfe chat \x80");
    await_text(&mut browser, "#about", "binary, 10 bytes");

    chat.deliver_by(
        "李雷",
        "聊天室",
        "收到！我把讲稿放在群文件里了，第 3 节还有几处要改。",
    );
    chat.deliver_by("Ada", "r1", "Seen from both rooms, in order. 顺序正确。");
    await_count(&mut browser, "8");
    browser.screenshot(&screenshot_path());
    browser.look(1180, 700, true);
    browser.screenshot(&other_screenshot("page-dark.png"));
    for (width, dark) in [(360, false), (360, true), (760, false)] {
        browser.look(width, 780, dark);
        assert_eq!(
            browser.eval("document.documentElement.scrollWidth <= innerWidth"),
            true,
            "the page is wider than {width} pixels"
        );
        let scheme = if dark { "dark" } else { "light" };
        browser.screenshot(&other_screenshot(&format!("page-{width}-{scheme}.png")));
    }

    // Any message's frame can be seen, and the latest again.
    browser.look(1180, 700, false);
    browser.click("#messages li");
    await_text(&mut browser, "#about", "chosen");
    await_text(&mut browser, "#raw", r#""content":"hello""#);
    browser.click("#latest");
    await_text(&mut browser, "#about", "latest");
    await_text(&mut browser, "#raw", r#""username":"Ada""#);

    // Who leaves a room gets nothing from it.
    browser.click("#joined button");
    comet.await_stats("leaving r1", |stats| stats["rooms"] == 1);
    chat.deliver("r1", "nobody hears this");
    chat.deliver("聊天室", "but this");
    await_text(&mut browser, "#messages .said", "but this");
    await_count(&mut browser, "9");

    // Messages that share a frame are counted each.
    let shared = json!({"type": "serverMessages", "payload": {"roomId": "聊天室", "messages": [
        {"id": "1", "content": "one", "user": {"id": 1, "username": "a"}, "timestamp": 1_700_000_000_000u64},
        {"id": "2", "content": "two", "user": {"id": 2, "username": "b"}, "timestamp": 1_700_000_000_001u64},
    ]}});
    chat.deliver_raw("聊天室", shared.to_string().into_bytes());
    await_text(&mut browser, "#messages .said", "two");
    await_count(&mut browser, "11");
    await_text(&mut browser, "#frames", "in 10 frames");

    // The list follows what comes, unless one has scrolled up.
    for i in 0..30 {
        chat.deliver("聊天室", &format!("line {i}"));
    }
    await_count(&mut browser, "41");
    let at_end = "(() => { const e = document.getElementById('messages');
        return e.scrollHeight - e.scrollTop - e.clientHeight < 2; })()";
    browser.await_true("the end of the list", at_end);
    browser.eval("document.getElementById('messages').scrollTop = 0");
    browser.await_true("the way back", "!document.getElementById('newest').hidden");
    chat.deliver("聊天室", "further down");
    await_count(&mut browser, "42");
    let scrolled = browser.eval("document.getElementById('messages').scrollTop");
    assert_eq!(scrolled, 0);
    browser.click("#newest");
    browser.await_true("the end of the list", at_end);

    browser.click("#clear");
    await_count(&mut browser, "0");
}

#[test]
fn it_comes_back_by_itself_and_keeps_the_last_500() {
    let comet = DevComet::start();
    let (grpc, web) = (comet.grpc.clone(), comet.web.clone());
    let mut browser = Browser::start();
    browser.look(1180, 700, false);
    browser.open(&format!("http://{web}/?room=r1&room=r2"));
    comet.await_stats("two rooms", |stats| stats["rooms"] == 2);
    let chat = Direct::new(&comet);
    for i in 1..=600 {
        chat.deliver("r2", &format!("number {i}"));
    }
    await_text(&mut browser, "#messages .said", "number 600");
    let rows = "[...document.querySelectorAll('#messages .said')].map((e) => e.textContent)";
    let expected: Vec<_> = (101..=600).map(|i| format!("number {i}")).collect();
    assert_eq!(browser.eval(rows), json!(expected));
    await_count(&mut browser, "600");

    drop(comet);
    await_state(&mut browser, "lost");
    browser.screenshot(&other_screenshot("page-lost.png"));
    let comet = DevComet::start_on(&grpc, &web);
    await_state(&mut browser, "connected");
    comet.await_stats("two rooms again", |stats| stats["rooms"] == 2);
    Direct::new(&comet).deliver("r1", "back again");
    await_text(&mut browser, "#messages .said", "back again");
    await_text(&mut browser, "#messages .gap", "connection was lost");
    browser.screenshot(&other_screenshot("page-back.png"));
}
