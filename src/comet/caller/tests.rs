//! The lean client against gRPC's own server, as it is in a Comet written in C++.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::{
    ChannelBuilder, EnvBuilder, Environment, RpcContext, RpcStatus, RpcStatusCode, Server,
    ServerBuilder, ServerCredentials, ServiceBuilder, UnarySink,
};
use protobuf::Message;

use super::lean::{Address, By, Call, Config, Event, Finished, LinkId, Links};
use crate::comet::methods;
use crate::message::proto::comet::{PushMsgReply, PushMsgReq, RoomsReply, RoomsReq};
use crate::message::proto::protocol::Proto;

const PATIENCE: Duration = Duration::from_secs(30);
const ROOMS: usize = 20_000;

/// Knows no key that is divisible by 5.
fn push_msg(context: RpcContext<'_>, request: PushMsgReq, answer: UnarySink<PushMsgReply>) {
    let key: usize = request.keys[0].parse().expect("a number");
    assert_eq!(request.proto.body.len(), length(key));
    if key.is_multiple_of(5) {
        let status = RpcStatus::with_message(RpcStatusCode::NOT_FOUND, format!("no key {key}\n"));
        let failed = answer.fail(status);
        context.spawn(async move { drop(failed.await) });
    } else {
        let answered = answer.success(PushMsgReply::new());
        context.spawn(async move { drop(answered.await) });
    }
}

fn rooms(context: RpcContext<'_>, _: RoomsReq, answer: UnarySink<RoomsReply>) {
    let mut reply = RoomsReply::new();
    for room in 0..ROOMS {
        reply
            .rooms
            .insert(format!("a room of a rather long name {room}"), true);
    }
    let answered = answer.success(reply);
    context.spawn(async move { drop(answered.await) });
}

fn length(key: usize) -> usize {
    [0, 256, 20_000, 200_000][key % 4]
}

fn serve(streams: i32) -> (Server, Address, Arc<Environment>) {
    let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
    let service = ServiceBuilder::new()
        .add_unary_handler(&methods::PUSH_MSG, push_msg)
        .add_unary_handler(&methods::ROOMS, rooms)
        .build();
    let arguments = ChannelBuilder::new(environment.clone())
        .max_concurrent_stream(streams)
        .build_args();
    let mut server = ServerBuilder::new(environment.clone())
        .register_service(service)
        .channel_args(arguments)
        .build()
        .expect("a server");
    let port = server.add_listening_port("127.0.0.1:0", ServerCredentials::insecure());
    server.start();
    let address = format!("127.0.0.1:{}", port.expect("a free port"));
    (
        server,
        Address::Tcp(address.parse().expect("an address")),
        environment,
    )
}

struct Client {
    links: Links,
    link: LinkId,
    ended: BTreeMap<u64, Finished>,
}

impl Client {
    fn new(address: &Address) -> Self {
        let config = Config {
            authority: address.to_string(),
            user_agent: "job/1".into(),
            max_answer: 4 << 20,
            greeted_within: PATIENCE,
            ask_after: Duration::from_secs(5),
            answer_within: Duration::from_secs(5),
            tls: None,
        };
        let mut links = Links::new().expect("a poller");
        let link = links.open(vec![address.clone()], config, Instant::now());
        Self {
            links,
            link,
            ended: BTreeMap::new(),
        }
    }

    fn call(&mut self, tag: usize, path: &str, request: &impl Message) {
        let call = Call {
            tag: tag as u64,
            path,
            within: PATIENCE,
        };
        let made = self.links.call(self.link, call, Instant::now(), |out| {
            request.write_to_vec(out).expect("it can be written");
        });
        made.expect("the connection is there");
    }

    fn push(&mut self, key: usize) {
        let request = PushMsgReq {
            keys: vec![key.to_string()],
            proto: Some(Proto {
                body: vec![7; length(key)].into(),
                ..Default::default()
            })
            .into(),
            ..Default::default()
        };
        self.call(key, methods::PUSH_MSG.name, &request);
    }

    fn until_ended(&mut self, count: usize) {
        let begin = Instant::now();
        while self.ended.len() < count {
            assert!(begin.elapsed() < PATIENCE, "it hangs");
            self.links
                .wait(Instant::now(), Some(PATIENCE))
                .expect("it can be polled");
            while let Some(event) = self.links.next_event() {
                if let Event::Finished(_, finished) = event {
                    let tag = finished.tag;
                    assert!(
                        self.ended.insert(tag, finished).is_none(),
                        "call {tag} ended twice"
                    );
                }
            }
        }
    }
}

#[test]
fn each_call_has_its_answer_from_grpcs_own_server() {
    const CALLS: usize = 300;
    for streams in [1, 10, 1_000] {
        let (_server, address, _environment) = serve(streams);
        let mut client = Client::new(&address);
        (0..CALLS).for_each(|key| client.push(key));
        client.until_ended(CALLS);
        for (tag, finished) in &client.ended {
            assert_eq!(finished.by, By::Server);
            if tag.is_multiple_of(5) {
                assert_eq!(
                    (finished.code, &*finished.text),
                    (5, format!("no key {tag}\n").as_str())
                );
            } else {
                assert_eq!((finished.code, &*finished.text), (0, ""));
            }
        }
    }
}

#[test]
fn a_large_answer_comes_whole_and_an_unknown_method_is_said_to_be() {
    let (_server, address, _environment) = serve(1_000);
    let mut client = Client::new(&address);
    for tag in 0..3 {
        client.call(tag, methods::ROOMS.name, &RoomsReq::new());
    }
    client.call(3, "/ChatRoom.Comet.Comet/Nothing", &RoomsReq::new());
    client.until_ended(4);
    for tag in 0..3 {
        let reply = RoomsReply::parse_from_bytes(&client.ended[&tag].body).expect("a reply");
        assert_eq!(reply.rooms.len(), ROOMS);
    }
    assert_eq!(client.ended[&3].code, 12);
}

#[test]
fn a_server_that_shuts_down_hands_back_or_finishes() {
    let (mut server, address, _environment) = serve(1_000);
    let mut client = Client::new(&address);
    client.push(1);
    client.until_ended(1);
    let shutdown = server.shutdown();
    for key in 2..100 {
        client.push(key);
    }
    client.until_ended(99);
    drop(shutdown);
    for finished in client.ended.values() {
        match finished.by {
            By::Server => assert!([0, 1, 5, 14].contains(&finished.code), "{finished:?}"),
            By::Unsent | By::Lost | By::Stopped | By::GivenUp => assert_eq!(finished.code, 14),
            By::Client => panic!("{finished:?}"),
        }
    }
}
