//! What a process makes of signals: as it is handed down to it, and as the kernel shows it.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Has the command start with SIGHUP's default, as a terminal's shell does: where the tests themselves run under `nohup` it is ignored, and that
/// is handed down.
pub fn hang_up_by_default(command: &mut Command) {
    // SAFETY: between fork and exec, `signal` is one of the calls that are allowed; the default runs no code.
    unsafe {
        command.pre_exec(|| {
            signal(Signal::SIGHUP, SigHandler::SigDfl)?;
            Ok(())
        });
    }
}

/// Whether a signal is in one of the process's sets of /proc, such as `SigIgn` or `SigCgt`.
pub fn holds(process: u32, set: &str, signal: Signal) -> bool {
    let status =
        std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(set)?.strip_prefix(':'));
    let bits =
        u64::from_str_radix(line.expect("a set of signals").trim(), 16).expect("hexadecimal");
    bits & (1 << (signal as u32 - 1)) != 0
}
