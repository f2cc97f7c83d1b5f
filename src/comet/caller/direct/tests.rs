//! Against gRPC's own server, and against nobody.

mod one_stream;
mod shut;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use grpcio::{
    EnvBuilder, RpcContext, RpcStatus, RpcStatusCode, Server, ServerBuilder, ServerCredentials,
    ServiceBuilder, UnarySink,
};

use super::super::lean::Connection;
use super::*;
use crate::comet::caller::crashing::{crash_over_hello, part_over_hello};
use crate::comet::methods;
use crate::message::Dialect;
use crate::message::call::Frame;
use crate::message::proto::comet::{BroadcastRoomReply, BroadcastRoomReq, RoomsReply};

const PATIENCE: Duration = Duration::from_secs(30);
const COMET: CometId = CometId(0);

/// A Comet that knows every room but "nobody".
struct Comet {
    server: Server,
    calls: Arc<AtomicUsize>,
}

fn comet_at(address: &str) -> (Comet, String) {
    let calls: Arc<AtomicUsize> = Arc::default();
    let counted = calls.clone();
    let to_room = move |context: RpcContext<'_>,
                        request: BroadcastRoomReq,
                        answer: UnarySink<BroadcastRoomReply>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let answered = match request.roomID.as_str() {
            "nobody" => {
                let code = RpcStatusCode::NOT_FOUND;
                answer.fail(RpcStatus::with_message(code, "no room".into()))
            }
            _ => answer.success(BroadcastRoomReply::new()),
        };
        context.spawn(async move { drop(answered.await) });
    };
    let service = ServiceBuilder::new()
        .add_unary_handler(&methods::BROADCAST_ROOM, to_room)
        .add_unary_handler(&methods::ROOMS, |context: RpcContext<'_>, _, answer| {
            let answered = answer.success(RoomsReply::new());
            context.spawn(async move { drop(answered.await) });
        });
    let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
    let mut server = ServerBuilder::new(environment)
        .register_service(service.build())
        .build()
        .expect("a server");
    let port = server
        .add_listening_port(address, ServerCredentials::insecure())
        .expect("a free port");
    server.start();
    let (host, _) = address.rsplit_once(':').expect("host and port");
    (Comet { server, calls }, format!("{host}:{port}"))
}

const MANNER: Manner = Manner {
    dialect: Dialect::Chatroom,
    deadline: PATIENCE,
};

fn located(address: &str) -> Arc<Location> {
    Arc::new(Location::new(address.into(), || ()))
}

fn direct(addresses: &[&str]) -> Direct {
    let mut direct = Direct::new(MANNER, (None, None)).expect("a poller");
    for (comet, address) in (0..).map(CometId).zip(addresses) {
        direct.join(comet, located(address));
    }
    direct
}

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

fn to_room(room: &str) -> Call {
    Call::BroadcastRoom {
        room: room.into(),
        frame: Frame::new(4, "hello"),
    }
}

impl Direct {
    fn link_to(&self, comet: CometId) -> Option<LinkId> {
        self.peers.get(comet).expect("it is called").current()
    }

    fn start(&mut self, comet: CometId, id: usize, room: &str) {
        self.call(comet, id, &to_room(room), (0, &[]), Instant::now());
    }

    fn await_ended(&mut self) -> Ended {
        let begin = Instant::now();
        self.flush(begin);
        loop {
            if let Some(ended) = self.next_ended(Instant::now()) {
                return ended;
            }
            assert!(begin.elapsed() < PATIENCE, "it hangs");
            self.wait(|| true, Some(begin + PATIENCE))
                .expect("it polls");
        }
    }

    fn await_call(&mut self) -> (CometId, usize, Answer) {
        match self.await_ended() {
            Ended::Call {
                comet, id, answer, ..
            } => (comet, id, answer),
            Ended::Probe { .. } | Ended::Rooms { .. } => panic!("nobody asked"),
        }
    }
}

#[test]
fn calls_that_wait_for_an_address_that_the_comet_has_left_come_back() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its address").port();
    let location = located(&format!("comet.test:{port}"));
    location.moved(vec!["127.0.0.1".parse().expect("an address")]);
    let mut direct = direct(&[]);
    direct.join(COMET, location.clone());
    direct.start(COMET, 0, "r");
    direct.flush(Instant::now());
    let old = direct.link_to(COMET);
    let due = direct.look_at(COMET).expect("it is looked after");
    direct.look_after(COMET, due);
    assert_eq!(direct.link_to(COMET), old, "it is still there");
    let due = direct.look_at(COMET).expect("it is looked after again");
    location.moved(vec!["127.0.0.2".parse().expect("an address")]);
    direct.look_after(COMET, due);
    let Ended::Call { answer, .. } = direct.await_ended() else {
        panic!("it is the call's end");
    };
    let status = answer.expect_err("it was not taken");
    assert!(
        status.code == UNAVAILABLE && status.text.contains("at another address now"),
        "{status:?}"
    );
    assert_eq!(direct.link_to(COMET), None);
}

#[test]
fn each_call_has_the_answer_of_its_own_comet() {
    let (first, second) = (comet_at("127.0.0.1:0"), comet_at("127.0.0.1:0"));
    let mut direct = direct(&[&first.1, &second.1]);
    for id in 0..10 {
        direct.start(COMET, id, "r");
        direct.start(CometId(1), id, if id == 3 { "nobody" } else { "r" });
    }
    for _ in 0..20 {
        let (comet, id, answer) = direct.await_call();
        match answer {
            Ok(()) => assert!(comet == COMET || id != 3),
            Err(status) => {
                assert_eq!((comet, id, status.code), (CometId(1), 3, 5));
                assert!(status.text == "no room" && !status.broke, "{status:?}");
            }
        }
    }
    for comet in [&first.0, &second.0] {
        assert_eq!(comet.calls.load(Ordering::Relaxed), 10);
    }
    direct.probe(COMET, Instant::now());
    let ended = direct.await_ended();
    assert!(
        matches!(&ended, Ended::Probe { comet, answer: Ok(()) } if *comet == COMET),
        "{ended:?}"
    );
}

#[test]
fn where_nobody_is_calls_end_at_once_until_the_next_attempt() {
    let address = nobody();
    let mut direct = direct(&[&address]);
    direct.start(COMET, 1, "r");
    let (_, _, answer) = direct.await_call();
    let status = answer.expect_err("nobody is there");
    assert_eq!((status.code, status.broke), (UNAVAILABLE, false));
    assert!(status.text.contains("Connection refused"), "{status:?}");
    // The end of the connection is heard, too.
    assert!(direct.next_ended(Instant::now()).is_none());
    assert!(direct.link_to(COMET).is_none());

    let now = Instant::now();
    direct.call(COMET, 2, &to_room("r"), (0, &[]), now);
    assert!(direct.link_to(COMET).is_none(), "it is too early");
    let (_, id, answer) = direct.await_call();
    assert_eq!((id, answer.expect_err("nobody is there").code), (2, 14));

    let (_comet, _) = comet_at(&address);
    direct.call(
        COMET,
        3,
        &to_room("r"),
        (0, &[]),
        now + Duration::from_secs(1),
    );
    assert!(direct.link_to(COMET).is_some(), "it is time");
    assert_eq!(direct.await_call(), (COMET, 3, Ok(())));
}

#[test]
fn a_comet_that_crashes_over_a_call_broke_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let comet = thread::spawn(move || crash_over_hello(&listener));
    let mut direct = direct(&[&address]);
    direct.start(COMET, 1, "r");
    let status = direct.await_call().2.expect_err("it crashed");
    assert_eq!((status.code, status.broke), (UNAVAILABLE, true));
    comet.join().expect("it crashed as it should");
}

#[test]
fn a_comet_that_stops_on_purpose_broke_no_call() {
    // NO_ERROR, INTERNAL_ERROR, ENHANCE_YOUR_CALM.
    for (code, broke) in [(0, false), (2, true), (11, true)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let comet = thread::spawn(move || part_over_hello(&listener, code));
        let mut direct = direct(&[&address]);
        direct.start(COMET, 1, "r");
        let status = direct.await_call().2.expect_err("it stopped");
        assert_eq!((status.code, status.broke), (UNAVAILABLE, broke), "{code}");
        assert!(status.text.contains("goodbye"), "{status:?}");
        comet.join().expect("it stopped as it should");
    }
}

#[test]
fn a_comet_that_moved_is_called_where_it_is_now() {
    let (old, address) = comet_at("127.0.0.1:0");
    let port = address.rsplit_once(':').expect("host and port").1;
    let (new, _) = comet_at(&format!("127.0.0.2:{port}"));
    let (failed, lookups) = crossbeam_channel::unbounded();
    let look_up = move || failed.send(()).expect("the test listens");
    let location = Arc::new(Location::new(format!("comet:{port}").into(), look_up));
    let at = |ip: &str| location.moved(vec![ip.parse().expect("an address")]);
    let mut direct = direct(&[]);
    direct.join(COMET, location.clone());
    direct.start(COMET, 1, "r");
    let status = direct.await_call().2.expect_err("its name isn't known yet");
    assert!(status.text.contains("the name comet was not found"));
    assert_eq!(lookups.len(), 1, "it is looked up");
    for (ip, id) in [("127.0.0.1", 2), ("127.0.0.2", 3)] {
        at(ip);
        direct.start(COMET, id, "r");
        assert_eq!(direct.await_call(), (COMET, id, Ok(())));
    }
    for comet in [&old, &new] {
        assert_eq!(comet.calls.load(Ordering::Relaxed), 1);
    }
}

#[test]
fn what_is_taken_back_never_leaves() {
    let (comet, address) = comet_at("127.0.0.1:0");
    let mut direct = direct(&[&address]);
    direct.start(COMET, 1, "r");
    assert_eq!(direct.await_call(), (COMET, 1, Ok(())));
    direct.start(COMET, 2, "r");
    direct.take_back(Instant::now());
    let (_, id, answer) = direct.await_call();
    let status = answer.expect_err("it was taken back");
    assert_eq!((id, status.code, status.broke), (2, UNAVAILABLE, false));
    // The end of the connection is heard, too: the next one carries nothing of what was taken back.
    assert!(direct.next_ended(Instant::now()).is_none());
    direct.start(COMET, 3, "r");
    assert_eq!(direct.await_call(), (COMET, 3, Ok(())));
    assert_eq!(comet.calls.load(Ordering::Relaxed), 2);
}

#[test]
fn a_comet_that_shuts_down_hands_its_calls_to_the_next_connection() {
    let (mut comet, address) = comet_at("127.0.0.1:0");
    let mut direct = direct(&[&address]);
    direct.start(COMET, 1, "r");
    assert_eq!(direct.await_call(), (COMET, 1, Ok(())));
    let link = direct.link_to(COMET);
    let stopped = comet.server.shutdown();
    let takes_calls = |direct: &Direct| {
        let connection = link.and_then(|link| direct.links.see(link));
        connection.is_some_and(Connection::takes_calls)
    };
    while takes_calls(&direct) {
        direct
            .wait(|| true, Some(Instant::now() + PATIENCE))
            .expect("it polls");
        assert!(direct.next_ended(Instant::now()).is_none());
    }
    drop(stopped);
    direct.start(COMET, 2, "r");
    let status = direct.await_call().2.expect_err("it is gone");
    assert_eq!((status.code, status.broke), (UNAVAILABLE, false));
}

#[test]
fn when_stream_ids_are_used_up_the_next_call_takes_another_connection() {
    let (comet, address) = comet_at("127.0.0.1:0");
    let mut direct = direct(&[&address]);
    direct.start(COMET, 1, "r");
    assert_eq!(direct.await_call(), (COMET, 1, Ok(())));
    let link = direct.link_to(COMET).expect("it was called");
    direct.links.with(link, Connection::use_ids_up);
    for id in [2, 3] {
        direct.start(COMET, id, "r");
    }
    let mut ended = [direct.await_call(), direct.await_call()];
    ended.sort_by_key(|(_, id, _)| *id);
    assert_eq!(ended, [(COMET, 2, Ok(())), (COMET, 3, Ok(()))]);
    assert_ne!(direct.link_to(COMET), Some(link));
    assert_eq!(comet.calls.load(Ordering::Relaxed), 3);
}

#[test]
fn the_bell_ends_the_wait() {
    let mut direct = direct(&[]);
    let (bell, (told, words)) = (direct.bell(), crossbeam_channel::unbounded());
    let mailbox = crate::base::mailbox::Mailbox::new(told, Some(bell));
    let teller = thread::spawn(move || mailbox.send(7).expect("the test listens"));
    while words.is_empty() {
        direct.wait(|| words.is_empty(), None).expect("it polls");
    }
    teller.join().expect("it told");
}

#[test]
fn all_are_asked_once() {
    let ((_comet, here), gone) = (comet_at("127.0.0.1:0"), nobody());
    let (heard, answers) = mpsc::channel();
    direct(&[&here, &gone]).ask_each(move |comet, answer, _| {
        heard
            .send((comet, answer.map_err(|status| status.code)))
            .expect("the test listens");
    });
    let mut answers: Vec<_> = answers.iter().collect();
    answers.sort();
    assert_eq!(answers, [(COMET, Ok(())), (CometId(1), Err(14))]);
}

#[test]
fn one_attempt_is_made_at_a_time_where_it_fails_at_once() {
    // Nothing can be sent there, which the system says before anything leaves.
    let mut direct = direct(&["255.255.255.255:1"]);
    direct.start(COMET, 1, "r");
    let link = direct.link_to(COMET);
    direct.start(COMET, 2, "r");
    assert!(link.is_some() && direct.link_to(COMET) == link);
    for _ in 0..2 {
        let status = direct.await_call().2.expect_err("it can't be called");
        assert_eq!((status.code, status.broke), (UNAVAILABLE, false));
    }
}
