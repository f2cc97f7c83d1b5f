//! What a message costs more with something that can be switched off: each drain beside the same without it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{Outcome, job_knows};
use crate::load::Shape;
use crate::results::Better::Lower;
use crate::results::Runs;
use crate::stage::{Drain, Stage};

pub const OF_PLAIN: &str = "times the CPU of plain";

/// The lean caller, in the clear and with TLS.
pub fn comet_tls(stage: &mut Stage) -> Result<Outcome, String> {
    if !job_knows("--comet-tls")? {
        return Ok(Outcome::Skipped("this job has no --comet-tls".into()));
    }
    let certificate = stage.certificate()?;
    let messages = stage.scale.messages;
    let mut rows = Vec::new();
    for (name, rooms, messages) in [
        ("1000 rooms", 1000, messages),
        ("1 room, one call at a time", 1, messages / 10),
    ] {
        let plain = Drain {
            shape: Shape { rooms, size: 256 },
            ..Drain::new(messages, 4)
        };
        let secured = ["--comet-tls", "on", "--comet-ca", &certificate];
        let tls = Drain {
            tls: true,
            ..plain.clone().flags(&[&LEAN, &secured[..]].concat())
        };
        rows.push(beside(
            stage,
            ("comet-tls", name),
            ("plain", &plain.flags(&LEAN)),
            ("TLS", &tls),
            OF_PLAIN,
        )?);
    }
    Ok(Outcome::Rows(rows.into_iter().map(Runs::row).collect()))
}

const LEAN: [&str; 2] = ["--caller", "lean"];

/// The record's coordinates in each call, with both callers.
pub fn record_metadata(stage: &mut Stage) -> Result<Outcome, String> {
    if !job_knows("--record-metadata")? {
        return Ok(Outcome::Skipped("this job has no --record-metadata".into()));
    }
    let messages = stage.scale.messages;
    let mut rows = Vec::new();
    for caller in ["grpcio", "lean"] {
        let drain = |record: &str| {
            Drain::new(messages, 4).flags(&["--caller", caller, "--record-metadata", record])
        };
        rows.push(beside(
            stage,
            ("record-metadata", caller),
            ("off", &drain("off")),
            ("on", &drain("on")),
            "times the CPU of off",
        )?);
    }
    Ok(Outcome::Rows(rows.into_iter().map(Runs::row).collect()))
}

/// All that shows what job does, with both callers: the page and Prometheus ask each second, and the log has its
/// summary line as JSON. Without it there is no HTTP server, and the log is at WARN.
pub fn observability(stage: &mut Stage) -> Result<Outcome, String> {
    // Long enough to be asked a few times.
    let messages = 10 * stage.scale.messages;
    let mut rows = Vec::new();
    for caller in ["grpcio", "lean"] {
        let watcher = Watcher::start()?;
        let drain = |flags: &[&str]| {
            Drain::new(messages, 4)
                .flags(&[&["--caller", caller, "--log-messages", "off"], flags].concat())
        };
        let on = Drain {
            level: "INFO",
            ..drain(&["--log-format", "json", "--http", &watcher.address])
        };
        rows.push(beside(
            stage,
            ("observability", caller),
            ("off", &drain(&["--http", "off"])),
            ("on", &on),
            "times the CPU of off",
        )?);
        watcher.stop()?;
    }
    Ok(Outcome::Rows(rows.into_iter().map(Runs::row).collect()))
}

/// Asks a job for its metrics and its status once a second, whenever one listens at the address.
struct Watcher {
    address: String,
    stop: Sender<()>,
    answers: JoinHandle<usize>,
}

impl Watcher {
    fn start() -> Result<Watcher, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free
            .map_err(|error| format!("no port is free on 127.0.0.1: {error}"))?
            .to_string();
        let (stop, stopped) = mpsc::channel();
        let job = address.clone();
        let answers = thread::spawn(move || {
            let mut answers = 0;
            while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                let asked = ["/metrics", "/status.json"].map(|path| get(&job, path));
                answers += asked.iter().filter(|answer| answer.is_ok()).count();
            }
            answers
        });
        Ok(Watcher {
            address,
            stop,
            answers,
        })
    }

    /// Fails where no job ever answered: then nothing was measured.
    fn stop(self) -> Result<(), String> {
        drop(self.stop);
        match self.answers.join() {
            Ok(1..) => Ok(()),
            _ => Err(format!(
                "no job answered at http://{}: a drain must take more than a second",
                self.address
            )),
        }
    }
}

fn get(address: &str, path: &str) -> std::io::Result<usize> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    stream.read_to_end(&mut Vec::new())
}

/// Both drains, in turns. The ratio is the second one's CPU of the first one's.
fn beside(
    stage: &mut Stage,
    (case, name): (&str, &str),
    (without, first): (&str, &Drain),
    (with, second): (&str, &Drain),
    ratio: &str,
) -> Result<Runs, String> {
    let rounds = stage.scale.rounds;
    let mut runs = Runs::new(name, None);
    stage.topic(first.partitions, first.shape, first.messages)?;
    for round in 1..=rounds {
        stage.doing(format!("{case}, {name}, run {round} of {rounds}"));
        let (a, b) = (stage.drain(first)?, stage.drain(second)?);
        for (what, drained) in [(without, a), (with, b)] {
            let speed = format!("{what}, messages/s");
            runs.add(&speed, drained.messages_per_second);
            let cost = format!("{what}, µs CPU a message");
            runs.add(&cost, drained.cpu_a_message);
        }
        runs.ratio(ratio, b.cpu_a_message / a.cpu_a_message, Lower);
    }
    Ok(runs)
}
