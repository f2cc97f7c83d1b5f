//! A dead-letter topic that takes a letter with a key only.

use super::*;

#[test]
fn a_compacted_topic_takes_what_has_a_key_and_it_is_said_how_it_takes_the_rest() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_topic(&letters, 1);
    topic.kafka.set(&letters, "cleanup.policy", "compact");
    let comet = Comet::start();
    refuse(&comet, |_| true);
    topic.kafka.produce([Record::new(&topic.name, "no key")]);
    topic.produce([to_room("key", "with a key")]);
    let mut job = topic.job(&[&comet]).start();
    let line = job.await_line(&["Writing to the dead-letter topic", "without a key"]);
    for says in ["--add-config cleanup.policy=delete", "offsets are held"] {
        assert!(line.contains(says), "{says}: {line}");
    }
    await_until("the letter with a key", || is(topic.dead_letters(), 1));

    topic.kafka.set(&letters, "cleanup.policy", "delete");
    topic.await_no_lag();
    job.stop();
    topic.await_dead_letters(2);
}
