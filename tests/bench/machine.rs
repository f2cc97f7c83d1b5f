//! Where and when a measurement was made.

use std::fs;
use std::process::Command;

use crate::process::binary;
use crate::results::About;

pub fn about(kafka: &str) -> Result<About, String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown CPU", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 = read("/proc/meminfo")
        .lines()
        .find_map(|line| {
            line.strip_prefix("MemTotal:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let version = Command::new(binary("job")?)
        .arg("--version")
        .output()
        .map_err(|e| format!("job --version: {e}"))?;
    Ok(About {
        date: jiff::Zoned::now().date().to_string(),
        machine: format!("{cores} cores of {model}, {} GB", memory / 1_000_000),
        kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        job: String::from_utf8_lossy(&version.stdout).trim().to_owned(),
        kafka: kafka.to_owned(),
    })
}
