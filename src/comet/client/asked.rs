//! A question whether a connection still carries anything, while calls are made over it.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    Awaited,
    /// Something came: it is alive.
    Seen,
    /// It broke, and whatever is in flight fails with it.
    Broke,
    /// Nothing came over another one either: it is the Comet that hangs.
    Hangs,
    /// Nothing came in time, and another one works.
    Missed,
}

/// A question whether a connection is alive, and what was sent meanwhile.
pub struct Asked {
    /// Since when.
    pub at: Instant,
    sign: watch::Sender<Sign>,
}

impl Asked {
    pub fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            at: now,
            sign: watch::Sender::new(Sign::Awaited),
        })
    }

    pub fn sign(&self) -> Sign {
        *self.sign.borrow()
    }

    /// What came first counts. Returns whether this was it.
    pub fn settle(&self, sign: Sign) -> bool {
        self.sign.send_if_modified(|current| {
            let first = *current == Sign::Awaited;
            if first {
                *current = sign;
            }
            first
        })
    }

    /// Ends when no sign came in time, and otherwise never.
    pub async fn missed(&self) {
        let mut sign = self.sign.subscribe();
        let settled = sign.wait_for(|sign| *sign != Sign::Awaited).await;
        if settled.is_ok_and(|sign| *sign == Sign::Missed) {
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sign_counts() {
        let asked = Asked::new(Instant::now());
        assert_eq!(asked.sign(), Sign::Awaited);
        assert!(asked.settle(Sign::Seen));
        assert!(!asked.settle(Sign::Missed));
        assert_eq!(asked.sign(), Sign::Seen);
    }
}
