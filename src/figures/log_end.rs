//! When a record came into a partition's log, found by looks at where the log ends: so a lag has a time without any record's
//! timestamp, which is the producer's clock, and which protocol v0 doesn't tell.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Looks within this long are one point. Between two points the log is taken to grow evenly.
const RESOLUTION: Duration = Duration::from_secs(1);

/// Points that are kept, at most. Where there are more, every second one goes: what lags for hours needs no seconds.
const POINTS: usize = 600;

/// How the end of a log moved.
#[derive(Debug, Default)]
pub struct LogEnd(VecDeque<Point>);

#[derive(Debug)]
struct Point {
    end: i64,
    opened: Instant,
    /// When the log was first seen to end there, and last.
    first: Instant,
    last: Instant,
}

/// When a record came into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    At(Instant),
    /// Before the first look, which was at this time.
    Before(Instant),
    /// The log ends before it, as far as is known.
    NotYet,
}

impl LogEnd {
    /// Notes where the log ends now. An end can't go back: a lower one is an older answer, or what can be read of a
    /// transaction that is open.
    pub fn hear(&mut self, end: i64, now: Instant) {
        let is_first_point = self.0.len() == 1;
        if let Some(last) = self.0.back_mut() {
            if end <= last.end {
                last.last = now;
                return;
            }
            // The first point stays: it tells what was there before anybody looked.
            if !is_first_point && now.saturating_duration_since(last.opened) < RESOLUTION {
                (last.end, last.first, last.last) = (end, now, now);
                return;
            }
        }
        self.0.push_back(Point {
            end,
            opened: now,
            first: now,
            last: now,
        });
        if self.0.len() > POINTS {
            let newest = self.0.len() - 1;
            let mut n = 0;
            self.0.retain(|_| {
                n += 1;
                n == 1 || n > newest || n % 2 == 0
            });
        }
    }

    /// Where the log ends, as far as is known.
    pub fn end(&self) -> Option<i64> {
        self.0.back().map(|point| point.end)
    }

    /// When that was last heard.
    pub fn heard(&self) -> Option<Instant> {
        self.0.back().map(|point| point.last)
    }

    /// When the record at `offset` came; `None` before the first look.
    pub fn came(&self, offset: i64) -> Option<Came> {
        let behind = self.0.partition_point(|point| point.end <= offset);
        let Some(after) = self.0.get(behind) else {
            return self.0.back().map(|_| Came::NotYet);
        };
        let Some(before) = behind.checked_sub(1).and_then(|n| self.0.get(n)) else {
            return Some(Came::Before(after.first));
        };
        let grew = (after.end - before.end) as f64;
        let part = (offset + 1 - before.end) as f64 / grew;
        let lasted = after.first.saturating_duration_since(before.last);
        Some(Came::At(before.last + lasted.mul_f64(part.clamp(0.0, 1.0))))
    }

    /// Forgets what is only about records below `offset`.
    pub fn forget_below(&mut self, offset: i64) {
        while self.0.get(1).is_some_and(|next| next.end <= offset) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Log {
        end: LogEnd,
        start: Instant,
    }

    impl Log {
        fn new() -> Self {
            Self {
                end: LogEnd::default(),
                start: Instant::now(),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn hear(&mut self, millis: u64, end: i64) {
            let at = self.at(millis);
            self.end.hear(end, at);
        }

        fn came(&self, offset: i64) -> Option<u64> {
            match self.end.came(offset)? {
                Came::At(at) => Some(at.duration_since(self.start).as_millis() as u64),
                _ => None,
            }
        }
    }

    #[test]
    fn a_record_came_between_two_looks() {
        let mut log = Log::new();
        assert_eq!(log.end.came(0), None);
        log.hear(0, 100);
        log.hear(9_000, 100);
        assert_eq!(log.end.came(99), Some(Came::Before(log.start)));
        assert_eq!(log.end.came(100), Some(Came::NotYet));
        // It was still at 100 at 9 s: so 100 came after that, not evenly since the first look.
        log.hear(10_000, 110);
        assert_eq!(log.came(100), Some(9_100));
        assert_eq!(log.came(109), Some(10_000));
        assert_eq!(log.end.came(110), Some(Came::NotYet));
        assert_eq!(
            (log.end.end(), log.end.heard()),
            (Some(110), Some(log.at(10_000)))
        );
    }

    #[test]
    fn an_older_answer_moves_no_end_back() {
        let mut log = Log::new();
        log.hear(0, 100);
        log.hear(1_000, 90);
        assert_eq!(
            (log.end.end(), log.end.heard()),
            (Some(100), Some(log.at(1_000)))
        );
    }

    #[test]
    fn many_looks_are_few_points_and_right_within_a_second() {
        let mut log = Log::new();
        // Ten records a second, looked at each 100 ms for five minutes.
        for n in 0..3_000 {
            log.hear(n * 100, n as i64);
        }
        assert!(log.end.0.len() <= 301, "{}", log.end.0.len());
        for offset in [0, 1, 777, 2_998] {
            let (came, is) = (log.came(offset).expect("known"), (offset as u64 + 1) * 100);
            assert!(came.abs_diff(is) <= 100, "{offset}: {came}");
        }
    }

    #[test]
    fn a_lag_of_hours_is_right_within_its_hundredth() {
        let mut log = Log::new();
        for second in 0..36_000 {
            log.hear(second * 1_000, 5 * second as i64);
        }
        assert!(log.end.0.len() <= POINTS, "{}", log.end.0.len());
        for offset in [10, 5_000, 100_000, 179_990] {
            let (came, is) = (log.came(offset).expect("known"), offset as u64 * 200);
            assert!(came.abs_diff(is) <= 360_000, "{offset}: {came}");
        }
    }

    #[test]
    fn what_is_finished_is_forgotten_and_the_rest_known_as_before() {
        let mut log = Log::new();
        for second in 0..100 {
            log.hear(second * 1_000, 10 * second as i64);
        }
        let before = log.came(505);
        log.end.forget_below(505);
        assert_eq!(log.came(505), before);
        assert!(log.end.0.len() <= 50);
        log.end.forget_below(5_000);
        assert_eq!((log.end.0.len(), log.end.end()), (1, Some(990)));
    }
}
