//! A peer that keeps this side busy with frames that no call needs (RFC 9113, section 10.5).

use std::time::{Duration, Instant};

/// How many such frames may come at once, and how many each second.
const BURST: u32 = 10_000;
const EACH_SECOND: u32 = 2_000;
/// What an answer, or a part of a body that was sent, allows: a server may send a PING and some WINDOW_UPDATEs with each.
const EACH_USEFUL: u32 = 8;

pub struct Flood {
    left: u32,
    filled: Instant,
}

impl Flood {
    pub fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    /// Counts a frame. Returns false where it is one too many.
    #[must_use]
    pub fn count(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let passed = now
                .saturating_duration_since(self.filled)
                .min(Duration::from_secs(60));
            let more = passed.as_micros() as u64 * u64::from(EACH_SECOND) / 1_000_000;
            if more == 0 {
                return false;
            }
            self.left = BURST.min(more as u32);
            self.filled = now;
        }
        self.left -= 1;
        true
    }

    pub fn useful(&mut self) {
        self.left = BURST.min(self.left + EACH_USEFUL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_a_flood_is_not() {
        let begin = Instant::now();
        let mut flood = Flood::new(begin);
        assert!((0..BURST).all(|_| flood.count(begin)));
        assert!(!flood.count(begin));
        flood.useful();
        assert!((0..EACH_USEFUL).all(|_| flood.count(begin)));
        assert!(!flood.count(begin));
        let later = begin + Duration::from_secs(1);
        assert!((0..EACH_SECOND).all(|_| flood.count(later)));
        assert!(!flood.count(later));
        let much_later = later + Duration::from_secs(1_000_000);
        assert!((0..BURST).all(|_| flood.count(much_later)));
        assert!(!flood.count(much_later));
    }
}
