//! Jobs beside each other: the same drain, or messages at the same rate, by one after the other, in turns, so that a slow
//! minute of the machine meets all of them.

use std::fs;

use crate::cases::at_a_rate;
use crate::load::Shape;
use crate::results::{Row, Runs};
use crate::stage::{Drain, Stage};

#[derive(clap::Args)]
pub struct Asked {
    /// A job and its flags, such as target/release/job or "../before/job --window 32"
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
    /// Comets, each of which gets every message
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    comets: u16,
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    partitions: u16,
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,
    /// Of each body, in bytes
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=900_000))]
    size: u32,
    /// Instead of a drain, as many messages a second for as long as --seconds says: the latency, with 4 partitions and a
    /// Comet
    #[arg(long, value_name = "N", conflicts_with_all = ["comets", "partitions"], value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
}

/// Measures each job in turn. The ratios are to the first one's of the same round.
pub fn measure(stage: &mut Stage, asked: &Asked) -> Result<Vec<Row>, String> {
    let shape = Shape {
        rooms: asked.rooms as usize,
        size: asked.size as usize,
    };
    let drains = asked
        .jobs
        .iter()
        .map(|job| {
            let mut words = job.split_whitespace().map(str::to_owned);
            let program = words.next().unwrap_or_default();
            // job is started in a folder of its own.
            let binary = fs::canonicalize(&program)
                .map_err(|e| format!("there is no job to run at {program:?}: {e}"))?;
            Ok(Drain {
                comets: asked.comets.into(),
                shape,
                binary,
                flags: words.collect(),
                ..Drain::new(stage.scale.messages, asked.partitions.into())
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let mut rows: Vec<Runs> = asked.jobs.iter().map(|job| Runs::new(job, None)).collect();
    match asked.rate {
        Some(rate) => latencies(stage, rate as usize, &drains, &mut rows)?,
        None => throughputs(stage, asked, &drains, &mut rows)?,
    }
    Ok(rows.into_iter().map(Runs::row).collect())
}

fn latencies(
    stage: &mut Stage,
    rate: usize,
    jobs: &[Drain],
    rows: &mut [Runs],
) -> Result<(), String> {
    let rounds = stage.scale.rounds;
    for round in 1..=rounds {
        let mut first = None;
        for (job, runs) in jobs.iter().zip(&mut *rows) {
            stage.doing(format!("{}, run {round} of {rounds}", runs.name()));
            let start = |stage: &mut Stage, topic: &str| {
                stage.start(&job.binary, None, topic, job.level, &job.flags)
            };
            let (p50, job) = at_a_rate(stage, rate, job.shape, start, runs)?;
            job.stop()?;
            runs.add("p50, of the first's", p50 / *first.get_or_insert(p50));
        }
    }
    Ok(())
}

fn throughputs(
    stage: &mut Stage,
    asked: &Asked,
    drains: &[Drain],
    rows: &mut [Runs],
) -> Result<(), String> {
    let shape = drains[0].shape;
    stage.topic(asked.partitions.into(), shape, stage.scale.messages)?;
    let rounds = stage.scale.rounds;
    for round in 1..=rounds {
        let mut first = None;
        for (drain, runs) in drains.iter().zip(&mut *rows) {
            stage.doing(format!("{}, run {round} of {rounds}", runs.name()));
            let drained = stage.drain(drain)?;
            let first = first.get_or_insert(drained);
            runs.add("messages/s", drained.messages_per_second);
            runs.add(
                "of the first",
                drained.messages_per_second / first.messages_per_second,
            );
            runs.add("µs CPU a message", drained.cpu_a_message);
            runs.add(
                "of the first's",
                drained.cpu_a_message / first.cpu_a_message,
            );
            runs.add("peak MB", drained.peak);
            runs.add("MB when all is delivered", drained.memory);
        }
    }
    Ok(())
}
