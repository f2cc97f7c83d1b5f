//! What the judge knows of the fleet: which Comet has to get a record, and which may.

use std::time::Duration;

use super::{Due, Judge, Place, Written};
use crate::message::CometId;
use crate::message::call::Target;

/// What is written so long after a change is routed by jobs that know it: they heard of it, and their threads stood still now and then.
pub const KNOWN_WITHIN: Duration = Duration::from_secs(25);

/// When a Comet is in the fleet.
#[derive(Clone, Copy, Debug)]
pub struct InFleet {
    from: Duration,
    until: Option<Duration>,
}

impl InFleet {
    /// One that was there before all.
    pub const FIRST: Self = Self {
        from: Duration::ZERO,
        until: None,
    };

    /// Whether each job has it in the fleet when it routes what is written `at` this time.
    fn is_sure(self, at: Duration) -> bool {
        self.until.is_none() && (self.from.is_zero() || at >= self.from + KNOWN_WITHIN)
    }

    /// Whether no job has it in the fleet then.
    fn is_gone(self, at: Duration) -> bool {
        self.until
            .is_some_and(|until| at >= until.saturating_add(KNOWN_WITHIN))
    }
}

impl Judge {
    /// The Comets that are in the fleet now.
    pub fn fleet(&self) -> Vec<usize> {
        let all = self.fleet.iter().enumerate();
        let here = all.filter(|(_, of)| of.until.is_none());
        here.map(|(comet, _)| comet).collect()
    }

    /// Its number is that of no Comet before.
    pub fn joins(&mut self, now: Duration, comet: usize) {
        while self.fleet.len() <= comet {
            // One that joins later.
            self.fleet.push(InFleet {
                from: Duration::MAX,
                until: Some(Duration::MAX),
            });
        }
        self.fleet[comet] = InFleet {
            from: now,
            until: None,
        };
        self.figures.joined += 1;
    }

    /// Nothing is due at a Comet that leaves. Returns false if it isn't there.
    pub fn leaves(&mut self, now: Duration, comet: usize) -> bool {
        let of = self.fleet.get_mut(comet);
        let Some(of) = of.filter(|of| of.until.is_none()) else {
            return false;
        };
        of.until = Some(now);
        self.due.retain(|(_, due)| *due != Due::At(comet));
        self.figures.left += 1;
        true
    }

    /// Whether one Comet alone should have it. Where that one left, all get it.
    pub fn is_for_one(&self, place: Place) -> bool {
        let record = &self.written[&place];
        match record.target {
            Some(Target::One(one)) => self.fleet[one.0 as usize].is_sure(record.at),
            _ => false,
        }
    }

    /// Whether a record that is written now has to get to a Comet.
    pub(super) fn is_due(&self, comet: usize, record: &Written) -> bool {
        let is_for_it = match &record.target {
            None => false,
            Some(Target::All) => true,
            Some(Target::Some(have)) => have.contains(&CometId(comet as u32)),
            Some(Target::One(one)) => {
                let one = one.0 as usize;
                // One that names a Comet which nobody knows goes to all.
                one == comet || self.fleet[one].is_gone(record.at)
            }
        };
        is_for_it && self.fleet[comet].is_sure(record.at)
    }

    /// Whether a Comet may get a record that was written before.
    pub(super) fn may_get(&self, comet: usize, record: &Written) -> bool {
        match &record.target {
            None => false,
            // It may have the room for a while.
            Some(Target::All | Target::Some(_)) => true,
            Some(Target::One(one)) => {
                let one = one.0 as usize;
                one == comet || !self.fleet[one].is_sure(record.at)
            }
        }
    }

    /// A worker gives a message up since its one Comet left.
    pub fn gives_up_left(&mut self, now: Duration, place: Place) {
        let has_left = match self.written[&place].target {
            Some(Target::One(one)) => self.fleet[one.0 as usize].until.is_some(),
            _ => false,
        };
        if !has_left {
            self.breaks(
                now,
                format!("{place:?} becomes a dead letter since its Comet left, and that is no Comet's that left"),
            );
        }
    }
}
