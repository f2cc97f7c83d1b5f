//! One commit, until Kafka took it: what each of its answers means for the partitions that are left.

use kafka_protocol::error::ResponseError;

use crate::message::{Commit, CommitOutcome, Failure, PartitionId, offset_map};

/// A commit that is under way.
#[derive(Debug)]
pub struct Attempt {
    left: Vec<Commit>,
    outcome: CommitOutcome,
}

/// How a commit goes on after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Trying again doesn't help, or nothing is left.
    Done,
    /// What is left is tried again at once, with shorter maps.
    AtOnce,
    /// What is left is tried again in a moment, where the group's coordinator is by then.
    Later,
}

impl Attempt {
    pub fn new(commits: &[Commit]) -> Self {
        Self {
            left: commits.to_vec(),
            outcome: CommitOutcome::default(),
        }
    }

    /// What is to be sent.
    pub fn left(&self) -> &[Commit] {
        &self.left
    }

    /// Notes what went wrong with what is left, so far.
    pub fn trouble(&mut self, why: String) {
        self.outcome.failed = Some(Failure::Other(why));
    }

    /// Notes Kafka's answer from `address`, where `why` says more of an error: the error of each partition, or none; `None` for partitions that it doesn't speak of.
    pub fn answered(
        &mut self,
        address: &str,
        why: impl Fn(ResponseError) -> String,
        answer: impl Fn(PartitionId) -> Option<Option<ResponseError>>,
    ) -> Next {
        use ResponseError::{
            CoordinatorLoadInProgress, CoordinatorNotAvailable, FencedInstanceId,
            IllegalGeneration, NotCoordinator, OffsetMetadataTooLarge, RebalanceInProgress,
            RequestTimedOut, StaleMemberEpoch, UnknownMemberId,
        };
        let said = |error: ResponseError, partition: PartitionId| {
            let why = why(error);
            format!("Kafka at {address} answered {error:?} for partition {partition}{why}")
        };
        let (mut failed, mut not_member, mut later) = (None, None, None);
        let mut old_epoch = None;
        let mut too_large = Vec::new();
        let mut again = Vec::new();
        for commit in std::mem::take(&mut self.left) {
            let partition = commit.partition;
            match answer(partition) {
                Some(None) => self.outcome.taken.push(commit),
                Some(Some(OffsetMetadataTooLarge)) if !commit.metadata.is_empty() => {
                    too_large.push(commit);
                }
                Some(Some(
                    error @ (NotCoordinator
                    | CoordinatorNotAvailable
                    | CoordinatorLoadInProgress
                    | RebalanceInProgress
                    | RequestTimedOut),
                )) => {
                    later = Some(said(error, partition));
                    again.push(commit);
                }
                Some(Some(error @ (UnknownMemberId | FencedInstanceId | IllegalGeneration))) => {
                    not_member = Some(said(error, partition));
                }
                Some(Some(StaleMemberEpoch)) => old_epoch = Some(said(StaleMemberEpoch, partition)),
                Some(Some(error)) => failed = Some(said(error, partition)),
                None => {
                    failed = Some(format!(
                        "Kafka at {address} answered nothing for partition {partition}"
                    ));
                }
            }
        }
        let shortened = !too_large.is_empty();
        again.extend(self.shorten(too_large));
        if let Some(why) = not_member {
            self.outcome.failed = Some(Failure::NotMember(why));
            return Next::Done;
        }
        if let Some(why) = old_epoch {
            self.outcome.failed = Some(Failure::OldEpoch(why));
            return Next::Done;
        }
        self.outcome.failed = failed.or(later.clone()).map(Failure::Other);
        self.left = again;
        match later {
            Some(_) => Next::Later,
            None if shortened => Next::AtOnce,
            None => Next::Done,
        }
    }

    /// Halves the maps that the broker refused. It doesn't say what it would take.
    fn shorten(&mut self, mut refused: Vec<Commit>) -> Vec<Commit> {
        let Some(shortest) = refused.iter().map(|commit| commit.metadata.len()).min() else {
            return refused;
        };
        let map_len = shortest / 2;
        self.outcome.map_len = Some(map_len);
        for commit in &mut refused {
            // Where what Comets miss doesn't fit any longer, the offset is a lower one.
            (commit.offset, commit.metadata) =
                offset_map::shorten(commit.offset, &commit.metadata, map_len);
        }
        refused
    }

    /// What became of it when it ends, or its time is over.
    pub fn end(self) -> CommitOutcome {
        self.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::offset_map::Map;

    fn commit(index: i32, holes: i64) -> Commit {
        let map = Map {
            finished: (0..holes).map(|n| 2 * n + 1..2 * n + 2).collect(),
            ..Map::default()
        };
        Commit {
            partition: PartitionId::of_first(index),
            offset: 0,
            leader_epoch: None,
            metadata: offset_map::encode(0, &map, offset_map::MAX_LEN).1,
        }
    }

    fn indexes(commits: &[Commit]) -> Vec<i32> {
        commits
            .iter()
            .map(|commit| commit.partition.index)
            .collect()
    }

    fn answer(attempt: &mut Attempt, errors: &[Option<ResponseError>]) -> Next {
        attempt.answered(
            "127.0.0.1:9092",
            |_| String::new(),
            |partition| errors.get(partition.index as usize).copied(),
        )
    }

    #[test]
    fn a_map_is_halved_until_the_broker_takes_it() {
        for limit in [0, 10, 20, 64, 1_000] {
            let mut attempt = Attempt::new(&[commit(0, 0), commit(1, 100), commit(2, 600)]);
            let mut tries = 0;
            loop {
                tries += 1;
                let sizes: Vec<_> = attempt.left().to_vec();
                let next = attempt.answered(
                    "127.0.0.1:9092",
                    |_| String::new(),
                    |partition| {
                        let sent = sizes.iter().find(|sent| sent.partition == partition)?;
                        let too_large = sent.metadata.len() > limit;
                        Some(too_large.then_some(ResponseError::OffsetMetadataTooLarge))
                    },
                );
                match next {
                    Next::AtOnce => {}
                    Next::Done => break,
                    Next::Later => panic!("it waits"),
                }
            }
            let outcome = attempt.end();
            assert!(tries <= 12, "{tries} tries for a limit of {limit}");
            assert_eq!(outcome.failed, None);
            assert_eq!(outcome.taken.len(), 3);
            let longest = outcome.map_len.expect("it was refused");
            // No less than half of what it takes, as far as a map says anything in so little.
            assert!(longest <= limit.max(20), "{longest}");
            assert!(longest * 2 >= limit.saturating_sub(40), "{longest}");
            for taken in outcome.taken {
                assert!(taken.metadata.len() <= limit);
                assert!(offset_map::decode(0, &taken.metadata).is_ok());
            }
        }
    }

    #[test]
    fn what_comets_miss_that_does_not_fit_lowers_the_offset_that_is_taken() {
        let map = Map {
            finished: vec![110..120, 130..140],
            missing: [(
                "comet-a:50051".into(),
                [20..30, 40..50].into_iter().collect(),
            )]
            .into(),
        };
        let (offset, metadata) = offset_map::encode(100, &map, offset_map::MAX_LEN);
        let commit = Commit {
            offset,
            metadata,
            ..commit(0, 0)
        };
        let mut attempt = Attempt::new(&[commit]);
        let too_large = Some(ResponseError::OffsetMetadataTooLarge);
        assert_eq!(answer(&mut attempt, &[too_large]), Next::AtOnce);
        let [shorter] = attempt.left() else {
            panic!("it is not one commit")
        };
        assert_eq!(shorter.offset, 20);
        let said = offset_map::decode(20, &shorter.metadata).unwrap();
        assert_eq!(said.finished, [30..40, 50..100, 110..120]);
        let sent = shorter.clone();
        assert_eq!(answer(&mut attempt, &[None]), Next::Done);
        assert_eq!(attempt.end().taken, [sent]);
    }

    #[test]
    fn what_is_taken_counts_though_another_partition_fails() {
        let mut attempt = Attempt::new(&[commit(0, 0), commit(1, 0), commit(2, 0)]);
        let deleted = Some(ResponseError::UnknownTopicOrPartition);
        assert_eq!(answer(&mut attempt, &[None, deleted]), Next::Done);
        let outcome = attempt.end();
        assert_eq!(indexes(&outcome.taken), [0]);
        assert!(matches!(outcome.failed, Some(Failure::Other(_))));
    }

    #[test]
    fn a_coordinator_that_moved_is_looked_for_and_what_failed_before_is_forgotten() {
        for moved in [
            ResponseError::NotCoordinator,
            ResponseError::CoordinatorNotAvailable,
            ResponseError::CoordinatorLoadInProgress,
            ResponseError::RebalanceInProgress,
        ] {
            let mut attempt = Attempt::new(&[commit(0, 0), commit(1, 0)]);
            attempt.trouble("the connection was closed".into());
            assert_eq!(answer(&mut attempt, &[None, Some(moved)]), Next::Later);
            assert_eq!(indexes(attempt.left()), [1]);
            assert_eq!(answer(&mut attempt, &[None, None]), Next::Done);
            let outcome = attempt.end();
            assert_eq!(outcome.failed, None);
            assert_eq!(indexes(&outcome.taken), [0, 1]);
        }
    }

    #[test]
    fn an_epoch_that_is_old_is_no_loss() {
        let mut attempt = Attempt::new(&[commit(0, 0)]);
        let old = Some(ResponseError::StaleMemberEpoch);
        assert_eq!(answer(&mut attempt, &[old]), Next::Done);
        let outcome = attempt.end();
        assert!(outcome.taken.is_empty());
        assert!(matches!(outcome.failed, Some(Failure::OldEpoch(_))));
    }

    #[test]
    fn a_member_that_kafka_does_not_know_is_said_to_be_none() {
        for error in [
            ResponseError::UnknownMemberId,
            ResponseError::FencedInstanceId,
            ResponseError::IllegalGeneration,
        ] {
            let mut attempt = Attempt::new(&[commit(0, 0)]);
            assert_eq!(answer(&mut attempt, &[Some(error)]), Next::Done);
            let outcome = attempt.end();
            assert!(outcome.taken.is_empty());
            assert!(matches!(outcome.failed, Some(Failure::NotMember(_))));
        }
    }
}
