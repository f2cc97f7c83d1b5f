//! What a secured Kafka costs, and a group of several jobs.

use std::time::Duration;

use super::Outcome;
use crate::load::Shape;
use crate::process::Job;
use crate::results::Runs;
use crate::stage::{Drain, Stage};

/// CPU of a message, of what it is with the first row.
pub const OF_FIRST: &str = "times the CPU of the first";

const PARTITIONS: usize = 16;
const SHAPE: Shape = Shape {
    rooms: 1000,
    size: 256,
};

pub fn security(stage: &mut Stage) -> Result<Outcome, String> {
    let (mut secured, listeners) = stage.beside_secured()?;
    secured.warm_up()?;
    let rounds = stage.scale.rounds.min(3);
    let mut rows: Vec<Runs> = listeners
        .iter()
        .map(|listener| Runs::new(listener.protocol, None))
        .collect();
    let plain = Drain::new(stage.scale.messages, 4);
    for round in 1..=rounds {
        let mut first = None;
        for (listener, runs) in listeners.iter().zip(&mut rows) {
            let protocol = listener.protocol;
            secured.doing(format!("security, {protocol}, run {round} of {rounds}"));
            secured.kafka.address.clone_from(&listener.address);
            let drain = Drain {
                flags: listener.flags.clone(),
                ..plain.clone()
            };
            let drained = secured.drain(&drain)?;
            let cost = drained.cpu_a_message;
            runs.add("messages/s", drained.messages_per_second);
            runs.add("µs CPU a message", cost);
            runs.add(OF_FIRST, cost / *first.get_or_insert(cost));
            runs.add("peak MB", drained.peak);
        }
    }
    Ok(Outcome::Rows(rows.into_iter().map(Runs::row).collect()))
}

pub fn members(stage: &mut Stage) -> Result<Outcome, String> {
    let rounds = stage.scale.rounds.min(3);
    let sizes = [1, 2, 4, 8];
    let mut rows = sizes.map(|size: usize| Runs::new(size.to_string(), Some(size as f64)));
    for round in 1..=rounds {
        let mut first = None;
        for (size, runs) in sizes.into_iter().zip(&mut rows) {
            stage.doing(format!("members, {size}, run {round} of {rounds}"));
            let (per_second, cost) = shared(stage, size)?;
            runs.add("messages/s", per_second);
            runs.add("µs CPU a message, all together", cost);
            runs.add(OF_FIRST, cost / *first.get_or_insert(cost));
        }
    }
    Ok(Outcome::Rows(rows.map(Runs::row).into()))
}

/// Jobs that share a topic. They have their partitions, and have delivered something, before they are paused; what is measured begins
/// when all is written and they go on. So neither a rebalance nor the producer, which gives each of many jobs little at a time, is
/// part of it. Returns the messages of a second and the CPU time of one.
fn shared(stage: &mut Stage, size: usize) -> Result<(f64, f64), String> {
    let messages = stage.scale.messages;
    let topic = stage.empty_topic(PARTITIONS)?;
    stage.comets(1, Duration::ZERO)?;
    let mut jobs = stage.start_group(&topic, size, &[])?;
    let runtime = stage.runtime().handle().clone();
    let mut loader = stage.filler(&topic, SHAPE)?;
    // Each has read something, and all its threads are there.
    let first = messages / 10;
    runtime.block_on(loader.fill(first))?;
    stage.wait(&mut jobs[0], first)?;
    stage.tell_group(size, "pause")?;
    runtime.block_on(loader.fill(messages))?;
    runtime.block_on(loader.finish())?;
    let cpu = |jobs: &[Job]| jobs.iter().map(Job::cpu).sum::<Result<u64, _>>();
    stage.forget_times()?;
    let before = cpu(&jobs)?;
    stage.tell_group(size, "resume")?;
    let report = stage.wait(&mut jobs[0], messages)?;
    let used = cpu(&jobs)? - before;
    for job in jobs {
        job.stop()?;
    }
    if report.duplicates + report.out_of_order > 0 {
        return Err(format!(
            "{} messages came again, and {} out of order",
            report.duplicates, report.out_of_order
        ));
    }
    let seconds = report.seconds();
    Ok((messages as f64 / seconds, used as f64 / messages as f64))
}
