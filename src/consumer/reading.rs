//! A partition that is read: from where, what of it is finished, and which Comets are behind.

use std::collections::VecDeque;
use std::ops::Range;

use super::lags::Lags;
use crate::message::Assignment;

/// A partition that is assigned.
pub struct Reading {
    pub assignment: Assignment,
    pub position: i64,
    /// What an earlier owner finished, as ascending ranges. Those that the position has passed are dropped.
    pub finished: VecDeque<Range<i64>>,
    pub behind: Lags,
}

impl Reading {
    /// Each record from this offset on is read for all: no earlier owner finished it.
    pub fn live_from(&self) -> i64 {
        let finished = self.finished.back().map_or(self.position, |last| last.end);
        finished.max(self.position)
    }

    /// Whether an earlier owner finished this offset. Forgets all ranges below it: offsets only ascend.
    pub fn is_finished(&mut self, offset: i64) -> bool {
        self.forget_finished_below(offset);
        let next = self.finished.front();
        next.is_some_and(|range| range.contains(&offset))
    }

    pub fn forget_finished_below(&mut self, offset: i64) {
        while self
            .finished
            .pop_front_if(|range| range.end <= offset)
            .is_some()
        {}
    }

    /// Moves the position past unreadable offsets. Returns the first of them that no earlier owner finished: it is above
    /// `last` if all are finished.
    pub fn skip_to(&mut self, next: i64) -> i64 {
        let mut open = self.position;
        while open < next && self.is_finished(open) {
            open = self.finished.front().map_or(open, |range| range.end);
        }
        self.position = next;
        self.forget_finished_below(next);
        open
    }
}
