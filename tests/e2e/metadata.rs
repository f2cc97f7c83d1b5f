//! What goes along with each call, and what the log says of it.

use std::fs;
use std::path::Path;

use crate::support::comet::Comet;
use crate::support::kafka::{Version, shared};
use crate::support::messages::to_room;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

#[test]
fn metadata_goes_along_with_each_call_and_follows_its_file() {
    let topic = Topic::new(shared(Version::V4_3_1), 2);
    let comet = Comet::start();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let token = folder.path().join("token");
    write(&token, "Bearer first");
    let metadata = format!(
        "authorization=file:{},x-env=a-hidden-one,x-key-bin=AAEC/w==",
        token.display()
    );
    let mut job = topic
        .job(&[&comet])
        .env("JOB_COMET_METADATA", &metadata)
        .log_level("INFO")
        .start();
    let mut came = 0;
    let mut sends = |authorization: &str| {
        topic.produce((0..20).map(|n| to_room(&format!("r{n}"), "b")));
        comet.await_delivered(came + 20);
        for call in &comet.delivered()[came..] {
            assert_eq!(call.metadata("authorization"), [authorization.as_bytes()]);
            assert_eq!(call.metadata("x-env"), [b"a-hidden-one"]);
            assert_eq!(call.metadata("x-key-bin"), [[0, 1, 2, 255]]);
        }
        came += 20;
    };
    sends("Bearer first");

    write(&token, "Bearer second");
    job.await_line(&["INFO", "calls have a new value from now on: authorization"]);
    sends("Bearer second");

    write(&token, "Bearer \u{e4}");
    let kept = "Calls go on with what was read before";
    job.await_line(&[
        "WARN",
        "comet-metadata: authorization: ",
        "printable ASCII",
        kept,
    ]);
    sends("Bearer second");
    fs::remove_file(&token).expect("it is there");
    job.await_line(&[
        "WARN",
        "comet-metadata: authorization: ",
        "No such file",
        kept,
    ]);
    sends("Bearer second");
    write(&token, "Bearer third");
    // The first of these lines is about the second value.
    let changed = ["INFO", "calls have a new value from now on: authorization"];
    await_until("another value", || is(job.lines_with(&changed).len(), 2));
    sends("Bearer third");

    topic.await_no_lag();
    job.stop();
    let log = job.log().join("\n");
    for hidden in ["Bearer", "a-hidden-one", "AAEC"] {
        assert!(!log.contains(hidden), "{log}");
    }
    assert!(log.contains("x-env=(hidden)"), "{log}");
}

/// As whoever brings a new secret: there is no moment with half of it.
fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, format!("{text}\n")).expect("it can be written");
    fs::rename(new, path).expect("it can be renamed");
}
