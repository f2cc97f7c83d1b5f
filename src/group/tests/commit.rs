//! What is committed, and what is made of the answers.

use super::{Around, TIMEOUT, record, taken};
use crate::group::Event;
use crate::message::Completion;
use crate::message::offset_map;
use crate::message::{CommitOutcome, Failure};

#[test]
fn only_what_is_finished_is_committed() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..4);
    around.settle(epoch, 0, Completion::Delivered);
    around.settle(epoch, 2, Completion::Delivered);
    loop {
        let commits = around.next_commit();
        let last = commits[0].clone();
        around.tell(Event::Committed(taken(commits)));
        if last.offset == 1 {
            let finished = offset_map::decode(1, &last.metadata).unwrap();
            assert_eq!(finished.len(), 1);
            assert_eq!((finished[0].start, finished[0].end), (2, 3));
            break;
        }
    }
    assert_eq!(around.end().unfinished, 2);
}

#[test]
fn a_dead_letter_holds_its_offset_until_it_is_written() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, Completion::Undeliverable("why".into()));
    let letter = around.letters.recv().unwrap();
    assert_eq!(
        (letter.record, letter.why.as_str()),
        (record(epoch, 0), "why")
    );
    let held = around.next_commit();
    assert_eq!(held[0].offset, 0);
    around.tell(Event::Committed(taken(held)));
    around.tell(Event::Written(vec![(letter.record, letter.bytes)]));
    assert_eq!(around.next_commit()[0].offset, 1);
    assert_eq!(around.end().dead_letters, 1);
}

#[test]
fn a_commit_that_fails_otherwise_stops_nothing() {
    let mut around = Around::new(TIMEOUT);
    around.consuming(0..4);
    around.next_commit();
    let why = Failure::Other("connecting failed".into());
    around.tell(Event::Committed(CommitOutcome::failed(why)));
    around.next_commit();
    assert!(around.worker.try_recv().is_err());
    around.end();
}

#[test]
fn a_partition_that_was_taken_counts_though_another_was_refused() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..1);
    around.settle(epoch, 0, Completion::Delivered);
    around.caught_up();
    let mut both = around.next_commit();
    while both.len() < 2 {
        around.tell(Event::Committed(taken(Vec::new())));
        both = around.next_commit();
    }
    let failed = Failure::Other("Kafka answered UnknownTopicOrPartition for partition 9".into());
    around.tell(Event::Committed(CommitOutcome {
        taken: vec![both.swap_remove(0)],
        failed: Some(failed),
        map_len: None,
    }));
    let again = around.next_commit();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].partition, 9);
    around.end();
}

#[test]
fn maps_are_as_short_as_the_broker_wants_them() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..400);
    for offset in (1..400).step_by(2) {
        around.settle(epoch, offset, Completion::Delivered);
    }
    around.caught_up();
    around.tell(Event::ShorterMaps(64));
    let mut commits = around.next_commit();
    while commits[0].metadata.len() > 64 || commits[0].metadata.is_empty() {
        around.tell(Event::Committed(taken(Vec::new())));
        commits = around.next_commit();
    }
    let finished = offset_map::decode(0, &commits[0].metadata).unwrap();
    assert!(finished.len() > 10 && finished.iter().all(|run| run.start % 2 == 1));
    around.end();
}
