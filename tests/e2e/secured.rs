//! A Kafka with TLS, SASL and ACLs: job delivers from it, says what keeps it out, and goes on when that is mended.

mod acls;
mod keys;
mod names;
mod oauth;
mod refused;
mod rotation;

use std::collections::BTreeSet;

use crate::support::comet::{Answer, Comet};
use crate::support::command::{Ended, job};
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, Secured, secured};
use crate::support::topic::Topic;
use crate::support::{await_until, is};
use grpcio::RpcStatusCode;

/// One of job's commands, with these flags.
fn command(words: &[&str], flags: &[String], more: &[&str]) -> Ended {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    job(&[words, &flags, more].concat())
}

/// The flags with another value for one of them.
#[track_caller]
fn with(flags: &[String], flag: &str, value: &str) -> Vec<String> {
    let mut flags = flags.to_vec();
    let at = flags.iter().position(|f| f == flag).expect("it is set");
    value.clone_into(&mut flags[at + 1]);
    flags
}

/// A job that reads this topic for a Comet.
fn reads(topic: &Topic<'_>, flags: &[String], comet: &Comet) -> JobCommand {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    JobCommand::new()
        .args(&flags)
        .flag("--topic", &topic.name)
        .flag("--group", &topic.group)
        .flag("--comet", &comet.address())
}

fn send(topic: &Topic<'_>, flags: &[String], room: &str, text: &str) {
    command(
        &["send"],
        flags,
        &["--topic", &topic.name, "--room", room, text],
    )
    .well();
}

fn check(topic: &Topic<'_>, flags: &[String], comet: &Comet) -> Ended {
    let comet = comet.address();
    let (name, group) = (topic.name.as_str(), topic.group.as_str());
    command(
        &["check"],
        flags,
        &["--topic", name, "--group", group, "--comet", &comet],
    )
}

/// What arrived, and how often anything arrived.
fn arrived(comet: &Comet) -> (BTreeSet<String>, usize) {
    let calls = comet.calls();
    let delivered = calls.iter().filter(|call| call.room != "refused");
    let texts: Vec<_> = delivered.map(|call| call.text()).collect();
    (texts.iter().cloned().collect(), texts.len())
}

/// Waits until all of these arrived; some may have come again.
#[track_caller]
fn await_arrived(comet: &Comet, expected: &BTreeSet<String>) {
    await_until("the messages", || is(arrived(comet).0, expected.clone()));
}

/// Nothing of these secrets is in what job said, nor in the list of processes.
#[track_caller]
fn assert_hidden(job: &Job, secured: &Secured) {
    let log = job.log().join("\n");
    assert_text_hidden(&format!("{log}\n{}", job.command_line()), secured);
}

#[track_caller]
fn assert_text_hidden(text: &str, secured: &Secured) {
    let key = secured.read_secret("client.key");
    let key = key.lines().nth(1).expect("a line of the key");
    for secret in [&secured.read_secret("password")[..], key] {
        assert!(!text.contains(secret), "a secret shows");
    }
}

/// Writes, reads, commits, buries and lists: the whole of job's work.
fn works(version: Version, listener: Listener, principal: &str) {
    let secured = secured(version);
    let topic = Topic::new(&secured.kafka, 2);
    secured.allow_all(principal, &topic);
    let flags = secured.flags(listener);
    let comet = Comet::start();
    comet.answer(|call| match call.room.as_str() {
        "refused" => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        _ => Answer::Ok,
    });
    let said = check(&topic, &flags, &comet).well();
    assert!(said.contains(&format!("✓ topic {}", topic.name)), "{said}");

    send(&topic, &flags, "r1", "first");
    send(&topic, &flags, "refused", "buried");
    let mut job = reads(&topic, &flags, &comet).log_level("TRACE").start();
    comet.await_delivered(1);
    topic.await_dead_letters(1);
    topic.await_no_lag();
    assert_hidden(&job, secured);
    job.stop();

    // Nothing is repeated after a restart: the commit was taken.
    let mut job = reads(&topic, &flags, &comet).start();
    send(&topic, &flags, "r1", "second");
    comet.await_delivered(2);
    topic.await_no_lag();
    job.stop();
    let expected = ["first", "second"].map(str::to_owned);
    assert_eq!(arrived(&comet), (BTreeSet::from(expected), 2));

    let list = command(&["dead-letter", "list"], &flags, &["--topic", &topic.name]).well();
    assert!(list.contains("refused"), "{list}");
    let said = check(&topic, &flags, &comet).well();
    assert!(said.contains("0 messages waiting"), "{said}");
}

#[test]
fn tls_works() {
    works(Version::V3_9_1, Listener::Ssl, "User:ANONYMOUS");
}

#[test]
fn tls_with_a_client_certificate_works() {
    works(Version::V3_9_1, Listener::Mutual, "User:CN=job");
}

#[test]
fn a_certificate_of_another_name_works_where_that_is_wanted() {
    works(Version::V3_9_1, Listener::OtherName, "User:job");
}

#[test]
fn plain_works() {
    works(Version::V3_9_1, Listener::SaslPlaintext, "User:job");
}

#[test]
fn scram_over_tls_works() {
    works(Version::V3_9_1, Listener::SaslSsl, "User:job");
}

#[test]
fn scram_over_tls_works_with_kafka_4() {
    works(Version::V4_3_1, Listener::SaslSsl, "User:job");
}
