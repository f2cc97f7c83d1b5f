//! What keeps the log from being written, for the status page.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Lines that were lost because nobody took them.
static DROPPED: AtomicU64 = AtomicU64::new(0);
static TROUBLE: Mutex<[Option<Began>; 2]> = Mutex::new([const { None }; 2]);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Writing fails, as on a full disk.
    Fails,
    /// Nobody takes what is written.
    Blocked,
}

#[derive(Clone, Debug)]
struct Began {
    since: Instant,
    why: String,
    /// Lines that were lost before.
    dropped: u64,
}

/// The log isn't written just now.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    pub since: Instant,
    pub why: String,
    /// Lines that were lost by it, so far.
    pub dropped: u64,
}

/// How many lines were lost because nobody took them.
pub fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// What is wrong with the log, if anything is.
pub fn trouble() -> Option<Trouble> {
    let began = lock().iter().flatten().next().cloned()?;
    Some(Trouble {
        since: began.since,
        why: began.why,
        dropped: dropped().saturating_sub(began.dropped),
    })
}

/// Notes that so many lines are lost.
pub fn lost(lines: u64) {
    DROPPED.fetch_add(lines, Ordering::Relaxed);
}

/// Notes that the trouble begins. What is lost from now on counts.
pub fn begins(kind: Kind, why: String) {
    lock()[kind as usize].get_or_insert_with(|| Began {
        since: Instant::now(),
        why,
        dropped: dropped(),
    });
}

pub fn ends(kind: Kind) {
    lock()[kind as usize] = None;
}

fn lock() -> MutexGuard<'static, [Option<Began>; 2]> {
    // Nothing is left half done under it.
    TROUBLE.lock().unwrap_or_else(PoisonError::into_inner)
}
