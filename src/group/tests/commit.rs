//! What is committed, and what is made of the answers.

use super::{Core, TIMEOUT, record, taken};
use crate::group::Event;
use crate::group::notice::Notice;
use crate::message::offset_map;
use crate::message::{CommitOutcome, Completion, Failure, PartitionId};

#[test]
fn only_what_is_finished_is_committed() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..4);
    core.settle(epoch, 0, Completion::Delivered);
    core.settle(epoch, 2, Completion::Delivered);
    let commits = core.next_commit();
    assert_eq!(commits[0].offset, 1);
    let finished = offset_map::decode(1, &commits[0].metadata)
        .unwrap()
        .finished;
    assert_eq!(finished.len(), 1);
    assert_eq!((finished[0].start, finished[0].end), (2, 3));
    assert_eq!(core.group.finish().unfinished, 2);
}

#[test]
fn a_commit_is_begun_when_the_one_before_is_answered_and_something_changed() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..2);
    let first = core.next_commit();
    core.settle(epoch, 0, Completion::Delivered);
    core.commands.clear();
    core.tick();
    assert!(core.commands.is_empty(), "two commits are on their way");
    core.tell(Event::Committed(taken(first)));
    let second = core.next_commit();
    assert_eq!(second[0].offset, 1);
    core.tell(Event::Committed(taken(second)));
    core.tick();
    assert!(core.commands.is_empty(), "nothing changed");
}

#[test]
fn a_dead_letter_holds_its_offset_until_it_is_written() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..1);
    core.settle(
        epoch,
        0,
        Completion::Undeliverable {
            why: "why".into(),
            at: None,
        },
    );
    let letter = core.letters.pop_front().unwrap();
    assert_eq!(
        (letter.record, letter.why.text.as_str()),
        (record(epoch, 0), "why")
    );
    let held = core.next_commit();
    assert_eq!(held[0].offset, 0);
    core.tell(Event::Committed(taken(held)));
    core.tell(super::written(&letter));
    assert_eq!(core.next_commit()[0].offset, 1);
    assert_eq!(core.group.finish().dead_letters, 1);
}

#[test]
fn a_commit_that_fails_otherwise_stops_nothing() {
    let mut core = Core::new(TIMEOUT);
    core.consuming(0..4);
    core.next_commit();
    let why = Failure::Other("connecting failed".into());
    core.tell(Event::Committed(CommitOutcome::failed(why)));
    let why = "connecting failed".into();
    assert_eq!(core.notices.last(), Some(&Notice::CommitsFail { why }));
    core.next_commit();
    assert!(core.orders.is_empty());
}

#[test]
fn a_partition_that_was_taken_counts_though_another_was_refused() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..1);
    core.settle(epoch, 0, Completion::Delivered);
    core.assign(9, 0, "");
    let mut both = core.next_commit();
    assert_eq!(both.len(), 2);
    let failed = Failure::Other("Kafka answered UnknownTopicOrPartition for partition 9".into());
    core.tell(Event::Committed(CommitOutcome {
        taken: vec![both.swap_remove(0)],
        failed: Some(failed),
        map_len: None,
    }));
    let again = core.next_commit();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].partition, PartitionId::of_first(9));
}

#[test]
fn maps_are_as_short_as_the_broker_wants_them() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..400);
    for offset in (1..400).step_by(2) {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.tell(Event::ShorterMaps(64));
    let metadata = core.next_commit().remove(0).metadata;
    assert!(!metadata.is_empty() && metadata.len() <= 64);
    let finished = offset_map::decode(0, &metadata).unwrap().finished;
    assert!(finished.len() > 10 && finished.iter().all(|run| run.start % 2 == 1));
}

#[test]
fn that_a_map_has_no_room_is_said_once_and_that_it_has_room_again() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..5_000);
    for offset in (1..5_000).step_by(2) {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.notices.clear();
    for _ in 0..3 {
        let metadata = core.next_commit().remove(0).metadata;
        let room_for = offset_map::decode(0, &metadata).unwrap().finished.len();
        let full = Notice::MapFull {
            partition: PartitionId::FIRST,
            offset: 0,
            left_out: 2_500 - room_for,
        };
        assert_eq!(core.notices, [full]);
        core.tell(Event::Committed(CommitOutcome::failed(Failure::Other(
            "no answer".into(),
        ))));
        core.notices.truncate(1);
    }
    core.notices.clear();
    // One that holds up the rest, and less and less behind it.
    for offset in (2..4_000).step_by(2) {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.next_commit();
    let partition = 0;
    assert!(core.notices.contains(&Notice::MapFits {
        partition: PartitionId::of_first(partition)
    }));
}
