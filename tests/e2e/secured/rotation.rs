//! Passwords and certificates that change while job runs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{assert_hidden, reads, send};
use crate::support::await_until;
use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, secured};
use crate::support::topic::Topic;

fn text(path: &Path) -> &str {
    path.to_str().expect("a folder's name is text")
}

#[test]
fn a_new_password_is_taken() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all("User:turning", &topic);
    secured.allow_all("User:job", &topic);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let password = folder.path().join("password");
    let set = |text: &str| {
        let config = folder.path().join("config");
        fs::write(&config, format!("SCRAM-SHA-512=password={text}\n")).expect("written");
        let config = config.to_str().expect("text");
        let args = [
            "--alter",
            "--entity-type",
            "users",
            "--entity-name",
            "turning",
        ];
        let args = [&args[..], &["--add-config-file", config]].concat();
        let done = secured.kafka.tool("kafka-configs", &args);
        assert!(done.status.success(), "{done:?}");
        fs::write(&password, text).expect("written");
    };
    set("winter-2026");
    let proxy = &secured.sasl_ssl_proxy;
    let mut flags = secured.flags_at(Listener::SaslSsl, &proxy.address());
    for (flag, value) in [
        ("--sasl-username", "turning"),
        ("--sasl-password-file", text(&password)),
    ] {
        let at = flags.iter().position(|f| f == flag).expect("it is set");
        value.clone_into(&mut flags[at + 1]);
    }
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet).log_level("DEBUG").start();
    let writer = secured.flags(Listener::SaslSsl);
    send(&topic, &writer, "r1", "first");
    comet.await_delivered(1);
    topic.await_no_lag();

    set("spring-2027");
    proxy.cut_all();
    send(&topic, &writer, "r1", "second");
    comet.await_delivered(2);
    topic.await_no_lag();
    assert_hidden(&job, secured);
    let log = job.log().join("\n");
    assert!(!log.contains("winter-2026") && !log.contains("spring-2027"));
    job.stop();
    assert_eq!(comet.calls().len(), 2);
}

#[test]
fn a_new_client_certificate_is_taken() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all("User:CN=old", &topic);
    secured.allow_all("User:job", &topic);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [certificate, key] = ["client.pem", "client.key"].map(|name| folder.path().join(name));
    let install = |name: &str| {
        secured.make_certificate(name, &["--cn", name]);
        fs::copy(secured.secret(&format!("{name}.key")), &key).expect("written");
        fs::copy(secured.secret(&format!("{name}.pem")), &certificate).expect("written");
    };
    install("old");
    let proxy = &secured.mutual_proxy;
    let mut flags = secured.flags_at(Listener::Mutual, &proxy.address());
    for (flag, value) in [
        ("--ssl-certificate-location", text(&certificate)),
        ("--ssl-key-location", text(&key)),
    ] {
        let at = flags.iter().position(|f| f == flag).expect("it is set");
        value.clone_into(&mut flags[at + 1]);
    }
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet).start();
    let writer = secured.flags(Listener::SaslSsl);
    send(&topic, &writer, "r1", "first");
    comet.await_delivered(1);
    topic.await_no_lag();

    // From now on only the new one may read. job reads the files again within seconds, for its next connections: each
    // time that these are cut it may have the new one, or the old one still.
    secured.allow_all("User:CN=new", &topic);
    install("new");
    secured.take_all("User:CN=old");
    send(&topic, &writer, "r1", "second");
    await_until("the second message", || {
        proxy.cut_all();
        let begun = Instant::now();
        while comet.calls().len() < 2 {
            if begun.elapsed() > Duration::from_secs(5) {
                return Err("it did not come after these cuts".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
    topic.await_no_lag();
    job.stop();
    let texts: Vec<_> = comet.calls().iter().map(|call| call.text()).collect();
    assert_eq!(texts, ["first", "second"]);
}
