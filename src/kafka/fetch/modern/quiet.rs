//! Partitions of which nothing comes though something comes of others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::message::PartitionId;

/// How soon such a partition is sought, and how long this may grow to be. It costs the broker a request each time.
const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(10);

/// When to seek which.
#[derive(Default)]
pub struct Quiet(BTreeMap<PartitionId, Wait>);

struct Wait {
    until: Instant,
    long: Duration,
}

impl Quiet {
    /// Whether the partition was quiet for so long that it is to be sought now.
    pub fn is_due(&mut self, partition: PartitionId, now: Instant) -> bool {
        let first = || Wait {
            until: now + FIRST,
            long: FIRST,
        };
        let wait = self.0.entry(partition).or_insert_with(first);
        if now < wait.until {
            return false;
        }
        wait.long = (wait.long * 2).min(LONGEST);
        wait.until = now + wait.long;
        true
    }

    /// Something came of it.
    pub fn heard(&mut self, partition: PartitionId, now: Instant) {
        let (until, long) = (now + FIRST, FIRST);
        self.0.insert(partition, Wait { until, long });
    }

    /// Forgets all but these.
    pub fn retain(&mut self, is_read: impl Fn(&PartitionId) -> bool) {
        self.0.retain(|partition, _| is_read(partition));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId::of_first(1);

    /// Seconds at which it is due, asked each second.
    fn due(quiet: &mut Quiet, begin: Instant, seconds: std::ops::Range<u64>) -> Vec<u64> {
        let is_due = |n: &u64| quiet.is_due(P, begin + Duration::from_secs(*n));
        seconds.filter(is_due).collect()
    }

    #[test]
    fn what_stays_quiet_is_sought_less_and_less_often() {
        let (mut quiet, begin) = (Quiet::default(), Instant::now());
        assert_eq!(due(&mut quiet, begin, 0..40), [2, 6, 14, 24, 34]);
    }

    #[test]
    fn what_is_heard_is_not_sought() {
        let (mut quiet, begin) = (Quiet::default(), Instant::now());
        for n in 0..20 {
            assert!(due(&mut quiet, begin, n..n + 1).is_empty());
            quiet.heard(P, begin + Duration::from_secs(n));
        }
        assert_eq!(due(&mut quiet, begin, 20..30), [21, 25]);
    }
}
