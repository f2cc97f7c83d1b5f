//! A ledger beside a model of it that keeps each record by its offset.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::{Ledger, ONE_BY_ONE, State};
use super::runs;

struct Model {
    records: BTreeMap<i64, State>,
    before: Vec<Range<i64>>,
    next: i64,
}

impl Model {
    fn new(next: i64, before: Vec<Range<i64>>) -> Self {
        Self {
            records: BTreeMap::new(),
            before,
            next,
        }
    }

    fn read(&mut self, offsets: &[i64], next: i64) {
        for offset in offsets {
            let is_finished = self.before.iter().any(|run| run.contains(offset));
            let state = if is_finished {
                State::Finished
            } else {
                State::Pending
            };
            self.records.insert(*offset, state);
        }
        self.next = next;
    }

    fn settle(&mut self, offset: i64, to: State) {
        if let Some(state @ State::Pending) = self.records.get_mut(&offset) {
            *state = to;
        }
    }

    fn cut(&mut self, end: i64) {
        if end <= self.watermark() {
            *self = Self::new(end, Vec::new());
            return;
        }
        self.records.split_off(&end);
        self.next = self.next.min(end);
        let below = |run: &Range<i64>| run.start..run.end.min(end);
        self.before = self.before.iter().map(below).collect();
        self.before.retain(|run| !run.is_empty());
    }

    fn count(&self, of: State) -> usize {
        self.records.values().filter(|state| **state == of).count()
    }

    fn watermark(&self) -> i64 {
        let mut open = self.records.iter();
        let first = open.find(|(_, state)| **state != State::Finished);
        first.map_or(self.next, |(offset, _)| *offset)
    }

    /// One range from each finished record that follows one that is not, to the next one that is not.
    fn finished_above(&self) -> Vec<Range<i64>> {
        let mut ranges: Vec<Range<i64>> = Vec::new();
        let mut is_within = false;
        for (&offset, state) in self.records.range(self.watermark()..) {
            let is_finished = *state == State::Finished;
            match (is_finished, is_within) {
                (true, false) => ranges.push(offset..self.next),
                (false, true) => ranges.last_mut().expect("it is within one").end = offset,
                _ => {}
            }
            is_within = is_finished;
        }
        let unread = |run: &Range<i64>| run.start.max(self.next)..run.end;
        let unread = self.before.iter().map(unread);
        ranges.extend(unread.filter(|run| !run.is_empty()));
        ranges
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Reads records with these gaps before them. The position ends `beyond` behind the last one.
    Read {
        gaps: Vec<i64>,
        beyond: i64,
    },
    Finish(Index),
    /// Finishes all that is in hand, except every nth.
    FinishMost(usize),
    Release(Index),
    /// The log now ends this far from the reading position.
    Cut(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![9 => Just(0i64), 1 => 1i64..4];
    let gaps = prop::collection::vec(gap, 0..2 * ONE_BY_ONE);
    let step = prop_oneof![
        4 => (gaps, 0i64..3).prop_map(|(gaps, beyond)| Step::Read { gaps, beyond }),
        8 => any::<Index>().prop_map(Step::Finish),
        3 => (1usize..40).prop_map(Step::FinishMost),
        1 => any::<Index>().prop_map(Step::Release),
        1 => (-300i64..20).prop_map(Step::Cut),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn it_says_what_a_model_of_each_record_says(before in runs(), steps in steps()) {
        let mut ledger = Ledger::new(0, before.clone(), BTreeMap::new());
        let mut model = Model::new(0, before);
        for step in steps {
            let nth = |index: Index| model.records.keys().nth(index.index(model.records.len().max(1)));
            match step {
                Step::Read { gaps, beyond } => {
                    let mut at = model.next - 1;
                    let offsets: Vec<i64> = gaps.iter().map(|gap| { at += gap + 1; at }).collect();
                    let next = at + 1 + beyond;
                    ledger.read(offsets.iter().copied(), next, &[]);
                    model.read(&offsets, next);
                }
                Step::Finish(index) => {
                    // What was never read, too.
                    let offset = nth(index).copied().unwrap_or(7);
                    ledger.finish(offset);
                    model.settle(offset, State::Finished);
                }
                Step::FinishMost(except) => {
                    let pending = model.records.iter().filter(|(_, state)| **state == State::Pending);
                    let offsets: Vec<i64> = pending.map(|(offset, _)| *offset).collect();
                    for (_, offset) in offsets.into_iter().enumerate().filter(|(n, _)| n % except != 0) {
                        ledger.finish(offset);
                        model.settle(offset, State::Finished);
                    }
                }
                Step::Release(index) => {
                    let offset = nth(index).copied().unwrap_or(7);
                    ledger.release(offset);
                    model.settle(offset, State::Released);
                }
                Step::Cut(by) => {
                    let end = (model.next + by).max(0);
                    ledger.cut(end);
                    model.cut(end);
                }
            }
            let pending = model.count(State::Pending);
            prop_assert_eq!(ledger.pending(), pending);
            prop_assert_eq!(ledger.next(), model.next);
            prop_assert_eq!(ledger.watermark(), model.watermark());
            prop_assert_eq!(ledger.finished_above(), model.finished_above());
            let holes = pending + model.count(State::Released);
            let held = ledger.late.len() + ledger.open.len();
            prop_assert!(held <= holes + ONE_BY_ONE + 2 * pending, "{} for {}", held, holes);
        }
    }
}
