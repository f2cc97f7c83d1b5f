//! OAUTHBEARER: tokens of an OAuth server.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use super::{arrived, await_arrived, check, command, reads, send, with};
use crate::support::comet::{Answer, Comet};
use crate::support::job::Job;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, Secured, secured};
use crate::support::tokens::{SECRET, SUBJECT, TokenEndpoint};
use crate::support::topic::Topic;
use crate::support::{await_until, free_port, is};
use grpcio::RpcStatusCode;

/// Seconds: longer than any test.
const HOUR: u64 = 3_600;

fn with_tls(secured: &Secured) -> TokenEndpoint {
    let files = ["server.pem", "server.key"].map(|name| secured.secret(name));
    TokenEndpoint::start(HOUR, Some(files))
}

/// Nothing of the secret, and no token, is in what job said.
#[track_caller]
fn assert_hidden(text: &str) {
    assert!(
        !text.contains(SECRET) && !text.contains("eyJ"),
        "a secret shows"
    );
}

#[track_caller]
fn assert_log_hidden(job: &Job) {
    assert_hidden(&format!("{}\n{}", job.log().join("\n"), job.command_line()));
}

fn works(version: Version) {
    let secured = secured(version);
    let topic = Topic::new(&secured.kafka, 2);
    let tokens = with_tls(secured);
    let flags = secured.oauth_flags_at(&secured.address(Listener::SaslSsl), &tokens);
    let comet = Comet::start();
    let said = check(&topic, &flags, &comet).out;
    let who = format!("--allow-principal User:{SUBJECT}");
    assert!(said.contains(&who), "{said}");
    secured.allow_all(&format!("User:{SUBJECT}"), &topic);
    comet.answer(|call| match call.room.as_str() {
        "refused" => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        _ => Answer::Ok,
    });
    let said = check(&topic, &flags, &comet).well();
    assert!(said.contains(&format!("✓ topic {}", topic.name)), "{said}");
    assert_hidden(&said);
    send(&topic, &flags, "r1", "first");
    send(&topic, &flags, "refused", "buried");

    let before = tokens.given();
    let mut job = reads(&topic, &flags, &comet).log_level("TRACE").start();
    comet.await_delivered(1);
    topic.await_dead_letters(1);
    topic.await_no_lag();
    // All its connections share one.
    assert_eq!(tokens.given(), before + 1);
    assert_log_hidden(&job);
    job.stop();
    assert_eq!(arrived(&comet), (["first".to_owned()].into(), 1));
    let list = command(&["dead-letter", "list"], &flags, &["--topic", &topic.name]).well();
    assert!(list.contains("refused"), "{list}");
}

#[test]
fn tokens_let_job_in() {
    works(Version::V3_9_1);
}

#[test]
fn tokens_let_job_in_with_kafka_4() {
    works(Version::V4_3_1);
}

#[test]
fn a_token_that_expired_is_replaced() {
    const LIFE: u64 = 3;
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all(&format!("User:{SUBJECT}"), &topic);
    secured.allow_all("User:job", &topic);
    let tokens = TokenEndpoint::start(LIFE, None);
    let proxy = &secured.sasl_ssl_proxy;
    let flags = secured.oauth_flags_at(&proxy.address(), &tokens);
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet).start();
    let writer = secured.flags(Listener::SaslSsl);
    send(&topic, &writer, "r1", "first");
    comet.await_delivered(1);
    topic.await_no_lag();

    let (given, then) = (tokens.given(), SystemTime::now());
    await_until("the end of all these tokens", || {
        is(
            then.elapsed().unwrap_or_default() > Duration::from_secs(LIFE),
            true,
        )
    });
    proxy.cut_all();
    send(&topic, &writer, "r1", "second");
    await_arrived(
        &comet,
        &BTreeSet::from(["first", "second"].map(str::to_owned)),
    );
    topic.await_no_lag();
    assert!(tokens.given() > given);
    job.stop();
}

#[test]
fn a_new_secret_is_taken() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    secured.allow_all(&format!("User:{SUBJECT}"), &topic);
    let tokens = with_tls(secured);
    let flags = secured.oauth_flags_at(&secured.address(Listener::SaslSsl), &tokens);
    send(&topic, &flags, "r1", "first");
    tokens.write_secret("barley");
    let comet = Comet::start();
    let mut job = reads(&topic, &flags, &comet).start();
    job.await_line(&["no token from https://", "status 401 (invalid_client)"]);
    assert!(tokens.refused() > 0);
    tokens.write_secret(SECRET);
    comet.await_delivered(1);
    topic.await_no_lag();
    assert!(!job.log().join("\n").contains("barley"));
    assert_log_hidden(&job);
    job.stop();
}

#[test]
fn check_names_what_keeps_job_from_a_token() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    let comet = Comet::start();
    let (good, dead) = (with_tls(secured), TokenEndpoint::start(0, None));
    let address = secured.address(Listener::SaslSsl);
    let flags = secured.oauth_flags_at(&address, &good);
    let url = "--sasl-oauthbearer-token-endpoint-url";
    let nowhere = format!("http://127.0.0.1:{}/token", free_port());
    // The broker's own listener is no HTTP server.
    let no_http = format!("http://{address}/token");
    secured.make_certificate("elsewhere", &["--ca", "abroad", "--host", "127.0.0.1"]);
    let abroad = ["elsewhere.pem", "elsewhere.key"].map(|name| secured.secret(name));
    let abroad = TokenEndpoint::start(HOUR, Some(abroad));
    let cases: [(&str, Vec<String>, &[&str]); 5] = [
        (
            "another client",
            with(&flags, "--sasl-oauthbearer-client-id", "stranger"),
            &["status 401 (invalid_client)", "sasl-oauthbearer-client-id"],
        ),
        (
            "nobody is there",
            with(&flags, url, &nowhere),
            &["no token from", "Connection refused", "endpoint-url"],
        ),
        (
            "no HTTP",
            with(&flags, url, &no_http),
            &["no token from", "endpoint-url"],
        ),
        (
            "another CA",
            with(&flags, url, &abroad.url),
            &["no token from", "TLS failed", "Set ssl-ca-location"],
        ),
        (
            "an expired token",
            secured.oauth_flags_at(&address, &dead),
            &["doesn't let job-client in", "broker expects of a token"],
        ),
    ];
    for (what, flags, says) in cases {
        let ended = check(&topic, &flags, &comet);
        let said = format!("{}{}", ended.out, ended.err);
        assert_ne!(ended.code, Some(0), "{what}: {said}");
        for part in says {
            assert!(said.contains(part), "{what}: {part:?} is not in:\n{said}");
        }
        assert_hidden(&said);
    }
}
