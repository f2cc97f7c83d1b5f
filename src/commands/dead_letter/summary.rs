//! What waits, in one line: how many letters, for how long, and why.

use std::collections::BTreeMap;

use crate::base::text::counted;
use crate::message::Cause;
use crate::observe::status::conditions::lasting;

/// Letters that wait for a decision.
#[derive(Debug, Default, PartialEq)]
pub struct Summary {
    /// By the word that their reason has in the metrics.
    by_cause: BTreeMap<&'static str, u64>,
    /// When the oldest and the newest became dead letters, in milliseconds since 1970.
    times: Option<(i64, i64)>,
}

impl Summary {
    pub fn add(&mut self, cause: Option<Cause>, time: i64) {
        let name = cause.map_or("without a reason's name", Cause::name);
        *self.by_cause.entry(name).or_default() += 1;
        let (oldest, newest) = self.times.unwrap_or((time, time));
        self.times = Some((oldest.min(time), newest.max(time)));
    }

    /// `3 letters wait in t.dead-letter: 2 refused, 1 undecodable; the oldest for 3 h, the newest for 20 s`. `None` where none
    /// waits.
    pub fn in_words(&self, topic: &str, now: i64) -> Option<String> {
        let (oldest, newest) = self.times?;
        let letters = self.by_cause.values().sum();
        let mut causes: Vec<_> = self.by_cause.iter().collect();
        // The most frequent one first.
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let causes = causes
            .iter()
            .map(|(cause, count)| format!("{count} {cause}"));
        let causes = causes.collect::<Vec<_>>().join(", ");
        let age = |since: i64| lasting((now - since).max(0) as f64 / 1e3);
        let wait = if letters == 1 { "waits" } else { "wait" };
        let newest = match letters {
            1 => String::new(),
            _ => format!(", the newest for {}", age(newest)),
        };
        let the_oldest = if letters == 1 {
            "for"
        } else {
            "the oldest for"
        };
        Some(format!(
            "{} {wait} in {topic}: {causes}; {the_oldest} {}{newest}",
            counted(letters, "letter"),
            age(oldest)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_in_words() {
        let mut summary = Summary::default();
        assert_eq!(summary.in_words("t.dead-letter", 0), None);
        let now = 1_700_000_000_000;
        summary.add(Some(Cause::Undecodable), now - 20_000);
        let words = "1 letter waits in t.dead-letter: 1 undecodable; for 20 s";
        assert_eq!(
            summary.in_words("t.dead-letter", now).as_deref(),
            Some(words)
        );
        summary.add(Some(Cause::Refused), now - 10_800_000);
        summary.add(Some(Cause::Refused), now - 60_000);
        summary.add(None, now - 61_000);
        let words = "4 letters wait in t.dead-letter: 2 refused, 1 undecodable, 1 without a reason's name; \
                     the oldest for 3 h, the newest for 20 s";
        assert_eq!(
            summary.in_words("t.dead-letter", now).as_deref(),
            Some(words)
        );
    }
}
