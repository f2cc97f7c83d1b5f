//! Which thread is the limit: CPU time by thread.

use super::Outcome;
use crate::results::Runs;
use crate::stage::{Drain, Stage};

const CPU: &str = "µs CPU a message";
/// Threads that take less than this are counted together.
const LEAST: f64 = 0.005;

pub fn threads(stage: &mut Stage) -> Result<Outcome, String> {
    let drain = Drain::new(stage.scale.messages, 4);
    stage.topic(drain.partitions, drain.shape, drain.messages)?;
    let mut rows: Vec<Runs> = Vec::new();
    let mut others = Runs::new("the others, and threads that ended", None);
    let mut busiest = Runs::new("the busiest", None);
    let mut all = Runs::new("all", None);
    for round in 1..=stage.scale.rounds {
        stage.doing(format!("threads, {round} of {}", stage.scale.rounds));
        let (drained, threads) = stage.drain_watched(&drain, |_| Ok(()))?;
        let mut left = drained.cpu_a_message;
        let mut most = 0.0_f64;
        for thread in threads {
            let cost = thread.cpu / drain.messages as f64;
            if cost < LEAST {
                continue;
            }
            let known = rows.iter().position(|row| row.name() == thread.name);
            let row = known.unwrap_or_else(|| {
                rows.push(Runs::new(thread.name, None));
                rows.len() - 1
            });
            rows[row].add(CPU, cost);
            left -= cost;
            most = most.max(cost);
        }
        others.add(CPU, left.max(0.0));
        busiest.add(CPU, most);
        all.add(CPU, drained.cpu_a_message);
    }
    rows.extend([others, busiest, all]);
    Ok(Outcome::Rows(rows.into_iter().map(Runs::row).collect()))
}
