//! A replay that is killed or stopped, or that another one takes over.

use super::*;

/// A replay of all, to be signalled while it runs, with a fault injected.
fn replay_with(topic: &Topic<'_>, fault: &str) -> Job {
    JobCommand::new()
        .args(&["dead-letter", "replay", "--all"])
        .flag("--brokers", &topic.kafka.address())
        .flag("--topic", &topic.name)
        .fault(fault)
        .start()
}

/// A job, its Comet, and `count` messages over rooms that it has refused, in the dead-letter topic.
fn many_letters<'a>(kafka: &'a Kafka, count: usize) -> (Topic<'a>, Comet, Job) {
    let topic = Topic::new(kafka, 4);
    let comet = Comet::start();
    // Others are taken in between, or the job would hold: it may be the Comet that is at fault.
    refuse(&comet, |room| room.starts_with("room-"));
    let fine = (0..count).map(|n| to_room(&format!("fine-{}", n % 40), "taken"));
    let mixed = over_rooms(40, 0, count).zip(fine);
    topic.produce(mixed.flat_map(|(refused, taken)| [refused, taken]));
    let job = topic.job(&[&comet]).log_level("WARN").start();
    topic.await_no_lag();
    assert_eq!(topic.dead_letters(), count);
    comet.answer(|_| Answer::Ok);
    (topic, comet, job)
}

/// What was delivered of the messages that were refused first.
fn replayed(comet: &Comet) -> Vec<Call> {
    let mut calls = comet.delivered();
    calls.retain(|call| call.room.starts_with("room-"));
    calls
}

#[test]
fn a_killed_replay_repeats_one_handful_at_most() {
    let (topic, comet, mut job) = many_letters(shared(Version::V3_9_1), 2_000);
    let before = records(&topic);
    // Killed between writing messages and noting them: the worst moment.
    let mut killed = replay_with(&topic, "replay-marker=7*off->pause");
    await_until("the eighth handful", || is(records(&topic) - before, 800));
    killed.kill();
    let waiting = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.contains("  waiting  "))
            .count()
    };
    assert_eq!(waiting(&listed(&topic, 2_000)), 1_300);

    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(said.contains("did not say that it ended"), "{said}");
    assert!(said.contains("replayed 1300 messages in "), "{said}");
    assert_eq!(records(&topic) - before, 2_100);
    topic.await_no_lag();
    let delivered = replayed(&comet);
    assert_eq!(assert_in_order(&delivered, 40, 2_000), 100, "repeats");
    assert_eq!(waiting(&listed(&topic, 2_000)), 0);
    job.stop();
}

#[test]
fn a_stopped_replay_goes_on_where_it_was() {
    let (topic, comet, mut job) = many_letters(shared(Version::V4_3_1), 1_000);
    let before = records(&topic);
    let mut stopped = replay_with(&topic, "replay-marker=sleep(300)");
    await_until("some messages", || {
        if records(&topic) > before {
            Ok(())
        } else {
            Err("none yet".into())
        }
    });
    stopped.signal(Signal::SIGINT);
    assert_eq!(stopped.await_exit().code(), Some(1));
    stopped.await_line(&["stopped by a signal"]);
    let done = records(&topic) - before;
    assert!(done < 1_000, "it was not stopped half way");
    stopped.await_line(&["replayed", &format!("{done} messages in")]);

    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(
        said.starts_with(&format!("replayed {} messages in ", 1_000 - done)),
        "{said}"
    );
    topic.await_no_lag();
    assert_each_once_in_order(&replayed(&comet), 40, 1_000);
    job.stop();
}

#[test]
fn of_two_replays_the_later_one_goes_on() {
    let (topic, comet, mut job) = many_letters(shared(Version::V3_9_1), 1_000);
    let before = records(&topic);
    let mut first = replay_with(&topic, "replay-marker=sleep(300)");
    await_until("some messages", || {
        if records(&topic) > before {
            Ok(())
        } else {
            Err("none yet".into())
        }
    });
    let said = tool(&topic, "replay", &["--all"]).well();
    assert!(said.contains("an earlier replay (process "), "{said}");
    assert_eq!(first.await_exit().code(), Some(1));
    first.await_line(&["another replay began (process ", "and takes over"]);
    topic.await_no_lag();
    assert_each_once_in_order(&replayed(&comet), 40, 1_000);
    job.stop();
}
