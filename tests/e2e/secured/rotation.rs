//! Passwords and certificates that change while job runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::keys::encrypt;
use super::{assert_hidden, check, reads, send, with};
use crate::support::await_until;
use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, secured};
use crate::support::proxy::Proxy;
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
        flags = with(&flags, flag, value);
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

/// Waits for so many messages. job reads files again within seconds, for its next connections: each time that these
/// are cut it may have the new ones, or the old ones still. Two tests cut the same connections, and job is to join between.
#[track_caller]
fn await_with_cuts(comet: &Comet, proxy: &Proxy, messages: usize) {
    await_until("the next message", || {
        proxy.cut_all();
        let begun = Instant::now();
        while comet.calls().len() < messages {
            if begun.elapsed() > Duration::from_secs(20) {
                return Err("it did not come after these cuts".into());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    });
}

/// From a certificate of `names[0]` to one of `names[1]`. `encrypted`: with a key that only another password opens.
fn a_certificate_turns(names: [&str; 2], encrypted: bool) {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    let [old, new] = names.map(|name| format!("User:CN={name}"));
    secured.allow_all(&old, &topic);
    secured.allow_all("User:job", &topic);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let [certificate, key, password] =
        ["client.pem", "client.key", "password"].map(|name| folder.path().join(name));
    let install = |name: &str| {
        secured.make_certificate(name, &["--cn", name]);
        let plain = secured.secret(&format!("{name}.key"));
        match encrypted {
            true => {
                fs::write(&password, format!("sesame-{name}\n")).expect("written");
                encrypt(&plain, &password, &key);
            }
            false => drop(fs::copy(plain, &key).expect("written")),
        }
        fs::copy(secured.secret(&format!("{name}.pem")), &certificate).expect("written");
    };
    install(names[0]);
    let proxy = &secured.mutual_proxy;
    let flags = secured.flags_at(Listener::Mutual, &proxy.address());
    let flags = with(&flags, "--ssl-certificate-location", text(&certificate));
    let mut flags = with(&flags, "--ssl-key-location", text(&key));
    if encrypted {
        flags.extend(["--ssl-key-password-file", text(&password)].map(str::to_owned));
    }
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet).start();
    let writer = secured.flags(Listener::SaslSsl);
    send(&topic, &writer, "r1", "first");
    comet.await_delivered(1);
    topic.await_no_lag();

    // From now on only the new one may read.
    secured.allow_all(&new, &topic);
    install(names[1]);
    secured.take_all(&old);
    send(&topic, &writer, "r1", "second");
    await_with_cuts(&comet, proxy, 2);
    topic.await_no_lag();
    assert_hidden(&job, secured);
    assert!(!job.log().join("\n").contains("sesame"));
    job.stop();
    let texts: Vec<_> = comet.calls().iter().map(|call| call.text()).collect();
    assert_eq!(texts, ["first", "second"]);
}

#[test]
fn a_new_client_certificate_is_taken() {
    a_certificate_turns(["old", "new"], false);
}

#[test]
fn a_new_encrypted_key_and_its_password_are_taken() {
    a_certificate_turns(["sealed-old", "sealed-new"], true);
}

#[test]
fn a_new_ca_is_taken() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all("User:job", &topic);
    let hosts = ["--host", "localhost", "--host", "127.0.0.1"];
    let options = [&["--ca", "second", "--cn", "localhost"], &hosts[..]].concat();
    secured.make_certificate("renewed", &options);
    let [first, second] = ["ca.pem", "second.pem"].map(|name| secured.read_secret(name) + "\n");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca = folder.path().join("ca.pem");
    fs::write(&ca, &first).expect("written");

    let proxy = &secured.renewed_proxy;
    let flags = secured.flags_at(Listener::SaslSsl, &proxy.address());
    let flags = with(&flags, "--ssl-ca-location", text(&ca));
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet).start();
    let writer = secured.flags(Listener::SaslSsl);
    send(&topic, &writer, "r1", "first");
    comet.await_delivered(1);
    topic.await_no_lag();

    // Both CAs, then the broker's certificate, then the new CA alone.
    fs::write(&ca, format!("{first}{second}")).expect("written");
    secured.renew("renewed");
    send(&topic, &writer, "r1", "second");
    await_with_cuts(&comet, proxy, 2);
    fs::write(&ca, &second).expect("written");
    send(&topic, &writer, "r1", "third");
    await_with_cuts(&comet, proxy, 3);
    topic.await_no_lag();
    job.stop();
    let calls = comet.calls();
    let texts: BTreeSet<_> = calls.iter().map(|call| call.text()).collect();
    assert_eq!(
        texts,
        ["first", "second", "third"].map(str::to_owned).into()
    );

    // Who trusts the first one alone isn't let down by the broker: it does show the other certificate.
    fs::write(&ca, &first).expect("written");
    let said = check(&topic, &flags, &comet);
    assert!(
        said.out.contains("not from a CA that job trusts"),
        "{}",
        said.out
    );
}
