//! What is watched, in deploy/ and the documentation, against the metrics that there are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::list::{ALL, Kind, Metric};

fn read(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The words in a text that may be metrics of ours, by how they begin.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = [
        "job_",
        "process_",
        "kafka_consumed",
        "grpc_calls",
        "error_total",
    ];
    let is_ours = |word: &&str| ours.iter().any(|start| word.starts_with(start));
    // Prometheus' own word, in its configuration.
    words
        .filter(is_ours)
        .filter(|word| *word != "job_name")
        .collect()
}

fn is_there(name: &str) -> bool {
    let of = |metric: &Metric| match metric.kind {
        Kind::Histogram => name
            .strip_prefix(metric.name)
            .is_some_and(|rest| ["", "_bucket", "_sum", "_count"].contains(&rest)),
        _ => metric.name == name,
    };
    ALL.iter().any(of)
}

#[test]
fn what_is_watched_is_there() {
    for file in [
        "deploy/alerts.yml",
        "deploy/alerts.test.yml",
        "deploy/grafana-dashboard.json",
        "docs/METRICS.md",
    ] {
        let text = read(file);
        let names = names(&text);
        assert!(names.len() > 5, "{file}: {names:?}");
        let unknown: Vec<_> = names.iter().filter(|name| !is_there(name)).collect();
        assert!(unknown.is_empty(), "{file}: no such metrics: {unknown:?}");
    }
}

#[test]
fn the_dashboard_leaves_nothing_out() {
    let text = read("deploy/grafana-dashboard.json");
    let shown = names(&text);
    // Those of the service before, and one that says nothing by itself.
    let other = [
        "kafka_consumed_total",
        "grpc_calls_total",
        "process_virtual_memory_bytes",
    ];
    let is_shown = |metric: &&Metric| {
        shown.iter().any(|name| name.starts_with(metric.name)) || other.contains(&metric.name)
    };
    let missing: Vec<_> = ALL.iter().filter(|metric| !is_shown(metric)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Each alert of the rules, with its lines.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    let alerts = rules.split("- alert: ").skip(1);
    alerts
        .map(|alert| alert.split_once('\n').expect("more lines"))
        .collect()
}

#[test]
fn each_alert_is_tested_and_says_where_to_go_on() {
    let (rules, tests) = (read("deploy/alerts.yml"), read("deploy/alerts.test.yml"));
    let alerts = alerts(&rules);
    assert!(alerts.len() > 10, "{alerts:?}");
    for (name, lines) in alerts {
        let fires = format!(
            "{{expr: 'count(ALERTS{{alertname=\"{name}\",alertstate=\"firing\"}})', eval_time: "
        );
        let fires = tests.lines().filter(|line| line.contains(&fires));
        let (well, wrong): (Vec<_>, Vec<_>) =
            fires.partition(|line| line.ends_with("exp_samples: []}"));
        assert!(!well.is_empty() && !wrong.is_empty(), "{name} has no test");

        let runbook = lines.split_once("runbook: \"").expect(name).1;
        let (place, rest) = runbook.split_at(runbook.find([',', '.', '"']).expect(name));
        // The file's name has a dot itself.
        let (place, rest) = match rest.strip_prefix(".md") {
            Some(rest) => {
                let end = rest.find([',', '.', '"']).expect(name);
                (format!("{place}.md{}", &rest[..end]), &rest[end..])
            }
            None => (place.to_owned(), rest),
        };
        let (file, anchor) = place.split_once('#').unwrap_or((&place, ""));
        let text = read(file);
        let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
        let mut anchors = headings.map(|heading| heading.to_lowercase().replace(' ', "-"));
        assert!(
            anchor.is_empty() || anchors.any(|found| found == anchor),
            "{name}: {place} isn't there"
        );
        if anchor == "conditions" {
            let condition = rest.trim_start_matches([',', ' ']);
            let condition = condition.split('.').next().expect(name);
            assert!(
                text.contains(&format!("| {condition} |")),
                "{name}: no condition {condition:?}"
            );
        }
    }
}
