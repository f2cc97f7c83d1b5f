//! A partition's whole life.

use std::time::Duration;

use super::{Core, TIMEOUT, assignment, record, taken};
use crate::group::effect::Order;
use crate::group::notice::Notice;
use crate::group::{Counts, Event, GRACE};
use crate::message::consumer::Control;
use crate::message::offset_map::{self, Map};
use crate::message::{Commit, Completion, PartitionId, Settled};

/// The finished offsets above the committed one.
fn above(commit: &Commit) -> Vec<i64> {
    let map = offset_map::decode(commit.offset, &commit.metadata).unwrap();
    map.finished.into_iter().flatten().collect()
}

fn delivered(epoch: u64, offsets: &[i64]) -> Event {
    let settled = offsets.iter().map(|offset| Settled {
        record: record(epoch, *offset),
        bytes: 10,
        completion: Completion::Delivered,
    });
    Event::Settled(settled.collect())
}

#[test]
fn a_partition_is_assigned_read_committed_lost_had_back_and_revoked() {
    let mut core = Core::new(TIMEOUT);

    // Assigned, with what an earlier owner finished.
    let map = Map {
        finished: vec![103..105, 120..121],
        ..Map::default()
    };
    core.assign(0, 100, &offset_map::encode(100, &map, 4_096).1);
    let (epoch, position, left_out) = core.assigned_without();
    assert_eq!((position, left_out), (100, vec![103, 104, 120]));

    // Read, and settled out of order.
    core.read(epoch, 100..110);
    core.tell(delivered(epoch, &[106, 101, 100]));
    assert!(matches!(
        core.control.pop_front(),
        Some(Control::Credit {
            messages: 3,
            bytes: 30,
            again: None
        })
    ));
    assert!(core.control.is_empty(), "more than one credit for a batch");

    // Committed.
    let commits = core.next_commit();
    assert_eq!(commits[0].offset, 102);
    assert_eq!(above(&commits[0]), [103, 104, 106, 120]);
    core.tell(Event::Committed(taken(commits)));
    core.tell(delivered(epoch, &[107]));
    core.control.clear();

    // Lost: nothing of it is read or sent.
    let lost_at = core.now;
    let parting = core.lose();
    assert_eq!(above(&parting[0]), [103, 104, 106, 107, 120]);
    core.suspended(epoch);
    assert_eq!(core.group.wake_at(), Some(lost_at + GRACE));
    core.tell(Event::PartingCommit(parting.clone()));
    core.tell(Event::Suspended(assignment(epoch)));
    // A call that was in flight comes back.
    core.tell(delivered(epoch, &[102]));
    core.control.clear();

    // Back within the grace, as it was left: it goes on.
    core.now += GRACE - Duration::from_millis(1);
    core.assign(0, parting[0].offset, &parting[0].metadata);
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Resume(assignment(epoch)))
    );
    assert_eq!(core.assigned(), (epoch, 110));
    core.await_due();
    assert!(!core.is_dropped());
    assert_eq!(core.group.wake_at(), None);

    // Revoked, with messages in flight and a dead letter on its way.
    core.read(epoch, 110..113);
    core.settle(
        epoch,
        108,
        Completion::Undeliverable {
            why: "why".into(),
            at: None,
        },
    );
    let letter = core.letters.pop_front().unwrap();
    let request = core.revoke();
    assert!(core.is_dropped(), "the consumer reads on");
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Revoke(assignment(epoch)))
    );
    core.tell(delivered(epoch, &[105, 109, 111]));
    core.settle(epoch, 110, Completion::Released);
    core.settle(epoch, 112, Completion::Released);
    core.tell(Event::RevokeAck(assignment(epoch)));
    assert!(core.reply(request).is_none(), "the letter isn't written");
    core.tell(super::written(&letter));

    // Released, with what is to be committed.
    let commits = core.reply(request).unwrap();
    assert_eq!((commits.len(), commits[0].offset), (1, 110));
    assert_eq!(above(&commits[0]), [111, 120]);
    assert_eq!(
        core.orders.pop_front(),
        Some(Order::Forget(assignment(epoch)))
    );
    assert_eq!(core.group.wake_at(), None);
    let (partition, partitions) = (PartitionId::FIRST, vec![PartitionId::FIRST]);
    assert_eq!(
        core.notices,
        [
            Notice::Reading {
                partition,
                position: 100
            },
            Notice::Lost {
                partitions: partitions.clone()
            },
            Notice::StillOurs {
                partition,
                position: 110
            },
            Notice::Released { partitions },
        ]
    );
    assert_eq!(
        core.group.finish(),
        Counts {
            delivered: 8,
            dead_letters: 1,
            too_old: 0,
            given_back: 2,
            unfinished: 0
        }
    );
}
