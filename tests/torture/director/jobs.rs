//! The jobs: started, stopped, and looked after.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Director, Repair};
use crate::children::{End, Job, JobCommand, lock, resident};
use crate::dead_addresses::Dead;
use crate::timeline::{Micros, SECOND, Scope, now};

/// A job says that it waits so long for what is in flight; starting and ending take their time too.
const STOP_WITHIN: Micros = 13 * SECOND;

pub struct Slot {
    pub command: JobCommand,
    pub state: State,
}

pub enum State {
    Down,
    Runs(Job),
    Stopping {
        job: Job,
        since: Micros,
        window: usize,
        again: Option<Duration>,
    },
}

impl Slot {
    fn take_running(&mut self) -> Option<Job> {
        match std::mem::replace(&mut self.state, State::Down) {
            State::Runs(job) => Some(job),
            other => {
                self.state = other;
                None
            }
        }
    }
}

impl Director {
    pub fn start_job(&mut self, slot: usize, window: usize) -> Result<(), String> {
        if matches!(self.slots[slot].state, State::Down) {
            self.slots[slot].state = State::Runs(self.slots[slot].command.start()?);
        }
        self.timeline.end(window);
        Ok(())
    }

    /// Kills a job, which is started again at `until`. Returns whether it ran.
    pub fn kill_job(&mut self, slot: usize, what: String, until: Micros) -> bool {
        let Some(mut job) = self.slots[slot].take_running() else {
            return false;
        };
        let window = self.timeline.begin(what, vec![Scope::Killed { slot }]);
        job.process.kill();
        self.ended(job.life, End::Killed);
        self.slots[slot].command.dead = None;
        self.repairs
            .push((until, Repair::StartJob { slot, window }));
        true
    }

    /// Asks a job to stop; it is started again so long after its end. Returns whether it ran.
    pub fn stop_job(&mut self, slot: usize, what: String, again: Option<Duration>) -> bool {
        let Some(job) = self.slots[slot].take_running() else {
            return false;
        };
        let window = self.timeline.begin(what, vec![Scope::Stopped { slot }]);
        let since = now();
        lock(&self.lives)[job.life].signalled = Some(since);
        job.process.signal(Signal::SIGTERM);
        self.slots[slot].command.dead = None;
        self.slots[slot].state = State::Stopping {
            job,
            since,
            window,
            again,
        };
        true
    }

    /// What is started there next has a dead address before Kafka's.
    pub fn put_dead_address(&mut self, slot: usize, dead: Dead) -> Result<(), String> {
        self.slots[slot].command.dead = Some(self.dead_addresses.of(dead)?);
        Ok(())
    }

    /// Notices who ended.
    pub fn look_after(&mut self, slot: usize) {
        match std::mem::replace(&mut self.slots[slot].state, State::Down) {
            State::Down => {}
            State::Runs(mut job) => match job.process.ended() {
                None => self.slots[slot].state = State::Runs(job),
                Some(status) => {
                    self.misdeeds.push(format!(
                        "{}: job {slot} (process {}) ended by itself: {status}",
                        self.timeline.at(now()),
                        job.process.pid()
                    ));
                    self.ended(job.life, End::ByItself);
                    let what = format!("job {slot} ended by itself");
                    let window = self.timeline.begin(what, vec![Scope::Killed { slot }]);
                    self.repairs
                        .push((now() + SECOND, Repair::StartJob { slot, window }));
                }
            },
            State::Stopping {
                mut job,
                since,
                window,
                again,
            } => {
                let took = now() - since;
                match job.process.ended() {
                    None if took <= STOP_WITHIN + 10 * SECOND => {
                        self.slots[slot].state = State::Stopping {
                            job,
                            since,
                            window,
                            again,
                        };
                        return;
                    }
                    None => job.process.kill(),
                    Some(status) if status.success() && took <= STOP_WITHIN => {}
                    Some(status)
                        if status.signal() == Some(Signal::SIGTERM as i32)
                            && self.is_new(job.life, since) => {}
                    Some(status) => self.misdeeds.push(format!(
                        "{}: job {slot} (process {}) took {:.1} s to stop, and ended with {status}",
                        self.timeline.at(since),
                        job.process.pid(),
                        took as f64 / SECOND as f64
                    )),
                }
                if took > STOP_WITHIN + 10 * SECOND {
                    self.misdeeds.push(format!(
                        "{}: job {slot} (process {}) did not stop within {} s and was killed",
                        self.timeline.at(since),
                        job.process.pid(),
                        (STOP_WITHIN + 10 * SECOND) / SECOND
                    ));
                }
                self.ended(job.life, End::Stopped);
                match again {
                    Some(pause) => {
                        let at = now() + pause.as_micros() as Micros;
                        self.repairs.push((at, Repair::StartJob { slot, window }));
                    }
                    None => self.timeline.end(window),
                }
            }
        }
    }

    /// Whether a job was so new at this time that it may not have listened for signals yet.
    fn is_new(&self, life: usize, at: Micros) -> bool {
        at <= lock(&self.lives)[life].started + SECOND
    }

    fn ended(&self, life: usize, end: End) {
        let life = &mut lock(&self.lives)[life];
        life.ended = Some(now());
        life.end = end;
    }

    pub fn measure(&self) {
        let time = now();
        for life in lock(&self.lives)
            .iter_mut()
            .filter(|life| life.end == End::Runs)
        {
            if let Some(kilobytes) = resident(life.pid)
                && kilobytes > life.memory.0
            {
                life.memory = (kilobytes, time);
            }
        }
    }
}
