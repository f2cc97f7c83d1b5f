//! A message that several workers deliver, each to a part of its Comets.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Completion;

/// What the workers have to agree on that deliver one message together.
#[derive(Debug)]
pub struct FanOut(Mutex<Common>);

#[derive(Debug)]
struct Common {
    decision: SendDecision,
    /// Workers that aren't done with it.
    left: usize,
    /// What it came to at those that are.
    completion: Option<Completion>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SendDecision {
    Open,
    /// A Comet may have seen it: each worker finishes its part.
    Begun,
    /// No Comet has seen it, and none may.
    GivenBack,
}

impl FanOut {
    /// For a message that so many workers have.
    pub fn new(workers: usize) -> Self {
        Self(Mutex::new(Common {
            decision: SendDecision::Open,
            left: workers,
            completion: None,
        }))
    }

    /// Whether it may be sent. From then on it can't be given back.
    pub fn begin(&self) -> bool {
        self.decide(SendDecision::Begun)
    }

    /// Whether it is given back. From then on it can't be sent.
    pub fn give_back(&self) -> bool {
        self.decide(SendDecision::GivenBack)
    }

    /// The first decision holds.
    fn decide(&self, decision: SendDecision) -> bool {
        let mut common = self.common();
        if common.decision == SendDecision::Open {
            common.decision = decision;
        }
        common.decision == decision
    }

    /// One of the workers is done with it. The last one gets what it came to for all of them.
    pub fn done(&self, completion: Completion) -> Option<Completion> {
        let mut common = self.common();
        common.left -= 1;
        common.completion = match common.completion.take() {
            Some(before) if weight(&before) >= weight(&completion) => Some(before),
            _ => Some(completion),
        };
        (common.left == 0)
            .then(|| common.completion.take())
            .flatten()
    }

    fn common(&self) -> MutexGuard<'_, Common> {
        // A panic ends the process.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which part's outcome is the message's.
fn weight(completion: &Completion) -> u8 {
    match completion {
        Completion::Skipped(_) => 0,
        Completion::Delivered => 1,
        Completion::Undeliverable(_) => 2,
        // What one gave back wasn't delivered everywhere; next to that it doesn't matter why not.
        Completion::Released => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_is_not_given_back_and_the_other_way_round() {
        let begun = FanOut::new(2);
        assert!(begun.begin() && !begun.give_back() && begun.begin());
        let given_back = FanOut::new(2);
        assert!(given_back.give_back() && !given_back.begin() && given_back.give_back());
    }

    #[test]
    fn the_last_one_gets_what_it_came_to_for_all() {
        let refused = || Completion::Undeliverable("refused".into());
        let passed_by = || Completion::Skipped("left out".into());
        for (parts, all) in [
            ([passed_by(), Completion::Delivered], Completion::Delivered),
            ([Completion::Delivered, passed_by()], Completion::Delivered),
            ([passed_by(), passed_by()], passed_by()),
            ([refused(), passed_by()], refused()),
            ([passed_by(), Completion::Released], Completion::Released),
            (
                [Completion::Delivered, Completion::Delivered],
                Completion::Delivered,
            ),
            (
                [Completion::Delivered, Completion::Released],
                Completion::Released,
            ),
            (
                [Completion::Released, Completion::Delivered],
                Completion::Released,
            ),
            ([refused(), Completion::Released], Completion::Released),
            ([Completion::Released, refused()], Completion::Released),
            ([refused(), Completion::Delivered], refused()),
            ([Completion::Delivered, refused()], refused()),
            (
                [refused(), Completion::Undeliverable("later".into())],
                refused(),
            ),
        ] {
            let fan_out = FanOut::new(2);
            let [first, last] = parts;
            assert_eq!(fan_out.done(first), None);
            assert_eq!(fan_out.done(last), Some(all));
        }
    }
}
