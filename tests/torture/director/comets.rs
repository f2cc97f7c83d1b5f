//! The Comets: taken away in their ways.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Director, Repair};
use crate::fleet::Listed;
use crate::plan::Away;
use crate::timeline::{Micros, Scope};

impl Director {
    pub fn kill_comet(&mut self, comet: usize, what: String, until: Micros) {
        let window = self.timeline.begin(what, vec![Scope::Comet(comet)]);
        if let Some(mut process) = self.comets[comet].process.take() {
            process.kill();
        }
        self.repairs
            .push((until, Repair::StartComet { comet, window }));
    }

    /// Lets it end in its own time.
    pub fn end_comet(&mut self, comet: usize, what: String, until: Micros) {
        let window = self.timeline.begin(what, vec![Scope::Comet(comet)]);
        if let Some(mut process) = self.comets[comet].process.take() {
            process.signal(Signal::SIGTERM);
            // It ends within 2 s or so.
            for _ in 0..100 {
                if process.ended().is_some() {
                    break;
                }
                thread::sleep(Duration::from_millis(30));
            }
            process.kill();
        }
        self.repairs
            .push((until, Repair::StartComet { comet, window }));
    }

    /// Takes it out of the list, where it is again at `until`.
    pub fn leave_fleet(&mut self, comet: usize, what: String, until: Micros) -> Result<(), String> {
        self.fleet.set(comet, Listed::Out)?;
        let window = self.timeline.begin(what, vec![Scope::Out(comet)]);
        self.repairs.push((until, Repair::List { comet, window }));
        Ok(())
    }

    pub fn freeze_comet(&mut self, comet: usize, what: String, until: Micros) {
        let window = self.timeline.begin(what, vec![Scope::Comet(comet)]);
        if let Some(process) = &self.comets[comet].process {
            process.signal(Signal::SIGSTOP);
        }
        self.repairs.push((until, Repair::Thaw { comet, window }));
    }

    pub fn thaw_comet(&mut self, comet: usize) {
        if let Some(process) = &self.comets[comet].process {
            process.signal(Signal::SIGCONT);
        }
    }

    /// Has it show a fault, which is healed at `until`.
    pub fn show(
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

    pub fn show_status(
        &mut self,
        comet: usize,
        what: String,
        until: Micros,
        status: i32,
        percent: u32,
    ) -> Result<(), String> {
        let part = f64::from(percent) / 100.0;
        let json = format!(r#"{{"status":{status},"probability":{part}}}"#);
        self.show(comet, what, until, &json)
    }

    /// One of all Comets that are away at once.
    pub fn take_away(
        &mut self,
        comet: usize,
        what: String,
        until: Micros,
        how: Away,
    ) -> Result<(), String> {
        match how {
            Away::Killed => self.kill_comet(comet, what, until),
            Away::Frozen => self.freeze_comet(comet, what, until),
            Away::Hangs => self.show(comet, what, until, r#"{"hang":true}"#)?,
            Away::Status(status) => self.show_status(comet, what, until, status, 100)?,
        }
        Ok(())
    }
}
