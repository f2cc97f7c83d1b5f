//! What an operator tells the jobs. It must not know what becomes of it.

use super::job::Thread;
use super::kafka::Member;
use super::world::World;
use crate::group::Input;
use crate::group::effect::RequestId;

/// So many records are skipped together, at most.
const AT_ONCE: usize = 6;

impl World<'_> {
    /// Has a job read nothing, or go on.
    pub fn pause(&mut self, member: Member, paused: bool) {
        if let Some(cores) = self.cores(member) {
            cores.pauses.push_back(paused);
            self.poke(member, Thread::Consumer);
        }
    }

    /// Has each job skip some records that are due somewhere. Whether they are its own, and in hand, is for the job to say.
    pub fn skip_some(&mut self) {
        for _ in 0..self.rng.usize(1..AT_ONCE) {
            let due = self.judge.due_places();
            if due.is_empty() {
                return;
            }
            // Mostly one of the first: what is held up.
            let most = if self.rng.bool() { 3 } else { due.len() };
            let place = due[self.rng.usize(..most.min(due.len()))];
            self.judge.skips(place);
            for job in 0..self.jobs.len() {
                let member = (job, self.jobs[job].life);
                let Some(cores) = self.cores(member) else {
                    continue;
                };
                cores.next_request += 1;
                let request = RequestId(cores.next_request);
                let (partition, offset) = place;
                let skip = Input::Skip {
                    request,
                    partition,
                    offset,
                    uid: 0,
                };
                self.input(member, skip);
            }
        }
    }
}
