//! What calls cost more with something that is off by default: each drain beside the same without it.

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
