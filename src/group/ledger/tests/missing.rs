//! What Comets miss, beside a model that keeps each offset by itself.

#![expect(clippy::single_range_in_vec_init, reason = "ranges are what is meant")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::runs;
use crate::group::identity::Verdict;
use crate::group::ledger::Ledger;
use crate::message::{CometId, Offsets};

const FLEET: u32 = 3;

struct Model {
    records: BTreeSet<i64>,
    /// Read, and neither finished nor given back.
    pending: BTreeSet<i64>,
    /// Where an earlier owner was done.
    before: Vec<Range<i64>>,
    next: i64,
    missing: BTreeSet<(u32, i64)>,
    /// And how often.
    on_the_way: BTreeMap<(u32, i64), u32>,
    /// On the way, and skipped when it was read again.
    last_tries: BTreeSet<(u32, i64)>,
    /// What is well: the Comet has the record, or there is nothing in it for this Comet.
    has: BTreeSet<(u32, i64)>,
}

impl Model {
    fn read(&mut self, offsets: &[i64], next: i64, behind: &[CometId]) {
        let mut from = self.next;
        let mut ends_missed = false;
        for &offset in offsets {
            self.records.insert(offset);
            ends_missed = !self.before.iter().any(|run| run.contains(&offset));
            if ends_missed {
                self.pending.insert(offset);
                self.read_live(from..offset + 1, behind);
            } else {
                let has = (0..FLEET).map(|comet| (comet, offset));
                self.has.extend(has.filter(|it| !self.missing.contains(it)));
            }
            from = offset + 1;
        }
        if ends_missed {
            self.read_live(from..next, behind);
        }
        self.next = next;
    }

    /// The Comets that are behind miss it. The others get it now, even what a map without room said that they miss.
    fn read_live(&mut self, range: Range<i64>, behind: &[CometId]) {
        self.missing
            .retain(|(of, at)| !range.contains(at) || behind.contains(&CometId(*of)));
        let missed = behind.iter().flat_map(|c| range.clone().map(|o| (c.0, o)));
        self.missing.extend(missed);
    }

    fn finish(&mut self, offset: i64) {
        if self.pending.remove(&offset) {
            let has = (0..FLEET).map(|comet| (comet, offset));
            self.has.extend(has.filter(|it| !self.missing.contains(it)));
        }
    }

    fn sent_again(&mut self, comet: u32, scanned: Range<i64>, sent: &[i64], skipped: &[i64]) {
        let again = skipped.iter().map(|offset| (comet, *offset));
        let again = again.filter(|it| self.on_the_way.contains_key(it));
        self.last_tries.extend(again);
        for offset in sent {
            *self.on_the_way.entry((comet, *offset)).or_default() += 1;
        }
        for offset in scanned {
            if !self.on_the_way.contains_key(&(comet, offset)) {
                self.missing.remove(&(comet, offset));
                self.has.insert((comet, offset));
            }
        }
        self.missing.extend(sent.iter().map(|o| (comet, *o)));
    }

    fn took(&mut self, comet: u32, offset: i64) {
        self.on_the_way.remove(&(comet, offset));
        self.last_tries.remove(&(comet, offset));
        self.missing.remove(&(comet, offset));
        self.has.insert((comet, offset));
    }

    fn still_lacks(&mut self, comet: u32, offset: i64) {
        if let Some(times) = self.on_the_way.get_mut(&(comet, offset)) {
            *times -= 1;
        }
        self.on_the_way.retain(|_, times| *times > 0);
        let is_there = self.on_the_way.contains_key(&(comet, offset));
        if !is_there && self.last_tries.contains(&(comet, offset)) {
            self.took(comet, offset);
        }
    }

    fn cut(&mut self, end: i64, watermark: i64) {
        if end <= watermark {
            self.records.clear();
            self.pending.clear();
            self.before.clear();
            self.next = end;
        }
        self.records.retain(|offset| *offset < end);
        self.pending.retain(|offset| *offset < end);
        for set in [&mut self.missing, &mut self.last_tries, &mut self.has] {
            set.retain(|(_, offset)| *offset < end);
        }
        self.on_the_way.retain(|(_, offset), _| *offset < end);
        self.next = self.next.min(end);
        for run in &mut self.before {
            run.end = run.end.min(end);
        }
    }

    fn missed(&self) -> BTreeMap<CometId, Offsets> {
        let mut missed: BTreeMap<CometId, Offsets> = BTreeMap::new();
        for (comet, offset) in &self.missing {
            let of_it = missed.entry(CometId(*comet)).or_default();
            of_it.insert(*offset..offset + 1);
        }
        missed
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Reads records with these gaps before them, while these Comets are behind. The position ends `beyond` behind the last one.
    Read(Vec<i64>, i64, Vec<CometId>),
    Finish(Index),
    /// Finishes all that is in hand, except every nth.
    FinishMost(usize),
    Release(Index),
    Lacks(Index, u32, bool),
    /// The partition is read again from a record on, over this many offsets. Every nth is sent, the others are skipped or not for
    /// the Comet.
    SentAgain(Index, i64, u32, usize, bool),
    Took(Index, u32),
    StillLacks(Index, u32),
    Cut(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gaps = prop::collection::vec(prop_oneof![9 => Just(0i64), 1 => 1i64..4], 0..40);
    let behind = prop::collection::btree_set((0..FLEET).prop_map(CometId), 0..3);
    let behind = behind.prop_map(|behind| behind.into_iter().collect());
    let index = any::<Index>;
    let step = prop_oneof![
        5 => (gaps, 0i64..3, behind).prop_map(|(gaps, beyond, behind)| Step::Read(gaps, beyond, behind)),
        5 => index().prop_map(Step::Finish),
        2 => (1usize..20).prop_map(Step::FinishMost),
        1 => index().prop_map(Step::Release),
        5 => (index(), 0..FLEET, any::<bool>()).prop_map(|(at, comet, in_flight)| Step::Lacks(at, comet, in_flight)),
        3 => (index(), 0i64..60, 0..FLEET, 1usize..5, any::<bool>()).prop_map(|(at, length, comet, nth, skips)| Step::SentAgain(at, length, comet, nth, skips)),
        6 => (index(), 0..FLEET).prop_map(|(at, comet)| Step::Took(at, comet)),
        3 => (index(), 0..FLEET).prop_map(|(at, comet)| Step::StillLacks(at, comet)),
        1 => (-60i64..5).prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 0..50)
}

proptest! {
    #[test]
    fn what_is_finished_each_comet_has_or_misses(
        before in runs(),
        missing in prop::collection::btree_map((0..FLEET).prop_map(CometId), runs(), 0..3),
        steps in steps(),
    ) {
        let missing: BTreeMap<CometId, Offsets> =
            missing.into_iter().map(|(comet, runs)| (comet, runs.into_iter().collect())).collect();
        let mut model = Model {
            records: BTreeSet::new(),
            pending: BTreeSet::new(),
            before: before.clone(),
            next: 0,
            missing: missing
                .iter()
                .flat_map(|(comet, missed)| missed.ranges().flatten().map(|offset| (comet.0, offset)))
                .collect(),
            on_the_way: BTreeMap::new(),
            last_tries: BTreeSet::new(),
            has: BTreeSet::new(),
        };
        let mut ledger = Ledger::new(0, before, missing);
        for step in steps {
            let nth = |index: Index| {
                // What was never read, too.
                model.records.iter().nth(index.index(model.records.len().max(1))).copied().unwrap_or(7)
            };
            match step {
                Step::Read(gaps, beyond, behind) => {
                    let mut at = model.next - 1;
                    let offsets: Vec<i64> = gaps.iter().map(|gap| { at += gap + 1; at }).collect();
                    let next = at + 1 + beyond;
                    ledger.read(offsets.iter().copied(), next, &behind);
                    model.read(&offsets, next, &behind);
                }
                Step::Finish(index) => {
                    let offset = nth(index);
                    ledger.finish(offset);
                    model.finish(offset);
                }
                Step::FinishMost(except) => {
                    let offsets: Vec<i64> = model.pending.iter().copied().collect();
                    for (_, offset) in offsets.into_iter().enumerate().filter(|(n, _)| n % except != 0) {
                        ledger.finish(offset);
                        model.finish(offset);
                    }
                }
                Step::Release(index) => {
                    let offset = nth(index);
                    ledger.release(offset);
                    model.pending.remove(&offset);
                }
                Step::Lacks(index, comet, in_flight) => {
                    let offset = nth(index);
                    // What a Comet lacks was read before.
                    if offset < model.next && !model.has.contains(&(comet, offset)) {
                        ledger.lacks(offset, CometId(comet), in_flight);
                        model.missing.insert((comet, offset));
                        if in_flight {
                            *model.on_the_way.entry((comet, offset)).or_default() += 1;
                        } else {
                            model.on_the_way.remove(&(comet, offset));
                        }
                    }
                }
                Step::SentAgain(index, length, comet, nth_is_sent, skips) => {
                    let start = nth(index).min(model.next);
                    let scanned = start..(start + length).min(model.next);
                    let there: Vec<i64> = model.records.range(scanned.clone()).copied().collect();
                    let sent: Vec<i64> = there.iter().copied().step_by(nth_is_sent).collect();
                    let is_skipped = |offset: &i64| skips && !sent.contains(offset);
                    let skipped: Vec<i64> = there.into_iter().filter(is_skipped).collect();
                    ledger.sent_again(CometId(comet), scanned.clone(), &sent, &skipped);
                    model.sent_again(comet, scanned, &sent, &skipped);
                }
                Step::Took(index, comet) => {
                    let offset = nth(index);
                    ledger.took(CometId(comet), offset);
                    model.took(comet, offset);
                }
                Step::StillLacks(index, comet) => {
                    let offset = nth(index);
                    ledger.still_lacks(CometId(comet), offset);
                    model.still_lacks(comet, offset);
                }
                Step::Cut(by) => {
                    let to = (model.next + by).max(0);
                    let missed = model.missing.len();
                    model.cut(to, ledger.watermark());
                    let gone = ledger.follow(Verdict::Cut { to });
                    let gone: u64 = gone.iter().map(|(_, offsets)| offsets).sum();
                    prop_assert_eq!(gone, (missed - model.missing.len()) as u64);
                }
            }
            prop_assert_eq!(ledger.pending(), model.pending.len() + model.on_the_way.len());
            prop_assert_eq!(ledger.is_settled(), ledger.pending() == 0);
            prop_assert_eq!(ledger.missing(), &model.missed());
            let mut finished = ledger.finished_above();
            finished.push(i64::MIN..ledger.watermark());
            for offset in model.records.iter().filter(|offset| finished.iter().any(|run| run.contains(offset))) {
                for comet in 0..FLEET {
                    let it = (comet, *offset);
                    prop_assert!(model.has.contains(&it) || model.missing.contains(&it), "{:?}", it);
                }
            }
        }
        for comet in 0..FLEET {
            let again: Offsets = ledger.to_catch_up(CometId(comet)).into_iter().collect();
            for offset in 0..model.next + 150 {
                let was_finished = model.before.iter().any(|run| run.contains(&offset));
                let is_missing = model.missing.contains(&(comet, offset));
                let is_again = is_missing || offset >= model.next && !was_finished;
                prop_assert_eq!(again.contains(offset), is_again, "{}", offset);
            }
            prop_assert_eq!(again.end(), Some(i64::MAX));
        }
    }
}

fn missing(ledger: &Ledger, comet: u32) -> Vec<Range<i64>> {
    let missed = ledger.missing().get(&CometId(comet));
    missed.into_iter().flat_map(Offsets::ranges).collect()
}

/// A ledger of a partition of which Comet 1 misses offsets 10 to 19, and Comet 2 offset 40. It is read up to 50.
fn behind() -> Ledger {
    let missing = [(1, 10..20), (2, 40..41)];
    let missing = missing.map(|(comet, range)| (CometId(comet), [range].into_iter().collect()));
    let mut ledger = Ledger::new(45, vec![60..70], missing.into());
    ledger.read(45..50, 50, &[]);
    ledger
}

/// A call was out when its Comet was detached. It fails after the Comet is back and the record was read again.
#[test]
fn what_is_read_again_while_a_call_is_out_stays_on_its_way_when_that_fails() {
    let mut ledger = behind();
    let comet = CometId(1);
    ledger.finish(47);
    ledger.lacks(47, comet, true);
    for offset in [45, 46, 48, 49] {
        ledger.finish(offset);
    }
    ledger.sent_again(comet, 10..50, &[47], &[]);
    ledger.still_lacks(comet, 47);
    assert!(!ledger.is_settled(), "it is with the worker");
    assert_eq!(ledger.to_send_again(comet), [50..60, 70..i64::MAX]);
    ledger.still_lacks(comet, 47);
    assert!(ledger.is_settled());
    assert_eq!(ledger.to_send_again(comet), [47..48, 50..60, 70..i64::MAX]);
}

#[test]
fn what_retention_took_is_no_longer_missing() {
    let mut ledger = behind();
    ledger.lacks(47, CometId(1), true);
    let gone = ledger.follow(Verdict::Deleted { to: 55 });
    assert_eq!(gone, [(CometId(1), 11), (CometId(2), 1)]);
    assert!(ledger.missing().is_empty() && ledger.is_settled());
    assert_eq!(ledger.finished_above(), [60..70]);
}

#[test]
fn a_log_that_is_cut_or_another_one_has_nothing_that_was_missing_there() {
    let mut ledger = behind();
    let gone = ledger.follow(Verdict::Cut { to: 15 });
    assert_eq!(gone, [(CometId(1), 5), (CometId(2), 1)]);
    assert_eq!((ledger.next(), missing(&ledger, 1)), (15, vec![10..15]));

    for verdict in [Verdict::Anew { at: 0 }, Verdict::Unclear { at: 0 }] {
        let mut ledger = behind();
        assert_eq!(ledger.follow(Verdict::Same), []);
        assert_eq!(ledger.follow(verdict), [(CometId(1), 10), (CometId(2), 1)]);
        assert!(ledger.missing().is_empty());
    }
}

#[test]
fn transaction_markers_do_not_split_what_is_missing() {
    let mut ledger = Ledger::new(0, vec![20..23], BTreeMap::new());
    for from in [0, 6, 12] {
        // The last offset of six is a marker.
        ledger.read(from..from + 5, from + 6, &[CometId(1)]);
    }
    ledger.read([18, 21, 30], 31, &[CometId(1)]);
    assert_eq!(missing(&ledger, 1), [0..19, 22..31]);
    assert_eq!(missing(&ledger, 0), []);
}

#[test]
fn what_is_on_its_way_is_missing_until_the_comet_has_it() {
    let mut ledger = behind();
    let comet = CometId(1);
    for offset in 45..50 {
        ledger.finish(offset);
    }
    ledger.sent_again(comet, 0..18, &[11, 13], &[]);
    assert_eq!(missing(&ledger, 1), [11..12, 13..14, 18..20]);
    assert_eq!((ledger.pending(), ledger.is_settled()), (2, false));
    ledger.took(comet, 11);
    ledger.took(comet, 11);
    ledger.still_lacks(comet, 13);
    assert!(ledger.is_settled());
    assert_eq!(missing(&ledger, 1), [13..14, 18..20]);
    let again = [13..14, 18..20, 50..60, 70..i64::MAX];
    assert_eq!(ledger.to_catch_up(comet), again);
    // A late answer of a call that began before the partition was read again.
    ledger.lacks(18, comet, true);
    ledger.sent_again(comet, 0..50, &[], &[]);
    assert_eq!(missing(&ledger, 1), [18..19]);
    ledger.took(comet, 18);
    assert_eq!(missing(&ledger, 1), []);
    ledger.took(CometId(2), 40);
    assert!(ledger.missing().is_empty() && ledger.is_settled());
}
