//! Comets that jobs took for behind, as they said it.

use std::collections::BTreeMap;

use super::Evidence;
use crate::streams::comet_host;
use crate::timeline::Micros;

/// A time for which one process took a Comet for behind: it gets nothing but what it missed, and nobody waits for it.
pub struct Behind {
    pub life: usize,
    pub comet: usize,
    /// The only partition where that is so, if it was found behind where the partition came from.
    pub partition: Option<i32>,
    pub from: Micros,
    /// When it had caught up, or the process ended; `Micros::MAX` where neither came.
    pub to: Micros,
    pub caught_up: bool,
    /// The partitions where it got what is new before that, and since when.
    attached: BTreeMap<i32, Micros>,
    /// How often it was detached within.
    pub detached: u32,
}

/// All such times.
pub fn behind(evidence: &Evidence<'_>) -> Vec<Behind> {
    let mut all: Vec<Behind> = Vec::new();
    for (life, of) in evidence.lives.iter().enumerate() {
        let first = all.len();
        for (at, line) in &of.notes {
            let detached = line.contains("it is detached");
            let missed = line.contains("before this process had it");
            let ends = line.contains("has caught up");
            let attached = line.contains("gets what is new again");
            // It takes along what it missed.
            let left = line.contains("left the fleet");
            let is_of_interest = detached || missed || ends || attached || left;
            let Some(comet) = comet_of(evidence, line).filter(|_| is_of_interest) else {
                continue;
            };
            let open = all[first..].iter_mut();
            let mut open = open.filter(|b| b.comet == comet && b.to == Micros::MAX);
            if ends || left {
                open.for_each(|open| (open.to, open.caught_up) = (*at, ends));
                continue;
            }
            if attached {
                let Some(partition) = partition_of(line) else {
                    continue;
                };
                for open in open.filter(|b| b.is_in(partition)) {
                    open.attached.entry(partition).or_insert(*at);
                }
                continue;
            }
            let partition = missed.then(|| partition_of(line)).flatten();
            match open.find(|b| b.partition == partition) {
                Some(open) if open.attached.is_empty() => open.detached += u32::from(detached),
                before => {
                    if let Some(before) = before {
                        before.to = *at;
                    }
                    all.push(Behind {
                        life,
                        comet,
                        partition,
                        from: *at,
                        to: Micros::MAX,
                        caught_up: false,
                        detached: u32::from(detached),
                        attached: BTreeMap::new(),
                    });
                }
            }
        }
        for left in all[first..].iter_mut().filter(|b| b.to == Micros::MAX) {
            left.to = of.ended.unwrap_or(Micros::MAX);
        }
    }
    all
}

impl Behind {
    /// Whether it was so for what is in a partition.
    pub fn is_in(&self, partition: i32) -> bool {
        self.partition.is_none_or(|only| only == partition)
    }

    /// Until when it got nothing new of a partition.
    pub fn until(&self, partition: i32) -> Micros {
        let attached = self.attached.get(&partition);
        attached.map_or(self.to, |at| *at.min(&self.to))
    }
}

/// The partition that a line begins with, behind its time: `… partition 3: Comet …`.
fn partition_of(line: &str) -> Option<i32> {
    let (number, _) = line.split_once("partition ")?.1.split_once(':')?;
    number.parse().ok()
}

/// The Comet that a line names.
pub fn comet_of(evidence: &Evidence<'_>, line: &str) -> Option<usize> {
    let address = line.split("Comet ").nth(1)?;
    let mut comets = 0..evidence.records.len();
    comets.find(|comet| address.starts_with(&format!("{}:", comet_host(*comet))))
}
