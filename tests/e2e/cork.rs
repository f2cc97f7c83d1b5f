//! Calls that start together leave together: gRPC writes through the `sendmsg` of job's own, unless that is turned off.

use crate::support::comet::Comet;
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::topic::Topic;

const ROOMS: usize = 100;
const MESSAGES: usize = 2_000;

/// Said each time that a cork comes out which held gRPC's bytes back. Nothing else but job's own `sendmsg` holds any back.
const SAID: &str = "a cork held bytes back";

/// Runs a job until all is delivered, and returns how often it said so.
fn times(configured: impl FnOnce(JobCommand) -> JobCommand) -> usize {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comet = Comet::start();
    // It waits for job, so that calls do start together.
    topic.produce(over_rooms(ROOMS, 0, MESSAGES));
    let command = topic
        .job(&[&comet])
        .flag("--caller", "grpcio")
        .fault(&format!("uncork=print({SAID})"));
    // At INFO only job itself is heard, and this is said by a library.
    let mut job = configured(command.log_level("DEBUG")).start();
    comet.await_delivered(MESSAGES);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, MESSAGES);
    job.lines_with(&[SAID]).len()
}

#[test]
fn grpc_writes_through_the_cork() {
    let times = times(|command| command);
    // One for some calls each.
    assert!((1..MESSAGES).contains(&times), "{times} times");
}

#[test]
fn a_setting_turns_the_cork_off() {
    assert_eq!(times(|command| command.flag("--cork-calls", "off")), 0);
}
