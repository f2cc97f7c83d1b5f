//! How long a broker may take for an answer.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// With connecting to it. One that is dead costs this.
const USUAL: Duration = Duration::from_secs(1);
/// Where brokers are slow, as they are on purpose to a client that has used up its quota.
const LONGEST: Duration = Duration::from_secs(8);

/// Grows with each answer that didn't come in time, and goes by the last one that came.
pub struct Patience(Duration);

impl Patience {
    pub fn new() -> Patience {
        Patience(USUAL)
    }

    pub async fn wait<T>(
        &mut self,
        address: &str,
        asking: impl Future<Output = Result<T, String>>,
    ) -> Result<T, String> {
        let begun = Instant::now();
        let answer = timeout(self.0, asking).await.unwrap_or_else(|_| {
            let limit = self.0;
            Err(format!(
                "Kafka at {address} gave no answer within {limit:?}"
            ))
        });
        let took = begun.elapsed();
        self.note(answer.is_ok(), took);
        answer
    }

    fn note(&mut self, came: bool, took: Duration) {
        if came {
            self.0 = (took * 2).clamp(USUAL, LONGEST);
        } else if took >= self.0 {
            self.0 = (self.0 * 2).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_grows_while_nobody_answers_in_time() {
        let mut patience = Patience::new();
        let mut limits = Vec::new();
        for _ in 0..5 {
            limits.push(patience.0);
            patience.note(false, patience.0);
        }
        assert_eq!(limits, [s(1), s(2), s(4), s(8), s(8)]);
    }

    #[test]
    fn it_goes_by_the_last_answer() {
        let mut patience = Patience(s(8));
        patience.note(true, s(3));
        assert_eq!(patience.0, s(6));
        patience.note(false, s(0));
        assert_eq!(patience.0, s(6), "refused at once");
        patience.note(true, s(0));
        assert_eq!(patience.0, s(1));
    }
}
