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
    Figures::new(&["a:1".into(), "b:1".into()], 2, limit)
}

#[test]
fn all_workers_calls_are_counted_together() {
    let figures = figures();
    let (a, b) = (CometId(0), CometId(1));
    let took = Duration::from_millis(3);
    for worker in &figures.workers {
        worker.of(a).starts();
        worker.carries(5);
        worker.of(a).ends(Method::PushMsg, took, &Ok(()));
    }
    let down = Err(Status::new(14, ""));
    figures.workers[1].of(b).starts();
    figures.workers[1].carries(1);
    figures.workers[1].of(b).starts();
    figures.workers[1].carries(1);
    figures.workers[1]
        .of(b)
        .ends(Method::Broadcast, took, &down);
    figures.workers[1].of(b).tries_again(14);
    figures.workers[1].of(b).drops();
    let totals = Totals(&figures.workers);
    assert_eq!(totals.ended(a, Method::PushMsg), [(0, 2)]);
    assert_eq!(totals.ended(b, Method::Broadcast), [(14, 1)]);
    assert_eq!(totals.retries(b), [(14, 1)]);
    assert_eq!([a, b].map(|comet| totals.dropped(comet)), [0, 1]);
    assert_eq!([a, b].map(|comet| totals.in_flight(comet)), [0, 1]);
    assert_eq!(totals.took(a, Method::PushMsg).sum, 6_000);
    assert_eq!((totals.carried().count(), totals.carried().sum), (4, 12));
}

#[test]
fn a_comet_is_as_bad_as_one_worker_sees_it() {
    let figures = figures();
    let seen = || Totals(&figures.workers).seen(CometId(0));
    assert_eq!(seen(), Seen::Up);
    figures.workers[1].of(CometId(0)).sees(Seen::Down);
    figures.workers[0].of(CometId(0)).sees(Seen::RefusesAll);
    assert_eq!(seen(), Seen::Down);
    figures.workers[1].of(CometId(0)).sees(Seen::Up);
    assert_eq!(seen(), Seen::RefusesAll);
}

#[test]
fn a_partition_that_went_away_is_forgotten_and_the_total_stays() {
    let figures = figures();
    let consumer = &figures.consumer;
    let [ours, other] = [3, 4].map(PartitionId::of_first);
    consumer.begin(ours);
    consumer.read(ours, 2, 20);
    // Of one that isn't ours nothing is kept.
    let now = Instant::now();
    consumer.ends([(ours, 9), (other, 1)], now);
    let reading = Reading {
        records: 2,
        bytes: 20,
    };
    assert_eq!(consumer.lag(ours, 9, now), (Some(9), Behind::Not));
    assert_eq!(consumer.lag(other, 1, now), (None, Behind::Unknown));
    assert_eq!(
        consumer.partitions().into_iter().collect::<Vec<_>>(),
        [(ours, reading)]
    );
    consumer.forget(ours);
    assert!(consumer.partitions().is_empty());
    assert_eq!(consumer.records.get(), 2);
}

#[test]
fn a_lag_has_a_time_without_and_with_timestamps() {
    let figures = figures();
    let consumer = &figures.consumer;
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let ours = PartitionId::FIRST;
    consumer.begin(ours);
    assert_eq!(consumer.lag(ours, 5, at(0)), (None, Behind::Unknown));
    assert!(consumer.is_unheard(ours, Duration::from_secs(5), at(0)));
    consumer.ends([(ours, 10)], at(2));
    assert!(!consumer.is_unheard(ours, Duration::from_secs(5), at(6)));
    // It was there before: at least since then, until Kafka says since when.
    assert_eq!(consumer.lag(ours, 5, at(3)).1, Behind::Since(at(2)));
    assert!(consumer.is_older_than_looks(ours, 5));
    consumer.written(ours, 5, start);
    assert!(!consumer.is_older_than_looks(ours, 5));
    assert_eq!(consumer.lag(ours, 5, at(3)).1, Behind::Since(start));
    // The next one is at most as old, and asked for again.
    assert_eq!(consumer.lag(ours, 6, at(3)).1, Behind::Since(start));
    assert!(consumer.is_older_than_looks(ours, 6));
    // What came since the first look has its time from the looks.
    consumer.ends([(ours, 20)], at(4));
    assert_eq!(consumer.lag(ours, 19, at(9)).1, Behind::Since(at(4)));
    assert_eq!(consumer.lag(ours, 20, at(9)), (Some(20), Behind::Not));
    // Kafka was not heard for long: more may have come.
    assert_eq!(consumer.lag(ours, 20, at(60)), (Some(20), Behind::Unknown));
}

#[test]
fn a_watermark_that_moves_is_held_up_anew() {
    let (first, second) = (Instant::now(), Instant::now() + Duration::from_secs(1));
    let account = |watermark, held_up_since| GroupAccount {
        partitions: vec![Account {
            partition: PartitionId::FIRST,
            watermark,
            end: None,
            behind: Behind::Unknown,
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
    figures.answered();
    assert!(figures.has_answer());
    let names: Vec<_> = figures.hearts().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "consumer",
            "group",
            "membership",
            "dead-letter",
            "worker-0",
            "worker-1"
        ]
    );
}
