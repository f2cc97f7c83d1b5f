//! The two ways to call a Comet, in turns.

use super::{Outcome, at_a_rate, job_knows};
use crate::load::Shape;
use crate::results::Better::{Higher, Lower};
use crate::results::Runs;
use crate::stage::{Drain, Stage};

const SHAPE: Shape = Shape {
    rooms: 1000,
    size: 256,
};
const RATE: usize = 1_000;

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
    let mut latencies =
        ["grpcio", "lean"].map(|caller| (caller, Runs::new(format!("{RATE}/s, {caller}"), None)));
    for round in 1..=rounds.min(3) {
        for (caller, runs) in &mut latencies {
            stage.doing(format!("callers, {}, run {round}", runs.name()));
            let drain = Drain::new(0, 4).flags(&["--caller", *caller]);
            let start = |stage: &mut Stage, topic: &str| {
                stage.start(&drain.binary, None, topic, drain.level, &drain.flags)
            };
            let (_, job) = at_a_rate(stage, RATE, SHAPE, start, runs)?;
            job.stop()?;
        }
    }
    rows.extend(latencies.into_iter().map(|(_, runs)| runs.row()));
    Ok(Outcome::Rows(rows))
}
