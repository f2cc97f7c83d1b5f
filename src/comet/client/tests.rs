use std::sync::mpsc;

use grpcio::{EnvBuilder, ServerBuilder, ServerCredentials, ServiceBuilder};

use super::*;
use crate::comet::methods;

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
fn a_connection_that_breaks_is_told_from_one_that_is_not_made() {
    let broke = |code, text| by_its_words(code, text).broke;
    assert!(broke(14, "Socket closed") && broke(14, "recvmsg:Connection reset by peer"));
    let refused =
        "failed to connect to all addresses; last error: UNAVAILABLE: ipv4:1.2.3.4:5 Socket closed";
    assert!(!broke(14, refused) && !broke(14, "overloaded") && !broke(13, "Socket closed"));
}
