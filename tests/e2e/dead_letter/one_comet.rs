//! Letters of messages that some Comets have and others don't.

use std::path::Path;

use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use krafka::consumer::ConsumerRecord;

use crate::support::command::job_with;

use super::*;

/// The newest letter, once there are so many. Replays leave their marks beside them.
#[track_caller]
fn last_of(topic: &Topic<'_>, count: usize) -> ConsumerRecord {
    listed(topic, count);
    let letters = topic.kafka.read(&topic.dead_letter_topic()).into_iter();
    let mut letters = letters.filter(|record| record.header_str("job.source.offset").is_some());
    letters.next_back().expect("a letter")
}

#[test]
fn what_one_comet_refused_is_replayed_to_it_alone() {
    for fetch in ["classic", "modern"] {
        replayed_to_one(&Topic::new(shared(Version::V3_9_1), 1), fetch);
    }
}

fn replayed_to_one(topic: &Topic<'_>, fetch: &str) {
    let (takes, refuses) = (Comet::start(), Comet::start());
    refuse(&refuses, |_| true);
    topic.produce([to_room("r", "r/0")]);
    let job = topic.job(&[&takes, &refuses]).flag("--fetch", fetch);
    let mut job = job.log_level("WARN").start();
    assert_eq!(
        last_of(topic, 1).header_str("job.comet"),
        Some(refuses.address().as_str())
    );
    takes.await_delivered(1);
    topic.await_no_lag();
    let only = format!("only for {}", refuses.address());
    let line = listed(topic, 1).remove(0);
    assert!(
        line.contains(&format!("  waiting  ROOM r \"r/0\"  {only}  refused by ")),
        "{line}"
    );

    // It is refused once more, and then taken.
    let said = tool(topic, "replay", &["--all"]).well();
    assert!(
        said.contains(&format!("  to  {}[0]@1  {only}\n", topic.name)),
        "{said}"
    );
    assert_eq!(
        last_of(topic, 2).header_str("job.comet"),
        Some(refuses.address().as_str())
    );
    refuses.answer(|_| Answer::Ok);
    let said = tool(topic, "replay", &["--all", "--dry-run"]).well();
    assert!(said.contains(&only), "{said}");
    tool(topic, "replay", &["--all"]).well();
    refuses.await_delivered(1);
    topic.await_no_lag();
    // What follows in the room comes to both behind it.
    topic.produce([to_room("r", "r/1")]);
    takes.await_delivered(2);
    refuses.await_delivered(2);
    for comet in [&takes, &refuses] {
        assert_eq!(arrived(&comet.delivered())["r"], [0, 1]);
    }
    assert_eq!(takes.calls().len(), 2, "the replays did not go there");
    topic.await_no_lag();
    job.stop();
}

#[test]
fn each_of_several_that_refused_gets_it_and_one_that_is_gone_is_named() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comets = [(); 3].map(|()| Comet::start());
    let [takes, refuses, goes] = &comets;
    refuse(refuses, |_| true);
    refuse(goes, |_| true);
    topic.produce([to_room("r", "r/0")]);
    let mut job = topic.job(&[takes, refuses, goes]).start();
    let letter = last_of(&topic, 1);
    let named = letter.header_str("job.comet").expect("names");
    let mut named: Vec<_> = named.split(',').map(str::to_owned).collect();
    named.sort_unstable();
    let mut expected = vec![refuses.address(), goes.address()];
    expected.sort_unstable();
    assert_eq!(named, expected);
    topic.await_no_lag();
    job.stop();

    refuses.answer(|_| Answer::Ok);
    tool(&topic, "replay", &["--all"]).well();
    assert_eq!(records(&topic), 3, "one for each");
    let mut job = topic.job(&[takes, refuses]).start();
    refuses.await_delivered(1);
    topic.await_no_lag();
    let letter = last_of(&topic, 2);
    let why = letter.header_str("job.error").expect("a reason");
    assert!(
        why.contains(&format!(
            "{} alone, which isn't in the fleet",
            goes.address()
        )),
        "{why}"
    );
    assert_eq!(letter.header_str("job.comet"), None);
    job.stop();

    // With the Comet back in the list, it arrives.
    goes.answer(|_| Answer::Ok);
    tool(&topic, "replay", &["--all"]).well();
    let mut job = topic.job(&[takes, refuses, goes]).start();
    goes.await_delivered(1);
    topic.await_no_lag();
    job.stop();
    for comet in &comets {
        assert_eq!(arrived(&comet.delivered())["r"], [0]);
    }
    assert_eq!(takes.calls().len(), 1);
}

/// Replaying it would make the same letter again.
#[test]
fn what_is_for_an_unknown_server_is_replayed_when_that_comet_is_listed() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    topic.produce([PushMsg {
        type_: Type::PUSH.into(),
        server: "comet-2".into(),
        keys: vec!["key".into()],
        msg: b"r/0".as_slice().into(),
        ..Default::default()
    }]);
    let start = |comets: &str| {
        let job = topic.configure_for(JobCommand::new(), comets);
        job.flag("--push-unknown-server", "dead-letter").start()
    };
    let mut job = start(&comet.address());
    listed(&topic, 1);
    job.stop();

    let replay = |comets: &str, rule: &str, more: &[&str]| {
        // They are settings of the service, not flags of the command.
        let variables = [
            ("JOB_BROKERS", topic.kafka.address()),
            ("JOB_TOPIC", topic.name.clone()),
            ("JOB_COMET", comets.to_owned()),
            ("JOB_PUSH_UNKNOWN_SERVER", rule.to_owned()),
        ];
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, Path::new(value)))
            .collect();
        let words = ["dead-letter", "replay", "--all"];
        job_with(&variables, &[&words, more].concat()).well()
    };
    let said = replay(&comet.address(), "dead-letter", &[]);
    assert!(
        said.contains("; 1 skipped, which are for users on a server that isn't in the fleet"),
        "{said}"
    );
    let named = format!("comet-2={}", comet.address());
    for (comets, rule) in [(comet.address(), "all"), (named.clone(), "dead-letter")] {
        let said = replay(&comets, rule, &["--dry-run"]);
        assert!(said.contains("1 message would be replayed"), "{said}");
    }
    let missing = "file:///no/such/list-of-comets";
    let said = replay(missing, "dead-letter", &[]);
    assert!(
        said.contains("which Comets there are isn't known: "),
        "{said}"
    );
    let mut job = start(&named);
    comet.await_delivered(1);
    topic.await_no_lag();
    job.stop();
}
