//! Connections that a firewall forgot while nothing was sent: it tells nobody, and passes nothing of them any more.

use std::thread;
use std::time::{Duration, Instant};

use crate::support::comet::{Answer, Comet, Rpc};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::proxy::Proxy;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

/// Enough that each worker has some.
const ROOMS: usize = 40;
const WORKERS: usize = 4;

/// A connection that was quiet for longer isn't trusted.
const QUIET: Duration = Duration::from_millis(2500);

struct Trial {
    topic: Topic<'static>,
    comet: Comet,
    proxy: Proxy,
}

impl Trial {
    fn new() -> Trial {
        let comet = Comet::start();
        Trial {
            topic: Topic::new(shared(Version::V3_9_1), 4),
            proxy: Proxy::start(comet.address()),
            comet,
        }
    }

    /// A job that has used the connection of each of its workers.
    fn start(&self, command: JobCommand) -> Job {
        let job = self
            .topic
            .configure_for(command, &self.proxy.address())
            .start();
        self.topic.produce(over_rooms(ROOMS, 0, ROOMS));
        self.comet.await_delivered(ROOMS);
        // The answers have come, too.
        self.topic.await_no_lag();
        assert_eq!(self.proxy.connections(), WORKERS, "connections");
        job
    }

    fn end(&self, mut job: Job, messages: usize) -> Job {
        self.topic.await_no_lag();
        job.stop();
        assert_each_once_in_order(&self.comet.calls(), ROOMS, messages);
        assert_eq!(self.topic.dead_letters(), 0);
        job
    }
}

/// Nobody has time to notice before messages come.
#[test]
fn messages_do_not_wait_for_forgotten_connections() {
    let trial = Trial::new();
    let job = trial.start(JobCommand::new().flag("--call-timeout", "30s"));
    thread::sleep(QUIET);
    trial.proxy.forget_all();
    trial.topic.produce(over_rooms(ROOMS, ROOMS, ROOMS));
    let sent = Instant::now();
    trial.comet.await_delivered(2 * ROOMS);
    // gRPC's own keepalive takes 7 s.
    let took = sent.elapsed();
    assert!(took < Duration::from_secs(6), "it took {took:?}");
    let job = trial.end(job, 2 * ROOMS);
    assert_eq!(trial.proxy.connections(), 2 * WORKERS, "connections");
    assert_eq!(
        job.lines_with(&["RPC failed"]),
        job.lines_with(&["RPC failed: 14-UNAVAILABLE", "taken for dead"])
    );
}

#[test]
fn a_connection_that_nobody_uses_is_looked_after() {
    let trial = Trial::new();
    let soon = JobCommand::new().fault("look-after-connection=return(3000)");
    let job = trial.start(soon);
    trial.proxy.forget_all();
    await_until("a word about each connection", || {
        is(job.lines_with(&["taken for dead"]).len(), WORKERS)
    });
    trial.topic.produce(over_rooms(ROOMS, ROOMS, ROOMS));
    trial.comet.await_delivered(2 * ROOMS);
    let job = trial.end(job, 2 * ROOMS);
    assert_eq!(job.lines_with(&["RPC failed"]).len(), 0);
}

/// It says that it is there: its connection is good, and no message is sent twice.
#[test]
fn a_slow_comet_keeps_its_connections() {
    let trial = Trial::new();
    let job = trial.start(JobCommand::new().flag("--call-timeout", "30s"));
    trial.comet.answer(|call| match call.rpc {
        Rpc::Rooms => Answer::Ok,
        _ => Answer::OkAfter(Duration::from_secs(3)),
    });
    thread::sleep(QUIET);
    trial.topic.produce(over_rooms(ROOMS, ROOMS, ROOMS));
    trial.comet.await_delivered(2 * ROOMS);
    let job = trial.end(job, 2 * ROOMS);
    assert_eq!(trial.proxy.connections(), WORKERS, "connections");
    assert_eq!(job.lines_with(&["taken for dead"]).len(), 0);
}

/// It says nothing at all for longer than a dead connection is given: a new one would be as silent.
#[test]
fn a_comet_that_is_slow_in_all_it_does_gets_no_message_twice() {
    let trial = Trial::new();
    let job = trial.start(JobCommand::new().flag("--call-timeout", "30s"));
    trial
        .comet
        .answer(|_| Answer::OkAfter(Duration::from_secs(2)));
    thread::sleep(QUIET);
    trial.topic.produce(over_rooms(ROOMS, ROOMS, ROOMS));
    trial.comet.await_delivered(2 * ROOMS);
    let job = trial.end(job, 2 * ROOMS);
    assert_eq!(job.lines_with(&["RPC failed"]).len(), 0);
}

/// A new connection doesn't help it: there is one at most, and not one for each try. None where its HTTP/2 goes on, and job looks.
#[test]
fn a_comet_that_hangs_gets_one_new_connection_at_most() {
    let trial = Trial::new();
    let job = trial.start(JobCommand::new().flag("--call-timeout", "2s"));
    trial.comet.answer(|_| Answer::Hang);
    thread::sleep(QUIET);
    trial.topic.produce(over_rooms(1, ROOMS, 1));
    await_until("some tries", || match trial.comet.calls().len() {
        tries if tries >= ROOMS + 4 => Ok(()),
        tries => Err(format!("{tries}")),
    });
    let connections = trial.proxy.connections();
    assert!(connections <= WORKERS + 1, "{connections} connections");
    drop(job);
}
