//! One partition's account: what was read, what is finished, and so what may be committed.

use std::collections::VecDeque;
use std::ops::Range;

use super::identity::Verdict;

/// The offsets of one partition between the watermark and the reading position.
///
/// The **watermark** is the lowest offset that is not finished: committing it loses nothing. Offsets above it
/// that are finished are kept beside it, so that a new owner doesn't send them again.
#[derive(Debug)]
pub struct Ledger {
    /// Records that stay unfinished while many after them are finished, in offset order. Of those, only where they begin is kept:
    /// one record that can't be finished must not make the account grow with all that follow it.
    late: VecDeque<Late>,
    /// Records read, in offset order, from the first one that is not finished, behind those in `late`.
    open: VecDeque<Entry>,
    /// How many of them are [`State::InHand`].
    in_hand: usize,
    /// The position after the last record read.
    next: i64,
    /// Offsets that an earlier owner finished, ascending, as far as they are not read yet.
    finished_before: VecDeque<Range<i64>>,
}

/// The account holds this many records one by one, beside twice what is in hand. Few in tests, so that they get beyond it.
const ONE_BY_ONE: usize = if cfg!(test) { 4 } else { 4_096 };

/// An unfinished record, and the finished ones between it and the next unfinished one.
#[derive(Debug)]
struct Late {
    record: Entry,
    /// The offset of the first of them; `None` where there are none.
    finished_from: Option<i64>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// With a worker, or on its way to the dead-letter topic.
    InHand,
    Finished,
    /// Given back unsent, because the partition goes to another owner.
    Released,
}

impl Ledger {
    /// A ledger of a partition that is read from `position` on, of which an earlier owner finished the offsets
    /// `finished` (ascending ranges).
    pub fn new(position: i64, finished: Vec<Range<i64>>) -> Self {
        Self {
            late: VecDeque::new(),
            open: VecDeque::new(),
            in_hand: 0,
            next: position,
            finished_before: finished.into(),
        }
    }

    /// Notes that the records at `offsets` (ascending) were read, and that the reading position is now `next`.
    pub fn read(&mut self, offsets: impl IntoIterator<Item = i64>, next: i64) {
        for offset in offsets {
            debug_assert!(offset >= self.next, "offset {offset} was read twice");
            let state = if self.was_finished_before(offset) {
                State::Finished
            } else {
                self.in_hand += 1;
                State::InHand
            };
            self.open.push_back(Entry { offset, state });
            self.next = offset + 1;
        }
        self.next = self.next.max(next);
        self.advance();
    }

    /// Notes that the record at `offset` was delivered or lies in the dead-letter topic.
    pub fn finish(&mut self, offset: i64) {
        self.settle(offset, State::Finished);
        self.advance();
    }

    /// Notes that the record at `offset` was given back unsent.
    pub fn release(&mut self, offset: i64) {
        self.settle(offset, State::Released);
    }

    /// Goes on where the log does.
    pub fn follow(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Same | Verdict::Open => {}
            Verdict::Cut { to } => self.cut(to),
            Verdict::Anew { at } | Verdict::Unclear { at } => *self = Self::new(at, Vec::new()),
            Verdict::Deleted { to } => *self = Self::new(to, self.finished_from(to)),
        }
    }

    /// Forgets what was read from `end` on, and what is known of it: the log ends there now, and goes on with other records.
    fn cut(&mut self, end: i64) {
        if end <= self.watermark() {
            *self = Self::new(end, Vec::new());
            return;
        }
        self.late.retain(|late| late.record.offset < end);
        if let Some(last) = self.late.back_mut() {
            last.finished_from = last.finished_from.filter(|from| *from < end);
        }
        self.open.retain(|entry| entry.offset < end);
        let late = self.late.iter().map(|late| &late.record);
        let left = late.chain(&self.open);
        self.in_hand = left.filter(|entry| entry.state == State::InHand).count();
        self.next = self.next.min(end);
        self.finished_before.retain(|run| run.start < end);
        if let Some(last) = self.finished_before.back_mut() {
            last.end = last.end.min(end);
        }
    }

    /// Whether nothing that was read is still on its way.
    pub fn is_settled(&self) -> bool {
        self.in_hand == 0
    }

    /// How many records are on their way.
    pub fn in_hand(&self) -> usize {
        self.in_hand
    }

    /// The reading position.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// The offset to commit: the lowest one that is not finished.
    pub fn watermark(&self) -> i64 {
        let late = self.late.front().map(|first| first.record.offset);
        let open = || self.open.front().map(|first| first.offset);
        late.or_else(open).unwrap_or(self.next)
    }

    /// The finished offsets above the watermark, as ascending ranges. A range may span offsets that hold no record.
    pub fn finished_above(&self) -> Vec<Range<i64>> {
        let mut ranges: Vec<Range<i64>> = Vec::new();
        let mut start = None;
        for late in &self.late {
            let before = std::mem::replace(&mut start, late.finished_from);
            ranges.extend(before.map(|from| from..late.record.offset));
        }
        for entry in &self.open {
            match (entry.state, start) {
                (State::Finished, None) => start = Some(entry.offset),
                (State::InHand | State::Released, Some(from)) => {
                    ranges.push(from..entry.offset);
                    start = None;
                }
                _ => {}
            }
        }
        ranges.extend(start.map(|from| from..self.next));
        let unread = self
            .finished_before
            .iter()
            .map(|range| range.start.max(self.next)..range.end);
        ranges.extend(unread.filter(|range| !range.is_empty()));
        ranges
    }

    /// The finished offsets from `position` on, as ascending ranges.
    pub fn finished_from(&self, position: i64) -> Vec<Range<i64>> {
        let below = std::iter::once(position..self.watermark());
        let runs = below.chain(self.finished_above());
        runs.map(|run| run.start.max(position)..run.end)
            .filter(|run| !run.is_empty())
            .collect()
    }

    fn was_finished_before(&mut self, offset: i64) -> bool {
        while self
            .finished_before
            .front()
            .is_some_and(|range| range.end <= offset)
        {
            self.finished_before.pop_front();
        }
        self.finished_before
            .front()
            .is_some_and(|range| range.start <= offset)
    }

    fn settle(&mut self, offset: i64, state: State) {
        if self
            .late
            .back()
            .is_some_and(|last| offset <= last.record.offset)
        {
            self.settle_late(offset, state);
            return;
        }
        let Some(entry) = self.find(offset) else {
            return;
        };
        if entry.state == State::InHand {
            entry.state = state;
            self.in_hand -= 1;
        }
    }

    fn settle_late(&mut self, offset: i64, state: State) {
        let Ok(place) = self
            .late
            .binary_search_by_key(&offset, |late| late.record.offset)
        else {
            return;
        };
        let record = &mut self.late[place].record;
        if record.state != State::InHand {
            return;
        }
        record.state = state;
        self.in_hand -= 1;
        if state == State::Finished {
            // It joins the finished ones on both sides. Before the first there are none: the watermark moves on.
            self.late.remove(place);
            if let Some(before) = place.checked_sub(1) {
                self.late[before].finished_from.get_or_insert(offset);
            }
        }
    }

    fn find(&mut self, offset: i64) -> Option<&mut Entry> {
        let first = self.open.front()?.offset;
        // Offsets mostly follow each other without gaps, so the place is the distance.
        let guess = usize::try_from(offset - first).ok()?;
        let place = match self.open.get(guess) {
            Some(entry) if entry.offset == offset => guess,
            _ => self
                .open
                .binary_search_by_key(&offset, |entry| entry.offset)
                .ok()?,
        };
        self.open.get_mut(place)
    }

    fn advance(&mut self) {
        while let Some(first) = self.open.front() {
            let is_finished = first.state == State::Finished;
            if !is_finished && self.open.len() <= ONE_BY_ONE + 2 * self.in_hand {
                return;
            }
            let Some(record) = self.open.pop_front() else {
                return;
            };
            if !is_finished {
                self.late.push_back(Late {
                    record,
                    finished_from: None,
                });
            } else if let Some(last) = self.late.back_mut() {
                last.finished_from.get_or_insert(record.offset);
            }
        }
    }
}

/// The offsets in either of two lists of ascending ranges.
pub fn union(a: &[Range<i64>], b: &[Range<i64>]) -> Vec<Range<i64>> {
    let mut all: Vec<Range<i64>> = a.iter().chain(b).cloned().collect();
    all.sort_unstable_by_key(|run| run.start);
    let mut merged: Vec<Range<i64>> = Vec::new();
    for run in all {
        match merged.last_mut() {
            Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
            _ => merged.push(run),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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
        let mut ledger = Ledger::new(0, vec![]);
        ledger.read(0..6, 6);
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
        let mut ledger = Ledger::new(10, vec![]);
        ledger.read(10..14, 14);
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
        let mut ledger = Ledger::new(0, vec![]);
        ledger.read([3, 900], 1000);
        assert_eq!(ledger.watermark(), 3);
        ledger.finish(900);
        ledger.finish(3);
        assert_eq!(ledger.watermark(), 1000);
    }

    #[test]
    fn the_account_does_not_grow_with_what_is_finished_behind_open_records() {
        const READ: i64 = 1_000_000;
        let mut ledger = Ledger::new(0, vec![]);
        let mut most = 0;
        for from in (0..READ).step_by(500) {
            ledger.read(from..from + 500, from + 500);
            for offset in from..from + 500 {
                if offset != 0 && offset != 70_000 {
                    ledger.finish(offset);
                }
                most = most.max(ledger.open.len() + ledger.late.len());
            }
        }
        assert!(most < 2_000, "it held {most} records");
        assert_eq!(account(&ledger), (0, vec![(1, 70_000), (70_001, READ)]));
        ledger.finish(70_000);
        assert_eq!(account(&ledger), (0, vec![(1, READ)]));
        ledger.finish(0);
        assert_eq!(account(&ledger), (READ, vec![]));
        assert!(ledger.is_settled());
    }

    #[test]
    fn a_released_record_is_left_to_the_next_owner() {
        let mut ledger = Ledger::new(0, vec![]);
        ledger.read(0..3, 3);
        ledger.finish(0);
        ledger.release(1);
        ledger.finish(2);
        assert!(ledger.is_settled());
        assert_eq!(account(&ledger), (1, vec![(2, 3)]));
    }

    #[test]
    fn what_an_earlier_owner_finished_stays_known_before_it_is_read() {
        let mut ledger = Ledger::new(5, vec![7..9, 20..30]);
        assert_eq!(account(&ledger).1, vec![(7, 9), (20, 30)]);
        ledger.read(5..10, 10);
        assert_eq!(ledger.in_hand(), 3);
        ledger.finish(5);
        ledger.finish(6);
        assert_eq!(account(&ledger), (9, vec![(20, 30)]));
    }

    #[test]
    fn a_log_that_is_cut_goes_on_with_other_records() {
        let mut ledger = Ledger::new(0, vec![40..50, 50..60]);
        ledger.read(0..30, 30);
        for offset in (1..30).filter(|offset| *offset != 20) {
            ledger.finish(offset);
        }
        ledger.cut(25);
        assert_eq!(ledger.next(), 25);
        assert_eq!(ledger.in_hand(), 2);
        assert_eq!(account(&ledger), (0, vec![(1, 20), (21, 25)]));
        ledger.read(25..50, 50);
        ledger.finish(0);
        ledger.finish(20);
        assert_eq!(account(&ledger), (25, vec![]));
        assert_eq!(ledger.in_hand(), 25);
        ledger.cut(10);
        assert_eq!(account(&ledger), (10, vec![]));
        assert_eq!((ledger.next(), ledger.in_hand()), (10, 0));
    }

    #[test]
    fn what_an_earlier_owner_finished_is_cut_too() {
        let mut ledger = Ledger::new(5, vec![7..9, 20..30, 40..50]);
        ledger.cut(25);
        assert_eq!(account(&ledger), (5, vec![(7, 9), (20, 25)]));
    }

    proptest! {
        #[test]
        fn a_cut_account_is_that_of_what_was_read_below(
            finished in prop::collection::btree_set(0i64..80, 0..80),
            end in 0i64..100,
        ) {
            let mut ledger = Ledger::new(0, vec![]);
            ledger.read(0..80, 80);
            let mut below = Ledger::new(0, vec![]);
            below.read(0..end.min(80), end.min(80));
            for &offset in &finished {
                ledger.finish(offset);
                below.finish(offset);
            }
            ledger.cut(end);
            let cut_below_watermark = end < 80 && (0..end).all(|offset| finished.contains(&offset));
            prop_assert_eq!(account(&ledger), account(&below));
            prop_assert_eq!(ledger.in_hand(), below.in_hand());
            prop_assert!(!cut_below_watermark || ledger.watermark() == end);
        }

        #[test]
        fn a_union_holds_what_either_holds(a in runs(), b in runs()) {
            let both = union(&a, &b);
            for offset in 0..100 {
                let holds = |runs: &[Range<i64>]| runs.iter().any(|run| run.contains(&offset));
                prop_assert_eq!(holds(&both), holds(&a) || holds(&b));
            }
            prop_assert!(both.windows(2).all(|w| w[0].end < w[1].start));
        }

        /// Against a model that knows every record's state by name.
        #[test]
        fn it_agrees_with_a_set_of_open_offsets(
            gaps in prop::collection::vec(1i64..4, 1..80),
            before in prop::collection::btree_set(0i64..120, 0..40),
            settled in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..120),
            batch in 1usize..9,
        ) {
            let offsets: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let mut ledger = Ledger::new(0, before.iter().map(|&o| o..o + 1).collect());
            let mut open: BTreeSet<i64> = BTreeSet::new();
            let mut next = 0;
            let mut steps = settled.into_iter();
            for read in offsets.chunks(batch) {
                next = read[read.len() - 1] + 1;
                ledger.read(read.iter().copied(), next);
                open.extend(read.iter().filter(|o| !before.contains(o)));
                for (index, finish) in steps.by_ref().take(batch) {
                    let offset = *index.get(read);
                    if finish {
                        ledger.finish(offset);
                        open.remove(&offset);
                    }
                }
                let watermark = open.first().copied().unwrap_or(next);
                prop_assert_eq!(ledger.watermark(), watermark);
                let above = ledger.finished_above();
                for &offset in offsets.iter().filter(|&&o| o >= watermark) {
                    let finished = (offset < next && !open.contains(&offset)) || (offset >= next && before.contains(&offset));
                    prop_assert_eq!(above.iter().any(|r| r.contains(&offset)), finished, "offset {}", offset);
                }
                prop_assert!(above.windows(2).all(|w| w[0].end <= w[1].start));
            }
            prop_assert_eq!(ledger.is_settled(), open.is_empty());
            prop_assert!(ledger.watermark() <= next);
        }
    }
}
