//! How long to wait before trying again, twice as long each time, with jitter; and how often to say so.

use std::time::{Duration, Instant};

/// While something keeps failing, it is said this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Stops the build where these can't be the first and the longest of growing waits: `const _: () = grows(FIRST, MOST);`
pub const fn grows(first: Duration, most: Duration) {
    assert!(
        !first.is_zero(),
        "without a first wait it is tried again without a pause"
    );
    assert!(
        first.as_nanos() <= most.as_nanos(),
        "the first wait is longer than the longest one"
    );
}

/// Doubles from a first wait to the longest one; each wait is drawn from 80 to 120 % of that, so that many who
/// failed together don't come back together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    base: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            base: first,
        }
    }

    /// The next wait.
    pub fn wait(&mut self) -> Duration {
        let wait = self.base.mul_f64(0.8 + 0.4 * fastrand::f64());
        self.base = (self.base * 2).min(self.most);
        wait
    }

    /// Starts again from the first wait.
    pub fn reset(&mut self) {
        self.base = self.first;
    }
}

/// Something that is tried until it works.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    failing_since: Option<Instant>,
    /// What was said last, and when.
    said: Option<(Instant, String)>,
}

impl Retry {
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            backoff: Backoff::new(first, most),
            failing_since: None,
            said: None,
        }
    }

    /// It failed, for the reason `why`. Calls `say` with it if it is new or time for another word on it; returns how
    /// long to wait.
    pub fn failed(&mut self, why: &str, say: impl FnOnce(&str)) -> Duration {
        self.failing_since.get_or_insert_with(Instant::now);
        let known = self
            .said
            .as_ref()
            .is_some_and(|(at, text)| text == why && at.elapsed() < SAY_EVERY);
        if !known {
            say(why);
            self.said = Some((Instant::now(), why.to_owned()));
        }
        self.backoff.wait()
    }

    /// It worked. Returns for how long it had failed, if it had.
    pub fn worked(&mut self) -> Option<Duration> {
        let since = self.failing_since.take()?;
        self.backoff.reset();
        self.said = None;
        Some(since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_up_to_the_longest_wait_and_starts_again() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(100), ms(500));
        for base in [100, 200, 400, 500, 500] {
            let wait = backoff.wait();
            assert!(
                wait >= ms(base * 8 / 10) && wait <= ms(base * 12 / 10),
                "{wait:?} for {base} ms"
            );
        }
        backoff.reset();
        assert!(backoff.wait() <= ms(120));
    }

    #[test]
    fn a_row_of_failures_is_said_once_in_a_while() {
        let mut retry = Retry::new(Duration::from_millis(1), Duration::from_millis(2));
        let mut said = 0;
        for _ in 0..100 {
            retry.failed("it is down", |_| said += 1);
        }
        assert_eq!(said, 1);
        retry.failed("it is something else", |_| said += 1);
        assert_eq!(said, 2);
        assert!(retry.worked().is_some());
        assert!(retry.worked().is_none());
        retry.failed("it is down", |_| said += 1);
        assert_eq!(said, 3);
    }
}
