//! SIGHUP as a terminal's shell hands it on.

use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SigHandler, Signal, signal};

/// Has the command start with SIGHUP's default: where the tests themselves run under `nohup` it is ignored, and that
/// is handed down.
pub fn by_default(command: &mut Command) {
    // SAFETY: between fork and exec, `signal` is one of the calls that are allowed; the default runs no code.
    unsafe {
        command.pre_exec(|| {
            signal(Signal::SIGHUP, SigHandler::SigDfl)?;
            Ok(())
        });
    }
}
