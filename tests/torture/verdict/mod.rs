//! The verdict: each promise, held against what Kafka has and what the Comets wrote down.

mod behind;
mod calls;
mod deliveries;
mod facts;
mod fleet;
mod letters;
mod older;
mod repeats;
mod shown;
mod stall;
#[cfg(test)]
mod tests;
mod turns;

use std::fmt::Write;

use krafka::consumer::ConsumerRecord;

use crate::children::Life;
use crate::corrupt::Corrupt;
use crate::producer::{Sent, Transaction};
use crate::proxy::Peer;
use crate::record::Record;
use crate::streams::{Stream, Streams};
use crate::timeline::{Micros, Timeline};
use crate::watch::Look;
use facts::Facts;

/// Resident memory of one job, at most.
const MEMORY_KB: u64 = 100 << 10;

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
    pub transactions: &'a [Transaction],
    /// Batches that were changed on Kafka's disk.
    pub corrupt: &'a [Corrupt],
    /// The topic, as Kafka has it in the end, without what was aborted.
    pub log: &'a [Logged],
    pub letters: &'a [ConsumerRecord],
    pub misdeeds: &'a [String],
    /// What was not delivered in the end.
    pub unsettled: Option<String>,
    /// From when on nothing was broken.
    pub quiet: Micros,
    pub sent: u64,
    pub faults: usize,
    /// At the jobs' status pages.
    pub looks: &'a [Look],
}

impl Evidence<'_> {
    /// Whether a record is in a batch that was changed on Kafka's disk.
    fn is_corrupt(&self, partition: i32, offset: i64) -> bool {
        let is_in = |c: &Corrupt| c.partition == partition && (c.first..=c.last).contains(&offset);
        self.corrupt.iter().any(is_in)
    }
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

/// What was found about each promise.
pub struct Verdict {
    headline: String,
    findings: Vec<(&'static str, Finding)>,
    /// By kind of fault: whether it was on the status page.
    shown: Vec<String>,
}

pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let facts = Facts::gather(evidence);
    let (on_the_page, shown) = shown::judge(evidence);
    Verdict {
        headline: format!(
            "{} records in Kafka ({} sent, {} acknowledged), {} faults, {} job processes, seconds since the first fault:",
            evidence.log.len(),
            evidence.sent,
            evidence.acknowledged.len(),
            evidence.faults,
            evidence.lives.len(),
        ),
        findings: vec![
            ("nothing lost", deliveries::lost(evidence, &facts)),
            ("in order", facts.order(evidence)),
            ("one call at a time", facts.one_at_a_time(evidence)),
            ("few repeats", repeats::judge(evidence, &facts)),
            ("dead letters", letters::judge(evidence, &facts)),
            ("no stall", stall::judge(evidence, &facts)),
            ("flat memory", memory(evidence)),
            ("ends well", ends_well(evidence)),
            ("on the status page", on_the_page),
        ],
        shown,
    }
}

impl Verdict {
    fn broken(&self) -> impl Iterator<Item = &(&'static str, Finding)> {
        self.findings
            .iter()
            .filter(|(_, finding)| !finding.violations.is_empty())
    }

    /// Whether all promises were kept.
    pub fn is_good(&self) -> bool {
        self.broken().next().is_none()
    }

    /// The table of the promises, with so many violations of each spelled out at most.
    pub fn text(&self, spelled_out: usize) -> String {
        let mut lines = vec![String::new(), self.headline.clone()];
        for (promise, finding) in &self.findings {
            let word = if finding.violations.is_empty() {
                "PASS"
            } else {
                "FAIL"
            };
            lines.push(format!("{word}  {promise:<18}  {}", finding.figures));
        }
        for (promise, Finding { violations, .. }) in self.broken() {
            lines.push(format!("\n{promise}: {} violations", violations.len()));
            lines.extend(
                violations
                    .iter()
                    .take(spelled_out)
                    .map(|violation| format!("- {violation}")),
            );
        }
        if !self.shown.is_empty() {
            lines.push("\nFaults on the status page:".into());
            lines.extend(self.shown.iter().map(|line| format!("      {line}")));
        }
        let failed = self.broken().count();
        lines.push(format!(
            "\n{} passed, {failed} failed",
            self.findings.len() - failed
        ));
        lines.join("\n")
    }
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
