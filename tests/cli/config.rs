//! `job config`: what is in force and where it is from, and a file with all settings.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{folder, job};

/// What a command prints that ends well.
fn printed(command: &mut Command) -> String {
    let output = command.output().expect("job runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).expect("text")
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("writes");
}

/// `job config` where each kind of source sets something.
fn from_everywhere(folder: &Path) -> Command {
    write(folder, "sasl-password", "from systemd");
    let file = "topic = ['chat', 'rooms']\ngroup = \"it's \\\"mine\\\"\"\nsecurity-protocol = 'SASL_PLAINTEXT'\n\
                sasl-mechanism = 'PLAIN'\nsasl-username = 'job'\n";
    write(folder, "job.toml", file);
    let mut job = job(folder);
    job.args(["config", "--threads", "8"]);
    job.envs([("JOB_WINDOW", "12"), ("JOB_NAME", "of Jenkins")]);
    job.env("CREDENTIALS_DIRECTORY", folder);
    job
}

/// The line of a setting, without the spaces before its remark.
fn line(text: &str, key: &str) -> String {
    let lines = text.lines();
    let mut own = lines.filter(|line| {
        line.trim_start_matches('#')
            .starts_with(&format!("{key} = "))
    });
    let line = own.next().unwrap_or_else(|| panic!("no {key} in {text}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_value_is_shown_with_where_it_is_from() {
    let folder = folder();
    let text = printed(&mut from_everywhere(folder.path()));
    let password = folder.path().join("sasl-password");
    for (key, expected) in [
        (
            "brokers",
            "brokers = [\"localhost:9092\"] # default".to_owned(),
        ),
        (
            "topic",
            "topic = [\"chat\", \"rooms\"] # job.toml".to_owned(),
        ),
        (
            "group",
            "group = \"it's \\\"mine\\\"\" # job.toml".to_owned(),
        ),
        ("threads", "threads = 8 # --threads".to_owned()),
        ("window", "window = 12 # JOB_WINDOW".to_owned()),
        ("client-rack", "#client-rack = none # default".to_owned()),
        (
            "sasl-password-file",
            format!(
                "sasl-password-file = \"{}\" # credential sasl-password",
                password.display()
            ),
        ),
    ] {
        assert_eq!(line(&text, key), expected);
    }
    assert!(text.starts_with("# File: job.toml\n"), "{text}");
    assert!(
        text.contains("# Ignored, as no setting of job: JOB_NAME\n"),
        "{text}"
    );
}

#[test]
fn what_is_shown_is_a_file_that_sets_the_same() {
    let folder = folder();
    let values = |shown: &str| {
        let shown: Value = serde_json::from_str(shown).expect("JSON");
        let settings = shown["settings"].as_array().expect("a list").iter();
        settings
            .map(|one| (one["key"].clone(), one["value"].clone()))
            .collect::<Vec<_>>()
    };
    let before = printed(from_everywhere(folder.path()).arg("--json"));
    let text = printed(&mut from_everywhere(folder.path()));
    write(folder.path(), "again.toml", &text);
    let mut again = job(folder.path());
    let after = printed(again.args(["config", "--json", "--config", "again.toml"]));
    assert_eq!(values(&before), values(&after));
    let origin = |key: &str| {
        let shown: Value = serde_json::from_str(&before).expect("JSON");
        let settings = shown["settings"].as_array().expect("a list").clone();
        let own = settings
            .into_iter()
            .find(|one| one["key"] == key)
            .expect("it is there");
        (own["kind"].clone(), own["from"].clone())
    };
    for (key, kind, from) in [
        ("brokers", "default", Value::Null),
        ("topic", "file", "job.toml".into()),
        ("threads", "flag", "--threads".into()),
        ("window", "environment", "JOB_WINDOW".into()),
        ("sasl-password-file", "credential", "sasl-password".into()),
    ] {
        assert_eq!(origin(key), (kind.into(), from), "{key}");
    }
}

#[test]
fn a_secret_is_never_shown() {
    let folder = folder();
    for more in [&[][..], &["--json"]] {
        // It wins over the credential.
        let mut job = from_everywhere(folder.path());
        let text = printed(job.env("JOB_SASL_PASSWORD", "tr0ub4dor").args(more));
        assert!(!text.contains("tr0ub4dor"), "{text}");
        assert!(
            text.contains("(hidden)") && text.contains("JOB_SASL_PASSWORD"),
            "{text}"
        );
        assert!(!text.contains("from systemd"), "{text}");
    }
}

#[test]
fn an_example_can_be_had_whatever_the_settings_are() {
    let folder = folder();
    write(folder.path(), "job.toml", "threads = 'many'\n");
    let example = printed(job(folder.path()).args(["config", "--example"]));
    assert!(example.contains("\n#threads = 4\n"), "{example}");
    // It can take the wrong one's place: it sets nothing yet.
    write(folder.path(), "job.toml", &example);
    let text = printed(job(folder.path()).arg("config"));
    assert_eq!(line(&text, "threads"), "threads = 4 # default");
}
