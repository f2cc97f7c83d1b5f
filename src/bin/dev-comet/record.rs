//! Records every call and answer as a line in a file, for tests that must know each call.
//!
//! Fields are separated by tabs:
//!
//! ```text
//! call    NUMBER  TIME  RPC  TARGET  PEER  BODY
//! answer  NUMBER  TIME  CODE
//! ```
//!
//! A call's line is written when it comes in, its answer's before the answer is sent. NUMBER counts the calls of
//! one process; TIME is the machine's monotonic clock in microseconds, the same for all its processes; TARGET is
//! the room, or the keys joined by commas; PEER is where the call came from; BODY is its beginning; CODE is
//! the number of the gRPC status.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use chatroom_job::comet::RpcStatusCode;
use nix::time::{ClockId, clock_gettime};

/// Limits the bytes recorded of a body.
const SHOWN: usize = 96;

/// Appends to a file. Each line is in the system's hands when the call that wrote it returns, so that it
/// outlives the process.
pub struct Recorder(Mutex<Journal>);

struct Journal {
    file: File,
    calls: u64,
}

impl Recorder {
    /// # Errors
    /// The file can't be opened for writing.
    pub fn open(path: &Path) -> Result<Self, String> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map(|file| Self(Mutex::new(Journal { file, calls: 0 })))
            .map_err(|error| format!("cannot record calls in {}: {error}", path.display()))
    }

    /// Records a call; returns its number.
    ///
    /// # Errors
    /// The file can't be written to. A record with holes would be worse than none.
    pub fn call(&self, rpc: &str, target: &str, peer: &str, body: &[u8]) -> io::Result<u64> {
        let mut journal = self.journal();
        journal.calls += 1;
        let number = journal.calls;
        let line = format!(
            "call\t{number}\t{}\t{rpc}\t{}\t{peer}\t{}\n",
            now().as_micros(),
            target.escape_debug(),
            body[..body.len().min(SHOWN)].escape_ascii()
        );
        journal.file.write_all(line.as_bytes())?;
        Ok(number)
    }

    /// Records the answer that a call is about to get.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn answer(&self, number: u64, code: RpcStatusCode) -> io::Result<()> {
        let line = format!(
            "answer\t{number}\t{}\t{}\n",
            now().as_micros(),
            i32::from(code)
        );
        self.journal().file.write_all(line.as_bytes())
    }

    fn journal(&self) -> std::sync::MutexGuard<'_, Journal> {
        self.0.lock().expect("the journal's lock is never poisoned")
    }
}

/// The machine's monotonic clock.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
