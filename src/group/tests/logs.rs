//! Logs that were cut, deleted or made anew.

use std::collections::BTreeMap;

use super::{Around, TIMEOUT, taken};
use crate::group::{Event, Read};
use crate::message::Commit;
use crate::message::Completion;
use crate::message::consumer::Control;
use crate::message::standing::{Log, Standing, TopicTag};
use crate::message::worker;
use crate::message::{Assignment, offset_map, topic_tag};

/// A log of topic `topic` from `start` to `end`, of which the epoch asked about ends at `epoch_end`.
fn standing(topic: u32, start: i64, end: i64, epoch_end: i64) -> Standing {
    Standing {
        topic: Some(TopicTag(topic)),
        leader_epoch: Some(3),
        log: Some(Log {
            start,
            end,
            epoch_end: Some(epoch_end),
        }),
    }
}

#[test]
fn a_log_that_was_cut_is_read_from_its_new_end_and_what_is_held_still_counts_below() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..10);
    around.answer(standing(1, 0, 10, 10));
    around.settle(epoch, 1, Completion::Delivered);
    around.tell(Event::Astray(Assignment {
        partition: 0,
        epoch,
    }));
    around.answer(standing(1, 0, 7, 7));
    let (again, position) = around.assigned();
    assert_eq!(position, 7);
    assert_ne!(again, epoch);

    // Other records are under these offsets now.
    around.settle(epoch, 8, Completion::Delivered);
    for offset in [0, 2, 3, 4, 6] {
        around.settle(epoch, offset, Completion::Delivered);
    }
    let read = Read {
        assignment: Assignment {
            partition: 0,
            epoch: again,
        },
        offsets: (7..9).collect(),
        next: 9,
    };
    around.reads.send(read).unwrap();
    around.settle(again, 7, Completion::Delivered);
    loop {
        let commit = around.next_commit().remove(0);
        around.tell(Event::Committed(taken(vec![commit.clone()])));
        let finished = offset_map::decode(commit.offset, &commit.metadata).unwrap();
        if commit.offset == 5 && finished.iter().eq([&(6..8)]) {
            assert_eq!(commit.leader_epoch, Some(3));
            break;
        }
    }

    // A revocation waits for the workers' answers for both assignments.
    let reply = around.revoke();
    let mut epochs = Vec::new();
    while epochs.len() < 2 {
        if let worker::Event::Revoke(Assignment { epoch, .. }) = around.worker.recv().unwrap() {
            epochs.push(epoch);
        }
    }
    assert_eq!(epochs, [epoch, again]);
    around.settle(epoch, 5, Completion::Released);
    around.settle(again, 8, Completion::Released);
    for epoch in epochs {
        around.tell(Event::RevokeAck(Assignment {
            partition: 0,
            epoch,
        }));
    }
    let commits = reply.blocking_recv().unwrap();
    assert_eq!(commits[0].offset, 5);
    around.end();
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_start_and_its_offsets_are_committed() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..10);
    around.answer(standing(1, 0, 10, 10));
    for offset in 0..9 {
        around.settle(epoch, offset, Completion::Delivered);
    }
    around.answer(standing(2, 0, 20, 20));
    let (again, position) = around.assigned();
    assert_eq!(position, 0);
    // A broker that lags behind.
    around.answer(standing(1, 0, 10, 10));
    around.settle(epoch, 9, Completion::Delivered);
    let read = Read {
        assignment: Assignment {
            partition: 0,
            epoch: again,
        },
        offsets: (0..20).collect(),
        next: 20,
    };
    around.reads.send(read).unwrap();
    around.settle(again, 0, Completion::Delivered);
    loop {
        let commits = around.next_commit();
        around.tell(Event::Committed(taken(commits.clone())));
        let is_of_new = |commit: &Commit| topic_tag::split(&commit.metadata).0 == Some(TopicTag(2));
        if let Some(commit) = commits.into_iter().find(is_of_new) {
            assert!(commit.offset <= 1);
            if commit.offset == 1 {
                break;
            }
        }
    }
    around.end();
}

#[test]
fn a_position_that_is_there_after_all_is_read_on() {
    let mut around = Around::new(TIMEOUT);
    let epoch = around.consuming(0..10);
    around.answer(standing(1, 0, 10, 10));
    around.tell(Event::Astray(Assignment {
        partition: 0,
        epoch,
    }));
    let mut asked = around.next_look();
    while !asked[0].thorough {
        around.tell(Event::Looked(Err("no answer".into())));
        asked = around.next_look();
    }
    let standings = BTreeMap::from([(0, standing(1, 0, 10, 10))]);
    around.tell(Event::Looked(Ok(standings)));
    assert_eq!(around.assigned(), (epoch, 10));
    around.end();
}

#[test]
fn an_owner_begins_where_the_log_that_was_committed_for_ends_now() {
    let begin = |metadata: String, standing: Standing| {
        let around = Around::new(TIMEOUT);
        around.tell(Event::Assigned {
            partition: 0,
            position: 1_000,
            metadata,
            leader_epoch: Some(2),
            standing: Some(standing),
        });
        let Control::Assign {
            position, finished, ..
        } = around.control.recv().unwrap()
        else {
            panic!("not assigned")
        };
        around.end();
        let finished = finished.into_iter().map(|run| (run.start, run.end));
        (position, finished.collect::<Vec<_>>())
    };
    let of_topic = |finished: &[(i64, i64)]| {
        let finished: Vec<_> = finished.iter().map(|run| run.0..run.1).collect();
        topic_tag::before(Some(TopicTag(1)), 4_096, |left| {
            offset_map::encode(1_000, &finished, left)
        })
    };
    let cut = begin(of_topic(&[]), standing(1, 0, 1_200, 600));
    assert_eq!(cut, (600, vec![]));
    // Records that an open one was waited for lie behind the committed offset.
    let cut = begin(of_topic(&[(1_001, 1_500)]), standing(1, 0, 2_000, 1_200));
    assert_eq!(cut, (1_000, vec![(1_001, 1_200)]));
    let anew = begin(of_topic(&[(1_001, 1_500)]), standing(2, 0, 2_000, 2_000));
    assert_eq!(anew, (0, vec![]));
    let deleted = begin(
        of_topic(&[(1_300, 1_500)]),
        standing(1, 1_400, 2_000, 2_000),
    );
    assert_eq!(deleted, (1_400, vec![(1_400, 1_500)]));
    // By another version of job, or with one of Kafka's tools.
    let unclear = begin(String::new(), standing(1, 0, 600, 600));
    assert_eq!(unclear, (0, vec![]));
    let same = begin(String::new(), standing(1, 0, 1_000, 1_000));
    assert_eq!(same, (1_000, vec![]));
}
