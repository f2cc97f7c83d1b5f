use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use grpcio::{EnvBuilder, ServerBuilder, ServerCredentials, ServiceBuilder};

use super::*;
use crate::comet::caller::crashing::{crash_over_hello, part_over_hello};
use crate::comet::methods;
use crate::message::call::Frame;

#[test]
fn each_of_many_new_clients_hears_the_answer_to_its_probe() {
    let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
    let comet = ServiceBuilder::new().add_unary_handler(&methods::ROOMS, |_, _, answer| {
        drop(answer.success(RoomsReply::new()));
    });
    let mut server = ServerBuilder::new(environment.clone())
        .register_service(comet.build())
        .build()
        .expect("a server");
    let port = server.add_listening_port("127.0.0.1:0", ServerCredentials::insecure());
    server.start();

    let address = format!("127.0.0.1:{}", port.expect("a free port"));
    let location = Arc::new(Location::new(address.into(), || ()));
    let (answers, heard) = mpsc::channel();
    for _ in 0..10 {
        let manner = within(Dialect::Chatroom, Duration::from_secs(20));
        let client = Client::new(environment.clone(), location.clone(), manner, None);
        let answers = answers.clone();
        client.probe_once(move |answer| drop(answers.send(answer)));
    }
    for answer in heard.iter().take(10) {
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[test]
fn a_crash_and_a_stop_on_purpose_look_the_same_to_grpcs_library() {
    let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
    // A crash, and a goodbye with NO_ERROR.
    for goodbye in [None, Some(0)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address").to_string();
        let comet = thread::spawn(move || match goodbye {
            None => crash_over_hello(&listener),
            Some(code) => part_over_hello(&listener, code),
        });
        let location = Arc::new(Location::new(address.into(), || ()));
        let manner = within(Dialect::Chatroom, Duration::from_secs(20));
        let mut client = Client::new(environment.clone(), location, manner, None);
        let call = Call::BroadcastRoom {
            room: "r".into(),
            frame: Frame::new(4, "hello"),
        };
        let (answers, heard) = mpsc::channel();
        let done = move |answer| drop(answers.send(answer));
        client.call(&call, (0, &[]), Instant::now(), done);
        let status = heard.recv().expect("an answer").expect_err("it stopped");
        assert!(status.broke, "{goodbye:?}: {status:?}");
        comet.join().expect("it stopped as it should");
    }
}

#[test]
fn a_connection_that_breaks_is_told_from_one_that_is_not_made() {
    let broke = |code, text| by_its_words(code, text).broke;
    assert!(broke(14, "Socket closed") && broke(14, "recvmsg:Connection reset by peer"));
    let refused =
        "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:1.2.3.4:5 Socket closed";
    assert!(!broke(14, refused) && !broke(14, "overloaded") && !broke(13, "Socket closed"));
}
