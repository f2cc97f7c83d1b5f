//! Mistakes that people make in settings, and what they are told.

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
