//! The time of day without a look at its clock for each message.

use std::time::{Duration, Instant};

use crate::base::wall;

/// The clock may be set while job runs, so it is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The time of day when it was looked at last.
pub struct Wall {
    at: Instant,
    millis: u64,
}

impl Wall {
    pub fn new(now: Instant) -> Self {
        Self {
            at: now,
            millis: wall::millis().unsigned_abs(),
        }
    }

    /// How old what was written then is `now`, in milliseconds. `timestamp` is in milliseconds since 1970. Where the clock of who wrote
    /// it is ahead, it is new.
    pub fn age(&mut self, timestamp: u64, now: Instant) -> u64 {
        let mut since = now.saturating_duration_since(self.at);
        if since >= LOOK_AGAIN {
            *self = Self::new(now);
            since = Duration::ZERO;
        }
        (self.millis + millis(since)).saturating_sub(timestamp)
    }
}

/// Cheaper than `as_millis`, which counts in 128 bits.
fn millis(time: Duration) -> u64 {
    time.as_secs() * 1_000 + u64::from(time.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_as_of_now() {
        let start = Instant::now();
        let mut wall = Wall::new(start);
        let written = wall.millis - 40;
        let later = start + Duration::from_millis(500);
        assert_eq!(wall.age(written, start), 40);
        assert_eq!(wall.age(written, later), 540);
        assert_eq!(wall.age(written + 10_000, later), 0);
        // It looks again: this minute has not gone by.
        let minute = start + Duration::from_secs(60);
        assert!(wall.age(written, minute) < 30_000);
    }
}
