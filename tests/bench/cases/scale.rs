//! How the cost grows: the drain with one thing varied, as curves.

use super::Outcome;
use crate::load::Shape;
use crate::results::Runs;
use crate::stage::{Drain, Drained, Stage};

/// Bytes of bodies that one drain carries at most.
const VOLUME: usize = 256 << 20;

/// Measures each drain several times, the drains in turn. `add` says what of it is shown.
fn curve(
    stage: &mut Stage,
    case: &str,
    points: &[(String, f64, Drain)],
    mut add: impl FnMut(&mut Runs, &Drain, &Drained, &Drained),
) -> Result<Outcome, String> {
    let rounds = stage.scale.rounds.min(3);
    let mut rows: Vec<Runs> = points
        .iter()
        .map(|(name, x, _)| Runs::new(name, Some(*x)))
        .collect();
    for (_, _, drain) in points {
        stage.topic(drain.partitions, drain.shape, drain.messages)?;
    }
    for round in 1..=rounds {
        let mut first = None;
        for ((name, _, drain), runs) in points.iter().zip(&mut rows) {
            stage.doing(format!("{case}, {name}, run {round} of {rounds}"));
            let drained = stage.drain(drain)?;
            add(runs, drain, &drained, first.get_or_insert(drained));
        }
    }
    Ok(Outcome::Rows(rows.into_iter().map(Runs::row).collect()))
}

fn usual(runs: &mut Runs, drained: &Drained) {
    runs.add("messages/s", drained.messages_per_second);
    runs.add("µs CPU a message", drained.cpu_a_message);
    runs.add("peak MB", drained.peak);
}

pub fn comets(stage: &mut Stage) -> Result<Outcome, String> {
    let points = [1, 4, 16, 64].map(|comets| {
        // As many calls for each, but for the last: it has connections to make first.
        let messages = (stage.scale.messages / comets).max(stage.scale.messages / 20);
        (
            comets.to_string(),
            comets as f64,
            Drain {
                comets,
                ..Drain::new(messages, 4)
            },
        )
    });
    curve(stage, "comets", &points, |runs, drain, drained, first| {
        let cost = drained.cpu_a_message / drain.comets as f64;
        runs.add("messages/s", drained.messages_per_second);
        runs.add("calls/s", drained.messages_per_second * drain.comets as f64);
        runs.add("µs CPU a call", cost);
        runs.add("times the cost with one", cost / first.cpu_a_message);
        runs.add("peak MB", drained.peak);
    })
}

pub fn workers(stage: &mut Stage) -> Result<Outcome, String> {
    let messages = stage.scale.messages;
    let points = [1, 2, 4, 8, 16].map(|workers| {
        let name = workers.to_string();
        let drain = Drain::new(messages, 4).flags(&["--threads", &name]);
        (name, f64::from(workers), drain)
    });
    curve(stage, "workers", &points, |runs, _, drained, _| {
        usual(runs, drained)
    })
}

pub fn window(stage: &mut Stage) -> Result<Outcome, String> {
    let messages = stage.scale.messages;
    let points = [16, 32, 64, 128, 256].map(|window| {
        let name = window.to_string();
        let drain = Drain::new(messages, 4).flags(&["--window", &name]);
        (name, f64::from(window), drain)
    });
    curve(stage, "window", &points, |runs, _, drained, _| {
        usual(runs, drained)
    })
}

pub fn rooms(stage: &mut Stage) -> Result<Outcome, String> {
    let points = [10, 100, 1_000, 10_000, 100_000, 1_000_000].map(|rooms| {
        let messages = stage.scale.messages.max(rooms);
        let shape = Shape { rooms, size: 256 };
        (
            rooms.to_string(),
            rooms as f64,
            Drain {
                shape,
                ..Drain::new(messages, 4)
            },
        )
    });
    curve(stage, "rooms", &points, |runs, _, drained, _| {
        usual(runs, drained);
        runs.add("MB when all is delivered", drained.memory);
    })
}

pub fn sizes(stage: &mut Stage) -> Result<Outcome, String> {
    let points = [
        64,
        256,
        1 << 10,
        4 << 10,
        16 << 10,
        64 << 10,
        256 << 10,
        1 << 20,
    ]
    .map(|size| {
        let messages = stage.scale.messages.min(VOLUME / size);
        let name = match size {
            0..1024 => format!("{size} B"),
            1024..1_048_576 => format!("{} KiB", size >> 10),
            _ => format!("{} MiB", size >> 20),
        };
        (
            name,
            size as f64,
            Drain {
                shape: Shape { rooms: 1000, size },
                ..Drain::new(messages, 4)
            },
        )
    });
    curve(stage, "sizes", &points, |runs, drain, drained, _| {
        usual(runs, drained);
        runs.add(
            "MB/s",
            drained.messages_per_second * drain.shape.size as f64 / 1e6,
        );
    })
}

pub fn partitions(stage: &mut Stage) -> Result<Outcome, String> {
    let messages = stage.scale.messages;
    let points = [1, 4, 16, 64].map(|n| (n.to_string(), n as f64, Drain::new(messages, n)));
    curve(stage, "partitions", &points, |runs, _, drained, _| {
        usual(runs, drained)
    })
}
