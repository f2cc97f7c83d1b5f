//! Revocations, and stops.

use std::time::Duration;

use super::{Around, TIMEOUT, taken};
use crate::group::Event;
use crate::message::membership::Command;
use crate::message::worker;
use crate::message::{Assignment, Completion};

#[test]
fn a_revocation_waits_for_what_is_in_flight_and_for_the_workers_answers() {
    let around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..3);
    let mut answer = around.revoke();
    assert!(matches!(
        around.worker.recv(),
        Ok(worker::Event::Revoke(Assignment { partition: 0, .. }))
    ));
    around.settle(epoch, 0, Completion::Delivered);
    around.settle(epoch, 1, Completion::Released);
    around.tell(Event::RevokeAck(Assignment {
        partition: 0,
        epoch,
    }));
    around.caught_up();
    assert!(answer.try_recv().is_err(), "offset 2 is in flight still");
    around.settle(epoch, 2, Completion::Delivered);
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 1);
    around.end();
}

#[test]
fn a_revocation_commits_what_stays_too() {
    let around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, Completion::Delivered);
    around.caught_up();
    let answer = around.revoke();
    around.tell(Event::RevokeAck(Assignment {
        partition: 0,
        epoch,
    }));
    let commits = answer.blocking_recv().unwrap();
    let at: Vec<_> = commits.iter().map(|c| (c.partition, c.offset)).collect();
    assert_eq!(at, [(0, 1), (9, 0)]);
    around.end();
}

#[test]
fn a_revocation_says_what_to_commit() {
    let around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..3);
    let answer = around.revoke();
    around.settle(epoch, 0, Completion::Delivered);
    around.settle(epoch, 1, Completion::Released);
    around.settle(epoch, 2, Completion::Delivered);
    around.tell(Event::RevokeAck(Assignment {
        partition: 0,
        epoch,
    }));
    let commits = answer.blocking_recv().unwrap();
    assert_eq!(commits[0].offset, 1);
    assert!(!commits[0].metadata.is_empty(), "offset 2 is finished");
    let counts = around.end();
    assert_eq!(
        (counts.delivered, counts.given_back, counts.unfinished),
        (2, 1, 0)
    );
}

#[test]
fn an_older_commit_under_way_holds_a_revocation_up() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, Completion::Delivered);
    let commits = around.next_commit();
    let mut answer = around.revoke();
    around.tell(Event::RevokeAck(Assignment {
        partition: 0,
        epoch,
    }));
    around.caught_up();
    assert!(answer.try_recv().is_err());
    around.tell(Event::Committed(taken(commits)));
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 1);
    around.end();
}

#[test]
fn a_revocation_ends_in_time_whatever_hangs() {
    let around = Around::new(Duration::from_millis(100));
    around.consuming(0..3);
    let commits = around.revoke().blocking_recv().unwrap();
    assert_eq!(commits[0].offset, 0);
    assert_eq!(around.end().given_back, 3);
}

#[test]
fn what_comes_of_an_earlier_turn_counts_no_more() {
    let around = Around::new(TIMEOUT);
    let first = around.consuming(0..2);
    drop(around.lose());
    around.given_up();
    let second = around.consuming(0..2);
    assert_ne!(first, second);
    around.settle(first, 0, Completion::Delivered);
    around.settle(first, 1, Completion::Delivered);
    let answer = around.revoke();
    around.settle(second, 0, Completion::Released);
    around.settle(second, 1, Completion::Released);
    around.tell(Event::RevokeAck(Assignment {
        partition: 0,
        epoch: second,
    }));
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 0);
    around.end();
}

#[test]
fn a_stop_with_suspect_partitions_sends_nothing_more_and_commits_what_is_finished() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..4);
    around.refuse();
    around.suspended();
    around.stop.send(()).unwrap();
    while !matches!(around.commands.blocking_recv(), Some(Command::Leave)) {}
    let answer = around.revoke();
    assert!(matches!(
        around.worker.recv().unwrap(),
        worker::Event::Forget(Assignment { partition: 0, .. })
    ));
    around.settle(epoch, 0, Completion::Delivered);
    for offset in 1..4 {
        around.settle(epoch, offset, Completion::Released);
    }
    assert_eq!(answer.blocking_recv().unwrap()[0].offset, 1);
    assert_eq!(around.end().given_back, 3);
}

#[test]
fn a_stop_ends_in_time_whatever_kafka_does() {
    let mut around = Around::new(Duration::from_millis(100));
    around.consuming(0..3);
    around.stop.send(()).unwrap();
    while !matches!(around.commands.blocking_recv(), Some(Command::Leave)) {}
    assert_eq!(around.group.join().unwrap().unwrap().unfinished, 3);
}
