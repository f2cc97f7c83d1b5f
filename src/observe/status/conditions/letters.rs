//! Dead letters: those that Kafka doesn't take, and those that nobody has decided on.

use super::{condition, lasting};
use crate::base::text::counted;
use crate::observe::status::document::{Condition, Severity, Status};

pub fn not_written(status: &Status) -> Option<Condition> {
    let letters = &status.dead_letters;
    (letters.waiting > 0).then(|| {
        let waits = match letters.waiting {
            1 => "1 dead letter is waiting".into(),
            n => format!("{n} dead letters are waiting"),
        };
        let lasts = lasting(letters.waiting_seconds.unwrap_or_default());
        condition(
            Severity::Urgent,
            "Dead letters can't be written",
            format!(
                "{waits}, for {lasts} now: Kafka doesn't take them into {}. Their partitions commit nothing behind them.",
                letters.topic
            ),
            "The last errors say what Kafka answered. See that the topic exists, that job may write there, and its max.message.bytes."
                .into(),
        )
    })
}

pub fn to_decide_on(status: &Status) -> Option<Condition> {
    let letters = &status.dead_letters;
    let messages = letters.to_replay.filter(|messages| *messages > 0)?;
    let (are, were) = match messages {
        1 => ("is", "was"),
        _ => ("are", "were"),
    };
    let oldest = lasting(letters.oldest_seconds.unwrap_or_default());
    Some(condition(
        Severity::Note,
        "Dead letters to decide on",
        format!(
            "{} {are} in {} that {were} neither replayed nor discarded, the oldest for {oldest}.",
            counted(messages, "message"),
            letters.topic
        ),
        "job dead-letter list shows them and why. job dead-letter replay sends them again, discard notes that they are not wanted."
            .into(),
    ))
}
