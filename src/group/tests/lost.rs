//! Partitions that are lost, or may be.

use super::{Around, TIMEOUT, taken};
use crate::group::{Event, Read};
use crate::message::consumer::Control;
use crate::message::worker;
use crate::message::{Assignment, Completion};

/// Loses a partition of which offset 0 is finished, and gets it back at `position`. `committed`: whether Kafka took the
/// parting commit; `read_on`: whether the consumer says late that it reads it no longer. Returns both epochs, the
/// position that the consumer goes on from, and what is known to be finished.
fn lost_and_back(committed: bool, read_on: bool, position: i64) -> (u64, u64, i64, Vec<i64>) {
    let around = Around::new(TIMEOUT);
    let first = around.consuming(0..4);
    around.settle(first, 0, Completion::Delivered);
    let last = around.lose().blocking_recv().unwrap();
    assert_eq!(last[0].offset, 1, "what is finished may still be committed");
    if committed {
        around.tell(Event::PartingCommit(last.clone()));
    }
    let suspended = || {
        Event::Suspended(Assignment {
            partition: 0,
            epoch: first,
        })
    };
    if !read_on {
        around.tell(suspended());
    }
    // A call that was in flight comes back.
    around.settle(first, 2, Completion::Delivered);
    around.tell(Event::Assigned {
        partition: 0,
        position,
        metadata: match committed {
            true => last[0].metadata.clone(),
            false => String::new(),
        },
        leader_epoch: None,
        standing: None,
    });
    let mut next = 4;
    if read_on {
        next = 6;
        let read = Read {
            assignment: Assignment {
                partition: 0,
                epoch: first,
            },
            offsets: vec![4, 5],
            next,
        };
        around.reads.send(read).unwrap();
        around.tell(suspended());
    }
    let assigned = loop {
        if let Control::Assign {
            assignment: Assignment { epoch, .. },
            position,
            finished,
            ..
        } = around.control.recv().unwrap()
        {
            let finished = finished.into_iter().flatten().collect();
            break (first, epoch, position, finished);
        }
    };
    assert!(assigned.2 == next || assigned.2 == position);
    around.end();
    assigned
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
fn a_lost_partition_that_does_not_come_back_is_given_up() {
    let around = Around::new(TIMEOUT);
    around.consuming(0..4);
    drop(around.lose());
    around.given_up();
    assert_eq!(around.end().given_back, 4);
}

#[test]
fn what_krafka_lost_is_not_committed() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..4);
    drop(around.lose());
    around.settle(epoch, 0, Completion::Delivered);
    around.caught_up();
    let commits = around.next_commit();
    assert!(commits.iter().all(|commit| commit.partition == 9));
    around.end();
}

#[test]
fn a_commit_refused_as_of_no_member_stops_reading_and_sending_until_one_is_taken() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..4);
    around.settle(epoch, 0, Completion::Delivered);
    around.refuse();
    around.suspended();
    let suspended = Event::Suspended(Assignment {
        partition: 0,
        epoch,
    });
    around.tell(suspended);
    // What was in flight is finished; it doesn't go on until Kafka takes a commit, though nothing else changed.
    let asked = around.next_commit();
    assert_eq!(asked[0].offset, 1);
    assert!(
        around
            .control
            .try_iter()
            .all(|control| !matches!(control, Control::Assign { .. }))
    );
    around.tell(Event::Committed(taken(asked)));
    let resumed = around.worker.recv().unwrap();
    assert!(
        matches!(resumed, worker::Event::Resume(Assignment { partition: 0, epoch: same }) if same == epoch)
    );
    let Control::Assign { position, .. } = around.control.recv().unwrap() else {
        panic!("it is not read")
    };
    assert_eq!(position, 4);
    assert_eq!(around.end().unfinished, 3);
}

#[test]
fn what_krafka_lost_is_not_taken_for_ours_when_a_commit_goes_through() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..4);
    around.refuse();
    around.suspended();
    drop(around.lose());
    around.tell(Event::Suspended(Assignment {
        partition: 0,
        epoch,
    }));
    around.caught_up();
    let others = around.next_commit();
    assert!(others.iter().all(|commit| commit.partition == 9));
    around.tell(Event::Committed(taken(others)));
    around.given_up();
    assert_eq!(around.end().given_back, 4);
}

/// A commit that was on its way before this process was halted says nothing about what came after.
#[test]
fn a_process_that_was_halted_sends_nothing_until_a_later_commit_is_taken() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..4);
    let older = around.next_commit();
    around.lease.run_out();
    around.suspended();
    assert!(matches!(
        around.worker.recv().unwrap(),
        worker::Event::Lapsed(1)
    ));
    around.tell(Event::Suspended(Assignment {
        partition: 0,
        epoch,
    }));
    around.tell(Event::Committed(taken(older)));
    let later = around.next_commit();
    assert!(around.worker.try_recv().is_err(), "it sends on too early");
    around.tell(Event::Committed(taken(later)));
    assert!(matches!(
        around.worker.recv().unwrap(),
        worker::Event::Resume(Assignment { partition: 0, .. })
    ));
    around.end();
}
