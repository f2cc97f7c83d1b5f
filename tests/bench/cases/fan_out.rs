//! What it saves to call only the Comets that have a room.

use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, job_knows};
use crate::load::Shape;
use crate::results::Better::Higher;
use crate::results::{Row, Runs};
use crate::stage::Stage;

pub const OF_ALL: &str = "times the speed of all";

const SHAPE: Shape = Shape {
    rooms: 1000,
    size: 256,
};
const PARTITIONS: usize = 4;
/// So long Comets may take to be asked for their rooms, each second.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn fan_out(stage: &mut Stage) -> Result<Outcome, String> {
    if !job_knows("--fan-out")? {
        return Ok(Outcome::Skipped("this job has no --fan-out".into()));
    }
    let mut rows = Vec::new();
    for comets in [1, 4, 16, 64] {
        rows.extend(with_comets(stage, comets)?);
    }
    Ok(Outcome::Rows(rows))
}

/// A row for each number of Comets that a room may be on.
fn with_comets(stage: &mut Stage, comets: usize) -> Result<Vec<Row>, String> {
    let plural = if comets == 1 { "" } else { "s" };
    let name = |on: usize| match on == comets {
        true => format!("{comets} Comet{plural}, a room on all"),
        false => format!("{comets} Comets, a room on {on}"),
    };
    let spreads = [1, 3, comets].into_iter();
    let mut spreads: Vec<usize> = spreads.filter(|on| *on <= comets).collect();
    spreads.dedup();
    let mut rows: Vec<_> = spreads
        .iter()
        .map(|on| (*on, Runs::new(name(*on), None)))
        .collect();
    let rounds = stage.scale.rounds.min(3);
    for round in 1..=rounds {
        stage.doing(format!(
            "fan-out, {comets} Comets, all, run {round} of {rounds}"
        ));
        let all = measured(stage, comets, None)?;
        for (on, runs) in &mut rows {
            stage.doing(format!("fan-out, {}, run {round} of {rounds}", runs.name()));
            let rooms = measured(stage, comets, Some(*on))?;
            runs.add("all, messages/s", all.per_second);
            runs.add("rooms, messages/s", rooms.per_second);
            runs.ratio(OF_ALL, rooms.per_second / all.per_second, Higher);
            runs.add("all, µs CPU a message", all.cpu);
            runs.add("rooms, µs CPU a message", rooms.cpu);
            runs.add("rooms, calls a message", rooms.calls);
        }
    }
    Ok(rows.into_iter().map(|(_, runs)| runs.row()).collect())
}

struct Measured {
    per_second: f64,
    cpu: f64,
    calls: f64,
}

/// A job that has delivered a little is paused until all is written and each Comet has told its rooms, and is measured from then on:
/// neither its connections nor the first second, in which it knows no rooms, are part of it. `on`: each room is on so many of the
/// Comets; where not, all of them get all.
fn measured(stage: &mut Stage, comets: usize, on: Option<usize>) -> Result<Measured, String> {
    let targets = on.unwrap_or(comets);
    // As many calls for each, but for the last: figures of less than a second would say little.
    let messages = (stage.scale.messages / targets).max(stage.scale.messages / 20);
    let topic = stage.empty_topic(PARTITIONS)?;
    stage.comets(comets, Duration::ZERO)?;
    let way = match on {
        None => "all",
        Some(on) => {
            stage.lay_out(SHAPE.rooms, on)?;
            "rooms"
        }
    };
    let mut jobs = stage.start_group(&topic, 1, &["--fan-out", way])?;
    let runtime = stage.runtime().handle().clone();
    let mut loader = stage.filler(&topic, SHAPE)?;
    runtime.block_on(loader.fill(SHAPE.rooms))?;
    stage.wait(&mut jobs[0], SHAPE.rooms * targets)?;
    stage.tell_group(1, "pause")?;
    runtime.block_on(loader.fill(messages))?;
    runtime.block_on(loader.finish())?;
    stage.forget_times()?;
    if on.is_some() {
        await_rooms(stage)?;
    }
    let before = jobs[0].cpu()?;
    stage.tell_group(1, "resume")?;
    let report = stage.wait(&mut jobs[0], messages * targets)?;
    let used = jobs[0].cpu()? - before;
    for job in jobs {
        job.stop()?;
    }
    if report.duplicates + report.out_of_order + report.unreadable > 0 {
        return Err(format!(
            "{} messages came again, {} out of order, and {} could not be read",
            report.duplicates, report.out_of_order, report.unreadable
        ));
    }
    Ok(Measured {
        per_second: messages as f64 / report.seconds(),
        cpu: used as f64 / messages as f64,
        calls: report.calls as f64 / messages as f64,
    })
}

/// Waits until each Comet was asked twice: then the job has heard its first answer.
fn await_rooms(stage: &mut Stage) -> Result<(), String> {
    let begin = Instant::now();
    while stage.reports()?.iter().any(|report| report.asked < 2) {
        if begin.elapsed() > PATIENCE {
            return Err("job doesn't ask each Comet for its rooms".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
