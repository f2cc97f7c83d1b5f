//! What is written is what is read.

use std::time::{Duration, Instant};

use super::*;
use crate::message::{PartitionId, Status};

/// Two Comets and two workers. 10 messages and 1,000 bytes may be held.
pub fn figures() -> Figures {
    let limit = Held {
        messages: 10,
        bytes: 1_000,
    };
    Figures::new(vec!["a:1".into(), "b:1".into()], 2, limit)
}

#[test]
fn all_workers_calls_are_counted_together() {
    let figures = figures();
    let (a, b) = (CometId(0), CometId(1));
    let took = Duration::from_millis(3);
    for worker in &figures.workers {
        worker.starts(a, 5);
        worker.ends(a, Method::PushMsg, took, &Ok(()));
    }
    let down = Err(Status {
        code: 14,
        text: String::new(),
    });
    figures.workers[1].starts(b, 1);
    figures.workers[1].starts(b, 1);
    figures.workers[1].ends(b, Method::Broadcast, took, &down);
    figures.workers[1].tries_again(b, 14);
    let totals = Totals(&figures.workers);
    assert_eq!(totals.ended(a, Method::PushMsg), [(0, 2)]);
    assert_eq!(totals.ended(b, Method::Broadcast), [(14, 1)]);
    assert_eq!(totals.retries(b), [(14, 1)]);
    assert_eq!([a, b].map(|comet| totals.in_flight(comet)), [0, 1]);
    assert_eq!(totals.took(a, Method::PushMsg).sum, 6_000);
    assert_eq!((totals.carried().count(), totals.carried().sum), (4, 12));
}

#[test]
fn a_comet_is_as_bad_as_one_worker_sees_it() {
    let figures = figures();
    let seen = || Totals(&figures.workers).seen(CometId(0));
    assert_eq!(seen(), Seen::Up);
    figures.workers[1].sees(CometId(0), Seen::Down);
    figures.workers[0].sees(CometId(0), Seen::RefusesAll);
    assert_eq!(seen(), Seen::Down);
    figures.workers[1].sees(CometId(0), Seen::Up);
    assert_eq!(seen(), Seen::RefusesAll);
}

#[test]
fn a_partition_that_went_away_is_forgotten_and_the_total_stays() {
    let figures = figures();
    let consumer = &figures.consumer;
    consumer.begin(PartitionId::of_first(3));
    consumer.read(PartitionId::of_first(3), 2, 20);
    // Of one that isn't ours nothing is kept.
    let [ours, other] = [3, 4].map(PartitionId::of_first);
    consumer.ends([(ours, 9), (other, 1)]);
    let reading = Reading {
        records: 2,
        bytes: 20,
        end: Some(9),
    };
    assert_eq!(
        consumer.partitions().into_iter().collect::<Vec<_>>(),
        [(PartitionId::of_first(3), reading)]
    );
    consumer.forget(PartitionId::of_first(3));
    assert!(consumer.partitions().is_empty());
    assert_eq!(consumer.records.get(), 2);
}

#[test]
fn a_watermark_that_moves_is_held_up_anew() {
    let (first, second) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let account = |watermark, held_up_since| GroupAccount {
        partitions: vec![Account {
            partition: PartitionId::of_first(0),
            watermark,
            end: None,
            committed: None,
            finished_above: 0,
            held_up_since,
        }],
        ..GroupAccount::default()
    };
    let since = |mut now: GroupAccount, before: &GroupAccount| {
        now.follows(before);
        now.partitions[0].held_up_since
    };
    let before = account(5, Some(first));
    assert_eq!(since(account(5, Some(second)), &before), Some(first));
    assert_eq!(since(account(6, Some(second)), &before), Some(second));
    assert_eq!(since(account(5, None), &before), None);
    assert_eq!(
        since(account(5, Some(second)), &account(5, None)),
        Some(second)
    );
}

#[test]
fn one_answer_is_enough() {
    let figures = figures();
    assert!(!figures.has_answer());
    figures.answered(CometId(1));
    assert!(figures.has_answer());
    let names: Vec<_> = figures.hearts().map(|(name, _)| name).collect();
    assert_eq!(names, ["consumer", "group", "worker-0", "worker-1"]);
}
