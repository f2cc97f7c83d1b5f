//! A message that several workers deliver, each to a part of its Comets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::How;

/// What the workers have to agree on that deliver one message together.
#[derive(Debug)]
pub struct Together(Mutex<Common>);

#[derive(Debug)]
struct Common {
    fate: Fate,
    /// Workers that aren't done with it.
    left: usize,
    /// What it came to at those that are.
    how: Option<How>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// A Comet may have seen it: each worker finishes its part.
    Begun,
    /// No Comet has seen it, and none may.
    GivenBack,
}

impl Together {
    /// For a message that so many workers have.
    pub fn new(workers: usize) -> Self {
        Self(Mutex::new(Common {
            fate: Fate::Open,
            left: workers,
            how: None,
        }))
    }

    /// Whether it may be sent. From then on it can't be given back.
    pub fn begin(&self) -> bool {
        self.decide(Fate::Begun)
    }

    /// Whether it is given back. From then on it can't be sent.
    pub fn give_back(&self) -> bool {
        self.decide(Fate::GivenBack)
    }

    /// The first decision holds.
    fn decide(&self, fate: Fate) -> bool {
        let mut common = self.common();
        if common.fate == Fate::Open {
            common.fate = fate;
        }
        common.fate == fate
    }

    /// One of the workers is done with it. The last one gets what it came to for all of them.
    pub fn done(&self, how: How) -> Option<How> {
        let mut common = self.common();
        common.left -= 1;
        common.how = match common.how.take() {
            Some(before) if weight(&before) >= weight(&how) => Some(before),
            _ => Some(how),
        };
        (common.left == 0).then(|| common.how.take()).flatten()
    }

    fn common(&self) -> MutexGuard<'_, Common> {
        // A panic ends the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which part's outcome is the message's.
fn weight(how: &How) -> u8 {
    match how {
        How::PassedBy(_) => 0,
        How::Delivered => 1,
        How::Undeliverable(_) => 2,
        // What one gave back wasn't delivered everywhere; next to that it doesn't matter why not.
        How::Released => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_is_not_given_back_and_the_other_way_round() {
        let begun = Together::new(2);
        assert!(begun.begin() && !begun.give_back() && begun.begin());
        let given_back = Together::new(2);
        assert!(given_back.give_back() && !given_back.begin() && given_back.give_back());
    }

    #[test]
    fn the_last_one_gets_what_it_came_to_for_all() {
        let refused = || How::Undeliverable("refused".into());
        let passed_by = || How::PassedBy("left out".into());
        for (parts, all) in [
            ([passed_by(), How::Delivered], How::Delivered),
            ([How::Delivered, passed_by()], How::Delivered),
            ([passed_by(), passed_by()], passed_by()),
            ([refused(), passed_by()], refused()),
            ([passed_by(), How::Released], How::Released),
            ([How::Delivered, How::Delivered], How::Delivered),
            ([How::Delivered, How::Released], How::Released),
            ([How::Released, How::Delivered], How::Released),
            ([refused(), How::Released], How::Released),
            ([How::Released, refused()], How::Released),
            ([refused(), How::Delivered], refused()),
            ([How::Delivered, refused()], refused()),
            ([refused(), How::Undeliverable("later".into())], refused()),
        ] {
            let together = Together::new(2);
            let [first, last] = parts;
            assert_eq!(together.done(first), None);
            assert_eq!(together.done(last), Some(all));
        }
    }
}
