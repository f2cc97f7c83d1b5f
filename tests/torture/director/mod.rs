//! Breaks and repairs things at their time, and looks after the processes meanwhile.

mod brokers;
mod comets;
mod jobs;
mod work;

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::children::{Comet, Lives};
use crate::corrupt::Corrupt;
use crate::dead_addresses::DeadAddresses;
use crate::fleet::{Fleet, Listed};
use crate::kafka::Kafka;
use crate::plan::{DRAINS, Fault, Planned, Target};
use crate::producer::Producer;
use crate::proxy::{Mode, Proxy};
use crate::record::Record;
use crate::streams::Streams;
use crate::timeline::{Micros, SECOND, Scope, Timeline, now};

pub use jobs::{Slot, State};
use work::Work;

/// A connection that was forgotten is noticed when it was silent for some seconds.
const SILENCE: Micros = 7 * SECOND;

/// How long a fault waits for another one that takes longer than the plan thought.
const LATER: Duration = Duration::from_secs(1);

/// So long Kafka runs between two faults, so that jobs read something.
const KAFKA_RESTS: Micros = 8 * SECOND;

fn echo(mode: Mode) -> Micros {
    if mode == Mode::Forget { SILENCE } else { 0 }
}

/// Everything that runs, and what is to be done with it.
pub struct Director {
    pub timeline: Timeline,
    pub slots: Vec<Slot>,
    pub comets: Vec<Comet>,
    /// Which of them the jobs know of.
    pub fleet: Fleet,
    pub records: Vec<Record>,
    pub kafka: Kafka,
    pub lives: Lives,
    pub producer: Producer,
    /// By job and Comet.
    pub links: Vec<Vec<Proxy>>,
    /// By job and broker.
    pub kafka_links: Vec<Vec<Proxy>>,
    pub dead_addresses: DeadAddresses,
    /// Batches that were changed on Kafka's disk.
    pub corrupt: Arc<Mutex<Vec<Corrupt>>>,
    /// How many partitions the topic has, or will soon have.
    pub partitions: i32,
    /// What a job did that it must not do, seen at once.
    pub misdeeds: Vec<String>,
    pub faults: usize,
    /// By job: the port of its status page.
    pub pages: Vec<u16>,
    pub plan: VecDeque<Planned>,
    pub repairs: Vec<(Micros, Repair)>,
    pub works: Vec<Work>,
    /// Until when Kafka is left in peace.
    pub kafka_rests: Micros,
    pub measured: Micros,
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
    /// A Comet that drains ends, and comes back at `until`.
    Replace {
        comet: usize,
        what: String,
        until: Micros,
    },
    /// It is in the list again.
    List {
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
                self.begin_or_put_off(next, since)?;
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
        self.look_after_works()?;
        for slot in 0..self.slots.len() {
            self.look_after(slot);
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
            && self.works.is_empty()
            && !self
                .slots
                .iter()
                .any(|slot| matches!(slot.state, State::Stopping { .. }))
    }

    /// On a busy machine Kafka may take longer to start than the plan thought: its next fault comes some time after that.
    fn begin_or_put_off(&mut self, planned: Planned, since: Duration) -> Result<(), String> {
        let is_kafkas = planned.fault.target() == Target::Kafka;
        let is_busy = self.works.iter().any(|work| work.is_kafkas) || now() < self.kafka_rests;
        if is_kafkas && is_busy {
            let at = since + LATER;
            let place = self.plan.partition_point(|next| next.at <= at);
            self.plan.insert(place, Planned { at, ..planned });
            return Ok(());
        }
        let (before, fault) = (self.timeline.windows.len(), planned.fault.clone());
        if self.begin(planned)? {
            self.faults += 1;
            for window in &mut self.timeline.windows[before..] {
                window.fault = Some(fault.clone());
            }
        }
        Ok(())
    }

    /// Returns whether it could begin.
    fn begin(&mut self, Planned { fault, lasts, .. }: Planned) -> Result<bool, String> {
        let what = format!("{fault} ({:.1} s)", lasts.as_secs_f64());
        let until = now() + lasts.as_micros() as Micros;
        let all: Vec<usize> = (0..self.slots.len()).collect();
        let of = |slot: &Option<usize>| slot.map_or(all.clone(), |slot| vec![slot]);
        match &fault {
            &Fault::JobKill { slot } => return Ok(self.kill_job(slot, what, until)),
            &Fault::JobStop { slot } => return Ok(self.stop_job(slot, what, Some(lasts))),
            &Fault::JobMore { slot } => {
                if !matches!(self.slots[slot].state, State::Down) {
                    return Ok(false);
                }
                let window = self.timeline.begin(what, vec![Scope::Started { slot }]);
                self.start_job(slot, window)?;
                self.repairs.push((until, Repair::StopJob { slot }));
            }
            &Fault::JobDeadAddress { slot, dead } => {
                if !self.stop_job(slot, what, Some(lasts)) {
                    return Ok(false);
                }
                self.put_dead_address(slot, dead)?;
            }
            &Fault::CometKill { comet } => self.kill_comet(comet, what, until),
            &Fault::CometRestart { comet } => self.end_comet(comet, what, until),
            &Fault::CometFreeze { comet } => self.freeze_comet(comet, what, until),
            &Fault::CometHang { comet } => self.show(comet, what, until, r#"{"hang":true}"#)?,
            &Fault::CometSlow { comet, delay_ms } => {
                self.show(comet, what, until, &format!(r#"{{"delay_ms":{delay_ms}}}"#))?;
            }
            &Fault::CometErrors {
                comet,
                status,
                percent,
            } => self.show_status(comet, what, until, status, percent)?,
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
            Fault::CometsAway {
                how,
                order,
                apart_ms,
            } => {
                for (n, &comet) in order.iter().enumerate() {
                    let until = until + n as Micros * apart_ms * 1000;
                    self.take_away(comet, format!("{what}: Comet {comet}"), until, *how)?;
                }
            }
            &Fault::CometGone { comet, how } => self.take_away(comet, what, until, how)?,
            Fault::CometsRolling { order, apart_ms } => {
                let apart = lasts + Duration::from_millis(*apart_ms);
                let mut at = Duration::from_micros(now().saturating_sub(self.timeline.origin));
                for &comet in order {
                    let fault = Fault::CometRestart { comet };
                    let place = self.plan.partition_point(|next| next.at <= at);
                    self.plan.insert(place, Planned { at, fault, lasts });
                    at += apart;
                }
            }
            &Fault::FleetLeave { comet } => self.leave_fleet(comet, what, until)?,
            &Fault::FleetReplace { comet } => {
                self.fleet.set(comet, Listed::Drains)?;
                let drained = DRAINS.as_micros() as Micros;
                let until = until + drained;
                self.repairs
                    .push((now() + drained, Repair::Replace { comet, what, until }));
            }
            Fault::KafkaCut { slot, mode } => {
                let slots = of(slot);
                let scopes = slots.iter().map(|&slot| Scope::KafkaOf { slot }).collect();
                let window = self.timeline.begin(what, scopes);
                self.timeline.windows[window].echo = echo(*mode);
                for &slot in &slots {
                    self.kafka_links[slot]
                        .iter()
                        .for_each(|link| link.set(*mode));
                }
                self.repairs
                    .push((until, Repair::ConnectKafka { slots, window }));
            }
            Fault::KafkaKill => self.script(what, lasts, "kill", "again"),
            Fault::KafkaRestart => self.script(what, lasts, "stop", "again"),
            Fault::KafkaFreeze => self.script(what, lasts, "freeze", "thaw"),
            &Fault::BrokerKill { broker } => self.broker(what, broker, lasts, ["kill", "again"]),
            &Fault::BrokerRestart { broker } => self.broker(what, broker, lasts, ["stop", "again"]),
            &Fault::BrokerFreeze { broker } => self.broker(what, broker, lasts, ["freeze", "thaw"]),
            Fault::BrokersRolling => self.roll(what),
            Fault::LeadersMove => self.move_leaders(what),
            &Fault::CertificateExpired { broker } => self.expire(what, broker, lasts),
            &Fault::KafkaCorrupt { spot } => self.corrupt(what, spot, lasts),
            &Fault::PartitionsAdded { count } => self.add_partitions(what, count),
            &Fault::Transaction { count, commit } => self.transaction(what, count, commit, lasts),
            Fault::Poison { count } => {
                let window = self.timeline.begin(what, vec![Scope::Nothing]);
                self.timeline.end(window);
                self.producer.poison.fetch_add(*count, Relaxed);
            }
        }
        Ok(true)
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
            Repair::Replace { comet, what, until } => {
                self.end_comet(comet, what.clone(), until);
                self.leave_fleet(comet, what, until)
            }
            Repair::List { comet, window } => {
                self.fleet.set(comet, Listed::Here)?;
                self.timeline.end(window);
                Ok(())
            }
            Repair::Thaw { comet, window } => {
                self.thaw_comet(comet);
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
                    let links = &self.kafka_links[slot];
                    links.iter().for_each(|link| link.set(Mode::Open));
                }
                self.timeline.end(window);
                Ok(())
            }
        }
    }
}
