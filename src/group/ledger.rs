//! One partition's account: what was read, what is finished, and so what may be committed.

mod missing;
mod stands;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::identity::Verdict;
use crate::message::{CometId, Offsets};
use missing::Missing;
pub use stands::Stands;

/// The offsets of one partition between the watermark and the reading position.
///
/// The **watermark** is the lowest offset that is not finished: committing it loses nothing. Offsets above it
/// that are finished are kept beside it, so that a new owner doesn't send them again.
///
/// A record that a Comet **misses** may be finished all the same: it is with the others, and read again for that Comet.
#[derive(Debug)]
pub struct Ledger {
    /// Records that stay unfinished while many after them are finished, in offset order. Of those, only where they begin is kept:
    /// one record that can't be finished must not make the account grow with all that follow it.
    late: VecDeque<Late>,
    /// Records read, in offset order, from the first one that is not finished, behind those in `late`.
    open: VecDeque<Entry>,
    /// How many of them are [`State::Pending`].
    pending: usize,
    /// The position after the last record read.
    next: i64,
    /// Offsets that an earlier owner finished, ascending, as far as they are not read yet.
    finished_before: VecDeque<Range<i64>>,
    missing: Missing,
}

/// The account holds this many records one by one, beside twice what is in hand. So what finishes a little out of order costs
/// nothing more, and each of many partitions takes little memory.
const ONE_BY_ONE: usize = 64;

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
    Pending,
    Finished,
    /// Given back unsent, because the partition goes to another owner.
    Released,
}

impl Ledger {
    /// A ledger of a partition that is read from `position` on, of which an earlier owner finished the offsets
    /// `finished` (ascending ranges), all but what each Comet is `missing` of them and of what lies below.
    ///
    /// # Panics
    /// When the ranges don't ascend.
    pub fn new(
        position: i64,
        finished: Vec<Range<i64>>,
        missing: BTreeMap<CometId, Offsets>,
    ) -> Self {
        Self::with(position, finished, Missing::new(missing))
    }

    fn with(position: i64, finished: Vec<Range<i64>>, missing: Missing) -> Self {
        let ascend = finished.windows(2).all(|two| two[0].end <= two[1].start);
        assert!(ascend, "the finished ranges don't ascend");
        Self {
            late: VecDeque::new(),
            open: VecDeque::new(),
            pending: 0,
            next: position,
            finished_before: finished.into(),
            missing,
        }
    }

    /// Notes that the records at `offsets` were read, and that the reading position is now `next`. The Comets `behind` don't get
    /// them now: they miss what no earlier owner finished.
    ///
    /// # Panics
    /// When the offsets don't ascend from the reading position on: the account would name the wrong ones finished.
    pub fn read(&mut self, offsets: impl IntoIterator<Item = i64>, next: i64, behind: &[CometId]) {
        // From one record that was finished before to the next one. Offsets without a record don't split it: it costs less as one.
        let mut missed = self.next..self.next;
        for offset in offsets {
            assert!(
                offset >= self.next,
                "offset {offset} was read behind {}",
                self.next
            );
            let state = if self.was_finished_before(offset) {
                self.missing.read(missed, behind);
                missed = offset + 1..offset + 1;
                State::Finished
            } else {
                missed.end = offset + 1;
                self.pending += 1;
                State::Pending
            };
            self.open.push_back(Entry { offset, state });
            self.next = offset + 1;
        }
        self.next = self.next.max(next);
        if !missed.is_empty() {
            self.missing.read(missed.start..self.next, behind);
        }
        self.advance();
    }

    /// Notes that `comet` doesn't have the record at `offset`, and misses it. `in_flight`: a call with it is still on its way.
    pub fn lacks(&mut self, offset: i64, comet: CometId, in_flight: bool) {
        self.missing.lacks(comet, offset, in_flight);
    }

    /// Notes that the partition was read again over `scanned` for `comet`. The records at `sent` are on their way to it, those at
    /// `skipped` are not worth it any longer; nothing else there is for it. Both ascend.
    pub fn sent_again(
        &mut self,
        comet: CometId,
        scanned: Range<i64>,
        sent: &[i64],
        skipped: &[i64],
    ) {
        self.missing.sent_again(comet, scanned, sent, skipped);
    }

    /// Notes that `comet` has a record that it missed: a call ended well, or its dead letter is written.
    pub fn took(&mut self, comet: CometId, offset: i64) {
        self.missing.took(comet, offset);
    }

    /// Notes that a record that was on its way to `comet` is not any longer, and still missing: the call ended otherwise, or the
    /// message was given back.
    pub fn still_lacks(&mut self, comet: CometId, offset: i64) {
        self.missing.still_lacks(comet, offset);
    }

    /// What has to be read again for `comet`, as ascending ranges: what it misses, and all from the reading position on but what an
    /// earlier owner finished.
    pub fn to_catch_up(&self, comet: CometId) -> Vec<Range<i64>> {
        let mut offsets = Offsets::default();
        offsets.insert(self.next..i64::MAX);
        for finished in &self.finished_before {
            offsets.remove(finished.clone());
        }
        offsets.extend(self.missing.of(comet).into_iter().flat_map(Offsets::ranges));
        offsets.ranges().collect()
    }

    /// What each Comet misses. None is empty.
    pub fn missing(&self) -> &BTreeMap<CometId, Offsets> {
        self.missing.offsets()
    }

    /// The same as [`Self::to_catch_up`], less what is on its way to the Comet.
    pub fn to_send_again(&self, comet: CometId) -> Vec<Range<i64>> {
        let mut offsets: Offsets = self.to_catch_up(comet).into_iter().collect();
        for offset in self.missing.pending_of(comet) {
            offsets.remove(offset..offset + 1);
        }
        offsets.ranges().collect()
    }

    /// Forgets what is missing below `start`, which Kafka no longer has. Returns how many offsets that was, by Comet.
    pub fn delete_missing(&mut self, start: i64) -> Vec<(CometId, u64)> {
        self.missing.keep(start..i64::MAX)
    }

    /// Forgets a Comet that left the fleet. Returns how many offsets it missed.
    pub fn forget_comet(&mut self, comet: CometId) -> u64 {
        self.missing.forget(comet)
    }

    /// Notes that the record at `offset` was delivered or lies in the dead-letter topic.
    pub fn finish(&mut self, offset: i64) {
        self.settle(offset, State::Finished);
        self.advance();
    }

    /// Notes that the record at `offset` was given back unsent.
    pub fn release(&mut self, offset: i64) {
        self.settle(offset, State::Released);
        self.advance();
    }

    /// Goes on where the log does. Returns how many offsets that Comets missed are gone with it.
    pub fn follow(&mut self, verdict: Verdict) -> Vec<(CometId, u64)> {
        match verdict {
            Verdict::Same | Verdict::Open => Vec::new(),
            Verdict::Cut { to } => {
                self.cut(to);
                self.missing.keep(i64::MIN..to)
            }
            Verdict::Anew { at } | Verdict::Unclear { at } => {
                self.begin_at(at, Vec::new());
                self.missing.keep(0..0)
            }
            Verdict::Deleted { to } => {
                self.begin_at(to, self.finished_from(to));
                self.missing.keep(to..i64::MAX)
            }
        }
    }

    /// Forgets what was read, but not what Comets miss.
    fn begin_at(&mut self, position: i64, finished: Vec<Range<i64>>) {
        let missing = std::mem::take(&mut self.missing);
        *self = Self::with(position, finished, missing);
    }

    /// Forgets what was read from `end` on, and what is known of it: the log ends there now, and goes on with other records.
    fn cut(&mut self, end: i64) {
        if end <= self.watermark() {
            self.begin_at(end, Vec::new());
            return;
        }
        self.late.retain(|late| late.record.offset < end);
        if let Some(last) = self.late.back_mut() {
            last.finished_from = last.finished_from.filter(|from| *from < end);
        }
        self.open.retain(|entry| entry.offset < end);
        let late = self.late.iter().map(|late| &late.record);
        let left = late.chain(&self.open);
        self.pending = left.filter(|entry| entry.state == State::Pending).count();
        self.next = self.next.min(end);
        self.finished_before.retain(|run| run.start < end);
        if let Some(last) = self.finished_before.back_mut() {
            last.end = last.end.min(end);
        }
        self.advance();
    }

    /// Whether nothing that was read is still on its way.
    pub fn is_settled(&self) -> bool {
        self.pending() == 0
    }

    /// How many records are on their way, for the first time or again.
    pub fn pending(&self) -> usize {
        self.pending + self.missing.pending()
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
                (State::Pending | State::Released, Some(from)) => {
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
        if entry.state == State::Pending {
            entry.state = state;
            self.pending -= 1;
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
        if record.state != State::Pending {
            return;
        }
        record.state = state;
        self.pending -= 1;
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
            if !is_finished && self.open.len() <= ONE_BY_ONE + 2 * self.pending {
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
mod tests;
