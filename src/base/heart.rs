//! A thread's heart: tells one that stands still from one that has nothing to do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::trial;

/// A thread that is in the same round of work for this long stands still. None waits for a Comet or Kafka while it works.
pub const STANDS_STILL: Duration = Duration::from_secs(30);

/// Rounds that a runtime's thread makes within that time, whatever it awaits.
const ROUNDS: u32 = 6;

/// Beats twice for each round of its thread: when work begins, and before the thread waits for more. So it needs no clock: whoever
/// watches it sees that it stays in the same beat for long.
#[derive(Debug, Default)]
pub struct Heart(AtomicU64);

/// The round of a thread that works: it is odd, and another one each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Working(u64);

impl Heart {
    /// The thread begins to work.
    pub fn works(&self) {
        self.0.store(self.0.load(Relaxed) | 1, Relaxed);
    }

    /// The thread is about to wait until there is something to do.
    pub fn rests(&self) {
        let beat = self.0.load(Relaxed);
        self.0.store(beat.wrapping_add(beat & 1), Relaxed);
    }

    /// Ends one round and begins another, where a thread works on without a wait.
    pub fn goes_on(&self) {
        self.rests();
        self.works();
    }

    /// Awaits `work` on a runtime of one thread, and beats meanwhile: what is awaited may take its time, and only a thread that
    /// is kept from going on stands still.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let every = trial::limit("stands-still", STANDS_STILL) / ROUNDS;
        self.each(every, work).await
    }

    async fn each<T>(&self, every: Duration, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            self.goes_on();
            if let Ok(done) = tokio::time::timeout(every, &mut work).await {
                self.rests();
                return done;
            }
        }
    }

    /// The round that the thread works at, or `None` while it waits for work.
    pub fn working(&self) -> Option<Working> {
        let beat = self.0.load(Relaxed);
        (beat & 1 == 1).then_some(Working(beat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_of_work_is_another_one() {
        let heart = Heart::default();
        assert_eq!(heart.working(), None);
        heart.works();
        let first = heart.working();
        heart.works();
        assert!(first.is_some() && heart.working() == first);
        heart.goes_on();
        let second = heart.working();
        assert!(second.is_some() && second != first);
        heart.rests();
        heart.rests();
        assert_eq!(heart.working(), None);
    }

    #[test]
    fn what_is_awaited_takes_rounds_and_ends_in_rest() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let heart = Heart::default();
        let every = Duration::from_millis(1);
        runtime.block_on(heart.each(every, async {
            let mut rounds = Vec::new();
            while rounds.len() < 5 {
                let round = heart.working().expect("it works");
                if !rounds.contains(&round) {
                    rounds.push(round);
                }
                tokio::time::sleep(every).await;
            }
        }));
        assert_eq!(heart.working(), None);
    }
}
