//! Revocations, and stops.

use std::time::Duration;

use super::{Core, TIMEOUT, assignment, taken};
use crate::group::effect::Order;
use crate::group::notice::Notice;
use crate::group::{Event, Input};
use crate::message::membership::Command;
use crate::message::{Completion, PartitionId};

#[test]
fn a_revocation_waits_for_what_is_in_flight_and_for_the_workers_answers() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..3);
    let request = core.revoke();
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Revoke(assignment(epoch)))
    );
    core.settle(epoch, 0, Completion::Delivered);
    core.settle(epoch, 1, Completion::Released);
    core.tell(Event::RevokeAck(assignment(epoch)));
    assert!(core.reply(request).is_none(), "offset 2 is in flight still");
    core.settle(epoch, 2, Completion::Delivered);
    let commits = core.reply(request).unwrap();
    assert_eq!(commits[0].offset, 1);
    assert!(!commits[0].metadata.is_empty(), "offset 2 is finished");
    let counts = core.group.finish();
    assert_eq!(
        (counts.delivered, counts.given_back, counts.unfinished),
        (2, 1, 0)
    );
}

#[test]
fn a_revocation_waits_for_a_worker_that_has_not_answered_though_all_is_settled() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..1);
    let request = core.revoke();
    core.settle(epoch, 0, Completion::Delivered);
    assert!(core.reply(request).is_none());
    core.tell(Event::RevokeAck(assignment(epoch)));
    assert_eq!(core.reply(request).unwrap()[0].offset, 1);
}

/// A stop comes while a rebalance takes the partition. Only one answer comes of a worker for each order.
#[test]
fn a_second_revocation_waits_for_the_answers_to_the_first() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..2);
    let (first, second) = (core.revoke(), core.revoke());
    assert_eq!(core.orders, [Order::Revoke(assignment(epoch))]);
    core.tell(Event::RevokeAck(assignment(epoch)));
    core.settle(epoch, 0, Completion::Delivered);
    assert!(core.reply(first).is_none() && core.reply(second).is_none());
    core.settle(epoch, 1, Completion::Released);
    assert_eq!(core.reply(first).unwrap()[0].offset, 1);
    assert!(core.reply(second).unwrap().is_empty());
}

#[test]
fn a_revocation_commits_what_stays_too() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..1);
    core.settle(epoch, 0, Completion::Delivered);
    core.assign(9, 0, "");
    let request = core.revoke();
    core.tell(Event::RevokeAck(assignment(epoch)));
    let commits = core.reply(request).unwrap();
    let at: Vec<_> = commits.iter().map(|c| (c.partition, c.offset)).collect();
    let [first, other] = [0, 9].map(PartitionId::of_first);
    assert_eq!(at, [(first, 1), (other, 0)]);
}

#[test]
fn an_older_commit_under_way_holds_a_revocation_up() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..1);
    core.settle(epoch, 0, Completion::Delivered);
    let commits = core.next_commit();
    let request = core.revoke();
    core.tell(Event::RevokeAck(assignment(epoch)));
    assert!(core.reply(request).is_none());
    core.tell(Event::Committed(taken(commits)));
    assert_eq!(core.reply(request).unwrap()[0].offset, 1);
}

#[test]
fn a_revocation_ends_in_time_whatever_hangs() {
    let mut core = Core::new(Duration::from_secs(10));
    core.consuming(0..3);
    let request = core.revoke();
    let begun = core.now;
    core.await_due();
    assert!(core.now < begun + Duration::from_secs(10));
    assert_eq!(core.reply(request).unwrap()[0].offset, 0);
    assert!(core.notices.contains(&Notice::LeftToNextOwner {
        partition: PartitionId::FIRST,
        messages: 3
    }));
    assert_eq!(core.group.finish().given_back, 3);
}

#[test]
fn what_comes_of_an_earlier_assignment_counts_no_more() {
    let mut core = Core::new(TIMEOUT);
    let first = core.consuming(0..2);
    core.lose();
    core.await_due();
    let second = core.consuming(0..2);
    assert_ne!(first, second);
    core.settle(first, 0, Completion::Delivered);
    core.settle(first, 1, Completion::Delivered);
    let request = core.revoke();
    core.settle(second, 0, Completion::Released);
    core.settle(second, 1, Completion::Released);
    core.tell(Event::RevokeAck(assignment(second)));
    assert_eq!(core.reply(request).unwrap()[0].offset, 0);
}

#[test]
fn a_stop_with_suspect_partitions_sends_nothing_more_and_commits_what_is_finished() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    core.refuse();
    core.suspended(epoch);
    core.step(Input::Stop);
    assert!(matches!(core.commands.pop_back(), Some(Command::Leave)));
    let request = core.revoke();
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Forget(assignment(epoch)))
    );
    core.settle(epoch, 0, Completion::Delivered);
    for offset in 1..4 {
        core.settle(epoch, offset, Completion::Released);
    }
    assert_eq!(core.reply(request).unwrap()[0].offset, 1);
    assert_eq!(core.group.finish().given_back, 3);
}
