//! Reading that an operator pauses, and limits that change while it runs.

use super::*;
use crate::message::CometId;
use crate::message::consumer::Behind;

fn assignment(epoch: u64) -> Assignment {
    Assignment {
        partition: PartitionId::FIRST,
        epoch,
    }
}

#[test]
fn a_pause_reads_nothing_of_old_and_new_partitions_until_it_ends() {
    let mut bench = Bench::unlimited();
    bench.assign(assignment(1), 5, &[]);
    let asked = bench.core.positions().expect("something is to be fetched");
    bench.step(Event::Pause(true));
    assert!(bench.core.is_paused());
    assert_eq!(bench.core.positions(), None);
    // What the fetch brings that was under way is fetched once more later.
    bench.fetched_from(&asked, records(5..8));
    assert_eq!(bench.effects(), [""; 0]);
    bench.control(Control::Revoke {
        partition: PartitionId::FIRST,
    });
    bench.assign(assignment(2), 6, &[]);
    assert_eq!(bench.core.positions(), None);
    bench.step(Event::Pause(false));
    assert_eq!(bench.position(), Some(6));
    bench.fetched(records(6..7));
    assert_eq!(bench.position(), Some(7));
}

#[test]
fn a_pause_that_ends_within_a_fetch_costs_nothing() {
    let mut bench = Bench::unlimited();
    bench.assign(assignment(1), 5, &[]);
    let asked = bench.core.positions().expect("something is to be fetched");
    bench.step(Event::Pause(true));
    bench.step(Event::Pause(false));
    bench.fetched_from(&asked, records(5..8));
    assert_eq!(bench.position(), Some(8));
}

#[test]
fn nothing_is_read_again_in_a_pause() {
    let mut bench = Bench::unlimited();
    bench.control(Control::Assign {
        assignment: assignment(1),
        position: 5,
        finished: Vec::new(),
        behind: vec![Behind {
            comet: CometId(0),
            missing: vec![2..4, 5..i64::MAX],
        }],
    });
    let asked = bench.core.positions_again().expect("it misses something");
    bench.step(Event::Pause(true));
    assert_eq!(bench.core.positions_again(), None);
    bench.effects();
    bench.step(Event::FetchedAgain {
        positions: &asked,
        batches: vec![Batch {
            partition: PartitionId::FIRST,
            outcome: records(2..4),
        }],
        now: 0,
    });
    assert_eq!(
        (bench.effects(), bench.core.may_send_kept()),
        (Vec::new(), false)
    );
    bench.step(Event::Pause(false));
    assert_eq!(
        bench.core.positions_again(),
        Some([(PartitionId::FIRST, 2)].into())
    );
}

#[test]
fn other_caps_hold_at_once() {
    let caps = |messages| Held {
        messages,
        bytes: usize::MAX,
    };
    let mut bench = Bench::new(caps(2));
    bench.assign(assignment(1), 0, &[]);
    bench.fetched(records(0..2));
    assert_eq!(bench.position(), None, "as much is held as may be");
    let ages = Ages::ALL;
    bench.step(Event::Limits {
        caps: caps(3),
        ages,
    });
    assert_eq!(bench.position(), Some(2));
    bench.step(Event::Limits {
        caps: caps(1),
        ages,
    });
    assert_eq!(bench.position(), None);
}
