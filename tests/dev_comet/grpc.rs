//! dev-comet's gRPC as it stands on the wire, seen by an HTTP/2 client that knows nothing of gRPC.

use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Request};
use protobuf::Message as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream as Socket;

use super::*;

/// What came back for a request.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    /// The call's status and its text, wherever they stand.
    pub fn ended(&self) -> (i32, &str) {
        let place = self.trailers.as_ref().unwrap_or(&self.headers);
        let text = |name| {
            place
                .get(name)
                .map_or("", |text| text.to_str().expect("text"))
        };
        (
            text("grpc-status").parse().expect("a number"),
            text("grpc-message"),
        )
    }
}

pub type Calls = SendRequest<Bytes>;

/// Speaks HTTP/2 over this connection.
pub async fn greet(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Calls {
    let (calls, connection) = client::handshake(io).await.expect("it speaks HTTP/2");
    tokio::spawn(async move { drop(connection.await) });
    calls
}

async fn connect(comet: &DevComet) -> Calls {
    greet(Socket::connect(&comet.grpc).await.expect("it listens")).await
}

pub fn post(path: &str) -> http::request::Builder {
    Request::post(format!("http://comet{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

async fn begin(calls: &Calls, head: http::request::Builder) -> (ResponseFuture, SendStream<Bytes>) {
    let mut calls = calls.clone().ready().await.expect("it takes calls");
    let head = head.body(()).expect("a request");
    calls.send_request(head, false).expect("it is sent")
}

async fn read(response: ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let (mut bytes, mut trailers) = (Vec::new(), None);
    if !body.is_end_stream() {
        while let Some(piece) = body.data().await {
            bytes.extend_from_slice(&piece?);
        }
        trailers = body.trailers().await?;
    }
    Ok(Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: bytes,
        trailers,
    })
}

/// Sends this request as a whole.
pub async fn ask(calls: &Calls, head: http::request::Builder, body: &[u8]) -> Reply {
    let (response, mut stream) = begin(calls, head).await;
    stream
        .send_data(Bytes::copy_from_slice(body), true)
        .expect("it is sent");
    let answered = tokio::time::timeout(PATIENCE, read(response)).await;
    answered.expect("an answer in time").expect("an answer")
}

pub fn framed(message: &impl protobuf::Message) -> Vec<u8> {
    let message = message.write_to_bytes().expect("it can be written");
    let length = u32::try_from(message.len()).expect("it is short");
    [&[0], &length.to_be_bytes()[..], &message].concat()
}

pub fn to_room(body: &'static str) -> Vec<u8> {
    let mut req = BroadcastRoomReq::new();
    req.roomID = "r1".into();
    req.proto = proto(body);
    framed(&req)
}

const ROOM: &str = "/ChatRoom.Comet.Comet/BroadcastRoom";
const ROOMS: &str = "/ChatRoom.Comet.Comet/Rooms";

fn with_faults() -> DevComet {
    DevComet::start_with(&[
        "--listen",
        "127.0.0.1:0",
        "--web",
        "127.0.0.1:0",
        "--faults",
    ])
}

#[tokio::test]
async fn a_call_that_goes_well_has_a_message_and_then_its_status() {
    let comet = DevComet::start();
    let calls = connect(&comet).await;
    let mut person = Person::join(&comet, "room=r1");
    let reply = ask(&calls, post(ROOM), &to_room("hello")).await;
    assert_eq!(person.text(), "hello");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(reply.body, [0; 5], "an empty message");
    assert!(reply.trailers.is_some(), "{reply:?}");
    assert_eq!(reply.ended(), (0, ""));

    let reply = ask(&calls, post(ROOMS), &[0; 5]).await;
    let rooms = chatroom_job::message::proto::comet::RoomsReply::parse_from_bytes(&reply.body[5..]);
    assert!(rooms.expect("a reply").rooms["r1"]);
    assert_eq!(reply.body[..5], [0, 0, 0, 0, reply.body.len() as u8 - 5]);
}

#[tokio::test]
async fn what_is_wrong_with_a_call_is_said_in_its_only_headers() {
    let comet = DevComet::start();
    let calls = connect(&comet).await;
    let good = to_room("hello");
    let compressed = [&[1], &good[1..]].concat();
    let twice = [&good[..], &good].concat();
    let cut = &good[..good.len() - 1];
    let nonsense = [0, 0, 0, 0, 2, 0xff, 0xff];
    let without_proto = framed(&BroadcastRoomReq::new());
    for (path, body, code, text) in [
        ("/ChatRoom.Comet.Comet/Shout%", &good[..], 12, "Shout%25"),
        ("/", &good, 12, "no method"),
        (ROOM, &compressed, 12, "compressed"),
        (ROOM, &twice, 12, "one message"),
        (ROOM, &[], 12, "one message"),
        (ROOM, cut, 13, "ended after"),
        (ROOM, &nonsense, 13, "can't be read"),
        (ROOM, &without_proto, 3, "no proto"),
    ] {
        let reply = ask(&calls, post(path), body).await;
        assert_eq!(reply.status, 200);
        assert!(
            reply.trailers.is_none() && reply.body.is_empty(),
            "{reply:?}"
        );
        assert_eq!(reply.headers["content-type"], "application/grpc");
        assert_eq!(reply.headers["grpc-accept-encoding"], "identity");
        assert_eq!(reply.ended().0, code, "{reply:?}");
        assert!(reply.ended().1.contains(text), "{reply:?}");
    }
    let head = post(ROOM).header("grpc-timeout", "soon");
    assert_eq!(ask(&calls, head, &good).await.ended().0, 13);
    assert_eq!(comet.stats()["bodies"], 0, "nothing was passed on");
    assert_eq!(ask(&calls, post(ROOM), &good).await.ended(), (0, ""));
}

#[tokio::test]
async fn what_is_not_grpc_is_refused_as_http_does_it() {
    let comet = DevComet::start();
    let calls = connect(&comet).await;
    let get = Request::get(format!("http://comet{ROOM}"));
    let reply = ask(&calls, get.header("content-type", "application/grpc"), b"").await;
    assert_eq!(
        (reply.status, &reply.headers["allow"]),
        (405, &"POST".parse().unwrap())
    );
    for (kind, status) in [
        ("application/json", 415),
        ("application/grpc-web", 415),
        ("application/grpc+proto", 200),
        ("application/grpc; charset=utf-8", 200),
    ] {
        let head = Request::post(format!("http://comet{ROOM}")).header("content-type", kind);
        let reply = ask(&calls, head, &to_room("a")).await;
        assert_eq!(reply.status, status, "{kind}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_long_is_refused_before_it_is_there() {
    let comet = DevComet::start();
    let calls = connect(&comet).await;
    let (response, mut stream) = begin(&calls, post(ROOM)).await;
    let prefix = [&[0], &((32_u32 << 20) + 1).to_be_bytes()[..]].concat();
    stream.send_data(prefix.into(), false).expect("it is sent");
    let reply = read(response).await.expect("an answer");
    assert_eq!(reply.ended().0, 8, "{reply:?}");
    assert!(reply.ended().1.contains("33554433 bytes"), "{reply:?}");
    // It may stop sending, which is no fault.
    let stopped = std::future::poll_fn(|context| stream.poll_reset(context)).await;
    assert_eq!(stopped.expect("it is told"), Reason::NO_ERROR);
}

#[tokio::test]
async fn a_call_ends_with_its_time_and_with_the_fault_that_held_it() {
    let comet = with_faults();
    let calls = connect(&comet).await;
    comet.request("POST", "/fault", r#"{"hang":true}"#);
    let head = post(ROOM).header("grpc-timeout", "50m");
    assert_eq!(ask(&calls, head, &to_room("a")).await.ended().0, 4);
    let (response, mut stream) = begin(&calls, post(ROOM)).await;
    stream
        .send_data(to_room("b").into(), true)
        .expect("it is sent");
    // A call that isn't held comes back, so that one is there by then.
    assert_eq!(ask(&calls, post("/no"), &[0; 5]).await.ended().0, 12);
    comet.request("POST", "/fault", "{}");
    assert_eq!(read(response).await.expect("an answer").ended().0, 1);
    comet.request("POST", "/fault", r#"{"delay_ms":50}"#);
    assert_eq!(ask(&calls, post(ROOM), &to_room("c")).await.ended().0, 0);
    assert_eq!(comet.stats()["bodies"], 1);
}

#[tokio::test]
async fn a_stop_ends_behind_the_calls_under_way() {
    let mut comet = with_faults();
    let calls = connect(&comet).await;
    comet.request("POST", "/fault", r#"{"delay_ms":300}"#);
    let (response, mut stream) = begin(&calls, post(ROOM)).await;
    stream
        .send_data(to_room("a").into(), true)
        .expect("it is sent");
    assert_eq!(ask(&calls, post("/no"), &[0; 5]).await.ended().0, 12);
    let pid = i32::try_from(comet.process.id()).expect("a number");
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
    assert_eq!(read(response).await.expect("an answer").ended().0, 0);
    assert!(comet.process.wait().expect("it ends").success());
    assert!(calls.ready().await.is_err(), "it takes no more calls");
}

#[tokio::test]
async fn many_calls_at_once_are_each_answered() {
    let comet = DevComet::start();
    let calls = connect(&comet).await;
    let mut person = Person::join(&comet, "room=r1");
    // The client takes only so many answers that nobody has read.
    for _ in 0..5 {
        let mut open = Vec::new();
        for _ in 0..100 {
            let (response, mut stream) = begin(&calls, post(ROOM)).await;
            let request = to_room("x").into();
            stream.send_data(request, true).expect("it is sent");
            open.push(response);
        }
        for response in open {
            assert_eq!(read(response).await.expect("an answer").ended(), (0, ""));
        }
    }
    for _ in 0..500 {
        assert_eq!(person.text(), "x");
    }
    assert_eq!(comet.stats()["bodies"], 500);
}
