//! A drain: what is asked, and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::load::Shape;

/// The binary that is measured.
pub const JOB: &str = "job";

/// What a job is asked to drain, and how.
#[derive(Clone, Debug)]
pub struct Drain {
    pub messages: usize,
    pub partitions: usize,
    pub shape: Shape,
    pub comets: usize,
    /// The Comets are called with TLS.
    pub tls: bool,
    pub level: &'static str,
    pub flags: Vec<String>,
    pub delay: Duration,
    pub binary: PathBuf,
}

impl Drain {
    /// 256 bytes, 1,000 rooms, one Comet, at WARN.
    pub fn new(messages: usize, partitions: usize) -> Drain {
        Drain {
            messages,
            partitions,
            shape: Shape {
                rooms: 1000,
                size: 256,
            },
            comets: 1,
            tls: false,
            level: "WARN",
            flags: Vec::new(),
            delay: Duration::ZERO,
            binary: JOB.into(),
        }
    }

    pub fn flags(mut self, flags: &[&str]) -> Drain {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }
}

/// What came of a drain.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    pub messages_per_second: f64,
    pub calls: u64,
    /// Microseconds of CPU time for each message, all that the process used from its start on.
    pub cpu_a_message: f64,
    /// Resident memory in MB: the most, and when all was delivered.
    pub peak: f64,
    pub memory: f64,
    /// From the start of the process to the first delivery.
    pub first: Duration,
}
