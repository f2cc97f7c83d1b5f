//! A thread's heart: tells one that stands still from one that has nothing to do.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
}
