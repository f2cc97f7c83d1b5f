//! The Comets that are behind in one partition, and what each misses there.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::message::CometId;
use crate::message::consumer::Behind;

/// The Comets that are behind in one partition.
#[derive(Default)]
pub struct Lags {
    pub lags: Vec<Lag>,
    /// Their ids, to go along with each message. `None` where there are none.
    comets: Option<Arc<Vec<CometId>>>,
}

/// A Comet that is behind.
pub struct Lag {
    pub comet: CometId,
    /// What it misses and wasn't read again, in ascending ranges. The last one has no end.
    missing: VecDeque<Range<i64>>,
    /// Whether Kafka has deleted the first of it. Nothing is read until the group says what is left.
    pub is_astray: bool,
    /// Whether it doesn't get what is too old.
    pub is_limited: bool,
}

impl Lag {
    /// The next offset to read again, if any is below the live `position`.
    pub fn next(&self, position: i64) -> Option<i64> {
        let first = self.missing.front()?.start;
        (first < position && !self.is_astray).then_some(first)
    }

    /// Takes what it misses below `end`, in ascending ranges.
    pub fn take_below(&mut self, end: i64) -> Vec<Range<i64>> {
        let mut taken = Vec::new();
        while let Some(first) = self.missing.front_mut()
            && first.start < end
        {
            taken.push(first.start..first.end.min(end));
            if first.end > end {
                first.start = end;
                break;
            }
            self.missing.pop_front();
        }
        taken
    }
}

impl Lags {
    pub fn new(behind: Vec<Behind>) -> Self {
        let mut lags = Self::default();
        for one in behind {
            // How long it was away isn't known.
            lags.put(one, true);
        }
        lags
    }

    /// The Comets that live records are not sent to.
    pub fn comets(&self) -> Option<Arc<Vec<CometId>>> {
        self.comets.clone()
    }

    /// The Comet gets nothing from `position` on.
    pub fn detach(&mut self, comet: CometId, position: i64) {
        if self.lags.iter().all(|lag| lag.comet != comet) {
            let missing = std::iter::once(position..i64::MAX).collect();
            self.put(Behind { comet, missing }, true);
            self.list();
        }
    }

    /// The Comet misses this from now on. `is_limited`: it doesn't get what is too old.
    pub fn put(&mut self, Behind { comet, missing }: Behind, is_limited: bool) {
        self.lags.retain(|lag| lag.comet != comet);
        let missing = missing.into();
        self.lags.push(Lag {
            comet,
            missing,
            is_astray: false,
            is_limited,
        });
    }

    /// The Comet left the fleet.
    pub fn forget(&mut self, comet: CometId) {
        self.lags.retain(|lag| lag.comet != comet);
        self.list();
    }

    /// Forgets the Comets that caught up, and returns them. From the offset `live` on, each record is read for all. Those that are
    /// `away` get nothing, though there may be nothing yet that they miss.
    pub fn attach(&mut self, live: i64, away: &BTreeSet<CometId>) -> Vec<CometId> {
        let misses = |lag: &Lag| lag.missing.front().is_some_and(|first| first.start < live);
        let is_ready = |lag: &mut Lag| !away.contains(&lag.comet) && !misses(lag);
        let ready: Vec<_> = self.lags.extract_if(.., is_ready).collect();
        self.list();
        ready.into_iter().map(|lag| lag.comet).collect()
    }

    fn list(&mut self) {
        let comets: Vec<_> = self.lags.iter().map(|lag| lag.comet).collect();
        self.comets = (!comets.is_empty()).then(|| Arc::new(comets));
    }
}
