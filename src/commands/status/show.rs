//! The status for a terminal.

use std::fmt::Write;

use crate::base::text::{escape_first, one_line};
use crate::observe::status::{Delivery, Partition, Status, Verdict, conditions::lasting};

/// Bytes of a sentence that are shown.
const SENTENCE: usize = 600;
/// The last errors that are shown.
const ERRORS: usize = 8;
/// Of the series, the last minutes are shown as bars: one character a point.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const SHOWN_POINTS: usize = 60;

/// The status in lines. Escapes all text, because it came over the network.
pub fn show(status: &Status) -> String {
    let mut page = Page::default();
    head(&mut page, status);
    conditions(&mut page, status);
    delivery(&mut page, status);
    partitions(&mut page, status);
    comets(&mut page, status);
    workers(&mut page, status);
    errors(&mut page, status);
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // Memory takes everything.
        let _ = writeln!(self.0, "{text}");
    }

    /// A table: the first column to the left, the others to the right.
    fn table<const N: usize>(&mut self, head: [&str; N], rows: Vec<[String; N]>) {
        let head = head.map(str::to_owned);
        let all = || std::iter::once(&head).chain(&rows);
        let width = |column: usize| all().map(|row| row[column].chars().count()).max();
        let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
        self.0.push('\n');
        for row in all() {
            let mut line = format!("{:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(widths).skip(1) {
                let _ = write!(line, "  {cell:>width$}");
            }
            self.line(format_args!("{}", line.trim_end()));
        }
    }
}

fn head(page: &mut Page, status: &Status) {
    let verdict = |is: &str, verdict: &Verdict| match &verdict.why {
        _ if verdict.ok => is.to_owned(),
        Some(why) => format!("NOT {is} ({})", escape_first(why.as_bytes(), SENTENCE)),
        None => format!("NOT {is}"),
    };
    page.line(format_args!(
        "job {}, process {}, up for {}: group {}, topic {}",
        one_line(&status.version),
        status.process,
        lasting(status.uptime_seconds),
        one_line(&status.group),
        one_line(&status.topic)
    ));
    page.line(format_args!(
        "{}, {}",
        verdict("healthy", &status.healthy),
        verdict("ready", &status.ready)
    ));
}

fn conditions(page: &mut Page, status: &Status) {
    page.0.push('\n');
    if status.conditions.is_empty() {
        page.line(format_args!("Nothing stands in the way of messages."));
    }
    for condition in &status.conditions {
        let sentence = |text: &str| escape_first(text.as_bytes(), SENTENCE);
        page.line(format_args!(
            "{}: {}\n  {}\n  Do: {}",
            condition.severity.name().to_uppercase(),
            one_line(&condition.name),
            sentence(&condition.what),
            sentence(&condition.advice)
        ));
    }
}

fn delivery(page: &mut Page, status: &Status) {
    let Delivery {
        messages_per_second,
        read_per_second,
        p50_ms,
        p99_ms,
        since_read,
    } = &status.delivery;
    page.line(format_args!(
        "\nLast minute: {messages_per_second:.1} messages/s delivered, {read_per_second:.1} records/s read; from {} to Comet's \
         answer p50 {}, p99 {}",
        if *since_read { "reading" } else { "record" },
        millis(*p50_ms),
        millis(*p99_ms)
    ));
    let points = &status.series[status.series.len().saturating_sub(SHOWN_POINTS)..];
    if !points.is_empty() {
        let rates = points
            .iter()
            .map(|point| point.delivery.messages_per_second);
        let rates: Vec<f64> = rates.collect();
        let most = rates.iter().copied().fold(0.0, f64::max);
        page.line(format_args!(
            "messages/s   {}  at most {most:.1}",
            bars(&rates, most)
        ));
    }
    let (held, letters) = (&status.held, &status.dead_letters);
    let undecided = letters
        .to_replay
        .map_or_else(String::new, |messages| format!(", {messages} to decide on"));
    page.line(format_args!(
        "Held: {} of {} messages, {} of {}. Dead letters: {} written, {} waiting{undecided}",
        held.messages,
        held.messages_limit,
        bytes(held.bytes),
        bytes(held.bytes_limit),
        letters.written,
        letters.waiting
    ));
}

fn bars(values: &[f64], most: f64) -> String {
    let bar = |value: &f64| {
        let height = value / most.max(f64::MIN_POSITIVE) * (BARS.len() - 1) as f64;
        BARS[(height.round() as usize).min(BARS.len() - 1)]
    };
    values.iter().map(bar).collect()
}

/// A partition's number, and its topic where there are several.
fn name(partition: &Partition) -> String {
    match &partition.topic {
        Some(topic) => format!("{}[{}]", one_line(topic), partition.partition),
        None => partition.partition.to_string(),
    }
}

fn partitions(page: &mut Page, status: &Status) {
    let rows = status.partitions.iter().map(|partition| {
        [
            name(partition),
            or_dash(partition.lag),
            partition.lag_seconds.map_or_else(dash, lasting),
            partition.offset.to_string(),
            or_dash(partition.committed),
            partition.finished_above.to_string(),
            partition.held_up_seconds.map_or_else(dash, lasting),
        ]
    });
    page.table(
        [
            "PARTITION",
            "LAG",
            "LAG TIME",
            "OFFSET",
            "COMMITTED",
            "DONE ABOVE",
            "HELD UP",
        ],
        rows.collect(),
    );
}

fn comets(page: &mut Page, status: &Status) {
    let rows = status.comets.iter().map(|comet| {
        [
            one_line(&comet.address),
            one_line(&comet.state.replace('_', " ")),
            format!("{:.1}", comet.calls_per_second),
            format!("{:.1}", comet.failed_per_second),
            millis(comet.p99_ms),
            comet.calls_in_flight.to_string(),
            comet.missed.to_string(),
        ]
    });
    page.table(
        [
            "COMET",
            "STATE",
            "CALLS/S",
            "FAILED/S",
            "P99",
            "IN FLIGHT",
            "MISSED",
        ],
        rows.collect(),
    );
}

fn workers(page: &mut Page, status: &Status) {
    let rows = status.workers.iter().map(|worker| {
        [
            one_line(&worker.name),
            one_line(&worker.state),
            format!("{:.1}", worker.calls_per_second),
            worker.calls_in_flight.to_string(),
        ]
    });
    page.table(["WORKER", "STATE", "CALLS/S", "IN FLIGHT"], rows.collect());
}

fn errors(page: &mut Page, status: &Status) {
    if status.last_errors.is_empty() {
        return;
    }
    page.line(format_args!(
        "\nLast warnings and errors, the newest first:"
    ));
    for line in status.last_errors.iter().take(ERRORS) {
        page.line(format_args!(
            "{} {:<5} {}",
            one_line(&line.at),
            one_line(&line.level),
            escape_first(line.text.as_bytes(), SENTENCE)
        ));
    }
}

fn dash() -> String {
    "-".into()
}

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(dash, |value| value.to_string())
}

/// `0.8 ms`, `140 ms`, `2.5 s`.
fn millis(ms: Option<f64>) -> String {
    match ms {
        None => dash(),
        Some(ms) if ms < 10.0 => format!("{ms:.1} ms"),
        Some(ms) if ms < 1_000.0 => format!("{ms:.0} ms"),
        Some(ms) => format!("{:.1} s", ms / 1_000.0),
    }
}

fn bytes(bytes: u64) -> String {
    match bytes {
        ..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.0} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::status::{
        Comet, Condition, LoggedLine, Partition, Point, Severity, Worker,
    };

    #[test]
    fn all_that_is_known_is_shown_and_nothing_can_forge_a_line() {
        let mut status = Status {
            version: "1.2".into(),
            uptime_seconds: 600.0,
            group: "g\n\x1b[2J".into(),
            ..Status::default()
        };
        status.ready.why = Some("no Comet answers".into());
        status.healthy.ok = true;
        let empty = show(&status);
        assert!(empty.contains("Nothing stands in the way"), "{empty}");
        assert!(
            empty.contains("healthy, NOT ready (no Comet answers)"),
            "{empty}"
        );
        status.delivery.messages_per_second = 8.0;
        status.delivery.p99_ms = Some(40.0);
        assert!(show(&status).contains("; from record to Comet's answer p50 "));
        status.delivery.since_read = true;
        assert!(show(&status).contains("; from reading to Comet's answer p50 "));
        status.conditions = vec![Condition {
            name: "Comet out".into(),
            severity: Severity::Urgent,
            what: "a:1 takes nothing.\nURGENT: forged".into(),
            advice: "Start it.".into(),
        }];
        status.series = [0.0, 3.5, 7.0]
            .map(|messages_per_second| Point {
                delivery: Delivery {
                    messages_per_second,
                    ..Delivery::default()
                },
                ..Point::default()
            })
            .into();
        status.partitions = vec![Partition {
            partition: 3,
            lag: Some(17),
            lag_seconds: Some(42.0),
            held_up_seconds: Some(40.0),
            ..Partition::default()
        }];
        status.comets = vec![Comet {
            address: "a:1".into(),
            state: "catching_up".into(),
            p99_ms: Some(2_500.0),
            ..Comet::default()
        }];
        status.workers = vec![Worker {
            name: "worker-0".into(),
            state: "waits".into(),
            ..Worker::default()
        }];
        status.last_errors = vec![LoggedLine {
            at: "2026-11-23 06:49:37".into(),
            level: "WARN".into(),
            text: "x\x07".into(),
        }];
        let text = show(&status);
        for line in [
            "job 1.2, process 0, up for 10 min: group g\\n\\u{1b}[2J, topic ",
            "URGENT: Comet out",
            "  a:1 takes nothing.\\nURGENT: forged",
            "  Do: Start it.",
            "messages/s   ▁▅█  at most 7.0",
            "PARTITION  LAG  LAG TIME  OFFSET  COMMITTED  DONE ABOVE  HELD UP",
            "3           17      42 s       0          -           0     40 s",
            "a:1    catching up      0.0       0.0  2.5 s          0       0",
            "2026-11-23 06:49:37 WARN  x\\u{7}",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line}\nis not in\n{text}"
            );
        }
        assert!(!text.contains('\x1b'));
    }
}
