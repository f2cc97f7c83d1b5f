//! Faults begin and end. It must not know what follows from them.

use std::time::Duration;

use super::plan::{Kind, LASTS};
use super::world::{What, World};

impl World<'_> {
    /// The plan's nth fault begins, or ends.
    pub fn fault(&mut self, n: usize, begins: bool) {
        let fault = &self.plan.faults[n];
        self.tell(|| {
            format!(
                "{} {:?}",
                if begins { "begins" } else { "ends" },
                fault.kind
            )
        });
        let ends = fault.at + fault.lasts;
        if begins {
            self.later(
                ends.min(LASTS) - self.now.min(ends.min(LASTS)),
                What::Ends(n),
            );
        }
        let by = |count: &mut u32| match begins {
            true => *count += 1,
            false => *count -= 1,
        };
        let member = |world: &Self, job: usize| (job, world.jobs[job].life);
        match fault.kind {
            Kind::CometDown(comet) => {
                by(&mut self.comets[comet].down);
                if begins {
                    self.cut(comet);
                }
            }
            Kind::AllDown => {
                for comet in 0..self.comets.len() {
                    by(&mut self.comets[comet].down);
                    if begins {
                        self.cut(comet);
                    }
                }
            }
            Kind::CometHangs(comet) => {
                by(&mut self.comets[comet].hangs);
                if self.comets[comet].hangs == 0 {
                    self.goes_on(comet);
                }
            }
            Kind::CometSlow(comet, slow) => self.comets[comet].slow = begins.then_some(slow),
            Kind::CometFails(comet, code) => self.comets[comet].fails = begins.then_some(code),
            Kind::Cut(comet) if begins => self.cut(comet),
            Kind::Crashing if begins => self.write_crashing(),
            Kind::Crashing => {}
            Kind::Cut(_) => {}
            Kind::KafkaDown => by(&mut self.kafka.down),
            Kind::CommitsFail => by(&mut self.kafka.commits_fail),
            Kind::JobKilled(job) if begins => {
                let member = member(self, job);
                self.kill(member);
            }
            Kind::JobStopped(job) if begins => self.stop(job),
            Kind::JobKilled(job) | Kind::JobStopped(job) => {
                self.later(Duration::ZERO, What::Start(job))
            }
            Kind::Lost(job) if begins => {
                let member = member(self, job);
                self.lose(member);
            }
            Kind::Moves(job) if begins => {
                let member = member(self, job);
                self.moves(member);
            }
            Kind::Expelled(job) if begins => {
                let member = member(self, job);
                if self.lose(member)
                    && let Some(cores) = self.cores(member)
                {
                    cores.expelled = true;
                }
            }
            Kind::Lost(_) | Kind::Moves(_) | Kind::Expelled(_) => {}
            Kind::AllFail(code) => {
                for comet in &mut self.comets {
                    comet.fails = begins.then_some(code);
                }
            }
            Kind::Flood(comet) if begins && !self.plan.holds_few() => self.flood(comet),
            Kind::Flood(_) => {}
            Kind::CometRefuses(comet) => by(&mut self.comets[comet].refuses),
            Kind::ConnectionFails { job, worker, comet } => {
                let bad = &mut self.comets[comet].bad_connections;
                match begins {
                    true => bad.push((job, worker)),
                    false => bad.retain(|one| *one != (job, worker)),
                }
            }
            Kind::Paused(job) => {
                self.pause(member(self, job), begins);
                by(&mut self.jobs[job].paused);
                self.jobs[job].calm_since = self.now;
            }
            Kind::Skip if begins => self.skip_some(),
            Kind::Skip => {}
            Kind::Joins(comet) if begins => self.comet_joins(comet),
            Kind::Leaves(comet) if begins => self.comet_leaves(comet),
            Kind::Joins(_) | Kind::Leaves(_) => {}
            Kind::JobBusy(job) => {
                by(&mut self.jobs[job].busy);
                self.jobs[job].calm_since = self.now;
            }
        }
        let now = self.now;
        for comet in &mut self.comets {
            comet.changed(now);
        }
        if let Kind::Cut(comet) = fault.kind {
            self.comets[comet].well_since = self.comets[comet].well_since.map(|_| now);
        }
        let kafka = &mut self.kafka;
        let is_well = kafka.down == 0 && kafka.commits_fail == 0;
        kafka.well_since = is_well.then(|| kafka.well_since.unwrap_or(now));
    }
}
