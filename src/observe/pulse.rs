//! The thread that looks whether the others go on: for /healthz, for the status, and for systemd's watchdog. Now and then it says in
//! the log what was done.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::health::{LOOKS, Pulse};
use super::summary::{self, Summary};
use crate::base::heart::STANDS_STILL;
use crate::base::notify::{self, ALIVE};
use crate::base::trial;
use crate::figures::Figures;

/// Words to the watchdog within its time: one that is late does no harm.
const WORDS: u32 = 4;

/// Starts the thread, which never ends.
///
/// # Errors
/// The system refuses a thread.
pub fn spawn(figures: Arc<Figures>) -> std::io::Result<Arc<Mutex<Pulse>>> {
    let pulse = Arc::new(Mutex::new(Pulse::default()));
    let shared = pulse.clone();
    let every = trial::limit("stands-still", STANDS_STILL) / LOOKS;
    let supervisor = notify::supervisor();
    thread::Builder::new()
        .name("pulse".into())
        .spawn(move || {
            let mut told: Option<Instant> = None;
            let mut is_well = true;
            let mut summaries = Summaries::new(&figures);
            loop {
                let found = look(&pulse, &figures);
                if let Err(why) = &found
                    && is_well
                {
                    log::error!("{why}. job says so at /healthz, and no longer feeds systemd's watchdog, where there is one");
                }
                is_well = found.is_ok();
                if let Some(supervisor) = supervisor
                    && let Some(watchdog) = supervisor.watchdog
                    && is_well
                    && told.is_none_or(|told| told.elapsed() >= watchdog / WORDS)
                {
                    supervisor.tell(ALIVE);
                    told = Some(Instant::now());
                }
                summaries.look(&figures);
                thread::sleep(every.min(summaries.every));
            }
        })?;
    Ok(shared)
}

/// When to say what was done.
struct Summaries {
    summary: Summary,
    every: Duration,
    due: Instant,
}

impl Summaries {
    fn new(figures: &Figures) -> Self {
        let (every, now) = (
            trial::limit("summary-every", summary::EVERY),
            Instant::now(),
        );
        Self {
            summary: Summary::new(figures, now),
            every,
            due: now + every,
        }
    }

    fn look(&mut self, figures: &Figures) {
        let now = Instant::now();
        if now >= self.due && log::log_enabled!(log::Level::Info) {
            // After a halt of the whole process none is made up for.
            self.due = now + self.every;
            if let Some(said) = self.summary.look(figures, now) {
                said.log();
            }
        }
    }
}

fn look(pulse: &Mutex<Pulse>, figures: &Figures) -> Result<(), String> {
    // Nothing is done under the lock that could be left half done.
    let mut pulse = pulse.lock().unwrap_or_else(PoisonError::into_inner);
    pulse.look(figures.hearts().map(|(_, heart)| heart.working()));
    pulse.is_healthy(figures)
}
