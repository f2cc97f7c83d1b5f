//! What was broken when.

use std::fmt;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::plan::Fault;

/// Microseconds of the machine's monotonic clock.
pub type Micros = u64;

pub const SECOND: Micros = 1_000_000;

/// The time now, on the clock that dev-comet records by.
pub fn now() -> Micros {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    Duration::from(now).as_micros() as Micros
}

/// What a fault touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Kafka,
    /// One of several brokers, or what one leads: others take over.
    Broker,
    /// Kafka, as one job sees it.
    KafkaOf {
        slot: usize,
    },
    Comet(usize),
    /// It isn't in the list of Comets.
    Out(usize),
    /// A Comet, as one job sees it.
    CometOf {
        comet: usize,
        slot: usize,
    },
    /// A job that was killed, until it was started again.
    Killed {
        slot: usize,
    },
    /// A job that was asked to stop, until it was started again.
    Stopped {
        slot: usize,
    },
    /// A job's start.
    Started {
        slot: usize,
    },
    /// A partition that was added.
    Added(i32),
    /// A partition in which a transaction is open: nothing behind its first message may be delivered yet.
    Open(i32),
    Nothing,
}

/// One fault, from its beginning to its repair.
#[derive(Clone, Debug)]
pub struct Window {
    pub what: String,
    /// What was done. `None` where the campaign itself began, or a job ended by itself.
    pub fault: Option<Fault>,
    pub scopes: Vec<Scope>,
    pub from: Micros,
    /// `Micros::MAX` while it goes on.
    pub to: Micros,
    /// How much longer than other faults it may be felt after its repair.
    pub echo: Micros,
}

impl Window {
    pub fn overlaps(&self, from: Micros, to: Micros) -> bool {
        self.from <= to && self.to >= from
    }

    pub fn touches(&self, scope: impl Fn(Scope) -> bool) -> bool {
        self.scopes.iter().any(|s| scope(*s))
    }
}

/// All faults, in the order of their beginning.
#[derive(Default)]
pub struct Timeline {
    pub origin: Micros,
    pub windows: Vec<Window>,
}

impl Timeline {
    pub fn begin(&mut self, what: String, scopes: Vec<Scope>) -> usize {
        self.windows.push(Window {
            what,
            fault: None,
            scopes,
            from: now(),
            to: Micros::MAX,
            echo: 0,
        });
        self.windows.len() - 1
    }

    pub fn end(&mut self, window: usize) {
        self.windows[window].to = now();
    }

    /// Whether one that touches such a scope overlaps this time.
    pub fn any(&self, from: Micros, to: Micros, scope: impl Fn(Scope) -> bool) -> bool {
        self.windows
            .iter()
            .any(|w| w.overlaps(from, to) && w.touches(&scope))
    }

    /// Seconds since the beginning.
    pub fn at(&self, time: Micros) -> Since {
        Since(time.saturating_sub(self.origin))
    }

    /// What was broken around this time.
    pub fn around(&self, from: Micros, to: Micros) -> Vec<String> {
        let near = 5 * SECOND;
        self.windows
            .iter()
            .filter(|w| w.overlaps(from.saturating_sub(near), to.saturating_add(near)))
            .map(|w| {
                let end = match w.to {
                    Micros::MAX => "(to the end)".into(),
                    to => self.at(to).to_string(),
                };
                format!("{} to {end}: {}", self.at(w.from), w.what)
            })
            .collect()
    }
}

/// A time, shown as seconds since the beginning.
pub struct Since(Micros);

impl fmt::Display for Since {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.3} s", self.0 as f64 / SECOND as f64)
    }
}
