//! Partitions that are lost, or may be.

use std::time::Duration;

use super::{Core, TIMEOUT, assignment, taken};
use crate::group::effect::Order;
use crate::group::notice::Notice;
use crate::group::{Event, GRACE};
use crate::message::consumer::Control;
use crate::message::{Completion, PartitionId};

/// Loses a partition of which offset 0 is finished, and gets it back at `position`. `committed`: whether Kafka took the
/// parting commit; `read_on`: whether the consumer says late that it reads it no longer. Returns both epochs, the
/// position that the consumer goes on from, and what is known to be finished.
fn lost_and_back(committed: bool, read_on: bool, position: i64) -> (u64, u64, i64, Vec<i64>) {
    let mut core = Core::new(TIMEOUT);
    let first = core.consuming(0..4);
    core.settle(first, 0, Completion::Delivered);
    let parting = core.lose();
    assert_eq!(
        parting[0].offset, 1,
        "what is finished may still be committed"
    );
    if committed {
        core.tell(Event::PartingCommit(parting.clone()));
    }
    if !read_on {
        core.tell(Event::Suspended(assignment(first)));
    }
    // A call that was in flight comes back.
    core.settle(first, 2, Completion::Delivered);
    let metadata = if committed { &parting[0].metadata } else { "" };
    core.assign(0, position, metadata);
    if read_on {
        core.read(first, 4..6);
        core.tell(Event::Suspended(assignment(first)));
    }
    let (second, next, finished) = core.assigned_without();
    (first, second, next, finished)
}

#[test]
fn a_lost_partition_that_comes_back_as_it_was_goes_on() {
    for (committed, position) in [(true, 1), (false, 0)] {
        let (first, second, next, _) = lost_and_back(committed, false, position);
        assert_eq!((second, next), (first, 4), "committed: {committed}");
    }
}

#[test]
fn what_the_consumer_read_before_it_heard_of_the_loss_counts() {
    let (first, second, next, _) = lost_and_back(true, true, 1);
    assert_eq!((second, next), (first, 6));
}

#[test]
fn what_was_finished_of_a_lost_partition_is_not_sent_again_when_it_comes_back_later() {
    let (first, second, next, finished) = lost_and_back(false, false, 1);
    assert_ne!(first, second);
    assert_eq!((next, finished), (1, vec![2]));
}

#[test]
fn what_was_finished_of_a_lost_partition_is_forgotten_after_a_minute() {
    for (away, known) in [(59, vec![2]), (61, vec![])] {
        let mut core = Core::new(TIMEOUT);
        let epoch = core.consuming(0..4);
        core.settle(epoch, 2, Completion::Delivered);
        core.lose();
        core.await_due();
        core.now += Duration::from_secs(away);
        core.assign(0, 0, "");
        assert_eq!(core.assigned_without().2, known, "after {away} s");
    }
}

#[test]
fn a_lost_partition_that_does_not_come_back_is_given_up() {
    let mut core = Core::new(TIMEOUT);
    core.consuming(0..4);
    let lost_at = core.now;
    core.lose();
    assert!(!core.is_dropped());
    core.await_due();
    assert_eq!(core.now, lost_at + GRACE);
    assert!(core.is_dropped());
    let partitions = vec![PartitionId::FIRST];
    assert_eq!(core.notices.last(), Some(&Notice::NotBack { partitions }));
    assert_eq!(core.group.finish().given_back, 4);
}

#[test]
fn what_krafka_lost_is_not_committed() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    core.lose();
    core.settle(epoch, 0, Completion::Delivered);
    core.assign(9, 0, "");
    let commits = core.next_commit();
    assert!(
        commits
            .iter()
            .all(|commit| commit.partition == PartitionId::of_first(9))
    );
}

#[test]
fn a_commit_refused_as_of_no_member_stops_reading_and_sending_until_one_is_taken() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    core.settle(epoch, 0, Completion::Delivered);
    core.refuse();
    core.suspended(epoch);
    core.tell(Event::Suspended(assignment(epoch)));
    // What was in flight is finished. The partition doesn't go on until Kafka takes a commit, though nothing else changed.
    let asked = core.next_commit();
    assert_eq!(asked[0].offset, 1);
    assert!(core.control.is_empty() && core.orders.is_empty());
    core.tell(Event::Committed(taken(asked)));
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Resume(assignment(epoch)))
    );
    assert_eq!(core.assigned(), (epoch, 4));
    assert_eq!(core.group.finish().unfinished, 3);
}

#[test]
fn what_krafka_lost_is_not_taken_for_ours_when_a_commit_goes_through() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    core.refuse();
    core.suspended(epoch);
    core.lose();
    core.tell(Event::Suspended(assignment(epoch)));
    core.assign(9, 0, "");
    let others = core.next_commit();
    assert!(
        others
            .iter()
            .all(|commit| commit.partition == PartitionId::of_first(9))
    );
    core.tell(Event::Committed(taken(others)));
    assert!(core.orders.is_empty(), "it goes on");
    core.await_due();
    assert!(core.is_dropped());
    assert_eq!(core.group.finish().given_back, 4);
}

/// A commit that was on its way before this process was halted says nothing about what came after.
#[test]
fn a_process_that_was_halted_sends_nothing_until_a_later_commit_is_taken() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    let older = core.next_commit();
    core.halt(Duration::from_secs(15));
    core.suspended(epoch);
    assert_eq!(core.orders.pop_front(), Some(Order::Lapsed(1)));
    core.tell(Event::Suspended(assignment(epoch)));
    core.tell(Event::Committed(taken(older)));
    let later = core.next_commit();
    assert!(core.orders.is_empty(), "it sends on too early");
    let reads = |control: &Control| matches!(control, Control::Assign { .. });
    assert!(!core.control.iter().any(reads), "it reads on too early");
    core.tell(Event::Committed(taken(later)));
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Resume(assignment(epoch)))
    );
}

#[test]
fn a_letter_that_was_on_its_way_counts_when_a_lost_partition_comes_back_later() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    core.settle(epoch, 2, undeliverable());
    let letter = core.letters.pop_front().unwrap();
    core.lose();
    core.await_due();
    core.tell(super::written(&letter));
    core.control.clear();
    core.assign(0, 0, "");
    assert_eq!(core.assigned_without().2, [2]);
}

fn undeliverable() -> Completion {
    let why = "why".into();
    Completion::Undeliverable { why, at: None }
}
