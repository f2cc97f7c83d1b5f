//! Mistakes that people make in settings, and what they are told.

use std::net::TcpListener;
use std::process::Command;

use super::{folder, job, refused};

#[test]
fn what_was_meant_is_said_wherever_the_value_is_from() {
    let folder = folder();
    let brokers = "kafka-1:9092，kafka-2:9092";
    let says = "has '，' (U+FF0C): write a comma (',') instead";
    let text = refused(job(folder.path()).args(["check", "--brokers", brokers]));
    assert!(text.contains(says), "{text}");
    let text = refused(job(folder.path()).args(["dead-letter", "list", "--brokers", brokers]));
    assert!(text.contains(says), "{text}");
    let text = refused(job(folder.path()).env("JOB_BROKERS", brokers));
    assert!(text.contains(says), "{text}");
    std::fs::write(folder.path().join("job.toml"), "call-timeout = 5\n").expect("writes");
    let text = refused(&mut job(folder.path()));
    assert_eq!(
        text,
        "error: job.toml:1: call-timeout = 5: a time needs its unit: write 5s for seconds, or 5ms\n"
    );
}

#[test]
fn a_comet_whose_name_is_not_found_is_told_from_one_that_is_down() {
    let folder = folder();
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let closed = port.local_addr().expect("its address").to_string();
    drop(port);
    for (comet, advice) in [
        ("nowhere.invalid:50051", "getent ahosts NAME"),
        (&*closed, "Is the Comet running there"),
    ] {
        let args = ["check", "--brokers", &closed, "--comet", comet];
        let output = job(folder.path()).args(args).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines().skip_while(|line| !line.starts_with("✗ Comet"));
        let (what, next) = (lines.next(), lines.next());
        assert!(
            next.is_some_and(|next| next.contains(advice)),
            "{what:?} {next:?} in {text}"
        );
    }
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_refused_and_others_are_named() {
    let folder = folder();
    for command in [&["run"][..], &["check"], &["send", "--room", "r1", "hello"]] {
        let text = refused(
            job(folder.path())
                .args(command)
                .env("JOB_COMETS", "a:1")
                .env("JOB_NAME", "nightly"),
        );
        assert_eq!(
            text,
            "error: environment variable JOB_COMETS is no setting; did you mean JOB_COMET? Otherwise unset it for job\n"
        );
    }
    let output = job(folder.path())
        .args([
            "check",
            "--brokers",
            "127.0.0.1:1",
            "--comet",
            "127.0.0.1:1",
        ])
        .env("JOB_NAME", "nightly")
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("    ignored, as no settings of job: JOB_NAME\n"),
        "{text}"
    );
}

#[test]
fn too_few_open_files_are_called_by_their_name() {
    let folder = folder();
    for limit in ["6", "10", "24", "32"] {
        for command in ["run", "check", "send --room r1 hello", "dead-letter list"] {
            if limit != "6" && !["run", "check"].contains(&command) {
                continue;
            }
            let script = format!("ulimit -n {limit}; exec \"$0\" {command} --brokers 127.0.0.1:1");
            let output = Command::new("bash")
                .args(["-c", &script, env!("CARGO_BIN_EXE_job")])
                .current_dir(folder.path())
                .output()
                .expect("runs");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{script}: {text}");
            assert!(
                text.starts_with(&format!(
                    "error: the limit on open files is {limit}, and job needs "
                )) && text
                    .contains("Raise it: ulimit -n in a shell, LimitNOFILE in a systemd unit"),
                "{script}: {text}"
            );
        }
    }
}
