mod missing;
mod model;

use super::*;
use proptest::prelude::*;

/// The watermark, and the finished runs above it.
fn account(ledger: &Ledger) -> (i64, Vec<(i64, i64)>) {
    let above = ledger.finished_above();
    (
        ledger.watermark(),
        above.iter().map(|run| (run.start, run.end)).collect(),
    )
}

fn runs() -> impl Strategy<Value = Vec<Range<i64>>> {
    prop::collection::vec((1i64..9, 1i64..9), 0..8).prop_map(|lengths| {
        let mut at = 0;
        let mut run = |(gap, length)| {
            let start = at + gap;
            at = start + length;
            start..at
        };
        lengths.into_iter().map(&mut run).collect()
    })
}

#[test]
fn what_is_finished_is_known_from_any_position() {
    let mut ledger = Ledger::new(0, vec![], BTreeMap::new());
    ledger.read(0..6, 6, &[]);
    for offset in [0, 1, 3, 5] {
        ledger.finish(offset);
    }
    let known = |position| -> Vec<i64> {
        let runs = ledger.finished_from(position);
        runs.into_iter().flatten().collect()
    };
    assert_eq!(known(0), [0, 1, 3, 5]);
    assert_eq!(known(1), [1, 3, 5]);
    assert_eq!(known(4), [5]);
    assert!(known(6).is_empty());
}

#[test]
fn the_watermark_waits_for_the_lowest_open_record() {
    let mut ledger = Ledger::new(10, vec![], BTreeMap::new());
    ledger.read(10..14, 14, &[]);
    ledger.finish(11);
    ledger.finish(13);
    assert_eq!(account(&ledger), (10, vec![(11, 12), (13, 14)]));
    ledger.finish(10);
    assert_eq!(account(&ledger), (12, vec![(13, 14)]));
    ledger.finish(12);
    assert_eq!(account(&ledger), (14, vec![]));
    assert!(ledger.is_settled());
}

#[test]
fn offsets_without_a_record_hold_nothing_up() {
    let mut ledger = Ledger::new(0, vec![], BTreeMap::new());
    ledger.read([3, 900], 1000, &[]);
    assert_eq!(ledger.watermark(), 3);
    ledger.finish(900);
    ledger.finish(3);
    assert_eq!(ledger.watermark(), 1000);
}

#[test]
fn the_account_does_not_grow_with_what_is_finished_behind_open_records() {
    const READ: i64 = 1_000_000;
    let mut ledger = Ledger::new(0, vec![], BTreeMap::new());
    let mut most = 0;
    for from in (0..READ).step_by(500) {
        ledger.read(from..from + 500, from + 500, &[]);
        for offset in from..from + 500 {
            if offset != 0 && offset != 70_000 {
                ledger.finish(offset);
            }
            most = most.max(ledger.open.len() + ledger.late.len());
        }
    }
    assert!(most < 1_500, "it held {most} records");
    assert_eq!(account(&ledger), (0, vec![(1, 70_000), (70_001, READ)]));
    ledger.finish(70_000);
    assert_eq!(account(&ledger), (0, vec![(1, READ)]));
    ledger.finish(0);
    assert_eq!(account(&ledger), (READ, vec![]));
    assert!(ledger.is_settled());
}

#[test]
fn a_released_record_is_left_to_the_next_owner() {
    let mut ledger = Ledger::new(0, vec![], BTreeMap::new());
    ledger.read(0..3, 3, &[]);
    ledger.finish(0);
    ledger.release(1);
    ledger.finish(2);
    assert!(ledger.is_settled());
    assert_eq!(account(&ledger), (1, vec![(2, 3)]));
}

#[test]
fn what_an_earlier_owner_finished_stays_known_before_it_is_read() {
    let mut ledger = Ledger::new(5, vec![7..9, 20..30], BTreeMap::new());
    assert_eq!(account(&ledger).1, vec![(7, 9), (20, 30)]);
    ledger.read(5..10, 10, &[]);
    assert_eq!(ledger.pending(), 3);
    ledger.finish(5);
    ledger.finish(6);
    assert_eq!(account(&ledger), (9, vec![(20, 30)]));
}

#[test]
fn a_log_that_is_cut_goes_on_with_other_records() {
    let mut ledger = Ledger::new(0, vec![40..50, 50..60], BTreeMap::new());
    ledger.read(0..30, 30, &[]);
    for offset in (1..30).filter(|offset| *offset != 20) {
        ledger.finish(offset);
    }
    ledger.cut(25);
    assert_eq!(ledger.next(), 25);
    assert_eq!(ledger.pending(), 2);
    assert_eq!(account(&ledger), (0, vec![(1, 20), (21, 25)]));
    ledger.read(25..50, 50, &[]);
    ledger.finish(0);
    ledger.finish(20);
    assert_eq!(account(&ledger), (25, vec![]));
    assert_eq!(ledger.pending(), 25);
    ledger.cut(10);
    assert_eq!(account(&ledger), (10, vec![]));
    assert_eq!((ledger.next(), ledger.pending()), (10, 0));
}

#[test]
fn what_an_earlier_owner_finished_is_cut_too() {
    let mut ledger = Ledger::new(5, vec![7..9, 20..30, 40..50], BTreeMap::new());
    ledger.cut(25);
    assert_eq!(account(&ledger), (5, vec![(7, 9), (20, 25)]));
}

#[test]
fn a_gap_of_offsets_joins_what_is_finished_on_both_sides() {
    let mut ledger = Ledger::new(0, vec![], BTreeMap::new());
    ledger.read([0, 1, 5, 6, 30, 31], 40, &[]);
    for offset in [1, 6, 30, 31] {
        ledger.finish(offset);
    }
    assert_eq!(account(&ledger), (0, vec![(1, 5), (6, 40)]));
    ledger.finish(5);
    assert_eq!(account(&ledger), (0, vec![(1, 40)]));
}

#[test]
#[should_panic(expected = "was read behind")]
fn offsets_that_do_not_ascend_are_refused() {
    Ledger::new(0, vec![], BTreeMap::new()).read([5, 4], 6, &[]);
}

#[test]
#[should_panic(expected = "don't ascend")]
fn ranges_that_do_not_ascend_are_refused() {
    Ledger::new(0, vec![5..9, 8..12], BTreeMap::new());
}

proptest! {
    #[test]
    fn a_union_holds_what_either_holds(a in runs(), b in runs()) {
        let both = union(&a, &b);
        for offset in 0..100 {
            let holds = |runs: &[Range<i64>]| runs.iter().any(|run| run.contains(&offset));
            prop_assert_eq!(holds(&both), holds(&a) || holds(&b));
        }
        prop_assert!(both.windows(2).all(|w| w[0].end < w[1].start));
    }
}
