//! What the kernel says of this process, as Prometheus' client libraries show it.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

/// How the process stands.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_files: u64,
    pub most_files: u64,
    /// Seconds since 1970.
    pub started: f64,
}

/// Looks in /proc. `None` where it isn't as Linux has it.
pub fn look() -> Option<Process> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name may hold spaces and brackets. Behind it the third field follows.
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.trim().parse::<u64>().ok();
    let system = |of| sysconf(of).ok().flatten().map(|value| value as u64);
    let (ticks, page) = (system(SysconfVar::CLK_TCK)?, system(SysconfVar::PAGE_SIZE)?);
    let (most_files, _) =
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).ok()?;
    Some(Process {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks as f64,
        resident_bytes: field(24)? * page,
        virtual_bytes: field(23)?,
        // Without the one that counts them.
        open_files: fs::read_dir("/proc/self/fd")
            .ok()?
            .count()
            .saturating_sub(1) as u64,
        most_files,
        started: booted()? + field(22)? as f64 / ticks as f64,
    })
}

/// When the system was started, in seconds since 1970. Not from /proc/stat, which a process may be kept from (ProcSubset=pid of
/// systemd).
fn booted() -> Option<f64> {
    // Looked at once: a clock that is set right later on is no new start.
    static AT: OnceLock<Option<f64>> = OnceLock::new();
    *AT.get_or_init(|| {
        let seconds = |clock| {
            let now = clock_gettime(clock).ok()?;
            Some(Duration::from(now).as_secs_f64())
        };
        Some(seconds(ClockId::CLOCK_REALTIME)? - seconds(ClockId::CLOCK_BOOTTIME)?)
    })
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let process = look().expect("Linux");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let age = now.as_secs_f64() - process.started;
        assert!((-2.0..86_400.0).contains(&age), "{age} s old");
        assert!(process.cpu_seconds >= 0.0 && process.cpu_seconds < 86_400.0);
        assert!(process.resident_bytes > 100_000);
        assert!(process.virtual_bytes >= process.resident_bytes);
        assert!((3..=process.most_files).contains(&process.open_files));
    }
}
