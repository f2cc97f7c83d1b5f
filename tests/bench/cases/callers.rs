//! The two ways to call a Comet, in turns.

use std::time::Duration;

use super::{Outcome, at_a_rate, job_knows};
use crate::limit::Way;
use crate::load::Shape;
use crate::results::Better::{Higher, Lower};
use crate::results::{Row, Runs};
use crate::stage::{Drain, Stage};

const SHAPE: Shape = Shape {
    rooms: 1000,
    size: 256,
};
/// Messages a second whose latency is measured.
const RATES: [usize; 2] = [1_000, 10_000];

pub fn callers(stage: &mut Stage) -> Result<Outcome, String> {
    if !job_knows("--caller")? {
        return Ok(Outcome::Skipped("this job has no --caller".into()));
    }
    let (messages, rounds) = (stage.scale.messages, stage.scale.rounds);
    let mut rows = Vec::new();
    for (name, partitions, comets) in [
        ("1 partition", 1, 1),
        ("4 partitions", 4, 1),
        ("4 partitions, 64 Comets", 4, 64),
    ] {
        // With many Comets there are connections to make first.
        let messages = (messages / comets).max(messages / 20);
        let drain = |caller: &str| {
            Drain {
                comets,
                ..Drain::new(messages, partitions)
            }
            .flags(&["--caller", caller])
        };
        stage.topic(partitions, SHAPE, messages)?;
        let mut runs = Runs::new(name, None);
        for round in 1..=rounds {
            stage.doing(format!("callers, {name}, run {round} of {rounds}"));
            if comets == 1 {
                alone(stage, messages, &mut runs)?;
            }
            let grpcio = stage.drain(&drain("grpcio"))?;
            let lean = stage.drain(&drain("lean"))?;
            runs.add("grpcio, messages/s", grpcio.messages_per_second);
            runs.add("lean, messages/s", lean.messages_per_second);
            runs.ratio(
                "times grpcio's speed",
                lean.messages_per_second / grpcio.messages_per_second,
                Higher,
            );
            runs.add("grpcio, µs CPU a message", grpcio.cpu_a_message);
            runs.add("lean, µs CPU a message", lean.cpu_a_message);
            runs.ratio(
                "of grpcio's CPU",
                lean.cpu_a_message / grpcio.cpu_a_message,
                Lower,
            );
            runs.add("grpcio, peak MB", grpcio.peak);
            runs.add("lean, peak MB", lean.peak);
        }
        rows.push(runs.row());
    }
    rows.push(hot_room(stage)?);
    for rate in RATES {
        rows.extend(latencies(stage, rate)?);
    }
    Ok(Outcome::Rows(rows))
}

/// The ways to call without job: what job's own work costs is the difference.
fn alone(stage: &mut Stage, calls: usize, runs: &mut Runs) -> Result<(), String> {
    for (way, name) in [
        (Way::DEFAULTS, "grpcio"),
        (Way::LEAN, "lean"),
        (Way::FRAMES, "frames"),
    ] {
        let limit = stage.limit(way, calls, &SHAPE, Duration::ZERO)?;
        runs.add(&format!("{name} alone, calls/s"), limit.calls_per_second);
        runs.add(&format!("{name} alone, µs CPU a call"), limit.cpu_a_call);
    }
    Ok(())
}

/// One room, whose calls wait for each other.
fn hot_room(stage: &mut Stage) -> Result<Row, String> {
    let shape = Shape { rooms: 1, ..SHAPE };
    let messages = (stage.scale.messages / 10).max(100);
    let mut runs = Runs::new("1 room, one call at a time", None);
    stage.topic(1, shape, messages)?;
    for round in 1..=stage.scale.rounds {
        stage.doing(format!("callers, {}, run {round}", runs.name()));
        let mut drain = |caller: &str| {
            let drain = Drain {
                shape,
                ..Drain::new(messages, 1)
            };
            stage.drain(&drain.flags(&["--caller", caller]))
        };
        let (grpcio, lean) = (drain("grpcio")?, drain("lean")?);
        runs.add("grpcio, messages/s", grpcio.messages_per_second);
        runs.add("lean, messages/s", lean.messages_per_second);
        runs.ratio(
            "times grpcio's speed",
            lean.messages_per_second / grpcio.messages_per_second,
            Higher,
        );
    }
    Ok(runs.row())
}

fn latencies(stage: &mut Stage, rate: usize) -> Result<[Row; 2], String> {
    let mut latencies =
        ["grpcio", "lean"].map(|caller| (caller, Runs::new(format!("{rate}/s, {caller}"), None)));
    for round in 1..=stage.scale.rounds.min(3) {
        for (caller, runs) in &mut latencies {
            stage.doing(format!("callers, {}, run {round}", runs.name()));
            let drain = Drain::new(0, 4).flags(&["--caller", *caller]);
            let start = |stage: &mut Stage, topic: &str| {
                stage.start(&drain.binary, None, topic, drain.level, &drain.flags)
            };
            let (_, job) = at_a_rate(stage, rate, SHAPE, start, runs)?;
            job.stop()?;
        }
    }
    Ok(latencies.map(|(_, runs)| runs.row()))
}
