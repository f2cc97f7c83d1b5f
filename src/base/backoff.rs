//! Waits before retries, doubled each time, with jitter; and how often to log a failure.

use std::time::{Duration, Instant};

/// Logs a lasting failure this often.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Fails the build unless these can be the first and the longest of growing waits: `const _: () = grows(FIRST, MOST);`
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

/// Doubles from the first wait to the longest. Draws each wait from 80 to 120 % of that, so that many that failed together
/// don't retry together.
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

    /// Returns the next wait.
    pub fn wait(&mut self) -> Duration {
        self.next(fastrand::f64())
    }

    /// The next wait, drawn with `rng`.
    pub fn wait_with(&mut self, rng: &mut fastrand::Rng) -> Duration {
        self.next(rng.f64())
    }

    fn next(&mut self, draw: f64) -> Duration {
        let wait = self.base.mul_f64(0.8 + 0.4 * draw);
        self.base = (self.base * 2).min(self.most);
        wait
    }

    /// Restarts from the first wait.
    pub fn reset(&mut self) {
        self.base = self.first;
    }
}

/// The retries of something until it works.
#[derive(Debug)]
pub struct Retry {
    backoff: Backoff,
    failing_since: Option<Instant>,
    /// The last message, and its time.
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

    /// Records a failure. Calls `say` if the reason is new or a repeat is due; returns the wait before the next try.
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

    /// Records a success. Returns how long it had failed, if it had.
    pub fn worked(&mut self) -> Option<Duration> {
        let since = self.failing_since.take()?;
        self.backoff.reset();
        self.said = None;
        Some(since.elapsed())
    }
}

/// The outage of something that is done again and again: logged at once, then ever more rarely.
#[derive(Debug)]
pub struct Outage {
    pauses: Backoff,
    /// The start of the outage, and the time of the next message.
    failing: Option<(Instant, Instant)>,
}

impl Outage {
    /// The pause between messages grows from `first` to `most`.
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self {
            pauses: Backoff::new(first, most),
            failing: None,
        }
    }

    /// Records a failure. Returns whether to log it.
    pub fn failed(&mut self, now: Instant) -> bool {
        let (since, quiet_until) = self.failing.unwrap_or((now, now));
        let is_due = now >= quiet_until;
        if is_due {
            self.failing = Some((since, now + self.pauses.wait()));
        }
        is_due
    }

    /// Records a success. Returns how long it had failed, if it had.
    pub fn worked(&mut self, now: Instant) -> Option<Duration> {
        let (since, _) = self.failing.take()?;
        self.pauses.reset();
        Some(now.duration_since(since))
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

    #[test]
    fn an_outage_is_said_at_once_and_then_ever_more_rarely() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut outage = Outage::new(Duration::from_secs(10), Duration::from_secs(600));
        let said: Vec<u64> = (0..3_600)
            .filter(|second| outage.failed(at(*second)))
            .collect();
        assert_eq!(said[0], 0);
        assert!((8..20).contains(&said.len()), "{said:?}");
        let pauses: Vec<u64> = said.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(pauses[0] >= 8 && pauses.iter().all(|pause| *pause <= 721));
        assert_eq!(outage.worked(at(3_600)), Some(Duration::from_secs(3_600)));
        assert_eq!(outage.worked(at(3_601)), None);
        assert!(outage.failed(at(3_602)), "a new one is said at once");
        assert!(!outage.failed(at(3_603)));
    }
}
