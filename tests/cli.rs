//! The binary as people start and stop it: settings and their errors, the log's line, signals.

#[path = "cli/config.rs"]
mod config;
#[path = "cli/log_formats.rs"]
mod log_formats;
#[path = "cli/log_output.rs"]
mod log_output;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/settings.rs"]
mod settings;
#[path = "e2e/support/signals.rs"]
mod signals;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `job` in this folder, in an environment that holds nothing but what the test sets.
fn job(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_job"));
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

/// `job run` where there is neither Kafka nor Comet: it keeps trying.
fn service(folder: &Path) -> Command {
    let mut command = job(folder);
    command.args(["run", "--brokers", "127.0.0.1:1", "--comet", "127.0.0.1:1"]);
    // The default port is one for the whole machine, and the default socket for all of the user's jobs.
    command.env("JOB_HTTP", "off");
    command.env("JOB_CONTROL", "off");
    signals::hang_up_by_default(&mut command);
    command
}

/// A started process, its standard output read line by line. It doesn't outlive the test.
struct Started {
    child: Child,
    lines: Receiver<String>,
}

impl Started {
    fn new(command: &mut Command) -> Started {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("a pipe");
        let (line, lines) = channel();
        std::thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    break;
                }
            }
        });
        Started { child, lines }
    }

    /// Reads on to the line that holds `text`, and returns all lines up to it.
    fn wait_for(&self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {text:?} ({error}) in {seen:#?}"),
            }
            if seen.last().is_some_and(|line| line.contains(text)) {
                return seen;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("sends a signal");
    }

    fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.child.try_wait().expect("can be waited for");
            status.is_some()
        });
        status.expect("ended")
    }

    /// Signal sets of /proc, as `SigIgn` or `SigCgt`.
    fn holds(&self, set: &str, signal: Signal) -> bool {
        signals::holds(self.child.id(), set, signal)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Standard error of a run that must end as a wrong call does: exit code 2, nothing on standard output.
fn refused(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{command:?}: {text}");
    assert_eq!(output.stdout, b"", "{command:?}");
    text
}

#[test]
fn help_and_version_are_answers() {
    let folder = folder();
    let answer = |args: &[&str]| {
        let Output {
            status,
            stdout,
            stderr,
        } = job(folder.path()).args(args).output().expect("runs");
        assert!(status.success() && stderr.is_empty(), "{args:?}");
        String::from_utf8(stdout).expect("text")
    };
    assert_eq!(
        answer(&["--version"]),
        format!("job {}\n", env!("CARGO_PKG_VERSION"))
    );
    for args in [&["--help"][..], &["run", "--help"], &["check", "--help"]] {
        let help = answer(args);
        for (flag, variable, default) in [
            ("--brokers", "JOB_BROKERS", "localhost:9092"),
            ("--topic", "JOB_TOPIC", "my-topic"),
            ("--group", "JOB_GROUP", "my_consumer_group"),
            ("--comet", "JOB_COMET", "localhost:50051"),
            ("--hold-bytes", "JOB_HOLD_BYTES", "64MiB"),
        ] {
            assert!(
                help.contains(flag) && help.contains(variable) && help.contains(default),
                "{flag}: {help}"
            );
        }
    }
    assert!(answer(&["send", "--help"]).contains("{n} becomes the number"));
}

/// Whether a line is muduo's: `20261123 06:49:37.468688Z 23680 INFO  text - file.rs:88`.
fn is_log_line(line: &str) -> bool {
    let shaped = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text
                .chars()
                .zip(shape.chars())
                .all(|(c, s)| if s == '0' { c.is_ascii_digit() } else { c == s })
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let Some((time, rest)) = line.split_at_checked("20261123 06:49:37.468688Z".len()) else {
        return false;
    };
    let Some((thread, rest)) = rest.strip_prefix(' ').and_then(|rest| rest.split_once(' ')) else {
        return false;
    };
    let Some((level, text)) = rest.split_at_checked("INFO  ".len()) else {
        return false;
    };
    let Some((text, place)) = text.rsplit_once(" - ") else {
        return false;
    };
    let Some((file, number)) = place.split_once(':') else {
        return false;
    };
    shaped(time, "00000000 00:00:00.000000Z")
        && digits(thread)
        && ["TRACE ", "DEBUG ", "INFO  ", "WARN  ", "ERROR "].contains(&level)
        && !text.is_empty()
        && !file.contains('/')
        && digits(number)
}

#[test]
fn the_log_says_what_runs_and_where_each_setting_is_from() {
    let folder = folder();
    std::fs::write(
        folder.path().join("job.toml"),
        "topic = 'chat'\ngroup = 'file'\n",
    )
    .expect("writes");
    let mut job = Started::new(service(folder.path()).env("JOB_GROUP", "variable"));
    let seen = job.wait_for("hold-bytes");
    for line in &seen {
        assert!(is_log_line(line), "{line}");
    }
    for setting in [
        "brokers = 127.0.0.1:1 (--brokers)",
        "topic = chat (job.toml)",
        "group = variable (JOB_GROUP)",
        "threads = 4 (default)",
    ] {
        assert!(
            seen.iter()
                .any(|line| line.contains(&format!(" INFO  {setting} - "))),
            "{setting}: {seen:#?}"
        );
    }
    job.signal(Signal::SIGTERM);
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn the_level_is_read_in_any_case_and_a_wrong_one_is_said() {
    let folder = folder();
    let mut quiet = Started::new(service(folder.path()).env("MUDUO_LOG_LEVEL", "error"));
    wait_until("signals are taken over", || {
        quiet.holds("SigCgt", Signal::SIGTERM)
    });
    quiet.signal(Signal::SIGTERM);
    assert_eq!(quiet.wait().code(), Some(0));
    let said: Vec<_> = quiet
        .lines
        .iter()
        .filter(|line| !line.contains(" ERROR "))
        .collect();
    assert!(said.is_empty(), "{said:#?}");

    let wrong = Started::new(service(folder.path()).env("MUDUO_LOG_LEVEL", "loud\nand clear"));
    let seen = wrong.wait_for("job ");
    assert!(
        seen[0].contains(" WARN  MUDUO_LOG_LEVEL=loud\\nand clear is not a level"),
        "{seen:#?}"
    );
    assert!(seen[0].contains("INFO is used"), "{seen:#?}");
}

#[test]
fn each_signal_is_a_clean_stop() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let folder = folder();
        let mut job = Started::new(&mut service(folder.path()));
        job.wait_for(" starts");
        job.signal(signal);
        job.wait_for("Stopping");
        assert_eq!(job.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn nohup_keeps_the_hang_up_away() {
    let folder = folder();
    let service = service(folder.path());
    let mut nohup = Command::new("nohup");
    nohup
        .arg(service.get_program())
        .args(service.get_args())
        .current_dir(folder.path());
    let mut job = Started::new(&mut nohup);
    job.wait_for(" starts");
    assert!(
        job.holds("SigIgn", Signal::SIGHUP),
        "SIGHUP is no longer ignored"
    );
    // A thread that starts another one blocks all signals for that moment.
    wait_until("SIGHUP is not blocked", || {
        !job.holds("SigBlk", Signal::SIGHUP)
    });
    job.signal(Signal::SIGHUP);
    // Had the hang-up come through, this one would be the second signal.
    job.signal(Signal::SIGTERM);
    assert_eq!(job.wait().code(), Some(0));
    let stops = job
        .lines
        .iter()
        .filter(|line| line.contains("Stopping"))
        .count();
    assert_eq!(stops, 1);
}
