//! How long to wait before trying again: twice as long each time, with jitter.

use std::time::Duration;

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
}
