//! Where a message's microseconds go: `perf` looks at a drain, and each sample is counted for the part of job it was in.

use std::collections::HashMap;
use std::process::{Command, Stdio};

use super::Outcome;
use crate::process::{Process, binary};
use crate::results::Runs;
use crate::stage::{Drain, JOB, Stage};

/// The release binary with its symbols, which `scripts/bench profile` builds.
const WITH_SYMBOLS: &str = "job-with-symbols";
/// Samples a second, and bytes of stack kept with each, to find the callers in.
const FREQUENCY: &str = "499";
const STACKS: &str = "dwarf,16384";

const START: &str = "gRPC: starting the call";
const COMPLETION: &str = "gRPC: completion";
const OTHER: &str = "other";

/// The first row with a name in the innermost function that any row names decides what a sample is counted for. gRPC's
/// own are told apart by thread.
const PARTS: [(&str, &[&str]); 9] = [
    ("log", &["chatroom_job::observe::logging", "env_logger"]),
    (
        "hop: channels and wake-ups between threads",
        &["crossbeam_channel"],
    ),
    ("serialise", &["chatroom_job::comet::request"]),
    (
        "ledger and commits",
        &[
            "chatroom_job::group",
            "chatroom_job::kafka::membership",
            "chatroom_job::message::offset_map",
        ],
    ),
    ("fetch", &["kafka::", "krafka::"]),
    ("route", &["chatroom_job::consumer::route"]),
    (
        "decode",
        &[
            "chatroom_job::consumer::decode",
            "chatroom_job::message::proto",
            "chatroom_job::consumer",
        ],
    ),
    ("queues and window", &["chatroom_job::worker"]),
    (START, &["grpc", "absl::", "chatroom_job::comet"]),
];
/// The kernel's part of sending and receiving.
const SOCKETS: (&str, &[&str]) = (
    "gRPC: sockets, in the kernel",
    &[
        "tcp_sendmsg",
        "tcp_recvmsg",
        "__sys_sendmsg",
        "__sys_recvmsg",
    ],
);

pub fn profile(stage: &mut Stage) -> Result<Outcome, String> {
    if let Err(error) = binary(WITH_SYMBOLS) {
        return Ok(Outcome::Skipped(error));
    }
    if let Err(error) = Command::new("perf")
        .arg("version")
        .stdout(Stdio::null())
        .status()
    {
        return Ok(Outcome::Skipped(format!(
            "perf does not run ({error}); Debian's package is linux-perf"
        )));
    }
    let drain = Drain {
        binary: WITH_SYMBOLS.into(),
        ..Drain::new(stage.scale.messages * 5, 4)
    };
    let data = stage.folder.path().join("perf.data");
    stage.topic(drain.partitions, drain.shape, drain.messages)?;
    stage.doing(format!(
        "profile, {} messages, without perf",
        drain.messages
    ));
    // What it costs while nobody looks: perf gives the shares only.
    let cost = stage
        .drain(&Drain {
            binary: JOB.into(),
            ..drain.clone()
        })?
        .cpu_a_message;
    stage.doing(format!("profile, {} messages, with perf", drain.messages));
    let mut recorder = None;
    stage.drain_watched(&drain, |pid| {
        let mut command = Command::new("perf");
        command
            .args([
                "record",
                "--freq",
                FREQUENCY,
                "--call-graph",
                STACKS,
                "--pid",
                &pid.to_string(),
                "--output",
            ])
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        recorder = Some(Process::spawn(command)?);
        Ok(())
    })?;
    // It ends by itself, now that job has ended.
    if let Some(mut recorder) = recorder {
        recorder
            .child
            .wait()
            .map_err(|e| format!("perf record can't be waited for: {e}"))?;
    }
    let script = Command::new("perf")
        .args([
            "script",
            "--no-inline",
            "--fields",
            "comm,ip,sym",
            "--input",
        ])
        .arg(&data)
        .output()
        .map_err(|e| format!("perf script does not run: {e}"))?;
    let text = String::from_utf8_lossy(&script.stdout);
    let counts = count(&text);
    let samples: u32 = counts.values().sum();
    if samples < 100 {
        let said = String::from_utf8_lossy(&script.stderr);
        return Ok(Outcome::Skipped(format!(
            "perf saw {samples} samples only; it may not be allowed to look: {said}"
        )));
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(part, count)| (*part == OTHER, std::cmp::Reverse(*count)));
    let mut rows = Vec::new();
    for (part, count) in counts {
        let share = f64::from(count) / f64::from(samples);
        let mut runs = Runs::new(part, None);
        runs.add("µs CPU a message", share * cost);
        runs.add("%", share * 100.0);
        rows.push(runs.row());
    }
    let mut all = Runs::new("all", None);
    all.add("µs CPU a message", cost);
    all.add("%", 100.0);
    rows.push(all.row());
    Ok(Outcome::Rows(rows))
}

/// Samples by part. `text` has for each sample the thread's name, and below it a line `address function` for each caller.
fn count(text: &str) -> HashMap<&'static str, u32> {
    let mut counts = HashMap::new();
    for sample in text.split("\n\n") {
        let mut lines = sample.lines().skip_while(|line| line.trim().is_empty());
        let Some(thread) = lines.next() else { continue };
        let functions: Vec<&str> = lines
            .filter_map(|line| line.trim().split_once(' '))
            .map(|(_, name)| name)
            .collect();
        *counts.entry(part(thread.trim(), &functions)).or_insert(0) += 1;
    }
    counts
}

fn part(thread: &str, functions: &[&str]) -> &'static str {
    let names = |names: &[&str], function: &str| names.iter().any(|name| function.contains(name));
    // In gRPC's threads and in workers; the thread that reads from Kafka uses sockets too.
    let grpc = thread.starts_with("grpc") || thread.starts_with("default-exec");
    if (grpc || thread.starts_with("worker"))
        && functions.iter().any(|function| names(SOCKETS.1, function))
    {
        return SOCKETS.0;
    }
    let found = functions
        .iter()
        .find_map(|function| PARTS.iter().find(|(_, part)| names(part, function)));
    match found {
        Some((START, _)) if grpc => COMPLETION,
        Some((part, _)) => part,
        None if grpc => COMPLETION,
        // The watchdog's thread goes on for a consumer thread that hung.
        None if thread.starts_with("consumer") || thread.starts_with("watchdog") => "fetch",
        None => OTHER,
    }
}
