//! The fleet changes. It must not know what a job makes of it.

use std::time::Duration;

use super::judge::{self, KNOWN_WITHIN};
use super::kafka::Member;
use super::world::{What, World};
use crate::message::CometId;
use crate::message::fleet::Change;
use crate::message::group::Event;

/// A job hears of a change within this.
pub const HEARD_WITHIN: Duration = Duration::from_secs(3);
const _: () = assert!(HEARD_WITHIN.as_millis() < KNOWN_WITHIN.as_millis());

impl World<'_> {
    pub fn comet_joins(&mut self, comet: usize) {
        self.judge.joins(self.now, comet);
        self.tell_jobs(&join(comet));
    }

    pub fn comet_leaves(&mut self, comet: usize) {
        if self.judge.leaves(self.now, comet) {
            self.tell_jobs(&Change::Leave(CometId(comet as u32)));
        }
    }

    fn tell_jobs(&mut self, change: &Change) {
        for job in 0..self.jobs.len() {
            let member = (job, self.jobs[job].life);
            let wait = Duration::from_millis(self.rng.u64(..HEARD_WITHIN.as_millis() as u64));
            self.later(wait, What::Changes(member, change.clone()));
        }
    }

    /// A job that starts knows the fleet as it is then.
    pub fn knows_fleet(&mut self, member: Member) {
        for comet in self.judge.fleet() {
            self.tell_group(member, Event::Fleet(join(comet)));
        }
    }
}

fn join(comet: usize) -> Change {
    Change::Join(CometId(comet as u32), judge::name(comet).into())
}
