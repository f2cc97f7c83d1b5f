//! The system's limits on a process, and what to advise when one is too low.

use std::io;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit on open files as far as this process may. The lower default protects programs that use `select`; job
/// doesn't.
pub fn raise_open_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Open files of a command that people run, with some to spare.
pub const OF_A_COMMAND: u64 = 24;

/// Checks that this process may open the files that it needs. A connection that fails for want of a file looks as if the
/// peer were down, and gRPC's core aborts at its start.
///
/// # Errors
/// The limit is too low. The text names it, the need, and how to raise it.
pub fn enough_open_files(needed: u64) -> Result<(), String> {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((allowed, _)) if allowed < needed => Err(format!(
            "the limit on open files is {allowed}, and job needs {needed} with these settings (files and connections). \
             {RAISE_FILES}"
        )),
        _ => Ok(()),
    }
}

/// How to get more open files.
pub const RAISE_FILES: &str =
    "Raise it: ulimit -n in a shell, LimitNOFILE in a systemd unit, --ulimit nofile for docker";

/// Words a system error. If a limit was reached, names it and how to raise it.
pub fn explained(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EMFILE) => {
            let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
            format!(
                "{error}; the limit on open files of this process ({limit}) is reached. {RAISE_FILES}"
            )
        }
        Some(libc::ENFILE) => {
            format!(
                "{error}; the limit on open files of the whole machine is reached. Raise it: sysctl fs.file-max"
            )
        }
        Some(libc::EAGAIN) => format!(
            "{error}; is the limit on processes and threads reached? Raise it: ulimit -u in a shell, TasksMax in a \
             systemd unit, --pids-limit for docker"
        ),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_was_reached_is_named() {
        for (code, says) in [
            (libc::EMFILE, "Raise it: ulimit -n "),
            (libc::ENFILE, "fs.file-max"),
            (libc::EAGAIN, "ulimit -u "),
        ] {
            let text = explained(&io::Error::from_raw_os_error(code));
            assert!(text.contains(says), "{text}");
        }
        let other = io::Error::from_raw_os_error(libc::EACCES);
        assert_eq!(explained(&other), other.to_string());
    }
}
