//! scripts/job.env, through `job config`.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use super::read;

/// The settings in force with these variables: of each key, its value and the variable that it is from.
pub fn settings(variables: &[(&str, &str)]) -> BTreeMap<String, (Value, Value)> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut job = Command::new(env!("CARGO_BIN_EXE_job"));
    job.args(["config", "--json"])
        .env_clear()
        .current_dir(folder.path());
    let output = job
        .envs(variables.iter().copied())
        .output()
        .expect("job runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        shown["ignored"],
        Value::Array(Vec::new()),
        "no settings of job's"
    );
    let settings = shown["settings"].as_array().expect("a list");
    let key = |setting: &Value| setting["key"].as_str().unwrap_or_default().to_owned();
    settings
        .iter()
        .map(|one| (key(one), (one["value"].clone(), one["from"].clone())))
        .collect()
}

#[test]
fn what_stands_as_a_comment_is_the_default() {
    let text = read("scripts/job.env");
    let comments = text.lines().filter_map(|line| line.strip_prefix("#JOB_"));
    let variables: Vec<(String, &str)> = comments
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("JOB_{name}"), value))
        .collect();
    assert!(variables.len() > 5, "{variables:?}");
    let given: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (&name[..], *value))
        .collect();
    let (defaults, set) = (settings(&[]), settings(&given));
    for (name, value) in &given {
        // It has no default.
        if value.is_empty() {
            continue;
        }
        let from = Value::from(*name);
        let found = set.iter().find(|(_, (_, variable))| *variable == from);
        let (key, (value, _)) = found.unwrap_or_else(|| panic!("{name} sets nothing"));
        assert_eq!(*value, defaults[key].0, "{name}");
    }
}
