//! A ledger beside a model of it: every record of the partition by name, whether it was delivered, and what the
//! ledger may know of that.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arbitrary::{Arbitrary, Result, Unstructured};
use chatroom_job::group::ledger::{Ledger, union};

use crate::{ascending, fits};

/// Records enough that their map can't fit into a commit.
const MOST: usize = 4_000;

#[derive(Arbitrary)]
enum Step {
    /// Reads so many records: those after the reading position, then new ones, so far apart each. Afterwards the
    /// position may be past offsets that hold no record.
    Read { gaps: Vec<u8>, beyond: u8 },
    /// The record that was read as the so manieth is delivered.
    Finish(u16),
    /// It is given back unsent.
    Release(u16),
    /// The process dies, and another one begins where the last commit was: now, or where it was left before.
    Die { commit_first: bool },
    /// Kafka takes the partition and gives it back to the same process, at its last commit.
    LoseAndRegain,
    /// A long stretch: so many records, of which every second one is delivered. Maps get longer than commits may be.
    Stretch(u8),
}

struct Model {
    ledger: Ledger,
    /// Every record that was ever read, in offset order.
    log: Vec<i64>,
    /// In this life all below is delivered, or holds no record: where to look for the watermark.
    settled: i64,
    /// The first offset at which no record was made yet.
    end: i64,
    /// Those that were really delivered.
    delivered: BTreeSet<i64>,
    /// The reading position.
    next: i64,
    /// What was read in this life and is neither delivered nor given back.
    in_hand: BTreeSet<i64>,
    /// What this life's ledger was told is delivered, by a map or by its workers.
    known: BTreeSet<i64>,
    /// The last commit's offset and what its map is read back as.
    committed: (i64, Vec<Range<i64>>),
}

pub fn run(steps: &[u8]) {
    let mut model = Model {
        ledger: Ledger::new(0, Vec::new(), BTreeMap::new()),
        log: Vec::new(),
        settled: 0,
        end: 0,
        delivered: BTreeSet::new(),
        next: 0,
        in_hand: BTreeSet::new(),
        known: BTreeSet::new(),
        committed: (0, Vec::new()),
    };
    // The steps end where the bytes do.
    let _ = model.follow(&mut Unstructured::new(steps));
    model.agrees();
}

impl Model {
    fn follow(&mut self, steps: &mut Unstructured<'_>) -> Result<()> {
        while !steps.is_empty() && self.log.len() < MOST {
            match Step::arbitrary(steps)? {
                Step::Read { gaps, beyond } => {
                    self.read(&gaps, beyond);
                }
                Step::Finish(which) => self.finish(which),
                Step::Release(which) => self.release(which),
                Step::Die { commit_first } => {
                    if commit_first {
                        self.commit();
                    }
                    self.agrees();
                    self.begin(self.committed.1.clone());
                }
                Step::LoseAndRegain => {
                    self.agrees();
                    let before = self.known.split_off(&self.committed.0);
                    let own = self.ledger.finished_from(self.committed.0);
                    self.begin(union(&self.committed.1, &own));
                    assert!(before.is_subset(&self.known), "forgotten");
                }
                Step::Stretch(length) => {
                    let read = self.read(&vec![0; usize::from(length)], 0);
                    for offset in read.into_iter().skip(1).step_by(2) {
                        self.deliver(offset);
                    }
                }
            }
            let watermark = self.watermark();
            assert_eq!(self.ledger.watermark(), watermark);
            assert_eq!(self.ledger.pending(), self.in_hand.len());
            assert_eq!(self.ledger.is_settled(), self.in_hand.is_empty());
        }
        Ok(())
    }

    fn read(&mut self, gaps: &[u8], beyond: u8) -> Vec<i64> {
        let mut offsets = self.log_from(self.next).to_vec();
        offsets.truncate(gaps.len());
        for gap in &gaps[offsets.len()..] {
            let offset = self.end + i64::from(*gap);
            self.log.push(offset);
            self.end = offset + 1;
            offsets.push(offset);
        }
        let after = offsets.last().map_or(self.next, |last| last + 1);
        // No record is skipped: the position goes beyond the end of the log, or to the next record at most.
        let limit = self.log_from(after).first().copied();
        let next = (after + i64::from(beyond)).min(limit.unwrap_or(i64::MAX));
        self.end = self.end.max(next);
        self.next = next;
        self.ledger.read(offsets.iter().copied(), next, &[]);
        let fresh = offsets
            .iter()
            .filter(|&offset| !self.known.contains(offset));
        self.in_hand.extend(fresh);
        offsets
    }

    fn chosen(&self, which: u16) -> Option<i64> {
        let turn = usize::from(which) % self.log.len().max(1);
        self.log.get(turn).copied()
    }

    fn finish(&mut self, which: u16) {
        match self.chosen(which) {
            Some(offset) => self.deliver(offset),
            // An offset that was never read.
            None => self.ledger.finish(i64::from(which)),
        }
    }

    /// A worker says so, perhaps for the second time, or of a record that it no longer has.
    fn deliver(&mut self, offset: i64) {
        self.ledger.finish(offset);
        if self.in_hand.remove(&offset) {
            self.delivered.insert(offset);
            self.known.insert(offset);
        }
    }

    fn release(&mut self, which: u16) {
        if let Some(offset) = self.chosen(which) {
            self.ledger.release(offset);
            self.in_hand.remove(&offset);
        }
    }

    fn log_from(&self, offset: i64) -> &[i64] {
        &self.log[self.log.partition_point(|&at| at < offset)..]
    }

    /// Where all below is delivered, or holds no record.
    fn watermark(&mut self) -> i64 {
        let open = self
            .log_from(self.settled)
            .iter()
            .find(|&offset| *offset >= self.next || !self.known.contains(offset));
        self.settled = open.map_or(self.next, |first| self.next.min(*first));
        self.settled
    }

    fn commit(&mut self) {
        let watermark = self.ledger.watermark();
        self.committed = (watermark, fits(watermark, &self.ledger.finished_above()));
    }

    /// A new life of the partition, from the last commit on.
    fn begin(&mut self, finished: Vec<Range<i64>>) {
        let position = self.committed.0;
        ascending(position, &finished);
        self.next = position;
        self.settled = position;
        self.in_hand.clear();
        self.known = self
            .log_from(position)
            .iter()
            .copied()
            .filter(|offset| holds(&finished, *offset))
            .collect();
        self.ledger = Ledger::new(position, finished, BTreeMap::new());
        self.agrees();
    }

    /// Nothing that was not delivered passes for finished, and all that the ledger was told is in its account.
    fn agrees(&self) {
        assert!(self.known.is_subset(&self.delivered), "finished unsent");
        let watermark = self.ledger.watermark();
        for offset in self.log.iter().take_while(|at| **at < watermark) {
            assert!(self.delivered.contains(offset), "{offset} would be lost");
        }
        let above = self.ledger.finished_above();
        ascending(watermark, &above);
        for offset in self.log_from(watermark) {
            let known = self.known.contains(offset);
            assert_eq!(holds(&above, *offset), known, "offset {offset}");
        }
        let from = self.committed.0;
        ascending(from, &self.ledger.finished_from(from));
    }
}

fn holds(ascending: &[Range<i64>], offset: i64) -> bool {
    let place = ascending.partition_point(|run| run.end <= offset);
    ascending.get(place).is_some_and(|run| run.start <= offset)
}
