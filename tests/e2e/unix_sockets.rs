//! Comets at Unix sockets.

use crate::send_check::check;
use crate::support::comet::Comet;
use crate::support::command::complains;
use crate::support::front::Front;
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::topic::Topic;

const ROOMS: usize = 20;

#[test]
fn a_comet_at_a_unix_socket_gets_everything_beside_one_at_a_port() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let (near, far) = (Comet::start(), Comet::start());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("comet.sock");
    let address = format!("unix:{}", path.display());
    let comets = format!("{address},{}", far.address());
    let mut job = topic
        .configure_for(JobCommand::new(), &comets)
        .flag("--caller", "auto")
        .log_level("INFO")
        .start();
    job.await_line(&[
        "Comets are called through lean (",
        "caller is auto, and a Comet is at a Unix socket",
    ]);
    topic.produce(over_rooms(ROOMS, 0, 200));
    far.await_delivered(200);
    job.await_line(&["RPC failed: 14-UNAVAILABLE", &address, "No such file"]);
    let said = complains(check(&topic, &comets), 1);
    assert!(
        said.contains(&format!("Comet {address}: 14-UNAVAILABLE")),
        "{said}"
    );

    let front = Front::at_path(&path, near.port());
    near.await_delivered(200);
    topic.produce(over_rooms(ROOMS, 200, 200));
    near.await_delivered(400);
    topic.await_no_lag();
    let said = check(&topic, &comets).well();
    assert!(
        said.contains(&format!("Comet {}: answers", front.address)),
        "{said}"
    );
    job.stop();
    for comet in [&near, &far] {
        assert_each_once_in_order(&comet.delivered(), ROOMS, 400);
    }
    assert_eq!(topic.dead_letters(), 0);
}
