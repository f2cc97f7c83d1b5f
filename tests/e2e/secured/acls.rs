//! What an ACL keeps job from: it names the command that allows it, and goes on once that has been run.

use std::collections::BTreeSet;

use grpcio::RpcStatusCode;
use krafka::admin::{AclOperation, AclResourceType};

use super::{arrived, check, command, reads, send};
use crate::support::comet::{Answer, Comet};
use crate::support::job::JobCommand;
use crate::support::kafka::Version;
use crate::support::kafka::secured::{Listener, Secured, secured};
use crate::support::topic::Topic;

const JOB: &str = "User:job";
const ADMIN_SENDS: &str = "User:ANONYMOUS";

/// The command for Kafka's ACLs in what job said.
#[track_caller]
fn command_in(text: &str) -> &str {
    let start = text.find("bin/kafka-acls.sh").expect("a command is named");
    let command = &text[start..];
    let end = command.find(['\n', ';', ')']).unwrap_or(command.len());
    let command = &command[..end];
    // What the log says beyond it.
    let end = [". ", ", ", " ("]
        .iter()
        .filter_map(|stop| command.find(stop));
    let end = end.min().unwrap_or(command.len());
    command[..end].trim_end_matches('.')
}

/// Writes through a listener at which anybody may write to the topic.
fn written(secured: &Secured, topic: &Topic<'_>, room: &str, text: &str) {
    send(topic, &secured.flags(Listener::Ssl), room, text);
}

fn open_to_writers(secured: &Secured, topic: &Topic<'_>) {
    let write = AclOperation::Write;
    secured.allow(ADMIN_SENDS, AclResourceType::Topic, &topic.name, write);
}

#[test]
fn what_was_missing_is_allowed_by_the_commands_that_job_names() {
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    open_to_writers(secured, &topic);
    let flags = secured.flags(Listener::SaslSsl);
    let comet = Comet::start();
    written(secured, &topic, "r1", "first");

    let mut job = reads(&topic, &flags, &comet).start();
    let said = check(&topic, &flags, &comet);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.out.contains(&format!("✗ topic {}", topic.name)),
        "{}",
        said.out
    );
    let allow_topic = command_in(&said.out).to_owned();
    assert!(allow_topic.contains("--topic"), "{allow_topic}");
    let line = job.await_line(&["bin/kafka-acls.sh"]);
    secured.run(&allow_topic);

    let said = check(&topic, &flags, &comet);
    assert_eq!(said.code, Some(1), "{}", said.out);
    assert!(
        said.out.contains(&format!("✓ topic {}", topic.name)),
        "{}",
        said.out
    );
    assert!(
        said.out.contains(&format!("✗ group {}", topic.group)),
        "{}",
        said.out
    );
    let allow_group = command_in(&said.out).to_owned();
    assert!(allow_group.contains("--group"), "{allow_group}");
    // Nobody starts it again.
    job.await_line(&["bin/kafka-acls.sh", "--group"]);
    secured.run(&allow_group);
    comet.await_delivered(1);
    topic.await_no_lag();
    assert!(line.contains("ACL"), "{line}");
    check(&topic, &flags, &comet).well();
    job.stop();
}

#[test]
fn a_topic_that_is_seen_and_may_not_be_read_is_named() {
    use AclOperation::{Read, Write};
    use AclResourceType::{Group, Topic as TopicResource};
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    let flags = secured.flags(Listener::SaslSsl);
    let comet = Comet::start();
    secured.allow(JOB, Group, &topic.group, Read);
    // Who may write sees the topic.
    secured.allow(JOB, TopicResource, &topic.name, Write);
    send(&topic, &flags, "r1", "first");
    let said = check(&topic, &flags, &comet);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let denied = format!("✗ topic {}: an ACL keeps User:job from", topic.name);
    assert!(said.out.contains(&denied), "{}", said.out);
    let read = format!("Read of topic {} is not allowed", topic.name);
    assert!(said.out.contains(&read), "{}", said.out);

    let mut job = reads(&topic, &flags, &comet).start();
    let line = job.await_line(&["bin/kafka-acls.sh", &topic.name]);
    secured.run(command_in(&line));
    comet.await_delivered(1);
    topic.await_no_lag();
    job.stop();
}

#[test]
fn letters_that_may_be_written_and_not_read_are_named() {
    use AclOperation::{Create, Read, Write};
    use AclResourceType::{Group, Topic as TopicResource};
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    let flags = secured.flags(Listener::SaslSsl);
    let comet = Comet::start();
    comet.answer(|call| match call.room.as_str() {
        "refused" => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        _ => Answer::Ok,
    });
    let letters = topic.dead_letter_topic();
    for (kind, name, operation) in [
        (TopicResource, &topic.name, Read),
        (TopicResource, &topic.name, Write),
        (Group, &topic.group, Read),
        (TopicResource, &letters, Write),
        (TopicResource, &letters, Create),
    ] {
        secured.allow(JOB, kind, name, operation);
    }
    send(&topic, &flags, "refused", "buried");
    let mut job = reads(&topic, &flags, &comet).start();
    topic.await_dead_letters(1);
    job.stop();

    // The service needs no more than that.
    let said = check(&topic, &flags, &comet).well();
    let uncounted =
        format!("✓ dead-letter topic {letters}: 1 partition; its letters can't be counted");
    assert!(said.contains(&uncounted), "{said}");
    let list = || {
        let more = ["--topic", &topic.name];
        command(&["dead-letter", "list"], &flags, &more)
    };
    let refused = list();
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    secured.run(command_in(&refused.err));
    let listed = list().well();
    assert!(listed.contains("refused"), "{listed}");

    // Without the right to write them, it isn't well.
    secured.forbid(TopicResource, &letters, Write);
    secured.forbid(TopicResource, &letters, Create);
    let said = check(&topic, &flags, &comet);
    assert_eq!(said.code, Some(1), "{}", said.out);
    let denied = format!("✗ dead-letter topic {letters}: an ACL keeps");
    assert!(said.out.contains(&denied), "{}", said.out);
}

#[test]
fn what_is_taken_away_and_given_back_stops_nothing() {
    use AclOperation::Read;
    use AclResourceType::{Group, Topic as TopicResource};
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    open_to_writers(secured, &topic);
    let flags = secured.flags(Listener::SaslSsl);
    let comet = Comet::start();
    secured.allow(JOB, TopicResource, &topic.name, Read);
    secured.allow(JOB, Group, &topic.group, Read);
    let mut job = reads(&topic, &flags, &comet).start();
    written(secured, &topic, "r1", "first");
    comet.await_delivered(1);
    topic.await_no_lag();

    let mut expected = BTreeSet::from(["first".to_owned()]);
    for (kind, name, text, denied) in [
        (
            TopicResource,
            &topic.name,
            "second",
            "TopicAuthorizationFailed",
        ),
        (Group, &topic.group, "third", "GroupAuthorizationFailed"),
    ] {
        secured.forbid(kind, name, Read);
        written(secured, &topic, "r1", text);
        job.await_line(&[denied, "bin/kafka-acls.sh", name]);
        secured.allow(JOB, kind, name, Read);
        expected.insert(text.to_owned());
        super::await_arrived(&comet, &expected);
        topic.await_no_lag();
    }
    job.stop();
    assert_eq!(arrived(&comet).0, expected);
}

#[test]
fn a_dead_letter_waits_until_its_topic_is_allowed() {
    use AclOperation::Read;
    use AclResourceType::{Group, Topic as TopicResource};
    let secured = secured(Version::V3_9_1);
    let topic = Topic::new(&secured.kafka, 1);
    open_to_writers(secured, &topic);
    let flags = secured.flags(Listener::SaslSsl);
    let comet = Comet::start();
    comet.answer(|call| match call.room.as_str() {
        "refused" => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        _ => Answer::Ok,
    });
    secured.allow(JOB, TopicResource, &topic.name, Read);
    secured.allow(JOB, Group, &topic.group, Read);
    let said = check(&topic, &flags, &comet);
    let letters = topic.dead_letter_topic();
    assert!(
        said.out.contains(&format!("✗ dead-letter topic {letters}")),
        "{}",
        said.out
    );
    let mut job = reads(&topic, &flags, &comet).start();
    written(secured, &topic, "refused", "buried");
    let line = job.await_line(&["bin/kafka-acls.sh", &letters]);
    secured.run(command_in(&line));
    topic.await_dead_letters(1);
    topic.await_no_lag();
    job.stop();
}

/// With group protocol `consumer` the broker refuses a member that asks for a topic which its user may not see.
#[test]
fn one_of_two_topics_that_is_hidden_stops_nothing_with_group_protocol_consumer() {
    hidden_of_two(Version::V4_3_1, "consumer");
}

#[test]
fn one_of_two_topics_that_is_hidden_stops_nothing() {
    hidden_of_two(Version::V3_9_1, "classic");
}

fn hidden_of_two(version: Version, protocol: &str) {
    let secured = secured(version);
    let seen = Topic::new(&secured.kafka, 1);
    let mut hidden = Topic::new(&secured.kafka, 1);
    hidden.group = seen.group.clone();
    let flags = secured.flags(Listener::SaslSsl);
    for topic in [&seen, &hidden] {
        open_to_writers(secured, topic);
    }
    secured.allow_all(JOB, &seen);
    let comet = Comet::start();
    written(secured, &seen, "r1", "seen");
    written(secured, &hidden, "r2", "hidden");
    let both = format!("{},{}", seen.name, hidden.name);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut job = JobCommand::new()
        .args(&flags)
        .flag("--topic", &both)
        .flag("--group", &seen.group)
        .flag("--group-protocol", protocol)
        .flag("--comet", &comet.address())
        .start();
    comet.await_delivered(1);
    let line = job.await_line(&["bin/kafka-acls.sh", &hidden.name]);
    assert!(line.contains("The other topics are read"), "{line}");
    assert!(!line.contains(&format!("--topic {} ", seen.name)), "{line}");
    seen.await_no_lag();
    secured.run(command_in(&line));
    comet.await_delivered(2);
    hidden.await_no_lag();
    job.stop();
}
