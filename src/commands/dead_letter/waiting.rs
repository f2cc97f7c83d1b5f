//! How many letters wait, for `job check`.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Duration;

use super::index::Index;
use crate::dead_letter::topic::Topic;
use crate::settings::Config;

/// Limits the count. A dead-letter topic may hold millions of letters that were replayed long ago.
const WITHIN: Duration = Duration::from_secs(5);
/// Records per step.
const PIECE: i64 = 2_000;

/// How many messages wait in the dead-letter topic.
#[derive(Debug, PartialEq)]
pub struct Waiting {
    messages: usize,
    /// The time ran out before the older letters.
    more: bool,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waiting {
                messages: 0,
                more: false,
            } => f.write_str("no letters wait"),
            Waiting {
                messages: 0,
                more: true,
            } => f.write_str(
                "none of the newest letters waits; there was no time to read the older ones",
            ),
            Waiting { messages, more } => {
                let least = if *more { "more than " } else { "" };
                let wait = if *messages == 1 && !more {
                    "letter waits"
                } else {
                    "letters wait"
                };
                write!(f, "{least}{messages} {wait}: job dead-letter list")
            }
        }
    }
}

/// Counts from the newest letter back. Markers follow their letters, so a count that stops early is right for the letters
/// that it read.
///
/// # Errors
/// Kafka can't be reached or read.
pub async fn count(config: &Config) -> Result<Waiting, String> {
    let nothing = Waiting {
        messages: 0,
        more: false,
    };
    let Some(mut topic) = Topic::open(config).await? else {
        return Ok(nothing);
    };
    let end = tokio::time::Instant::now() + WITHIN;
    let mut index = Index::default();
    for (partition, range) in topic.bounds().await? {
        let mut to = range.end;
        while to > range.start {
            let from = range.start.max(to - PIECE);
            match tokio::time::timeout_at(end, piece(&mut topic, partition, from..to)).await {
                Ok(read) => index.merge(read?),
                Err(_) => {
                    return Ok(Waiting {
                        messages: index.waiting(),
                        more: true,
                    });
                }
            }
            to = from;
        }
    }
    Ok(Waiting {
        messages: index.waiting(),
        ..nothing
    })
}

async fn piece(
    topic: &mut Topic,
    partition: i32,
    range: std::ops::Range<i64>,
) -> Result<Index, String> {
    let mut index = Index::default();
    let add = |record| {
        index.add(record);
        ControlFlow::Continue(())
    };
    topic.read(partition, range, add).await?;
    Ok(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_in_words() {
        for (messages, more, words) in [
            (0, false, "no letters wait"),
            (1, false, "1 letter waits: job dead-letter list"),
            (3, false, "3 letters wait: job dead-letter list"),
            (3, true, "more than 3 letters wait: job dead-letter list"),
            (
                0,
                true,
                "none of the newest letters waits; there was no time to read the older ones",
            ),
        ] {
            assert_eq!(Waiting { messages, more }.to_string(), words);
        }
    }
}
