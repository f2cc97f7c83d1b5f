//! What Comets miss of a partition. For the watermark it counts as finished: it is read again for each of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::message::{CometId, Offsets};

#[derive(Debug, Default)]
pub struct Missing {
    /// By Comet. None is empty.
    offsets: BTreeMap<CometId, Offsets>,
    /// What is with a worker for a Comet that misses it, or on its way to the dead-letter topic, and how often: a call may still be
    /// out while the record is read again. All of it is missing, too.
    pending: BTreeMap<(CometId, i64), u32>,
    /// Of that, calls that began before it was read again, where it was too old then: if they fail, it isn't sent again.
    last_tries: BTreeSet<(CometId, i64)>,
}

impl Missing {
    pub fn new(mut offsets: BTreeMap<CometId, Offsets>) -> Self {
        offsets.retain(|_, missed| !missed.is_empty());
        Self {
            offsets,
            pending: BTreeMap::new(),
            last_tries: BTreeSet::new(),
        }
    }

    pub fn offsets(&self) -> &BTreeMap<CometId, Offsets> {
        &self.offsets
    }

    pub fn of(&self, comet: CometId) -> Option<&Offsets> {
        self.offsets.get(&comet)
    }

    /// How many records are on their way again.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What is on its way again to a Comet.
    pub fn pending_of(&self, comet: CometId) -> impl Iterator<Item = i64> {
        let of_comet = self.pending.range((comet, i64::MIN)..=(comet, i64::MAX));
        of_comet.map(|((_, offset), _)| *offset)
    }

    /// Records are read for all Comets but for those that are `behind`, which miss them. The others get them now, whatever a map
    /// without room for more said of these offsets.
    pub fn read(&mut self, range: Range<i64>, behind: &[CometId]) {
        if range.is_empty() {
            return;
        }
        for (comet, missed) in &mut self.offsets {
            if !behind.contains(comet) {
                missed.remove(range.clone());
            }
        }
        self.offsets.retain(|_, missed| !missed.is_empty());
        for comet in behind {
            self.add(*comet, range.clone());
        }
    }

    pub fn add(&mut self, comet: CometId, range: Range<i64>) {
        if !range.is_empty() {
            self.offsets.entry(comet).or_default().insert(range);
        }
    }

    /// A Comet misses a record. `pending`: a call with it has not ended yet.
    pub fn lacks(&mut self, comet: CometId, offset: i64, pending: bool) {
        self.add(comet, offset..offset + 1);
        if pending {
            *self.pending.entry((comet, offset)).or_default() += 1;
        } else {
            self.pending.remove(&(comet, offset));
        }
    }

    /// Of `scanned`, a Comet misses only the records `sent`, which are on their way to it, and those that were before. Of these,
    /// what is `skipped` isn't sent again. Both ascend.
    pub fn sent_again(
        &mut self,
        comet: CometId,
        scanned: Range<i64>,
        sent: &[i64],
        skipped: &[i64],
    ) {
        for offset in sent {
            *self.pending.entry((comet, *offset)).or_default() += 1;
        }
        let missed = self.offsets.entry(comet).or_default();
        missed.remove(scanned.clone());
        for offset in sent {
            missed.insert(*offset..offset + 1);
        }
        // A call may have begun before the partition was read again.
        let before = (comet, scanned.start)..(comet, scanned.end.max(scanned.start));
        for ((_, offset), _) in self.pending.range(before) {
            missed.insert(*offset..offset + 1);
            if skipped.binary_search(offset).is_ok() {
                self.last_tries.insert((comet, *offset));
            }
        }
        self.tidy(comet);
    }

    /// A Comet has a record now.
    pub fn took(&mut self, comet: CometId, offset: i64) {
        self.pending.remove(&(comet, offset));
        self.last_tries.remove(&(comet, offset));
        if let Some(missed) = self.offsets.get_mut(&comet) {
            missed.remove(offset..offset + 1);
            self.tidy(comet);
        }
    }

    /// A record is not on its way to a Comet any longer, which still misses it, unless it is too old by now.
    pub fn still_lacks(&mut self, comet: CometId, offset: i64) {
        if let Some(times @ 2..) = self.pending.get_mut(&(comet, offset)) {
            *times -= 1;
            return;
        }
        self.pending.remove(&(comet, offset));
        if self.last_tries.contains(&(comet, offset)) {
            self.took(comet, offset);
        }
    }

    /// Forgets what is missing outside of `kept`: the log doesn't have it any longer. Returns how many offsets of each Comet that was.
    pub fn keep(&mut self, kept: Range<i64>) -> Vec<(CometId, u64)> {
        self.pending.retain(|(_, offset), _| kept.contains(offset));
        self.last_tries.retain(|(_, offset)| kept.contains(offset));
        let mut gone = Vec::new();
        for (&comet, missed) in &mut self.offsets {
            let before = missed.count();
            missed.remove(i64::MIN..kept.start);
            missed.remove(kept.end..i64::MAX);
            let lost = before - missed.count();
            if lost > 0 {
                gone.push((comet, lost));
            }
        }
        self.offsets.retain(|_, missed| !missed.is_empty());
        gone
    }

    /// Forgets a Comet. Returns how many offsets it missed.
    pub fn forget(&mut self, comet: CometId) -> u64 {
        self.pending.retain(|(of, _), _| *of != comet);
        self.last_tries.retain(|(of, _)| *of != comet);
        self.offsets
            .remove(&comet)
            .map_or(0, |missed| missed.count())
    }

    fn tidy(&mut self, comet: CometId) {
        if self.of(comet).is_some_and(Offsets::is_empty) {
            self.offsets.remove(&comet);
        }
    }
}
