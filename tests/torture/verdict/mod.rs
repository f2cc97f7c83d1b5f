//! The verdict: each promise, held against what Kafka has and what the Comets wrote down.

mod deliveries;
mod facts;
mod letters;
mod repeats;
mod stall;

use std::fmt::Write;

use krafka::consumer::ConsumerRecord;

use crate::children::Life;
use crate::producer::Sent;
use crate::proxy::Peer;
use crate::record::Record;
use crate::streams::{Stream, Streams};
use crate::timeline::{Micros, Timeline};
use facts::Facts;

/// Resident memory of one job, at most.
const MEMORY_KB: u64 = 100 << 10;

/// So many violations of a promise are spelled out on the terminal; all are in `verdict.txt`'s count.
const SPELLED_OUT: usize = 8;

/// All that is known when everything has ended.
pub struct Evidence<'a> {
    pub streams: &'a Streams,
    pub timeline: &'a Timeline,
    pub lives: &'a [Life],
    pub records: &'a [Record],
    pub peers: &'a [Peer],
    pub acknowledged: &'a [Sent],
    /// What the producer could not send.
    pub trouble: &'a [String],
    /// The topic, as Kafka has it in the end.
    pub log: &'a [Logged],
    pub letters: &'a [ConsumerRecord],
    pub misdeeds: &'a [String],
    /// What was not delivered in the end.
    pub unsettled: Option<String>,
    /// From when on nothing was broken.
    pub quiet: Micros,
    pub sent: u64,
    pub faults: usize,
}

/// One record of the topic.
pub struct Logged {
    pub partition: i32,
    pub offset: i64,
    /// Of its value.
    pub hash: u64,
    /// `None` for one that can't be delivered.
    pub message: Option<(Stream, u32)>,
}

/// What was found about one promise.
#[derive(Default)]
pub struct Finding {
    pub figures: String,
    pub violations: Vec<String>,
}

/// The table of the promises as text, and whether all were kept.
pub fn judge(evidence: &Evidence<'_>) -> (String, bool) {
    let facts = Facts::gather(evidence);
    let rows = [
        ("nothing lost", deliveries::lost(evidence, &facts)),
        ("in order", facts.order(evidence)),
        ("one call at a time", facts.one_at_a_time(evidence)),
        ("few repeats", repeats::judge(evidence, &facts)),
        ("dead letters", letters::judge(evidence, &facts)),
        ("no stall", stall::judge(evidence, &facts)),
        ("flat memory", memory(evidence)),
        ("ends well", ends_well(evidence)),
    ];
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "\n{} records in Kafka ({} sent, {} acknowledged), {} faults, {} job processes, seconds since the first fault:",
        evidence.log.len(),
        evidence.sent,
        evidence.acknowledged.len(),
        evidence.faults,
        evidence.lives.len(),
    );
    for (promise, finding) in &rows {
        let verdict = if finding.violations.is_empty() {
            "PASS"
        } else {
            "FAIL"
        };
        let _ = writeln!(text, "{verdict}  {promise:<18}  {}", finding.figures);
    }
    for (promise, finding) in rows
        .iter()
        .filter(|(_, finding)| !finding.violations.is_empty())
    {
        let _ = writeln!(text, "\n{promise}: {} violations", finding.violations.len());
        for violation in finding.violations.iter().take(SPELLED_OUT) {
            let _ = writeln!(text, "- {violation}");
        }
    }
    let failed = rows
        .iter()
        .filter(|(_, f)| !f.violations.is_empty())
        .count();
    let _ = write!(text, "\n{} passed, {failed} failed", rows.len() - failed);
    (text, failed == 0)
}

fn memory(evidence: &Evidence<'_>) -> Finding {
    let mut finding = Finding::default();
    let most = evidence
        .lives
        .iter()
        .map(|life| life.memory.0)
        .max()
        .unwrap_or_default();
    finding.figures = format!(
        "{:.1} MiB resident at most, {} allowed",
        most as f64 / 1024.0,
        MEMORY_KB >> 10
    );
    for life in evidence
        .lives
        .iter()
        .filter(|life| life.memory.0 > MEMORY_KB)
    {
        let (kilobytes, at) = life.memory;
        finding.violations.push(format!(
            "job {} (process {}) had {:.1} MiB at {}{}",
            life.slot,
            life.pid,
            kilobytes as f64 / 1024.0,
            evidence.timeline.at(at),
            context(evidence, at, at)
        ));
    }
    finding
}

fn ends_well(evidence: &Evidence<'_>) -> Finding {
    let stops: Vec<f64> = evidence
        .lives
        .iter()
        .filter_map(|life| Some((life.ended? - life.signalled?) as f64 / 1e6))
        .collect();
    Finding {
        figures: format!(
            "{} stops, the longest in {:.1} s",
            stops.len(),
            stops.iter().copied().fold(0.0, f64::max)
        ),
        violations: evidence.misdeeds.to_vec(),
    }
}

/// What was broken around that time, for the end of a violation.
fn context(evidence: &Evidence<'_>, from: Micros, to: Micros) -> String {
    let around = evidence.timeline.around(from, to);
    let shown = around.len().min(12);
    let mut text = String::new();
    for line in &around[..shown] {
        let _ = write!(text, "\n      {line}");
    }
    if shown < around.len() {
        let _ = write!(text, "\n      and {} more", around.len() - shown);
    }
    text
}
