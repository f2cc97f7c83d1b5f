//! Time and memory rather than throughput.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::load::Shape;
use crate::process::{self, Job};
use crate::results::Runs;
use crate::stage::{Drain, Stage};

pub const OF_ONE_BY_ONE: &str = "p50, of one by one's";

const SHAPE: Shape = Shape {
    rooms: 1000,
    size: 256,
};

pub fn latency(stage: &mut Stage) -> Result<Outcome, String> {
    let rounds = stage.scale.rounds.min(3);
    let mut least = Runs::new("1000/s, one by one", None);
    let mut rows = [1_000, 10_000, 40_000]
        .map(|rate| (rate, Runs::new(format!("{rate}/s"), Some(rate as f64))));
    for round in 1..=rounds {
        stage.doing(format!(
            "latency, {}, run {round} of {rounds}",
            least.name()
        ));
        let (simple, _) = at_a_rate(stage, 1_000, SHAPE, Stage::start_one_by_one, &mut least)?;
        for (rate, runs) in &mut rows {
            stage.doing(format!("latency, {}, run {round} of {rounds}", runs.name()));
            let job = |stage: &mut Stage, topic: &str| stage.start_job(topic, "WARN");
            let (p50, job) = at_a_rate(stage, *rate, SHAPE, job, runs)?;
            job.stop()?;
            if *rate == 1_000 {
                runs.add(OF_ONE_BY_ONE, p50 / simple);
            }
        }
    }
    let rows = rows.into_iter().map(|(_, runs)| runs).chain([least]);
    Ok(Outcome::Rows(rows.map(Runs::row).collect()))
}

/// Adds what one run shows of the service that `start` starts for a topic, and returns its p50, and the service to
/// be stopped.
pub fn at_a_rate(
    stage: &mut Stage,
    rate: usize,
    shape: Shape,
    start: impl FnOnce(&mut Stage, &str) -> Result<Job, String>,
    runs: &mut Runs,
) -> Result<(f64, Job), String> {
    let topic = stage.empty_topic(4)?;
    stage.comets(1, Duration::ZERO)?;
    let mut job = start(stage, &topic)?;
    let runtime = stage.runtime().handle().clone();
    let mut loader = stage.loader(&topic, shape)?;
    // Connections are made, and the group is joined.
    loader.run(&runtime, rate, 1.0)?;
    stage.wait(&mut job, rate)?;
    stage.forget_times()?;
    loader.forget_times(&runtime);
    let (cpu, begin) = (job.cpu()?, Instant::now());
    let seconds = stage.scale.seconds;
    let late = loader.run(&runtime, rate, seconds)?;
    let report = stage.wait(&mut job, (rate as f64 * seconds) as usize)?;
    let used = (job.cpu()? - cpu) as f64 / 1e6 / begin.elapsed().as_secs_f64();
    let acknowledged = runtime.block_on(loader.finish())?;
    for (name, value) in [
        ("p50 ms", report.p50),
        ("p99 ms", report.p99),
        ("p99.9 ms", report.p999),
        ("slowest ms", report.latest),
    ] {
        runs.add(name, value as f64 / 1e3);
    }
    runs.add(
        "p50 ms until Kafka's acknowledgement",
        acknowledged.value_at_quantile(0.5) as f64 / 1e3,
    );
    runs.add("slowest ms of the producer alone", late.as_secs_f64() * 1e3);
    runs.add("% of a core", used * 100.0);
    Ok((report.p50 as f64, job))
}

pub fn outage(stage: &mut Stage) -> Result<Outcome, String> {
    const RATE: usize = 2_000;
    const GONE: f64 = 5.0;
    const SETTLE: f64 = 2.0;
    let seconds = stage.scale.seconds.min(5.0);
    let due = |seconds: f64| (RATE as f64 * seconds) as usize;
    let rounds = stage.scale.rounds.min(3);
    let mut runs = Runs::new("2000/s", None);
    for round in 1..=rounds {
        stage.doing(format!("outage, run {round} of {rounds}"));
        let topic = stage.empty_topic(4)?;
        stage.comets(1, Duration::ZERO)?;
        let mut job = stage.start_job(&topic, "WARN")?;
        let runtime = stage.runtime().handle().clone();
        let mut loader = stage.loader(&topic, SHAPE)?;
        loader.run(&runtime, RATE, 1.0)?;
        stage.wait(&mut job, RATE)?;
        stage.forget_times()?;
        loader.run(&runtime, RATE, seconds)?;
        let before = stage.wait(&mut job, due(seconds))?;
        stage.forget_times()?;

        stage.comet_is_away(0, true)?;
        loader.run(&runtime, RATE, GONE)?;
        stage.comet_is_away(0, false)?;
        let back = Instant::now();
        loader.run(&runtime, RATE, SETTLE)?;
        stage.wait(&mut job, due(GONE + SETTLE))?;
        let caught_up = back.elapsed().as_secs_f64();
        stage.forget_times()?;
        loader.run(&runtime, RATE, seconds)?;
        let after = stage.wait(&mut job, due(seconds))?;
        runtime.block_on(loader.finish())?;
        job.stop()?;
        runs.add("p99 ms before", before.p99 as f64 / 1e3);
        runs.add("p99 ms from 2 s after its return", after.p99 as f64 / 1e3);
        runs.add("of p99 before", after.p99 as f64 / before.p99.max(1) as f64);
        runs.add("s after its return all is delivered, 2 at least", caught_up);
    }
    Ok(Outcome::Rows(vec![runs.row()]))
}

pub fn memory(stage: &mut Stage) -> Result<Outcome, String> {
    let messages = stage.scale.memory_messages;
    let drain = Drain::new(messages, 4);
    stage.topic(drain.partitions, drain.shape, messages)?;
    let mut runs = Runs::new("the long drain", None);
    for round in 1..=2 {
        stage.doing(format!("memory, {messages} messages, run {round} of 2"));
        let drained = stage.drain(&drain)?;
        runs.add("messages", messages as f64);
        runs.add("peak MB", drained.peak);
        runs.add("MB when all is delivered", drained.memory);
        runs.add("messages/s", drained.messages_per_second);
        runs.add("µs CPU a message", drained.cpu_a_message);
    }
    Ok(Outcome::Rows(vec![runs.row()]))
}

pub fn idle(stage: &mut Stage) -> Result<Outcome, String> {
    stage.doing("idle");
    // It delivered a little, so that it has its connections.
    let topic = stage.topic(4, SHAPE, 1000)?;
    stage.comets(1, Duration::ZERO)?;
    let mut job = stage.start_job(&topic, "WARN")?;
    stage.wait(&mut job, 1000)?;
    thread::sleep(Duration::from_secs(3));
    let mut runs = Runs::new("nothing to do", None);
    for round in 1..=3 {
        stage.doing(format!("idle, run {round} of 3"));
        let (begin, cpu) = (Instant::now(), job.cpu()?);
        thread::sleep(Duration::from_secs_f64(stage.scale.seconds));
        let used = (job.cpu()? - cpu) as f64 / 1e6 / begin.elapsed().as_secs_f64();
        runs.add("% of a core", used * 100.0);
        runs.add("MB", job.memory()?.1);
    }
    job.stop()?;
    Ok(Outcome::Rows(vec![runs.row()]))
}

pub fn start(stage: &mut Stage) -> Result<Outcome, String> {
    let rounds = stage.scale.rounds * 2;
    let drain = Drain::new(1000, 4);
    let mut runs = Runs::new("first delivery", None);
    for round in 1..=rounds {
        stage.doing(format!("start, run {round} of {rounds}"));
        let drained = stage.drain(&drain)?;
        runs.add("ms", drained.first.as_secs_f64() * 1e3);
    }
    Ok(Outcome::Rows(vec![runs.row()]))
}

pub fn binary(_: &mut Stage) -> Result<Outcome, String> {
    let path = process::binary("job")?;
    let size = fs::metadata(&path)
        .map_err(|e| format!("{} can't be seen: {e}", path.display()))?
        .len();
    let mut runs = Runs::new("job", None);
    runs.add("MB", size as f64 / 1e6);
    Ok(Outcome::Rows(vec![runs.row()]))
}
