//! What Comets miss, from one owner of a partition to the next.

#![expect(clippy::single_range_in_vec_init, reason = "ranges are what is meant")]

use std::collections::BTreeMap;
use std::ops::Range;

use super::{COMETS, Core, TIMEOUT, assignment, taken};
use crate::group::Event;
use crate::group::notice::Notice;
use crate::message::consumer::Control;
use crate::message::fleet::Change;
use crate::message::offset_map::{self, Map};
use crate::message::{CometId, Commit, CommitOutcome, Completion, Offsets, PartitionId};

/// The metadata of a commit at `offset`: what is finished above it, and what Comets miss.
fn text(offset: i64, finished: &[Range<i64>], missing: &[(&str, Range<i64>)]) -> String {
    let mut map = Map {
        finished: finished.to_vec(),
        missing: BTreeMap::new(),
    };
    for (name, range) in missing.iter().cloned() {
        map.missing.entry(name.into()).or_default().insert(range);
    }
    let (at, text) = offset_map::encode(offset, &map, offset_map::MAX_LEN);
    assert_eq!(at, offset);
    text
}

/// What a commit says that Comets miss.
fn said(commit: &Commit) -> Vec<(String, Vec<Range<i64>>)> {
    let map = offset_map::decode(commit.offset, &commit.metadata).unwrap();
    let missing = map.missing.into_iter();
    missing
        .map(|(name, missed)| (name, missed.ranges().collect()))
        .collect()
}

impl Core {
    /// What a Comet misses of partition 0.
    fn missing(&self, comet: u32) -> Vec<Range<i64>> {
        let missing = self.group.partitions[&PartitionId::FIRST].ledger.missing();
        let missed = missing.get(&CometId(comet)).into_iter();
        missed.flat_map(Offsets::ranges).collect()
    }

    fn lacks(&mut self, offset: i64, comet: u32) {
        let owned = self.group.partitions.get_mut(&PartitionId::FIRST).unwrap();
        owned.ledger.lacks(offset, CometId(comet), false);
    }
}

#[test]
fn what_comets_miss_is_handed_on_by_name() {
    let mut core = Core::new(TIMEOUT);
    let missing = [(COMETS[2], 10..90), ("COMET-A:50051", 40..50)];
    core.assign(0, 100, &text(100, &[105..110], &missing));
    let (epoch, _, left_out) = core.assigned_without();
    assert_eq!(left_out.len(), 5);
    assert_eq!((core.missing(0), core.missing(1)), (vec![40..50], vec![]));
    assert_eq!(core.missing(2), [10..90]);
    core.read(epoch, 100..102);
    core.lacks(100, 2);
    core.settle(epoch, 100, Completion::Delivered);
    let commit = core.next_commit().remove(0);
    assert_eq!(commit.offset, 101);
    let now = [
        (COMETS[0], vec![40..50]),
        (COMETS[2], vec![10..90, 100..101]),
    ];
    assert_eq!(
        said(&commit),
        now.map(|(name, missed)| (name.into(), missed))
    );
}

#[test]
fn what_a_comet_missed_that_left_the_fleet_goes_and_that_is_said() {
    let mut core = Core::new(TIMEOUT);
    let missing = [("comet-gone:50051", 10..90), (COMETS[1], 40..50)];
    core.assign(0, 100, &text(100, &[], &missing));
    let gone = Notice::NotInFleet {
        partition: PartitionId::FIRST,
        comet: "comet-gone:50051".into(),
        offsets: 80,
    };
    // It may be about to join.
    let stays = (COMETS[1].into(), vec![40..50]);
    let expected = [stays.clone(), ("comet-gone:50051".into(), vec![10..90])];
    assert_eq!(said(&core.next_commit()[0]), expected);
    assert!(!core.notices.contains(&gone), "{:?}", core.notices);
    for _ in 0..30 {
        core.tick();
    }
    assert!(core.notices.contains(&gone), "{:?}", core.notices);
    core.commands.clear();
    core.tell(Event::Committed(CommitOutcome::default()));
    assert_eq!(said(&core.next_commit()[0]), [stays]);
}

#[test]
fn a_comet_that_joins_later_gets_what_it_missed_before() {
    let mut core = Core::new(TIMEOUT);
    core.assign(0, 100, &text(100, &[], &[("late:50051", 10..20)]));
    let epoch = core.assigned().0;
    core.read(epoch, 100..103);
    core.control.clear();
    let comet = CometId(9);
    let join = Change::Join(comet, "late:50051".into());
    core.tell(Event::Fleet(join.clone()));
    assert!(matches!(core.control.pop_front(), Some(Control::Fleet(change)) if change == join));
    let Some(Control::CatchUp {
        comet: of, missing, ..
    }) = core.control.pop_front()
    else {
        panic!("it doesn't catch up")
    };
    assert_eq!(
        (of, missing),
        (
            comet,
            vec![(assignment(epoch), vec![10..20, 103..i64::MAX])]
        )
    );
    for _ in 0..40 {
        core.tick();
    }
    let known = |notice: &Notice| matches!(notice, Notice::NotInFleet { .. });
    assert!(!core.notices.iter().any(known), "{:?}", core.notices);
}

/// Loses partition 0 for longer than the grace, and gets it back at `position` with `metadata`. Before, Comet 1 missed offsets 10 to
/// 19, and has got 10 to 14; offset 100 was finished, and Comet 0 missed it. Returns what Comets 0 and 1 miss then.
fn away(position: i64, metadata: &str) -> (Vec<Range<i64>>, Vec<Range<i64>>) {
    let mut core = Core::new(TIMEOUT);
    core.assign(0, 100, &text(100, &[], &[(COMETS[1], 10..20)]));
    let (epoch, _) = core.assigned();
    core.read(epoch, 100..104);
    let ledger = &mut core
        .group
        .partitions
        .get_mut(&PartitionId::FIRST)
        .unwrap()
        .ledger;
    ledger.sent_again(CometId(1), 10..15, &[], &[]);
    core.lacks(100, 0);
    core.settle(epoch, 100, Completion::Delivered);
    core.lose();
    core.await_due();
    core.assign(0, position, metadata);
    assert_eq!(core.assigned().1, position);
    (core.missing(0), core.missing(1))
}

#[test]
fn a_partition_that_nobody_had_in_between_misses_what_this_process_knows() {
    let begun = text(100, &[], &[(COMETS[1], 10..20)]);
    assert_eq!(away(100, &begun), (vec![100..101], vec![15..20]));
}

#[test]
fn what_another_owner_left_is_missing_beside_what_this_process_knows() {
    // It finished 102, which Comet 1 misses beside what it missed before.
    let missing = [(COMETS[1], 10..20), (COMETS[1], 102..103)];
    let other = text(100, &[102..103], &missing);
    let both = (vec![100..101], vec![15..20, 102..103]);
    assert_eq!(away(100, &other), both);
}

#[test]
fn what_a_comet_got_from_another_owner_it_does_not_miss() {
    // It finished 100, also at Comet 0, and gave Comet 1 all but 18 and 19.
    let other = text(101, &[], &[(COMETS[1], 18..20)]);
    assert_eq!(away(101, &other), (vec![], vec![18..20]));
}

#[test]
fn metadata_that_cannot_be_read_does_not_say_that_a_comet_has_something() {
    assert_eq!(away(101, "not job's"), (vec![100..101], vec![15..20]));
}

#[test]
fn a_lower_offset_is_committed_once_where_the_broker_takes_no_text() {
    let mut core = Core::new(TIMEOUT);
    core.assign(0, 100, &text(100, &[], &[(COMETS[1], 10..20)]));
    let (epoch, _) = core.assigned();
    core.read(epoch, 100..104);
    core.tell(Event::ShorterMaps(0));
    let commit = core.next_commit().remove(0);
    assert_eq!((commit.offset, commit.metadata.as_str()), (10, ""));
    core.tell(Event::Committed(taken(vec![commit])));
    for _ in 0..3 {
        core.tick();
    }
    assert!(core.group.what_to_commit().is_empty());
    // It comes back within the grace, as it was.
    core.lose();
    core.tell(Event::Suspended(assignment(epoch)));
    core.assign(0, 10, "");
    assert_eq!(core.assigned(), (epoch, 104));
    // A new owner has less to say, and reads it all again.
    let mut next = Core::new(TIMEOUT);
    next.assign(0, 10, "");
    assert_eq!(next.assigned_without().1, 10);
    assert_eq!(next.missing(1), []);
}
