//! How it goes: one line that is written over and over on a terminal, and a line now and then elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::director::{Director, State};

pub struct Screen {
    terminal: bool,
    shown: Instant,
}

impl Screen {
    pub fn new() -> Screen {
        Screen {
            terminal: std::io::stdout().is_terminal(),
            shown: Instant::now(),
        }
    }

    /// Shows the state of things, when it is time.
    pub fn show(&mut self, director: &Director, phase: &str) {
        let every = if self.terminal { 1 } else { 10 };
        if self.shown.elapsed() < Duration::from_secs(every) {
            return;
        }
        self.shown = Instant::now();
        let counts = &director.producer.ledger.counts;
        let delivered: u64 = director.records.iter().map(|r| r.delivered).sum();
        let repeated: u64 = director.records.iter().map(|r| r.repeated).sum();
        let backlog = counts.due.load(Relaxed).saturating_sub(delivered);
        let jobs = director
            .slots
            .iter()
            .filter(|s| matches!(s.state, State::Runs(_)))
            .count();
        let last = director
            .timeline
            .windows
            .last()
            .map_or("", |w| w.what.as_str());
        let line = format!(
            "{phase} sent {}, delivered {delivered}, repeated {repeated}, backlog {backlog}, {jobs} jobs, {} faults; last: {last}",
            counts.sent.load(Relaxed),
            director.faults,
        );
        let mut out = std::io::stdout();
        // Who doesn't watch misses nothing that counts.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// A line of its own.
    pub fn say(&self, line: &str) {
        let start = if self.terminal { "\r\x1b[K" } else { "" };
        let _ = writeln!(std::io::stdout(), "{start}{line}");
    }
}
