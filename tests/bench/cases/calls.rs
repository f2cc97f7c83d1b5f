//! Drains beside what the gRPC library does alone: in turns, so that both meet the same moments of the machine.

use std::time::Duration;

use super::{Outcome, job_knows};
use crate::limit::Way;
use crate::load::Shape;
use crate::results::Better::{Higher, Lower};
use crate::results::Runs;
use crate::stage::{Drain, Stage};

pub const OF_RAW: &str = "of grpcio's speed";
pub const CPU_OF_RAW: &str = "of grpcio's CPU";

pub fn drain(stage: &mut Stage) -> Result<Outcome, String> {
    let (messages, rounds) = (stage.scale.messages, stage.scale.rounds);
    let mut rows = Vec::new();
    for partitions in [1, 4] {
        let drain = Drain::new(messages, partitions);
        let name = match partitions {
            1 => "1 partition".to_owned(),
            n => format!("{n} partitions"),
        };
        stage.topic(partitions, drain.shape, messages)?;
        let mut runs = Runs::new(&name, None);
        for round in 1..=rounds {
            stage.doing(format!("drain, {name}, run {round} of {rounds}"));
            let raw = stage.limit(Way::DEFAULTS, messages, &drain.shape, Duration::ZERO)?;
            let job = stage.drain(&drain)?;
            let tuned = stage.limit(Way::TUNED, messages, &drain.shape, Duration::ZERO)?;
            runs.add("messages/s", job.messages_per_second);
            runs.add("grpcio, calls/s", raw.calls_per_second);
            runs.add("grpcio tuned, calls/s", tuned.calls_per_second);
            runs.ratio(
                OF_RAW,
                job.messages_per_second / raw.calls_per_second,
                Higher,
            );
            runs.add(
                "of grpcio tuned",
                job.messages_per_second / tuned.calls_per_second,
            );
            runs.add("µs CPU a message", job.cpu_a_message);
            runs.add("grpcio, µs CPU a call", raw.cpu_a_call);
            runs.add("grpcio tuned, µs CPU a call", tuned.cpu_a_call);
            runs.ratio(CPU_OF_RAW, job.cpu_a_message / raw.cpu_a_call, Lower);
            runs.add("the Comet's own µs CPU a call", raw.comet_cpu_a_call);
            runs.add("peak MB", job.peak);
        }
        rows.push(runs.row());
    }
    Ok(Outcome::Rows(rows))
}

pub fn coalesce(stage: &mut Stage) -> Result<Outcome, String> {
    if !job_knows("--coalesce")? {
        return Ok(Outcome::Skipped("this job has no --coalesce".into()));
    }
    let messages = stage.scale.messages * 5 / 2;
    let off = Drain {
        shape: Shape {
            rooms: 100,
            size: 256,
        },
        ..Drain::new(messages, 4)
    };
    let ways = ["off", "json", "goim"].map(|way| (way, off.clone().flags(&["--coalesce", way])));
    let mut rows = ways.each_ref().map(|(way, _)| Runs::new(*way, None));
    stage.topic(off.partitions, off.shape, messages)?;
    let rounds = stage.scale.rounds;
    for round in 1..=rounds {
        let mut single = 0.0;
        for ((way, drain), runs) in ways.iter().zip(&mut rows) {
            stage.doing(format!("coalesce, {way}, run {round} of {rounds}"));
            let job = stage.drain(drain)?;
            runs.add("messages/s", job.messages_per_second);
            runs.add("messages a call", messages as f64 / job.calls as f64);
            runs.add("µs CPU a message", job.cpu_a_message);
            runs.add("peak MB", job.peak);
            if *way == "off" {
                single = job.messages_per_second;
            } else {
                runs.ratio(
                    "times one call a message",
                    job.messages_per_second / single,
                    Higher,
                );
            }
        }
    }
    Ok(Outcome::Rows(rows.map(Runs::row).into()))
}

pub fn hot_room(stage: &mut Stage) -> Result<Outcome, String> {
    let rounds = stage.scale.rounds;
    let shape = Shape {
        rooms: 1,
        size: 256,
    };
    let mut rows = Vec::new();
    let coalesces = job_knows("--coalesce")?;
    for (name, part, delay) in [
        ("one call at a time", 10, Duration::ZERO),
        (
            "the same, the Comet takes 1 ms",
            200,
            Duration::from_millis(1),
        ),
    ] {
        let calls = (stage.scale.messages / part).max(100);
        let single = Drain {
            shape,
            delay,
            ..Drain::new(calls, 1)
        };
        let merged = Drain {
            messages: calls * 10,
            ..single.clone()
        }
        .flags(&["--coalesce", "json"]);
        let mut runs = Runs::new(name, None);
        let mut runs_merged = Runs::new(format!("{name}, merged as json"), None);
        for round in 1..=rounds {
            stage.doing(format!("hot-room, {name}, run {round} of {rounds}"));
            let raw = stage.limit(Way::ONE_AT_A_TIME, calls, &shape, delay)?;
            let job = stage.drain(&single)?;
            runs.add("messages/s", job.messages_per_second);
            runs.add("grpcio, calls/s", raw.calls_per_second);
            runs.ratio(
                "of 1 / round-trip time",
                job.messages_per_second / raw.calls_per_second,
                Higher,
            );
            if coalesces {
                let job = stage.drain(&merged)?;
                runs_merged.add("messages/s", job.messages_per_second);
                runs_merged.add("grpcio, calls/s", raw.calls_per_second);
                runs_merged.ratio(
                    "of 1 / round-trip time",
                    job.messages_per_second / raw.calls_per_second,
                    Higher,
                );
            }
        }
        rows.push(runs.row());
        if coalesces {
            rows.push(runs_merged.row());
        }
    }
    Ok(Outcome::Rows(rows))
}

/// The two clients that read Kafka, in turns.
pub fn fetch(stage: &mut Stage) -> Result<Outcome, String> {
    let (messages, rounds) = (stage.scale.messages, stage.scale.rounds.min(3));
    let mut ways = Vec::new();
    for partitions in [1, 4] {
        for client in ["classic", "modern"] {
            let drain = Drain::new(messages, partitions).flags(&["--fetch", client]);
            stage.topic(partitions, drain.shape, messages)?;
            ways.push((
                drain,
                Runs::new(format!("{client}, partitions: {partitions}"), None),
            ));
        }
    }
    for round in 1..=rounds {
        for (drain, runs) in &mut ways {
            stage.doing(format!(
                "fetch, {}, run {round} of {rounds}",
                drain.flags[1]
            ));
            let drained = stage.drain(drain)?;
            runs.add("messages/s", drained.messages_per_second);
            runs.add("µs CPU a message", drained.cpu_a_message);
            runs.add("peak MB", drained.peak);
        }
    }
    Ok(Outcome::Rows(
        ways.into_iter().map(|(_, runs)| runs.row()).collect(),
    ))
}

pub fn logging(stage: &mut Stage) -> Result<Outcome, String> {
    let (messages, rounds) = (stage.scale.messages, stage.scale.rounds);
    let quiet = Drain::new(messages, 4);
    let loud = Drain {
        level: "INFO",
        ..quiet.clone()
    };
    stage.topic(quiet.partitions, quiet.shape, messages)?;
    let (mut warn, mut info) = (Runs::new("WARN", None), Runs::new("INFO", None));
    for round in 1..=rounds {
        stage.doing(format!("logging, run {round} of {rounds}"));
        let (a, b) = (stage.drain(&quiet)?, stage.drain(&loud)?);
        for (runs, drained) in [(&mut warn, a), (&mut info, b)] {
            runs.add("messages/s", drained.messages_per_second);
            runs.add("µs CPU a message", drained.cpu_a_message);
            runs.add("peak MB", drained.peak);
        }
        info.ratio(
            "of WARN's speed",
            b.messages_per_second / a.messages_per_second,
            Higher,
        );
    }
    Ok(Outcome::Rows(vec![warn.row(), info.row()]))
}
