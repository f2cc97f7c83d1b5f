//! A Comet that was away gets what it missed while live messages go on.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::load::Shape;
use crate::results::Runs;
use crate::stage::{JOB, Stage};

const SHAPE: Shape = Shape {
    rooms: 1000,
    size: 256,
};

/// Live messages a second, and of how many seconds they are sent between two looks at the Comet.
const RATE: usize = 1_000;
const LOOK: f64 = 0.1;

/// The Comets.
const STAYS: usize = 0;
const GOES: usize = 1;

pub fn catch_up(stage: &mut Stage) -> Result<Outcome, String> {
    let missed = 5 * stage.scale.messages;
    let rounds = stage.scale.rounds.min(2);
    let mut runs = Runs::new(format!("{missed} missed"), None);
    for round in 1..=rounds {
        stage.doing(format!(
            "catch-up, {missed} messages, run {round} of {rounds}"
        ));
        one(stage, missed, &mut runs)?;
    }
    Ok(Outcome::Rows(vec![runs.row()]))
}

fn one(stage: &mut Stage, missed: usize, runs: &mut Runs) -> Result<(), String> {
    let topic = stage.empty_topic(4)?;
    stage.comets(2, Duration::ZERO)?;
    let flags = ["--catch-up", "all"].map(str::to_owned);
    let mut job = stage.start(Path::new(JOB), None, &topic, "WARN", &flags)?;
    let runtime = stage.runtime().handle().clone();
    let mut loader = stage.loader(&topic, SHAPE)?;
    loader.run(&runtime, RATE, 1.0)?;
    stage.wait(&mut job, 2 * RATE)?;

    stage.comet_is_away(GOES, true)?;
    runtime.block_on(loader.fill(missed))?;
    stage.wait(&mut job, 2 * RATE + missed)?;
    stage.forget_times()?;

    let (cpu, begin) = (job.cpu()?, Instant::now());
    stage.comet_is_away(GOES, false)?;
    let mut live = 0;
    stage.wait_while(&mut job, Some(GOES), missed, || {
        // The last of those that are sent now may still be on their way at the next look.
        let due = missed + live;
        loader.run(&runtime, RATE, LOOK)?;
        live += (RATE as f64 * LOOK) as usize;
        Ok(due)
    })?;
    let (seconds, used) = (begin.elapsed().as_secs_f64(), job.cpu()? - cpu);
    let delivered = missed + 2 * live;
    stage.wait(&mut job, delivered)?;
    runtime.block_on(loader.finish())?;
    let (peak, _) = job.memory()?;
    job.stop()?;

    let reports = stage.reports()?;
    // What could not be read are probes.
    for report in &reports {
        if report.duplicates + report.out_of_order > 0 {
            return Err(format!(
                "{} messages came again, and {} out of order",
                report.duplicates, report.out_of_order
            ));
        }
    }
    runs.add("s until it has caught up", seconds);
    runs.add("messages/s", missed as f64 / seconds);
    runs.add("µs CPU a message", used as f64 / delivered as f64);
    for (comet, place) in [
        (STAYS, "the other Comet"),
        (GOES, "the one that catches up"),
    ] {
        let ms = |of: u64| of as f64 / 1e3;
        for (name, time) in [("p50", reports[comet].p50), ("p99", reports[comet].p99)] {
            runs.add(&format!("{name} ms of live ones at {place}"), ms(time));
        }
    }
    runs.add("peak MB", peak);
    Ok(())
}
