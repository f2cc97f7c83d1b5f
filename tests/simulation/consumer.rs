//! A job's consumer thread, and the one that reads again. They decide nothing.

use std::time::Duration;

use super::job::Thread;
use super::kafka::Member;
use super::world::{What, World};
use crate::consumer::core as consumer;
use crate::kafka::fetch::Positions;
use crate::message::consumer::Control;
use crate::message::group::Event;
/// What one fetch brings of a partition.
const AT_ONCE: usize = 10;

impl World<'_> {
    pub fn run_consumer(&mut self, member: Member) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        if cores.fetching.is_some() {
            return;
        }
        self.apply_pending(member);
        let Some(cores) = self.cores(member) else {
            return;
        };
        let Some(positions) = cores.consumer.positions() else {
            return;
        };
        cores.tickets += 1;
        let ticket = cores.tickets;
        cores.fetching = Some((ticket, positions.clone()));
        let idle = cores.consumer.wait();
        let wait = match self.kafka.has_more(&positions) || self.kafka.down > 0 {
            true => self.some_micros(5_000),
            false => idle,
        };
        self.later(wait, What::Fetched { member, ticket });
    }

    /// Records were written: a fetch that waits for them ends.
    pub fn records_came(&mut self) {
        for job in 0..self.jobs.len() {
            let member = (job, self.jobs[job].life);
            let Some(cores) = self.jobs[job].cores.as_mut() else {
                continue;
            };
            let Some((ticket, positions)) = cores.fetching.as_mut() else {
                continue;
            };
            if self.kafka.has_more(positions) {
                cores.tickets += 1;
                *ticket = cores.tickets;
                let ticket = *ticket;
                let wait = self.some_micros(5_000);
                self.later(wait, What::Fetched { member, ticket });
            }
        }
    }

    fn apply_pending(&mut self, member: Member) {
        loop {
            let Some(cores) = self.cores(member) else {
                return;
            };
            if let Some(paused) = cores.pauses.pop_front() {
                self.step_consumer(member, consumer::Event::Pause(paused));
            } else if let Some(control) = cores.controls.pop_front() {
                if let Control::CatchUp { .. } | Control::Assign { .. } | Control::Detach(_) =
                    &control
                {
                    let words = words(&control);
                    self.tell(|| format!("job {member:?} consumer: {words}"));
                }
                self.step_consumer(member, consumer::Event::Control(control));
            } else if let Some((positions, batches)) = cores.again.pop_front() {
                cores.is_asked_again = false;
                let batches = batches.unwrap_or_default();
                self.step_consumer(
                    member,
                    consumer::Event::FetchedAgain {
                        positions: &positions,
                        batches,
                        now: 0,
                    },
                );
            } else if cores.consumer.may_send_kept() {
                self.step_consumer(member, consumer::Event::SendKept { now: 0 });
            } else {
                break;
            }
        }
        let Some(cores) = self.cores(member) else {
            return;
        };
        if !cores.is_asked_again
            && let Some(positions) = cores.consumer.positions_again()
        {
            cores.is_asked_again = true;
            let wait = self.some_micros(5_000);
            self.later(wait, What::FetchedAgain { member, positions });
        }
    }

    pub fn step_consumer(&mut self, member: Member, event: consumer::Event<'_>) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        let (mut reads, mut groups, mut workers) = (Vec::new(), Vec::new(), Vec::new());
        let mut spared = 0;
        cores.consumer.step(event, &mut |effect| match effect {
            consumer::Effect::Read(read) => reads.push(read),
            consumer::Effect::Group(event) => groups.push(event),
            consumer::Effect::Worker(n, event) => workers.push((n.0 as usize, event)),
            consumer::Effect::Say(_) => {}
            consumer::Effect::Spared(calls) => spared += calls as u64,
        });
        cores.reads.extend(reads);
        self.judge.figures.spared += spared;
        for event in groups {
            if let Event::ReadAgain(read) = &event {
                self.judge.figures.sent_again += read.sent.len() as u64;
            }
            self.tell_group(member, event);
        }
        for (n, event) in workers {
            self.tell_worker(member, n, event);
        }
    }

    pub fn fetched(&mut self, member: Member, ticket: u64) {
        let Some(cores) = self.cores(member) else {
            return;
        };
        let Some((_, positions)) = cores.fetching.take_if(|(of, _)| *of == ticket) else {
            return;
        };
        let was_failing = cores.failing;
        match self.kafka.fetch(&positions, AT_ONCE) {
            Ok(batches) => {
                if was_failing {
                    self.step_consumer(member, consumer::Event::Interrupted);
                }
                self.apply_pending(member);
                self.step_consumer(
                    member,
                    consumer::Event::Fetched {
                        positions: &positions,
                        batches,
                        now: 0,
                    },
                );
                self.set_failing(member, false);
                self.poke(member, Thread::Consumer);
            }
            Err(_) => {
                self.step_consumer(member, consumer::Event::Interrupted);
                self.set_failing(member, true);
                self.later(
                    Duration::from_millis(500),
                    What::Runs(member, Thread::Consumer),
                );
            }
        }
    }

    fn set_failing(&mut self, member: Member, failing: bool) {
        if let Some(cores) = self.cores(member) {
            cores.failing = failing;
        }
    }

    pub fn fetched_again(&mut self, member: Member, positions: Positions) {
        let batches = self.kafka.fetch(&positions, AT_ONCE).map_err(drop);
        if batches.is_err() {
            self.later(
                Duration::from_secs(1),
                What::FetchedAgain { member, positions },
            );
            return;
        }
        if let Some(cores) = self.cores(member) {
            cores.again.push_back((positions, batches));
            self.poke(member, Thread::Consumer);
        }
    }
}

fn words(control: &Control) -> String {
    match control {
        Control::Assign {
            assignment,
            position,
            finished,
            behind,
        } => format!("assign {assignment:?} at {position}, finished {finished:?}, {behind:?}"),
        Control::CatchUp { comet, missing, .. } => format!("{comet:?} catches up on {missing:?}"),
        Control::Detach(comet) => format!("detach {comet:?}"),
        _ => String::new(),
    }
}
