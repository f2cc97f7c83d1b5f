//! Comets that are behind, as the group sees them.

// The lists hold ranges of offsets.
#![allow(clippy::single_range_in_vec_init)]

use super::*;
use crate::message::consumer::Behind;
use crate::message::{Offsets, PartitionId, offset_map};

const COMET: CometId = CometId(1);
const LIVE: i64 = i64::MAX;

fn lacks(in_flight: bool) -> Completion {
    let comet = COMET;
    Completion::Lacks { comet, in_flight }
}

fn again(took: bool) -> Completion {
    let comet = COMET;
    Completion::Again { comet, took }
}

fn came_back(took: bool) -> Completion {
    let comet = COMET;
    Completion::CameBack { comet, took }
}

/// A core that read the offsets 0 to 9, of which a Comet lacks 3 (a call is in flight) and 5. The others took all.
fn with_one_behind() -> (Core, u64) {
    let mut core = Core::new(TIMEOUT);
    core.assign(0, 0, "");
    let epoch = core.assigned().0;
    core.control.clear();
    core.read(epoch, 0..10);
    core.tell(Event::Away(COMET));
    assert!(matches!(
        core.control.pop_front(),
        Some(Control::Detach(COMET))
    ));
    core.tell(Event::Away(COMET));
    core.tell(Event::Answers(COMET));
    assert!(
        core.control.is_empty(),
        "a worker may still say what it lacks"
    );
    core.settle(epoch, 3, lacks(true));
    core.settle(epoch, 5, lacks(false));
    core.tell(Event::Detached(COMET));
    for offset in 0..10 {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.control.clear();
    (core, epoch)
}

fn read_again(core: &mut Core, epoch: u64, offsets: Range<i64>, sent: &[i64]) {
    core.tell(Event::ReadAgain(ReadAgain {
        assignment: assignment(epoch),
        comet: COMET,
        offsets,
        sent: sent.to_vec(),
        skipped: Vec::new(),
    }));
}

#[test]
fn what_is_read_again_holds_up_no_commit() {
    let (mut core, epoch) = with_one_behind();
    let held_up = |core: &Core| core.group.account(core.now).partitions[0].held_up_since;
    read_again(&mut core, epoch, 0..10, &[3, 5]);
    assert_eq!(held_up(&core), None);
    core.read(epoch, 10..11);
    assert_eq!(held_up(&core), Some(core.now));
}

/// What the committed metadata says the Comet misses.
fn committed_missing(commit: &Commit) -> Vec<Range<i64>> {
    let map = offset_map::decode(commit.offset, &commit.metadata).unwrap();
    let missing = map.missing.values().flat_map(|missing| missing.ranges());
    missing.collect()
}

/// What is committed next. Kafka takes it.
fn commit(core: &mut Core) -> Commit {
    let commits = core.next_commit();
    core.tell(Event::Committed(taken(commits.clone())));
    commits[0].clone()
}

fn returned(core: &mut Core) -> Vec<Range<i64>> {
    core.tell(Event::Answers(COMET));
    match core.control.pop_front() {
        Some(Control::CatchUp {
            comet,
            mut missing,
            away,
        }) => {
            assert!(comet == COMET && away.is_some());
            missing.remove(0).1
        }
        _ => panic!("it doesn't catch up"),
    }
}

#[test]
fn a_commit_names_what_a_comet_misses_and_does_not_wait_for_it() {
    let (mut core, epoch) = with_one_behind();
    core.behind = vec![COMET];
    core.read(epoch, 10..20);
    for offset in 10..18 {
        core.settle(epoch, offset, Completion::Delivered);
    }
    let commit = commit(&mut core);
    assert_eq!(commit.offset, 18);
    assert_eq!(committed_missing(&commit), [3..4, 5..6, 10..20]);
}

#[test]
fn a_comet_that_answers_catches_up_and_then_misses_nothing() {
    let (mut core, epoch) = with_one_behind();
    assert_eq!(returned(&mut core), [3..4, 5..6, 10..LIVE]);
    read_again(&mut core, epoch, 3..4, &[3]);
    read_again(&mut core, epoch, 5..6, &[5]);
    core.settle(epoch, 3, came_back(false));
    core.settle(epoch, 3, again(true));
    assert!(matches!(
        core.control.pop_back(),
        Some(Control::Credit {
            messages: 1,
            again: Some(COMET),
            ..
        })
    ));
    assert_eq!(committed_missing(&commit(&mut core)), [5..6]);
    core.settle(epoch, 5, again(true));
    core.tick();
    let caught_up = |notice: &Notice| matches!(notice, Notice::CometCaughtUp { messages: 2, .. });
    assert!(core.notices.iter().any(caught_up), "{:?}", core.notices);
}

/// It has not: its partition is another's.
#[test]
fn what_a_comet_misses_in_another_members_hands_is_not_said_to_be_caught_up() {
    let (mut core, epoch) = with_one_behind();
    returned(&mut core);
    core.settle(epoch, 3, came_back(true));
    let request = core.revoke();
    core.tell(Event::RevokeAck(assignment(epoch)));
    core.reply(request).expect("nothing is on its way");
    core.tick();
    let elsewhere = |notice: &Notice| {
        matches!(
            notice,
            Notice::CometCaughtUp {
                messages: 1,
                elsewhere: true,
                ..
            }
        )
    };
    assert!(core.notices.iter().any(elsewhere), "{:?}", core.notices);
}

#[test]
fn a_new_owner_reads_again_what_the_metadata_names() {
    let (mut core, _) = with_one_behind();
    let commit = commit(&mut core);
    let mut next = Core::new(TIMEOUT);
    next.assign(0, commit.offset, &commit.metadata);
    let Some(Control::Assign {
        assignment,
        position,
        behind,
        ..
    }) = next.control.pop_front()
    else {
        panic!("not assigned")
    };
    let missing = vec![3..4, 5..6, 10..LIVE];
    let comet = COMET;
    assert_eq!((position, behind), (10, vec![Behind { comet, missing }]));
    // It is said at the begin and at the end.
    let began = |notice: &Notice| matches!(notice, Notice::BeganBehind { records: 2, .. });
    assert!(next.notices.iter().any(began), "{:?}", next.notices);
    let epoch = assignment.epoch;
    read_again(&mut next, epoch, 3..4, &[3]);
    read_again(&mut next, epoch, 5..6, &[5]);
    next.settle(epoch, 3, again(true));
    next.settle(epoch, 5, again(true));
    next.tick();
    let caught_up = |notice: &Notice| matches!(notice, Notice::CometCaughtUp { messages: 2, .. });
    assert!(next.notices.iter().any(caught_up), "{:?}", next.notices);
}

#[test]
fn what_goes_on_its_way_twice_is_not_read_a_third_time() {
    let (mut core, epoch) = with_one_behind();
    returned(&mut core);
    read_again(&mut core, epoch, 3..4, &[3]);
    // The partition is read anew, and 3 is still with a worker.
    let group = &core.group;
    let behind = group.partitions[&PartitionId::FIRST].behind(group.comets.detached());
    assert_eq!(behind[0].missing, [5..6, 10..LIVE]);
}

#[test]
fn a_comet_that_answers_and_takes_nothing_waits_longer_each_time() {
    let (mut core, _) = with_one_behind();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let since = core.now;
        loop {
            core.tell(Event::Answers(COMET));
            if matches!(core.control.pop_front(), Some(Control::CatchUp { .. })) {
                break;
            }
            core.now += Duration::from_secs(1);
        }
        waits.push((core.now - since).as_secs());
        core.tell(Event::Away(COMET));
        core.tell(Event::Detached(COMET));
        core.control.clear();
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 10, 10, 10]);
}

#[test]
fn a_stop_waits_for_the_late_call() {
    let (mut core, epoch) = with_one_behind();
    let request = core.revoke();
    core.tell(Event::RevokeAck(assignment(epoch)));
    assert_eq!(core.reply(request), None, "a call is in flight");
    core.settle(epoch, 3, came_back(true));
    let commits = core.reply(request).expect("it ends");
    assert_eq!(committed_missing(&commits[0]), [5..6]);
}

#[test]
fn a_dead_letter_for_one_comet_ends_what_it_misses() {
    let (mut core, epoch) = with_one_behind();
    returned(&mut core);
    core.settle(epoch, 3, came_back(true));
    read_again(&mut core, epoch, 5..6, &[5]);
    let (why, at) = ("why".into(), Some(COMET));
    core.settle(epoch, 5, Completion::Undeliverable { why, at });
    let letter = core.letters.pop_front().expect("a letter");
    assert_eq!(committed_missing(&commit(&mut core)), [5..6]);
    core.tell(written(&letter));
    assert_eq!(committed_missing(&commit(&mut core)), []);
}

/// A map without room says that a Comet misses more than it does, here what nobody has read yet.
#[test]
fn what_a_comet_gets_live_it_does_not_miss() {
    let map = offset_map::Map {
        missing: [(COMETS[1].into(), Offsets::from_iter([2..9]))].into(),
        ..Default::default()
    };
    let (offset, metadata) = offset_map::encode(4, &map, 4096);
    let mut core = Core::new(TIMEOUT);
    core.assign(0, offset, &metadata);
    let epoch = core.assigned().0;
    read_again(&mut core, epoch, 2..4, &[2, 3]);
    core.settle(epoch, 2, again(true));
    core.settle(epoch, 3, again(true));
    core.read(epoch, 4..9);
    for offset in 4..9 {
        core.settle(epoch, offset, Completion::Delivered);
    }
    assert_eq!(committed_missing(&commit(&mut core)), []);
}

#[test]
fn what_was_too_old_is_said_once_when_the_comet_has_caught_up() {
    let (mut core, epoch) = with_one_behind();
    returned(&mut core);
    for offset in [3, 5] {
        core.tell(Event::ReadAgain(ReadAgain {
            assignment: assignment(epoch),
            comet: COMET,
            offsets: offset..offset + 1,
            sent: Vec::new(),
            skipped: vec![offset],
        }));
    }
    let skipped = |core: &Core| {
        let notices = core.notices.iter().filter_map(|notice| match notice {
            Notice::MissedSkipped { comet, messages } => Some((comet.clone(), *messages)),
            _ => None,
        });
        notices.collect::<Vec<_>>()
    };
    core.tick();
    assert_eq!(skipped(&core), [], "a call is in flight");
    core.settle(epoch, 3, came_back(false));
    core.tick();
    let comet = COMETS[COMET.0 as usize].to_owned();
    assert_eq!(skipped(&core), [(comet, 2)]);
    let begun_before = commit(&mut core);
    assert_eq!(committed_missing(&begun_before), [3..4]);
    assert_eq!(committed_missing(&commit(&mut core)), []);
}

#[test]
fn what_was_too_old_for_all_is_finished_counted_and_said_once_a_second() {
    let (mut core, epoch) = with_one_behind();
    core.read(epoch, 10..12);
    returned(&mut core);
    read_again(&mut core, epoch, 5..6, &[5]);
    core.settle(epoch, 5, Completion::TooOld { at: Some(COMET) });
    core.settle(epoch, 3, came_back(true));
    for offset in [10, 11] {
        core.settle(epoch, offset, Completion::TooOld { at: None });
    }
    core.notices.clear();
    core.tick();
    let said = |notice: &&Notice| matches!(notice, Notice::TooOld { messages: 3, .. });
    assert_eq!(core.notices.iter().filter(said).count(), 1);
    core.notices.clear();
    core.tick();
    assert!(
        !core
            .notices
            .iter()
            .any(|notice| matches!(notice, Notice::TooOld { .. }))
    );
    assert_eq!(committed_missing(&commit(&mut core)), []);
    assert_eq!(core.group.finish().too_old, 3);
}

fn detach(core: &mut Core) {
    core.tell(Event::Away(COMET));
    core.tell(Event::Detached(COMET));
    core.control.clear();
}

/// It is away from its first detach on until it has caught up, however often it comes back and takes nothing.
#[test]
fn a_comet_is_away_until_it_has_caught_up() {
    let (mut core, epoch) = with_one_behind();
    let away = |core: &mut Core| {
        core.tell(Event::Answers(COMET));
        match core.control.pop_front() {
            Some(Control::CatchUp { away, .. }) => away,
            _ => panic!("it doesn't catch up"),
        }
    };
    let first = away(&mut core).expect("it is known");
    core.now += Duration::from_secs(20);
    detach(&mut core);
    core.now += Duration::from_secs(20);
    let second = away(&mut core).expect("it is known");
    assert!(second >= first + Duration::from_secs(40), "{second:?}");
    for offset in [3, 5] {
        read_again(&mut core, epoch, offset..offset + 1, &[offset]);
        core.settle(epoch, offset, again(true));
    }
    core.settle(epoch, 3, came_back(true));
    core.tick();
    detach(&mut core);
    assert!(away(&mut core).is_some_and(|third| third < Duration::from_secs(20)));
}
