//! The page against the figures, and the documentation against the page.

mod deploy;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::list::{ALL, Kind};
use super::*;
use crate::figures::{
    Account, Behind, CometAccount, GroupAccount, Method, Seen, Standing, Undecided,
};
use crate::message::{Cause, CometId, Held, PartitionId, Status, TopicId, Topics};

/// Figures in which everything happened.
fn source() -> Source {
    let limit = Held {
        messages: 4_000,
        bytes: 32 << 20,
    };
    let figures = Figures::new(&["a:1".into(), "b:1".into()], 2, limit);
    let consumer = &figures.consumer;
    let seven = PartitionId::of_first(7);
    consumer.begin(seven);
    consumer.read(seven, 10, 1_000);
    consumer.ends([(seven, 110)], Instant::now());
    consumer.holds(Held {
        messages: 3,
        bytes: 300,
    });
    consumer.spared.add(6);
    consumer.room_list(CometId(0), Some(Instant::now()));
    consumer.undecodable.add(1);
    consumer.failures.add(2);
    consumer.reconnects.add(1);
    let worker = &figures.workers[1];
    let down = Status::new(14, "gone");
    for comet in [0, 1].map(CometId) {
        for _ in 0..3 {
            worker.of(comet).starts();
            worker.carries(2);
        }
        worker
            .of(comet)
            .ends(Method::PushMsg, Duration::from_millis(4), &Ok(()));
        worker
            .of(comet)
            .ends(Method::PushMsg, Duration::from_secs(90), &Err(down.clone()));
        worker.of(comet).tries_again(14);
        worker.of(comet).drops();
    }
    worker.of(CometId(0)).sees(Seen::Down);
    worker.delivered(40);
    worker.delivered_since_read(20);
    figures.letters.written(Cause::Refused);
    figures.letters.waiting.set(5);
    let undecided = Undecided {
        messages: 2,
        oldest_ms: Some(0),
    };
    figures.letters.undecided(TopicId(0), undecided);
    figures.group.assigned.add(2);
    figures.group.failed_commits.add(1);
    figures.group.publish(GroupAccount {
        is_member: true,
        partitions: vec![Account {
            partition: seven,
            watermark: 100,
            end: Some(110),
            behind: Instant::now()
                .checked_sub(Duration::from_secs(7))
                .map_or(Behind::Unknown, Behind::Since),
            committed: Some(90),
            finished_above: 4,
            held_up_since: Instant::now().checked_sub(Duration::from_secs(5)),
        }],
        comets: vec![
            CometAccount::default(),
            CometAccount {
                standing: Standing::Detached,
                missed: 6,
                caught_up: 1,
            },
        ]
        .into(),
        delivered: 12,
        too_old: 8,
        ..GroupAccount::default()
    });
    Source {
        figures: Arc::new(figures),
        topics: Topics::new(["chat".to_owned()]),
        group: "job \"1\"".into(),
        dead_letter_topics: vec!["chat.dead-letter".into()],
    }
}

#[test]
fn what_was_counted_is_on_the_page() {
    let page = Metrics::new(source()).page(Form::Prometheus);
    for line in [
        "job_records_consumed_total{topic=\"chat\",partition=\"7\"} 10",
        "job_bytes_consumed_total{topic=\"chat\",partition=\"7\"} 1000",
        "job_decode_failures_total 1",
        "job_lag_records{topic=\"chat\",partition=\"7\"} 10.0",
        "job_committed_offset{topic=\"chat\",partition=\"7\"} 90.0",
        "job_finished_above_watermark 4.0",
        "job_messages_held 3.0",
        "job_bytes_held_limit 33554432.0",
        "job_paused 0.0",
        "job_assigned_partitions 1.0",
        "job_rebalances_total{kind=\"assigned\"} 2",
        "job_kafka_reconnects_total 1",
        "job_calls_total{comet=\"a:1\",method=\"PushMsg\",status=\"OK\"} 1",
        "job_calls_total{comet=\"b:1\",method=\"PushMsg\",status=\"UNAVAILABLE\"} 1",
        "job_calls_in_flight{comet=\"a:1\"} 1.0",
        "job_call_duration_seconds_bucket{comet=\"a:1\",method=\"PushMsg\",le=\"0.0025\"} 0",
        "job_call_duration_seconds_bucket{comet=\"a:1\",method=\"PushMsg\",le=\"0.005\"} 1",
        "job_call_duration_seconds_bucket{comet=\"a:1\",method=\"PushMsg\",le=\"+Inf\"} 2",
        "job_call_duration_seconds_count{comet=\"a:1\",method=\"PushMsg\"} 2",
        "job_messages_per_call_sum 12.0",
        "job_messages_delivered_total 12",
        "job_group_member 1.0",
        "job_delivery_latency_seconds_sum 0.04",
        "job_read_to_answer_seconds_sum 0.02",
        "job_retries_total{comet=\"b:1\",status=\"UNAVAILABLE\"} 1",
        "job_dropped_total{comet=\"b:1\"} 1",
        "job_comet_state{comet=\"a:1\",state=\"down\"} 1.0",
        "job_comet_state{comet=\"a:1\",state=\"up\"} 0.0",
        "job_comet_state{comet=\"b:1\",state=\"detached\"} 1.0",
        "job_comet_missed_records{comet=\"b:1\"} 6.0",
        "job_caught_up_total{comet=\"b:1\"} 1",
        "job_dead_letters_total{reason=\"refused\"} 1",
        "job_dead_letters_waiting 5.0",
        "job_dead_letters_to_replay{topic=\"chat.dead-letter\"} 2.0",
        "job_skipped_total{reason=\"too_old\"} 8",
        "kafka_consumed_total{topic=\"chat\",consumer_group=\"job \\\"1\\\"\",service=\"job\"} 10",
        "grpc_calls_total{method=\"PushMsg\",status=\"success\",service=\"job\"} 2",
        "grpc_calls_total{method=\"PushMsg\",status=\"failure\",service=\"job\"} 2",
        "error_total{error_type=\"kafka_error\",service=\"job\"} 3",
        "# TYPE job_calls_total counter",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line} isn't in\n{page}"
        );
    }
    for (name, least) in [
        ("job_oldest_unfinished_seconds ", 5.0),
        ("job_lag_seconds{topic=\"chat\",partition=\"7\"} ", 7.0),
    ] {
        let mut values = page.lines().filter_map(|line| line.strip_prefix(name));
        let seconds = values.next().and_then(|value| value.parse::<f64>().ok());
        let is_so = seconds.is_some_and(|seconds| seconds >= least && seconds < least + 60.0);
        assert!(is_so, "{name}{seconds:?}");
    }
}

#[test]
fn a_client_gets_the_form_that_it_asks_for() {
    let accepts = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5";
    assert_eq!(Form::accepted(accepts), Form::OpenMetrics);
    assert_eq!(Form::accepted("*/*"), Form::Prometheus);
    let page = Metrics::new(source()).page(Form::OpenMetrics);
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(page.contains("# TYPE job_calls counter\n"), "{page}");
    assert!(page.contains("\njob_decode_failures_total 1\n"), "{page}");
}

/// So that none is in the list that nothing feeds, and none has labels that the list doesn't tell of.
#[test]
fn the_page_has_what_the_list_says() {
    let page = Metrics::new(source()).page(Form::Prometheus);
    let mut found = BTreeSet::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let end = line.find(['{', ' ']).expect("a value");
        let metric = ALL.iter().find(|metric| match metric.kind {
            Kind::Histogram => line[..end]
                .strip_prefix(metric.name)
                .is_some_and(|rest| ["_bucket", "_sum", "_count"].contains(&rest)),
            _ => metric.name == &line[..end],
        });
        let metric = metric.unwrap_or_else(|| panic!("no metric is listed for {line}"));
        for label in metric.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
        found.insert(metric.name);
    }
    let listed: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(found, listed);
    assert_eq!(listed.len(), ALL.len(), "a name is there twice");
}

/// Renders docs/METRICS.md's table.
fn table() -> String {
    let row = |metric: &list::Metric| {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let (name, kind) = (metric.name, metric.kind.name());
        format!(
            "| `{name}` | {kind} | {} | {} |\n",
            labels.join(", "),
            metric.help
        )
    };
    let head = "| metric | kind | labels | meaning |\n|---|---|---|---|\n".to_owned();
    head + &ALL.iter().map(row).collect::<String>()
}

#[test]
fn the_documentation_has_the_metrics() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let text = std::fs::read_to_string(&path).expect("docs/METRICS.md is there");
    let start = text.find("| metric |").expect("it has a table");
    let end = text[start..]
        .find("\n\n")
        .map_or(text.len(), |end| start + end + 1);
    if text[start..end] == table() {
        return;
    }
    if std::env::var_os("WRITE_METRICS").is_some() {
        let new = format!("{}{}{}", &text[..start], table(), &text[end..]);
        std::fs::write(&path, new).expect("it can be written");
        return;
    }
    panic!(
        "docs/METRICS.md is not what the list of metrics says. Write it anew: \
         WRITE_METRICS=1 cargo test --lib the_documentation_has_the_metrics"
    );
}

/// The Chinese page is written by hand: it has the same metrics, kinds and labels.
#[test]
fn the_chinese_page_has_the_same_metrics() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.zh-CN.md");
    let text = std::fs::read_to_string(&path).expect("docs/METRICS.zh-CN.md is there");
    // All but the last cell, which is the meaning.
    let facts = |row: &str| row.rsplitn(3, " | ").last().unwrap_or_default().to_owned();
    let rows = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        rows.map(facts).collect()
    };
    assert_eq!(rows(&text), rows(&table()));
}
