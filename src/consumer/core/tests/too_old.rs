//! What is too old when it is read.

use std::time::Duration;

use super::*;
use crate::message::PartitionId;

#[test]
fn what_is_too_old_is_read_and_not_sent() {
    let ages = Ages {
        max: Some(Duration::from_millis(10)),
        ..Ages::ALL
    };
    let mut bench = Bench::unlimited();
    bench.core.ages = ages;
    bench.assign(epoch(1), 0, &[]);
    let record = |offset| Record {
        offset,
        trace: None,
        value: Some(value("r1")),
        size: 1,
        timestamp: offset,
    };
    let positions = bench.core.positions().expect("it reads");
    bench.effects();
    let outcome = Outcome::Records {
        records: (0..3).map(record).collect(),
        next: 3,
    };
    let batches = vec![Batch {
        partition: PartitionId::of_first(0),
        outcome,
    }];
    bench.step(Event::Fetched {
        positions: &positions,
        batches,
        now: 11,
    });
    let mut effects = bench.effects();
    effects.retain(|effect| !effect.starts_with("say"));
    assert_eq!(
        effects,
        [
            "read [0, 1, 2] to 3 in 1",
            "settled [0]",
            "worker gets [1, 2]"
        ]
    );
    bench.step(Event::Tick { now: 12 });
    let told = "something else for a worker".to_owned();
    assert_eq!(bench.effects(), vec![told; WORKERS]);
}

#[test]
fn nothing_is_too_old_without_a_limit() {
    let mut bench = Bench::unlimited();
    bench.step(Event::Tick { now: i64::MAX });
    assert!(bench.effects().is_empty());
}
