//! What waits for a decision is counted while job runs: in the metrics, on the status page and by `job check`.

use super::*;
use crate::support::http::Pages;
use chatroom_job::observe::status::Status;

fn watched(topic: &Topic<'_>, comet: &Comet) -> (Job, Pages) {
    let command = topic.job(&[comet]).flag("--http", "127.0.0.1:0");
    let command = command.fault("letter-count-every=return(300)");
    let mut job = command.log_level("INFO").start();
    let pages = Pages::of(&mut job);
    (job, pages)
}

#[track_caller]
fn await_waiting(pages: &Pages, messages: f64) {
    pages.await_metrics(&format!("{messages} letters wait"), |now| {
        now.count("job_dead_letters_to_replay", &[]) == 1
            && now.sum("job_dead_letters_to_replay", &[]) == messages
    });
}

#[test]
fn what_waits_is_counted_until_it_is_replayed_or_discarded() {
    let topic = Topic::new(shared(Version::V3_9_1), 2);
    let comet = Comet::start();
    refuse(&comet, |room| room == "room-3");
    let (mut job, pages) = watched(&topic, &comet);
    // There is no dead-letter topic yet.
    await_waiting(&pages, 0.0);
    topic.produce(over_rooms(10, 0, 50));
    await_waiting(&pages, 5.0);
    let letters = topic.dead_letter_topic();
    let of = format!("topic=\"{letters}\"");
    let numbers = pages.await_metrics("an age", |now| {
        now.sum("job_dead_letters_oldest_seconds", &[&of]) > 0.0
    });
    assert_eq!(numbers.sum("job_dead_letters_to_replay", &[&of]), 5.0);
    let (_, text) = pages.get("/status.json");
    let status: Status = serde_json::from_str(&text).expect("a status");
    assert_eq!(status.dead_letters.to_replay, Some(5), "{text}");
    let conditions = status.conditions.iter();
    let words = format!("5 messages are in {letters} that were neither replayed nor discarded");
    assert!(
        conditions
            .into_iter()
            .any(|one| one.name == "Dead letters to decide on" && one.what.starts_with(&words)),
        "{text}"
    );

    let said = tool(&topic, "list", &[]).well();
    let place = said.split(' ').next().expect("a place");
    tool(&topic, "discard", &[place]).well();
    await_waiting(&pages, 4.0);

    // Another process counts what was there before it.
    let (mut other, others) = watched(&topic, &comet);
    await_waiting(&others, 4.0);
    comet.answer(|_| Answer::Ok);
    tool(&topic, "replay", &["--all"]).well();
    for pages in [&pages, &others] {
        await_waiting(pages, 0.0);
    }
    let numbers = pages.metrics();
    assert_eq!(numbers.sum("job_dead_letters_oldest_seconds", &[]), 0.0);
    for job in [&mut other, &mut job] {
        job.stop();
    }
}

#[test]
fn check_names_settings_that_letters_do_not_fit() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let letters = topic.dead_letter_topic();
    topic.kafka.create_limited_topic(&letters, 1, 1_000);
    topic.kafka.set(&letters, "cleanup.policy", "compact");
    let (brokers, address) = (topic.kafka.address(), comet.address());
    let check = || {
        let args = ["check", "--brokers", &brokers, "--topic", &topic.name];
        job(&[&args[..], &["--comet", &address]].concat()).well()
    };
    let said = check();
    for (what, setting) in [
        ("cleanup.policy is compact: ", "cleanup.policy=delete"),
        ("max.message.bytes is 1000, ", "max.message.bytes=67108864"),
    ] {
        let line = format!("! dead-letter topic {letters}: its {what}");
        assert!(said.contains(&line), "{line}: {said}");
        assert!(
            said.contains(&format!("--entity-name {letters} --add-config {setting}\n")),
            "{setting}: {said}"
        );
    }
    for setting in ["cleanup.policy=delete", "max.message.bytes=67108864"] {
        let (name, value) = setting.split_once('=').expect("a value");
        topic.kafka.set(&letters, name, value);
    }
    let said = check();
    let line = format!("! dead-letter topic {letters}: its retention.ms is ");
    assert!(said.contains(&line), "{said}");
    topic.kafka.set(&letters, "retention.ms", "-1");
    let said = check();
    assert!(!said.contains("! dead-letter topic"), "{said}");
}
