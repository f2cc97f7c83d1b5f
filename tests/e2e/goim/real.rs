//! Against a goim Comet that runs, where the environment names one: `GOIM_COMET=GRPC,TCP,WEBSOCKET`, a `host:port` each.

use std::time::{SystemTime, UNIX_EPOCH};

use super::client::Client;
use super::{job, to_all, to_room, to_users};
use crate::support::kafka::{Version, shared};
use crate::support::topic::Topic;

const ACCEPTED: i32 = 1000;
const OTHER: i32 = 1001;
const MESSAGES: usize = 200;

#[test]
fn people_at_goims_own_comet_get_what_is_for_them() {
    let Ok(addresses) = std::env::var("GOIM_COMET") else {
        eprintln!("skipped: GOIM_COMET names no Comet of goim's");
        return;
    };
    let [grpc, tcp, web]: [&str; 3] = addresses
        .split(',')
        .collect::<Vec<_>>()
        .try_into()
        .expect("GOIM_COMET is GRPC,TCP,WEBSOCKET");
    // Rooms and users of this run alone.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let run = now.expect("it is after 1970").as_micros();
    let room = format!("live://{run}");
    let keys = ["tcp", "web"].map(|kind| format!("{kind}-{run}"));
    let mut people = [Client::over_tcp(tcp), Client::over_websocket(web)];
    for (mid, (person, key)) in (1..).zip(people.iter_mut().zip(&keys)) {
        person.sign_in((mid, key), &room, &[ACCEPTED]);
    }

    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let job = job(&topic, grpc).flag("--coalesce", "goim");
    let mut job = job.start();
    let both = [&*keys[0], &*keys[1]];
    for (message, text) in [
        (to_users(grpc, &both, ACCEPTED, "push"), Some("push")),
        (to_users(grpc, &both, OTHER, "not accepted"), None),
        (to_all(OTHER, "not accepted"), None),
        (to_all(ACCEPTED, "to all"), Some("to all")),
        (to_room(&room, OTHER, "to the room"), Some("to the room")),
    ] {
        topic.produce([message]);
        for person in people.iter_mut().filter(|_| text.is_some()) {
            assert_eq!(Some(&*person.next().text), text);
        }
    }
    // A Comet's queues are short: a room's messages that go together take one place.
    let text = |n: usize| format!("{n}");
    for from in (0..MESSAGES).step_by(20) {
        let lot = from..from + 20;
        topic.produce(lot.clone().map(|n| to_room(&room, ACCEPTED, &text(n))));
        for person in &mut people {
            assert_eq!(person.texts(20), lot.clone().map(text).collect::<Vec<_>>());
        }
    }
    topic.await_no_lag();
    assert_eq!(topic.dead_letters(), 0);
    job.stop();
}
