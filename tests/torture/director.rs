//! Breaks and repairs things at their time, and looks after the processes meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::children::{Comet, End, Job, JobCommand, Lives, lock, resident};
use crate::kafka::{Kafka, script};
use crate::plan::{Fault, Planned};
use crate::producer::Producer;
use crate::proxy::{Mode, Proxy};
use crate::record::Record;
use crate::streams::Streams;
use crate::timeline::{Micros, SECOND, Scope, Timeline, now};

/// A job says that it waits so long for what is in flight; starting and ending take their time too.
const STOP_WITHIN: Micros = 13 * SECOND;

/// A connection that was forgotten is noticed when it was silent for some seconds.
const SILENCE: Micros = 7 * SECOND;

fn echo(mode: Mode) -> Micros {
    if mode == Mode::Forget { SILENCE } else { 0 }
}

/// Everything that runs, and what is to be done with it.
pub struct Director {
    pub timeline: Timeline,
    pub slots: Vec<Slot>,
    pub comets: Vec<Comet>,
    pub records: Vec<Record>,
    pub kafka: Kafka,
    pub lives: Lives,
    pub producer: Producer,
    /// By job and Comet.
    pub links: Vec<Vec<Proxy>>,
    /// By job.
    pub kafka_links: Vec<Proxy>,
    /// What a job did that it must not do, seen at once.
    pub misdeeds: Vec<String>,
    pub faults: usize,
    pub plan: VecDeque<Planned>,
    pub repairs: Vec<(Micros, Repair)>,
    pub scripts: Vec<(JoinHandle<Result<(), String>>, usize)>,
    pub measured: Micros,
}

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

pub enum Repair {
    StartJob {
        slot: usize,
        window: usize,
    },
    StopJob {
        slot: usize,
    },
    StartComet {
        comet: usize,
        window: usize,
    },
    Thaw {
        comet: usize,
        window: usize,
    },
    Heal {
        comet: usize,
        window: usize,
    },
    Connect {
        comet: usize,
        slots: Vec<usize>,
        window: usize,
    },
    ConnectKafka {
        slots: Vec<usize>,
        window: usize,
    },
}

impl Director {
    /// One round: what is due is broken or repaired, who ended is noticed. Comes back soon.
    ///
    /// # Errors
    /// When the campaign itself can't go on.
    pub fn attend(&mut self, streams: &Streams) -> Result<(), String> {
        let time = now();
        let since = Duration::from_micros(time.saturating_sub(self.timeline.origin));
        while self.plan.front().is_some_and(|next| next.at <= since) {
            if let Some(next) = self.plan.pop_front() {
                self.begin(next)?;
            }
        }
        let (due, later) = std::mem::take(&mut self.repairs)
            .into_iter()
            .partition(|(at, _)| *at <= time);
        self.repairs = later;
        let due: Vec<(Micros, Repair)> = due;
        for (_, repair) in due {
            self.repair(repair)?;
        }
        for (script, window) in std::mem::take(&mut self.scripts) {
            if script.is_finished() {
                script
                    .join()
                    .map_err(|_| "a thread of the campaign panicked")??;
                self.timeline.end(window);
            } else {
                self.scripts.push((script, window));
            }
        }
        for slot in 0..self.slots.len() {
            self.look_after(slot)?;
        }
        if time >= self.measured + SECOND / 2 {
            self.measured = time;
            self.measure();
            for record in &mut self.records {
                record.catch_up(streams)?;
            }
        }
        Ok(())
    }

    /// Whether nothing is broken, and nothing waits to be.
    pub fn is_whole(&self) -> bool {
        self.plan.is_empty()
            && self.repairs.is_empty()
            && self.scripts.is_empty()
            && !self
                .slots
                .iter()
                .any(|slot| matches!(slot.state, State::Stopping { .. }))
    }

    fn begin(&mut self, Planned { fault, lasts, .. }: Planned) -> Result<(), String> {
        let what = format!("{fault} ({:.1} s)", lasts.as_secs_f64());
        let until = now() + lasts.as_micros() as Micros;
        let all: Vec<usize> = (0..self.slots.len()).collect();
        let of = |slot: &Option<usize>| slot.map_or(all.clone(), |slot| vec![slot]);
        match &fault {
            &Fault::JobKill { slot } => {
                let Some(mut job) = self.slots[slot].take_running() else {
                    return Ok(());
                };
                let window = self.timeline.begin(what, vec![Scope::Killed { slot }]);
                job.process.kill();
                self.ended(job.life, End::Killed);
                self.repairs
                    .push((until, Repair::StartJob { slot, window }));
            }
            &Fault::JobStop { slot } => {
                if !self.stop_job(slot, what, Some(lasts)) {
                    return Ok(());
                }
            }
            &Fault::JobMore { slot } => {
                if !matches!(self.slots[slot].state, State::Down) {
                    return Ok(());
                }
                let window = self.timeline.begin(what, vec![Scope::Started { slot }]);
                self.start_job(slot, window)?;
                self.repairs.push((until, Repair::StopJob { slot }));
            }
            &Fault::CometKill { comet } | &Fault::CometRestart { comet } => {
                let window = self.timeline.begin(what, vec![Scope::Comet(comet)]);
                if let Some(mut process) = self.comets[comet].process.take() {
                    if matches!(fault, Fault::CometRestart { .. }) {
                        process.signal(Signal::SIGTERM);
                        // It ends within 2 s or so.
                        for _ in 0..100 {
                            if process.ended().is_some() {
                                break;
                            }
                            thread::sleep(Duration::from_millis(30));
                        }
                    }
                    process.kill();
                }
                self.repairs
                    .push((until, Repair::StartComet { comet, window }));
            }
            &Fault::CometFreeze { comet } => {
                let window = self.timeline.begin(what, vec![Scope::Comet(comet)]);
                if let Some(process) = &self.comets[comet].process {
                    process.signal(Signal::SIGSTOP);
                }
                self.repairs.push((until, Repair::Thaw { comet, window }));
            }
            &Fault::CometHang { comet } => self.show(comet, what, until, r#"{"hang":true}"#)?,
            &Fault::CometSlow { comet, delay_ms } => {
                self.show(comet, what, until, &format!(r#"{{"delay_ms":{delay_ms}}}"#))?;
            }
            &Fault::CometErrors {
                comet,
                status,
                percent,
            } => {
                let part = f64::from(percent) / 100.0;
                self.show(
                    comet,
                    what,
                    until,
                    &format!(r#"{{"status":{status},"probability":{part}}}"#),
                )?;
            }
            Fault::CometCut { comet, slot, mode } => {
                let (comet, slots) = (*comet, of(slot));
                let scopes = slots
                    .iter()
                    .map(|&slot| Scope::CometOf { comet, slot })
                    .collect();
                let window = self.timeline.begin(what, scopes);
                self.timeline.windows[window].echo = echo(*mode);
                for &slot in &slots {
                    self.links[slot][comet].set(*mode);
                }
                self.repairs.push((
                    until,
                    Repair::Connect {
                        comet,
                        slots,
                        window,
                    },
                ));
            }
            Fault::KafkaCut { slot, mode } => {
                let slots = of(slot);
                let scopes = slots.iter().map(|&slot| Scope::KafkaOf { slot }).collect();
                let window = self.timeline.begin(what, scopes);
                self.timeline.windows[window].echo = echo(*mode);
                for &slot in &slots {
                    self.kafka_links[slot].set(*mode);
                }
                self.repairs
                    .push((until, Repair::ConnectKafka { slots, window }));
            }
            // On a busy machine it may take longer to start than the plan thought.
            Fault::KafkaKill | Fault::KafkaRestart | Fault::KafkaFreeze
                if !self.scripts.is_empty() =>
            {
                return Ok(());
            }
            Fault::KafkaKill => self.script(what, lasts, "kill", "again"),
            Fault::KafkaRestart => self.script(what, lasts, "stop", "again"),
            Fault::KafkaFreeze => self.script(what, lasts, "freeze", "thaw"),
            Fault::Poison { count } => {
                let window = self.timeline.begin(what, vec![Scope::Nothing]);
                self.timeline.end(window);
                self.producer.poison.fetch_add(*count, Relaxed);
            }
        }
        self.faults += 1;
        Ok(())
    }

    fn repair(&mut self, repair: Repair) -> Result<(), String> {
        match repair {
            Repair::StartJob { slot, window } => self.start_job(slot, window),
            Repair::StopJob { slot } => {
                self.stop_job(slot, format!("the end of job-more {slot}"), None);
                Ok(())
            }
            Repair::StartComet { comet, window } => {
                let file = self.comets[comet].start()?;
                self.timeline.end(window);
                self.records[comet].follow(file)
            }
            Repair::Thaw { comet, window } => {
                if let Some(process) = &self.comets[comet].process {
                    process.signal(Signal::SIGCONT);
                }
                self.timeline.end(window);
                Ok(())
            }
            Repair::Heal { comet, window } => {
                self.comets[comet].fault("{}")?;
                self.timeline.end(window);
                Ok(())
            }
            Repair::Connect {
                comet,
                slots,
                window,
            } => {
                for slot in slots {
                    self.links[slot][comet].set(Mode::Open);
                }
                self.timeline.end(window);
                Ok(())
            }
            Repair::ConnectKafka { slots, window } => {
                for slot in slots {
                    self.kafka_links[slot].set(Mode::Open);
                }
                self.timeline.end(window);
                Ok(())
            }
        }
    }

    fn show(
        &mut self,
        comet: usize,
        what: String,
        until: Micros,
        json: &str,
    ) -> Result<(), String> {
        let window = self.timeline.begin(what, vec![Scope::Comet(comet)]);
        self.comets[comet].fault(json)?;
        self.repairs.push((until, Repair::Heal { comet, window }));
        Ok(())
    }

    fn script(&mut self, what: String, lasts: Duration, first: &'static str, then: &'static str) {
        let window = self.timeline.begin(what, vec![Scope::Kafka]);
        let folder = self.kafka.folder.clone();
        let work = move || {
            script(first, &folder)?;
            thread::sleep(lasts);
            script(then, &folder)
        };
        self.scripts.push((thread::spawn(work), window));
    }

    pub fn start_job(&mut self, slot: usize, window: usize) -> Result<(), String> {
        if matches!(self.slots[slot].state, State::Down) {
            self.slots[slot].state = State::Runs(self.slots[slot].command.start()?);
        }
        self.timeline.end(window);
        Ok(())
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
        self.slots[slot].state = State::Stopping {
            job,
            since,
            window,
            again,
        };
        true
    }

    fn look_after(&mut self, slot: usize) -> Result<(), String> {
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
                        return Ok(());
                    }
                    None => job.process.kill(),
                    Some(status) if status.success() && took <= STOP_WITHIN => {}
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
        Ok(())
    }

    fn ended(&self, life: usize, end: End) {
        let life = &mut lock(&self.lives)[life];
        life.ended = Some(now());
        life.end = end;
    }

    fn measure(&self) {
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
