//! What can be wrong, made to happen once each: the condition of that name is in `/status.json`, and goes when all is well again.

use std::collections::BTreeSet;
use std::time::Duration;

use chatroom_job::observe::status::{Condition, Severity, Status};
use grpcio::RpcStatusCode;
use krafka::Record;

use super::{await_status, has, start, status, topic, watched};
use crate::support::await_until;
use crate::support::comet::{Answer, Comet};
use crate::support::http::Pages;
use crate::support::kafka::{Kafka, Version};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;

/// A topic to which messages come while somebody looks.
struct Chat<'a> {
    topic: &'a Topic<'a>,
    rooms: usize,
    next: usize,
}

impl<'a> Chat<'a> {
    fn new(topic: &'a Topic<'a>) -> Self {
        Self {
            topic,
            rooms: 10,
            next: 0,
        }
    }

    fn say(&mut self, count: usize) {
        self.topic.produce(over_rooms(self.rooms, self.next, count));
        self.next += count;
    }

    fn await_condition(&mut self, pages: &Pages, name: &str) -> Condition {
        let status = await_status(pages, name, |status| {
            self.say(10);
            status.conditions.iter().any(|one| one.name == name)
        });
        let mut all = status.conditions.into_iter();
        all.find(|one| one.name == name).expect("it is there")
    }

    fn await_none(&mut self, pages: &Pages) {
        await_status(pages, "nothing in the way", |status| {
            self.say(10);
            status.conditions.is_empty()
        });
    }
}

fn names(status: &Status) -> Vec<&str> {
    let conditions = status.conditions.iter();
    conditions.map(|one| &one.name[..]).collect()
}

#[test]
fn comets_that_are_all_down() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let mut chat = Chat::new(&topic);
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    chat.await_none(&pages);
    comets.iter().for_each(Comet::stop);
    let none = chat.await_condition(&pages, "No Comet takes messages");
    for comet in &comets {
        assert!(none.what.contains(&comet.address()), "{none:?}");
    }
    assert_eq!(none.severity, Severity::Urgent);
    comets.iter().for_each(Comet::start_again);
    chat.await_none(&pages);
    job.stop();
}

#[test]
fn a_comet_that_never_answers() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let mut chat = Chat::new(&topic);
    let command = watched(&topic, &[&comets[0], &comets[1]]);
    let (mut job, pages) = start(command.flag("--call-timeout", "1s"));
    chat.await_none(&pages);
    comets[1].answer(|_| Answer::Hang);
    let detached = chat.await_condition(&pages, "Comet detached");
    assert!(
        detached.what.starts_with(&comets[1].address()),
        "{detached:?}"
    );
    comets[1].answer(|_| Answer::Ok);
    chat.await_none(&pages);
    job.stop();
}

#[test]
fn a_comet_that_is_slow() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let mut chat = Chat::new(&topic);
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    comets[1].answer(|_| Answer::OkAfter(Duration::from_millis(1_500)));
    let slow = chat.await_condition(&pages, "Comet slow");
    assert!(slow.what.starts_with(&comets[1].address()), "{slow:?}");
    assert!(!slow.what.contains(&comets[0].address()), "{slow:?}");
    job.kill();
}

#[test]
fn a_comet_at_which_calls_fail() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let mut chat = Chat::new(&topic);
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    comets[1].fail_each(3);
    let fail = chat.await_condition(&pages, "Calls fail");
    assert!(fail.what.starts_with(&comets[1].address()), "{fail:?}");
    assert!(!fail.what.contains(&comets[0].address()), "{fail:?}");
    comets[1].answer(|_| Answer::Ok);
    chat.await_none(&pages);
    job.stop();
}

#[test]
fn a_comet_that_refuses_all_and_what_becomes_of_it() {
    let topic = topic(2);
    let comet = Comet::start();
    let mut chat = Chat::new(&topic);
    let command = watched(&topic, &[&comet]);
    let (mut job, pages) =
        start(command.fault("status-every=return(300);letter-count-every=return(300)"));
    comet.answer(|_| Answer::Status(RpcStatusCode::INVALID_ARGUMENT));
    let refuses = chat.await_condition(&pages, "Comet refuses everything");
    assert!(refuses.what.starts_with(&comet.address()), "{refuses:?}");
    comet.answer(|_| Answer::Ok);
    let letters = "Dead letters to decide on";
    chat.await_condition(&pages, letters);
    await_status(&pages, "nothing but the letters", |status| {
        chat.say(10);
        names(status) == [letters]
    });
    job.stop();
}

#[test]
fn a_record_that_is_broken() {
    let topic = topic(1);
    let comet = Comet::start();
    let command = watched(&topic, &[&comet]);
    let (mut job, pages) =
        start(command.fault("status-every=return(300);letter-count-every=return(300)"));
    let broken = Record::new(&topic.name, vec![0x0a, 0xff, 0xff, 0x03, 0x01]);
    topic.kafka.produce([broken]);
    let shown = await_status(&pages, "a dead letter", |status| {
        has(status, "Dead letters to decide on")
    });
    let letters = &shown.dead_letters;
    assert_eq!((letters.written, letters.to_replay), (1, Some(1)));
    let mut errors = shown.last_errors.iter();
    assert!(
        errors.any(|line| line.text.contains("dead-letter topic")),
        "{shown:#?}"
    );
    job.stop();
}

#[test]
fn a_comet_that_catches_up() {
    let topic = topic(1);
    let comets = [Comet::start(), Comet::start()];
    let mut chat = Chat::new(&topic);
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    chat.await_none(&pages);
    comets[1].stop();
    chat.await_condition(&pages, "Comet detached");
    await_status(&pages, "much that it misses", |status| {
        chat.say(50);
        status.comets[1].missed > 300
    });
    comets[1].answer(|_| Answer::OkAfter(Duration::from_millis(200)));
    comets[1].start_again();
    let back = await_status(&pages, "that it catches up", |status| {
        has(status, "Comet catches up")
    });
    let mut all = back.conditions.iter();
    let condition = all.find(|one| one.name == "Comet catches up");
    let what = &condition.expect("it is there").what;
    assert!(what.starts_with(&comets[1].address()), "{what}");
    comets[1].answer(|_| Answer::Ok);
    chat.await_none(&pages);
    job.stop();
}

#[test]
fn messages_that_are_held_up_and_fill_job() {
    let topic = topic(1);
    let comet = Comet::start();
    let mut chat = Chat::new(&topic);
    comet.answer(|_| Answer::Hang);
    let command = watched(&topic, &[&comet]).flag("--call-timeout", "80s");
    let command = command.flag("--hold-messages", "10");
    let (mut job, pages) = start(command.fault("status-every=return(1000);lag-every=return(300)"));
    let full = chat.await_condition(&pages, "Held messages at the cap");
    assert!(full.what.contains("of 10 messages"), "{full:?}");
    chat.await_condition(&pages, "Lag grows");
    let held_up = await_status(&pages, "a message that is held up", |status| {
        has(status, "Message held up")
    });
    let first = format!("The message {}[0]@0", topic.name);
    let mut conditions = held_up.conditions.iter();
    assert!(
        conditions.any(|one| one.what.starts_with(&first)),
        "{held_up:#?}"
    );
    job.kill();
}

#[test]
fn a_kafka_that_is_silent() {
    let kafka = Kafka::start(Version::V3_9_1);
    let topic = Topic::new(&kafka, 1);
    let comet = Comet::start();
    let mut chat = Chat::new(&topic);
    let (mut job, pages) = start(watched(&topic, &[&comet]).flag("--call-timeout", "1s"));
    chat.await_none(&pages);
    // What is finished meanwhile can't be committed.
    topic.await_no_lag();
    comet.answer(|_| Answer::Hang);
    let calls = comet.calls().len();
    chat.say(1);
    await_until("a call", || match comet.calls().len() > calls {
        true => Ok(()),
        false => Err("none".into()),
    });
    kafka.freeze();
    comet.answer(|_| Answer::Ok);
    let mut seen = BTreeSet::new();
    await_status(
        &pages,
        "both conditions, at one time or another",
        |status| {
            seen.extend(names(status).into_iter().map(str::to_owned));
            ["Kafka unreachable", "Commits fail"]
                .iter()
                .all(|name| seen.contains(*name))
        },
    );
    kafka.thaw();
    chat.await_none(&pages);
    job.stop();
}

#[test]
fn a_member_that_has_no_partition() {
    let topic = topic(1);
    let comet = Comet::start();
    let mut jobs = [(); 2].map(|()| start(watched(&topic, &[&comet])));
    // Whichever it is.
    let none = await_until("one that has none", || {
        let all = jobs.each_ref().map(|(_, pages)| status(pages));
        let mut conditions = all.iter().flat_map(|status| &status.conditions);
        let none = conditions
            .find(|one| one.name == "No partition" && one.what.contains("2 members and topic"));
        none.cloned().ok_or_else(|| format!("{all:#?}"))
    });
    assert_eq!(none.severity, Severity::Note);
    assert!(none.what.contains("1 partition;"), "{none:?}");
    jobs.iter_mut().for_each(|(job, _)| job.stop());
}
