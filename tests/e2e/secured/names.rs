//! ssl-endpoint-identification-algorithm: whose certificate is taken.

use super::{check, reads, with};
use crate::support::comet::Comet;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, secured};
use crate::support::topic::Topic;

#[test]
fn what_is_given_up_without_names_is_said() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all("User:job", &topic);
    let flags = secured.flags(Listener::OtherName);
    let comet = Comet::start();
    let said = check(&topic, &flags, &comet).well();
    assert!(said.contains("! TLS: ssl-endpoint"), "{said}");
    let mut job = reads(&topic, &flags, &comet).start();
    job.await_line(&["WARN", "ssl-endpoint-identification-algorithm = none"]);
    job.stop();

    let named = secured.flags(Listener::SaslSsl);
    let said = check(&topic, &named, &comet).well();
    assert!(!said.contains("! TLS"), "{said}");
}

#[test]
fn the_ca_counts_without_names_too() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.make_certificate("unknown", &["--ca", "foreign"]);
    let flags = secured.flags(Listener::OtherName);
    let flags = with(&flags, "--ssl-ca-location", &secured.secret("foreign.pem"));
    let comet = Comet::start();
    let said = check(&topic, &flags, &comet);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let cause = "not from a CA that job trusts";
    assert!(said.out.contains(cause), "{}", said.out);
    // krafka's connections don't get through either.
    let mut job = reads(&topic, &flags, &comet).start();
    job.await_line(&["TLS to Kafka at", cause]);
    job.kill();
}
