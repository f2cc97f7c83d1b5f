//! Whether job lives, and whether it is ready: what to answer, and what is wrong.

use crate::base::heart::STANDS_STILL;
use crate::figures::{Figures, Working};

/// How often it is looked within that time. It counts looks rather than time: where the whole process was halted, its threads
/// are not to blame.
pub const LOOKS: u32 = 30;

/// How readiness says that no Comet answered.
pub const NO_COMET: &str = "no Comet answers";

/// Finds threads that stand still.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Of each thread, the round that it was in when last looked, and for how many looks.
    rounds: Vec<(Option<Working>, u32)>,
}

impl Pulse {
    /// Looks at the threads: the round that each works at, always in the same order.
    pub fn look(&mut self, rounds: impl Iterator<Item = Option<Working>>) {
        for (n, round) in rounds.enumerate() {
            match self.rounds.get_mut(n) {
                Some((last, looks)) if round.is_some() && *last == round => *looks += 1,
                Some(seen) => *seen = (round, 0),
                None => self.rounds.push((round, 0)),
            }
        }
    }

    /// Whether the nth thread stands still.
    fn stands_still(&self, n: usize) -> bool {
        self.rounds.get(n).is_some_and(|(_, looks)| *looks >= LOOKS)
    }

    /// The threads that stand still.
    pub fn still(&self, figures: &Figures) -> Vec<String> {
        let hearts = figures.hearts().enumerate();
        let still = hearts.filter(|(n, _)| self.stands_still(*n));
        still.map(|(_, (name, _))| name).collect()
    }

    /// Whether all of job's threads go on.
    ///
    /// # Errors
    /// The threads that don't.
    pub fn is_healthy(&self, figures: &Figures) -> Result<(), String> {
        let still = self.still(figures);
        match still.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "stands still since {} s or longer: {}",
                STANDS_STILL.as_secs(),
                still.join(", ")
            )),
        }
    }
}

/// Whether messages can flow: job is a member of the group, knows its partitions, and a Comet has answered.
///
/// # Errors
/// What is missing.
pub fn is_ready(figures: &Figures) -> Result<(), String> {
    let account = figures.group.account();
    let mut missing = Vec::new();
    if !account.is_member {
        missing.push("not a member of the consumer group".to_owned());
    } else if account.waits_for_positions {
        missing.push("Kafka has not said yet where to read the partitions from".to_owned());
    }
    if !figures.has_answer() {
        let comets = figures.comets.all();
        let names: Vec<_> = comets.iter().map(|(_, name)| &**name).collect();
        missing.push(format!("{NO_COMET} ({})", names.join(", ")));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(missing.join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::GroupAccount;
    use crate::message::Held;

    fn figures() -> Figures {
        Figures::new(&["a:1".into()], 1, Held::default())
    }

    #[test]
    fn a_thread_in_the_same_round_for_long_stands_still() {
        let (figures, mut pulse) = (figures(), Pulse::default());
        let look = |pulse: &mut Pulse| {
            pulse.look(figures.hearts().map(|(_, heart)| heart.working()));
        };
        let worker = &figures.workers[0].heart;
        worker.works();
        for _ in 0..LOOKS {
            look(&mut pulse);
            // One that goes on, and one that waits, are well.
            figures.consumer.heart.goes_on();
        }
        assert_eq!(pulse.is_healthy(&figures), Ok(()));
        look(&mut pulse);
        let error = pulse.is_healthy(&figures).expect_err("it stands still");
        assert_eq!(error, "stands still since 30 s or longer: worker-0");
        worker.goes_on();
        look(&mut pulse);
        assert_eq!(pulse.is_healthy(&figures), Ok(()));
    }

    #[test]
    fn readiness_says_what_is_missing() {
        let figures = figures();
        let missing = || is_ready(&figures).expect_err("something is missing");
        assert_eq!(
            missing(),
            "not a member of the consumer group; no Comet answers (a:1)"
        );
        figures.answered();
        assert_eq!(missing(), "not a member of the consumer group");
        let mut account = GroupAccount {
            is_member: true,
            waits_for_positions: true,
            ..GroupAccount::default()
        };
        figures.group.publish(account.clone());
        assert!(missing().starts_with("Kafka has not said"));
        account.waits_for_positions = false;
        figures.group.publish(account);
        assert_eq!(is_ready(&figures), Ok(()));
    }
}
