//! A fleet that changes, as the group sees it.

// The lists hold ranges of offsets.
#![allow(clippy::single_range_in_vec_init)]

use super::*;
use crate::message::fleet::{Change, Node};
use crate::message::{ByComet, Offsets, offset_map};

const COMET: CometId = CometId(1);

fn missed(core: &Core) -> ByComet<u64> {
    let comets = core.group.account(core.now).comets;
    comets
        .iter()
        .map(|(comet, of)| (comet, of.missed))
        .collect()
}

fn map(missing: &[(&str, Range<i64>)]) -> String {
    let missing = missing.iter().map(|(name, missed)| {
        let missed: Offsets = [missed.clone()].into_iter().collect();
        ((*name).to_owned(), missed)
    });
    let map = offset_map::Map {
        finished: Vec::new(),
        missing: missing.collect(),
    };
    offset_map::encode(100, &map, 4096).1
}

#[test]
fn a_change_goes_on_to_the_consumer_and_a_comet_that_joins_is_counted() {
    let mut core = Core::new(TIMEOUT);
    let join = Change::Join(CometId(7), "comet-d:50051".into());
    core.tell(Event::Fleet(join.clone()));
    let told = core.control.pop_front();
    assert!(matches!(told, Some(Control::Fleet(change)) if change == join));
    assert_eq!(missed(&core).len(), 4);
    core.tell(Event::Away(CometId(7)));
    assert!(matches!(
        core.control.pop_front(),
        Some(Control::Detach(CometId(7)))
    ));
}

#[test]
fn a_comet_that_leaves_takes_along_what_it_missed() {
    let mut core = Core::new(TIMEOUT);
    core.assign(0, 100, &map(&[(COMETS[1], 10..20), (COMETS[2], 10..12)]));
    let epoch = core.assigned().0;
    core.behind = vec![COMET, CometId(2)];
    core.read(epoch, 100..103);
    assert_eq!(missed(&core).get(COMET), Some(&13));
    core.tell(Event::Fleet(Change::Leave(COMET)));
    assert_eq!(missed(&core).get(COMET), Some(&0));
    // What the consumer read before it knew, and what a worker said then.
    core.read(epoch, 103..105);
    let comet = COMET;
    core.settle(
        epoch,
        103,
        Completion::Lacks {
            comet,
            in_flight: true,
        },
    );
    for event in [
        Event::Away(COMET),
        Event::Answers(COMET),
        Event::Detached(COMET),
    ] {
        core.tell(event);
    }
    let again = ReadAgain {
        assignment: assignment(epoch),
        comet,
        offsets: 10..20,
        sent: vec![11, 12],
        skipped: Vec::new(),
    };
    core.tell(Event::ReadAgain(again));
    core.settle(epoch, 11, Completion::Again { comet, took: false });
    core.settle(epoch, 103, Completion::CameBack { comet, took: false });
    assert_eq!(missed(&core).get(COMET), Some(&0));
    assert_eq!(missed(&core).get(CometId(2)), Some(&7));
    let is_settled = |core: &Core| core.group.partitions[&PartitionId::FIRST].ledger.pending();
    assert_eq!(is_settled(&core), 5, "nothing waits for the one that left");

    core.notices.clear();
    core.tell(Event::CometLeft { comet, unsent: 3 });
    assert_eq!(core.gone, [COMET]);
    let left = Notice::CometLeft {
        comet: COMETS[1].into(),
        unsent: 3,
        missed: 13,
    };
    assert_eq!(core.notices, [left]);
    assert_eq!(missed(&core).len(), 2);
    // The commit doesn't name it.
    for offset in 100..105 {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.tick();
    let Some(Command::Commit(commits)) = core.commands.pop_front() else {
        panic!("no commit")
    };
    let said = offset_map::decode(commits[0].offset, &commits[0].metadata).unwrap();
    assert_eq!(said.missing.keys().collect::<Vec<_>>(), [COMETS[2]]);
}

#[test]
fn one_that_leaves_with_nothing_to_lose_is_no_news() {
    let mut core = Core::new(TIMEOUT);
    core.tell(Event::Fleet(Change::Leave(COMET)));
    core.tell(Event::CometLeft {
        comet: COMET,
        unsent: 0,
    });
    assert_eq!(
        (core.gone.as_slice(), core.notices.len()),
        (&[COMET][..], 0)
    );
}

#[test]
fn what_a_comet_misses_is_its_own_under_its_name_or_its_address() {
    let named = |name: &str, address: &str| Node {
        name: name.into(),
        ..address.into()
    };
    let mut core = Core::new(TIMEOUT);
    let became = Change::Become(COMET, named("comet1", COMETS[1]));
    core.tell(Event::Fleet(became));
    // An older job wrote the address.
    core.assign(0, 100, &map(&[(COMETS[1], 10..20)]));
    assert_eq!(missed(&core).get(COMET), Some(&10));
    core.tick();
    let commit = core.commands.iter().find_map(|command| match command {
        Command::Commit(commits) => Some(commits[0].clone()),
        _ => None,
    });
    let commit = commit.expect("a commit");
    let said = offset_map::decode(commit.offset, &commit.metadata).unwrap();
    assert_eq!(said.missing.keys().collect::<Vec<_>>(), ["comet1"]);
    // It is elsewhere after a restart.
    let mut core = Core::new(TIMEOUT);
    let became = Change::Become(COMET, named("comet1", "10.0.0.9:1"));
    core.tell(Event::Fleet(became));
    core.assign(0, 100, &commit.metadata);
    assert_eq!(missed(&core).get(COMET), Some(&10));
}
