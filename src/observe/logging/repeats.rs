//! Warnings and errors that come again and again: the first is written at once; those of the second after it are counted, and then
//! the last of them is written with their number. So nothing repeats more than once a second, and the log stays readable.
//!
//! Alike is what comes from the same place in the source about the same things: topic, partition, Comet, status.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

use super::entry::{Entry, Kept};
use super::is_own;

/// What is alike is written no more often than this.
pub const EVERY: Duration = Duration::from_secs(1);
/// The fields that tell two records of one place apart.
const TELLING: [&str; 6] = ["topic", "partition", "comet", "group", "status", "method"];
/// So many kinds are told apart by their fields. Beyond it only the places are.
const KINDS: usize = 1_024;

#[derive(Default)]
pub struct Repeats(Mutex<HashMap<u64, Seen>>);

struct Seen {
    written: Instant,
    /// How many came since, and the last of them.
    since: u64,
    last: Option<Kept>,
}

impl Repeats {
    /// Whether to write the record now; else it is counted.
    pub fn admits(&self, entry: &Entry<'_>, now: Instant) -> bool {
        let mut all = self.lock();
        let mut kind = kind(entry, true);
        if all.len() >= KINDS && !all.contains_key(&kind) {
            kind = self::kind(entry, false);
        }
        match all.get_mut(&kind) {
            None => {
                let seen = Seen {
                    written: now,
                    since: 0,
                    last: None,
                };
                all.insert(kind, seen);
                true
            }
            Some(seen) if seen.since == 0 && now.duration_since(seen.written) >= EVERY => {
                seen.written = now;
                true
            }
            Some(seen) => {
                seen.since += 1;
                seen.last = Some(entry.kept());
                false
            }
        }
    }

    /// When to ask for [`Self::due`]; `None` while nothing was written lately.
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        let all = self.lock();
        let first = all.values().map(|seen| seen.written).min()?;
        Some(EVERY.saturating_sub(now.duration_since(first)))
    }

    /// What was counted and is to be written now. `all`: also what came within the last second.
    pub fn due(&self, now: Instant, all: bool) -> Vec<Kept> {
        let mut due = Vec::new();
        self.lock().retain(|_, seen| {
            if !all && now.duration_since(seen.written) < EVERY {
                return true;
            }
            let Some(mut last) = seen.last.take() else {
                return now.duration_since(seen.written) < EVERY;
            };
            if seen.since > 1 {
                last.append(&format!(" … and {} more like it", seen.since - 1));
            }
            due.push(last);
            seen.written = now;
            seen.since = 0;
            true
        });
        due
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Seen>> {
        // Nothing is left half done under it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn kind(entry: &Entry<'_>, by_fields: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (entry.target, entry.file, entry.line).hash(&mut hasher);
    if by_fields {
        entry.each_field(|key, value| {
            if TELLING.contains(&key) {
                (key, value.to_string()).hash(&mut hasher);
            }
        });
        if !is_own(entry.target) && entry.level == Level::Error {
            // It may be a library's last words, after others from the same place.
            entry.text().to_string().hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Record;

    fn admits(repeats: &Repeats, text: &str, partition: i32, now: Instant) -> bool {
        let fields = [("partition", partition), ("offset", text.len() as i32)];
        let mut record = Record::builder();
        record
            .target("chatroom_job")
            .level(Level::Warn)
            .key_values(&fields);
        let args = format_args!("{text}");
        let record = record.args(args).build();
        repeats.admits(&Entry::now(&record), now)
    }

    fn texts(due: Vec<Kept>) -> Vec<String> {
        due.iter()
            .map(|kept| kept.entry().text().to_string())
            .collect()
    }

    #[test]
    fn the_first_is_written_and_the_rest_of_the_second_counted() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(repeats.due_in(start), None);
        assert!(admits(&repeats, "a", 1, start));
        assert!(admits(&repeats, "other", 2, start), "another partition");
        assert_eq!(repeats.due_in(at(400)), Some(Duration::from_millis(600)));
        for (n, text) in ["b", "c", "dd"].into_iter().enumerate() {
            assert!(!admits(&repeats, text, 1, at(100 * n as u64)));
        }
        assert!(repeats.due(at(999), false).is_empty());
        assert_eq!(
            texts(repeats.due(at(1_000), false)),
            ["dd … and 2 more like it"]
        );
        // From then on it counts anew.
        assert!(!admits(&repeats, "e", 1, at(1_500)));
        assert_eq!(
            texts(repeats.due(at(2_000), false)),
            ["e"],
            "one loses nothing"
        );
        assert!(repeats.due(at(3_000), false).is_empty());
        assert_eq!(repeats.due_in(at(3_000)), None, "it is forgotten");
        assert!(admits(&repeats, "f", 1, at(3_001)));
    }

    #[test]
    fn a_second_later_it_is_written_at_once_though_nobody_asked_meanwhile() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        assert!(admits(&repeats, "a", 1, start));
        assert!(admits(&repeats, "b", 1, start + EVERY));
        assert!(!admits(&repeats, "c", 1, start + EVERY));
        // What is counted comes first.
        assert!(!admits(&repeats, "d", 1, start + 3 * EVERY));
        assert_eq!(
            texts(repeats.due(start + 3 * EVERY, false)),
            ["d … and 1 more like it"]
        );
    }

    #[test]
    fn at_the_end_all_is_written() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        assert!(admits(&repeats, "a", 1, start));
        assert!(!admits(&repeats, "b", 1, start));
        assert_eq!(texts(repeats.due(start, true)), ["b"]);
        assert!(!admits(&repeats, "c", 1, start));
    }

    #[test]
    fn a_flood_of_kinds_is_told_apart_by_place_alone() {
        let (repeats, start) = (Repeats::default(), Instant::now());
        let admitted = (0..5_000).filter(|n| admits(&repeats, "a", *n, start));
        assert_eq!(admitted.count(), KINDS + 1);
        let due = texts(repeats.due(start + EVERY, false));
        assert_eq!(due, [format!("a … and {} more like it", 5_000 - KINDS - 2)]);
    }
}
