//! deploy/Dockerfile, compose.yml and kubernetes/: what they name exists in the binaries, and they agree with each other.

use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use serde_yaml_ng::Deserializer;

use super::environment::settings;
use super::read;

const PORT: u64 = 9093;
const KUBERNETES: &str = "deploy/kubernetes/";

/// A file's documents.
fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = Deserializer::from_str(&text);
    documents
        .map(|one| Value::deserialize(one).unwrap_or_else(|error| panic!("{path}: {error}")))
        .collect()
}

/// The document of that kind.
fn kind(path: &str, kind: &str) -> Value {
    let mut found = documents(&format!("{KUBERNETES}{path}"));
    found.retain(|one| one["kind"] == kind);
    assert_eq!(found.len(), 1, "{kind} in {path}");
    found.remove(0)
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter()
        .map(|one| one.as_str().unwrap_or_else(|| panic!("no text: {one}")))
        .collect()
}

/// job takes them, and these are all settings: `settings` fails where one isn't.
fn are_settings<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let variables: Vec<(&str, &str)> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with("JOB_") || name.starts_with("MUDUO_"))
        .collect();
    assert!(!variables.is_empty());
    let set = settings(&variables);
    for (name, _) in variables {
        if name.starts_with("JOB_") {
            assert!(set.values().any(|(_, from)| from == name), "{name}");
        }
    }
}

/// Each flag stands in the help.
fn are_flags(program: &str, command: &[&str], given: &[&str]) {
    let output = Command::new(program).args(command).arg("--help").output();
    let help = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let flags: Vec<&&str> = given.iter().filter(|one| one.starts_with("--")).collect();
    assert!(!flags.is_empty(), "{given:?}");
    for flag in flags {
        let known = help.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(flag)
        });
        assert!(known, "{program} {command:?} has no {flag}");
    }
}

/// An instruction's arguments in the last stage of the Dockerfile.
fn image(instruction: &str) -> String {
    let text = read("deploy/Dockerfile");
    let (_, stage) = text
        .rsplit_once("\nFROM scratch AS job\n")
        .expect("the last stage is job's");
    let lines: Vec<&str> = stage
        .lines()
        .filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '))
        .collect();
    assert_eq!(lines.len(), 1, "{instruction}");
    lines[0].to_owned()
}

#[test]
fn the_image_says_what_job_understands() {
    let variables = image("ENV");
    are_settings([variables.split_once('=').expect("NAME=value")]);
    assert!(variables.ends_with(&format!(":{PORT}")));
    assert_eq!(image("EXPOSE"), PORT.to_string());
    assert_eq!(image("STOPSIGNAL"), "SIGTERM");
    assert_eq!(image("USER"), "10001:10001");
    assert_eq!(image("ENTRYPOINT"), r#"["/usr/bin/job"]"#);
    let check = image("HEALTHCHECK");
    assert!(
        check.ends_with(r#" CMD ["/usr/bin/job", "status", "--health"]"#),
        "{check}"
    );
    are_flags(env!("CARGO_BIN_EXE_job"), &["status"], &["--health"]);
}

#[test]
fn what_the_image_is_built_from_is_not_left_out() {
    let kept = read("deploy/Dockerfile.dockerignore");
    let kept: Vec<&str> = kept
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    for path in kept.iter().chain(&["deploy/Dockerfile"]) {
        assert!(super::file(path).exists(), "{path}");
    }
    // cargo wants the files of all its targets.
    for folder in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "src",
        "tests",
        "benches",
        "protos",
        ".cargo",
    ] {
        assert!(kept.contains(&folder), "{folder}");
    }
}

#[test]
fn compose_names_what_is_there() {
    let compose = documents("deploy/compose.yml").remove(0);
    let services = &compose["services"];
    let job = &services["job"];
    let variables = job["environment"].as_object().expect("a map");
    are_settings(
        variables
            .iter()
            .map(|(name, value)| (&name[..], value.as_str().expect("text"))),
    );
    are_flags(
        env!("CARGO_BIN_EXE_dev-comet"),
        &[],
        &texts(&services["dev-comet"]["command"]),
    );
    assert_eq!(texts(&job["ports"]), [format!("127.0.0.1:{PORT}:{PORT}")]);
    for service in ["job", "dev-comet"] {
        let build = &services[service]["build"];
        let stage = format!(
            "\nFROM scratch AS {}\n",
            build["target"].as_str().expect("a stage")
        );
        assert!(read("deploy/Dockerfile").contains(&stage), "{stage}");
        assert_eq!(build["dockerfile"], "deploy/Dockerfile");
        assert_eq!(services[service]["read_only"], true);
    }
    // The names that it calls others by are services, and the Comet listens where job calls.
    let comet = variables["JOB_COMET"].as_str().expect("text");
    let (host, port) = comet.split_once(':').expect("host:port");
    assert!(services[host].is_object(), "{host}");
    assert!(texts(&services[host]["command"]).contains(&&format!("0.0.0.0:{port}")[..]));
    // Prometheus asks job where it serves; what is mounted is there.
    let scrape = compose["configs"]["prometheus"]["content"]
        .as_str()
        .expect("text");
    let scrape: Value = serde_yaml_ng::from_str(scrape).expect("YAML");
    assert_eq!(
        scrape["scrape_configs"][0]["static_configs"][0]["targets"][0],
        format!("job:{PORT}")
    );
    for service in ["prometheus", "grafana"] {
        for volume in texts(&services[service]["volumes"]) {
            let from = volume.split(':').next().expect("a path");
            assert!(super::file("deploy").join(from).exists(), "{volume}");
        }
        for config in services[service]["configs"].as_array().expect("a list") {
            let source = config["source"].as_str().expect("a name");
            let content = compose["configs"][source]["content"]
                .as_str()
                .expect(source);
            serde_yaml_ng::from_str::<Value>(content).expect("YAML");
        }
    }
}

#[test]
fn kubernetes_gives_settings_that_job_has() {
    let kustomization = documents("deploy/kubernetes/kustomization.yaml").remove(0);
    for path in texts(&kustomization["resources"]) {
        assert!(super::file(KUBERNETES).join(path).exists(), "{path}");
    }
    let map = &kustomization["configMapGenerator"][0];
    let mut variables: BTreeMap<&str, &str> = texts(&map["literals"])
        .into_iter()
        .map(|one| one.split_once('=').expect("NAME=value"))
        .collect();
    let set = kind("job.yaml", "StatefulSet");
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["envFrom"][0]["configMapRef"]["name"], map["name"]);
    for variable in container["env"].as_array().expect("a list") {
        let name = variable["name"].as_str().expect("a name");
        let value = variable["value"].as_str().unwrap_or("pod-0");
        variables.insert(name, value);
        if name == "JOB_GROUP_INSTANCE_ID" {
            assert_eq!(
                variable["valueFrom"]["fieldRef"]["fieldPath"],
                "metadata.name"
            );
        }
    }
    for name in ["JOB_GROUP_INSTANCE_ID", "JOB_BROKERS", "JOB_COMET"] {
        assert!(variables.contains_key(name), "{name}");
    }
    assert_eq!(variables["JOB_HTTP"], format!("0.0.0.0:{PORT}"));
    are_settings(variables.iter().map(|(name, value)| (*name, *value)));
    assert_eq!(texts(&container["args"]), ["run"]);

    // The name that job asks for is the headless Service of the Comets.
    let comets = kind("comets.yaml", "Service");
    assert_eq!(comets["spec"]["clusterIP"], "None");
    let asked = format!(
        "dns:///{}:{}",
        comets["metadata"]["name"].as_str().expect("a name"),
        comets["spec"]["ports"][0]["port"]
    );
    assert_eq!(variables["JOB_COMET"], asked);
}

#[test]
fn kubernetes_asks_where_job_answers() {
    let set = kind("job.yaml", "StatefulSet");
    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let port = &container["ports"][0];
    assert_eq!(port["containerPort"], PORT);
    for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(
            (&asked["path"], &asked["port"]),
            (&Value::from(path), &port["name"])
        );
    }
    // job has the time that it may take to stop.
    let stop = settings(&[])["shutdown-timeout"]
        .0
        .as_str()
        .expect("a time")
        .to_owned();
    let stop: u64 = stop.trim_end_matches('s').parse().expect("seconds");
    assert!(
        pod["terminationGracePeriodSeconds"]
            .as_u64()
            .expect("seconds")
            > stop
    );
    assert_eq!(pod["securityContext"]["runAsUser"], 10001);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);

    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let service = kind("job.yaml", "Service");
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    let budget = kind("job.yaml", "PodDisruptionBudget");
    let monitor = kind("servicemonitor.yaml", "ServiceMonitor");
    assert_eq!(
        monitor["spec"]["endpoints"][0]["port"],
        service["spec"]["ports"][0]["name"]
    );
    assert_eq!(monitor["spec"]["endpoints"][0]["path"], "/metrics");
    for selected in [
        &set["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &service["metadata"]["labels"],
        &budget["spec"]["selector"]["matchLabels"],
        &monitor["spec"]["selector"]["matchLabels"],
    ] {
        assert_eq!(selected, labels);
    }
    let scaled = kind("scaledobject.yaml", "ScaledObject");
    assert_eq!(scaled["spec"]["scaleTargetRef"]["kind"], set["kind"]);
    assert_eq!(
        scaled["spec"]["scaleTargetRef"]["name"],
        set["metadata"]["name"]
    );
}

#[test]
fn the_backlog_is_a_metric_of_jobs() {
    let scaled = kind("scaledobject.yaml", "ScaledObject");
    let query = scaled["spec"]["triggers"][0]["metadata"]["query"]
        .as_str()
        .expect("a query");
    let metric = query
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .find(|word| word.starts_with("job_"));
    let metric = metric.expect("it names a metric");
    // A test of the metrics writes this page.
    assert!(
        read("docs/METRICS.md").contains(&format!("| `{metric}` |")),
        "{metric}"
    );
    // Prometheus' operator names the scrape after the Service.
    let service = kind("job.yaml", "Service");
    let label = format!(
        "{{job=\"{}\"}}",
        service["metadata"]["name"].as_str().expect("a name")
    );
    assert!(query.contains(&label), "{query}");
}
