//! Logs that were cut, deleted or made anew.

use std::collections::BTreeMap;

use super::{Core, TIMEOUT, assignment, taken};
use crate::group::Event;
use crate::group::effect::Order;
use crate::group::notice::Notice;
use crate::message::offset_map::{self, Map};
use crate::message::standing::{Log, Standing, TopicTag};
use crate::message::topic_tag;
use crate::message::{Completion, PartitionId};

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
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..10);
    core.answer(standing(1, 0, 10, 10));
    core.settle(epoch, 1, Completion::Delivered);
    core.tell(Event::Astray(assignment(epoch)));
    core.answer(standing(1, 0, 7, 7));
    let (again, position) = core.assigned();
    assert_eq!(position, 7);
    assert_ne!(again, epoch);
    assert_eq!(
        core.notices.last(),
        Some(&Notice::LogCut {
            partition: PartitionId::FIRST,
            to: 7,
            records: 3
        })
    );

    // Other records are under these offsets now.
    core.settle(epoch, 8, Completion::Delivered);
    for offset in [0, 2, 3, 4, 6] {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.read(again, 7..9);
    core.settle(again, 7, Completion::Delivered);
    let commit = core.next_commit().remove(0);
    let map = offset_map::decode(commit.offset, &commit.metadata).unwrap();
    assert_eq!((commit.offset, commit.leader_epoch), (5, Some(3)));
    assert!(map.finished.iter().eq([&(6..8)]));
    core.tell(Event::Committed(taken(vec![commit])));

    // A revocation waits for the workers' answers for both assignments.
    let request = core.revoke();
    let orders: Vec<_> = core.orders.drain(..).collect();
    let both = [assignment(epoch), assignment(again)];
    assert_eq!(orders, both.map(Order::Revoke));
    core.settle(epoch, 5, Completion::Released);
    core.settle(again, 8, Completion::Released);
    core.tell(Event::RevokeAck(both[0]));
    assert!(core.reply(request).is_none());
    core.tell(Event::RevokeAck(both[1]));
    assert_eq!(core.reply(request).unwrap()[0].offset, 5);
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_start_and_its_offsets_are_committed() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..10);
    core.answer(standing(1, 0, 10, 10));
    for offset in 0..9 {
        core.settle(epoch, offset, Completion::Delivered);
    }
    core.answer(standing(2, 0, 20, 20));
    let (again, position) = core.assigned();
    assert_eq!(position, 0);
    // A broker that lags behind.
    core.answer(standing(1, 0, 10, 10));
    core.settle(epoch, 9, Completion::Delivered);
    core.read(again, 0..20);
    core.settle(again, 0, Completion::Delivered);
    let commit = core.next_commit().remove(0);
    assert_eq!(commit.offset, 1);
    assert_eq!(topic_tag::split(&commit.metadata).0, Some(TopicTag(2)));
}

#[test]
fn a_position_that_is_there_after_all_is_read_on() {
    let mut core = Core::new(TIMEOUT);
    let epoch = core.consuming(0..10);
    core.answer(standing(1, 0, 10, 10));
    core.tell(Event::Astray(assignment(epoch)));
    assert!(core.next_look()[0].thorough);
    core.tell(Event::Looked(Err("no answer".into())));
    assert!(core.next_look()[0].thorough);
    let standings = BTreeMap::from([(PartitionId::FIRST, standing(1, 0, 10, 10))]);
    core.tell(Event::Looked(Ok(standings)));
    assert_eq!(core.assigned(), (epoch, 10));
}

#[test]
fn an_owner_begins_where_the_log_that_was_committed_for_ends_now() {
    let begin = |metadata: String, standing: Standing| {
        let mut core = Core::new(TIMEOUT);
        core.tell(Event::Assigned {
            partition: PartitionId::FIRST,
            position: 1_000,
            metadata,
            leader_epoch: Some(2),
            standing: Some(standing),
        });
        let (_, position, finished) = core.assigned_without();
        (position, finished)
    };
    let of_topic = |finished: &[(i64, i64)]| {
        let map = Map {
            finished: finished.iter().map(|run| run.0..run.1).collect(),
            ..Map::default()
        };
        topic_tag::before(Some(TopicTag(1)), 4_096) + &offset_map::encode(1_000, &map, 4_000).1
    };
    let cut = begin(of_topic(&[]), standing(1, 0, 1_200, 600));
    assert_eq!(cut, (600, vec![]));
    // Records that an open one was waited for lie behind the committed offset.
    let cut = begin(of_topic(&[(1_001, 1_500)]), standing(1, 0, 2_000, 1_200));
    assert_eq!(cut, (1_000, (1_001..1_200).collect()));
    let anew = begin(of_topic(&[(1_001, 1_500)]), standing(2, 0, 2_000, 2_000));
    assert_eq!(anew, (0, vec![]));
    let deleted = begin(
        of_topic(&[(1_300, 1_500)]),
        standing(1, 1_400, 2_000, 2_000),
    );
    assert_eq!(deleted, (1_400, (1_400..1_500).collect()));
    // By another version of job, or with one of Kafka's tools.
    let unclear = begin(String::new(), standing(1, 0, 600, 600));
    assert_eq!(unclear, (0, vec![]));
    let same = begin(String::new(), standing(1, 0, 1_000, 1_000));
    assert_eq!(same, (1_000, vec![]));
}
