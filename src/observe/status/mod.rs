//! The status page's document: how job stands, how that developed, and why it is slow. It is made of the figures when somebody
//! asks, and of looks at them now and then, so that it costs the delivery nothing.

pub mod conditions;
mod document;
pub mod history;

use std::time::Instant;

use super::comet_state::state;
use super::health::{Pulse, is_ready};
use super::logging;
use super::metrics::Source;
use crate::base::wall;
use crate::figures::{GroupAccount, Totals};
use crate::message::{CometId, PartitionId};
pub use document::{
    Comet, Condition, DeadLetters, Delivery, Held, Kafka, Log, LoggedLine, Partition, Point,
    Severity, Status, Tried, Verdict, Worker,
};
use history::{Calls, History, Sample, per_second, tenths};

/// How it stands `now`.
pub fn status(source: &Source, history: &History, pulse: &Pulse, now: Instant) -> Status {
    let figures = &source.figures;
    let sample = Sample::of(figures, now);
    let before = history.minute_ago();
    let delivery = before.map(|before| sample.delivery_since(before));
    let lasts = |since: Option<Instant>| since.map(|since| seconds(since, now));
    // All of one moment.
    let (account, still) = (figures.group.account(), pulse.still(figures));
    let mut status = Status {
        version: env!("CARGO_PKG_VERSION").into(),
        process: std::process::id(),
        at_ms: wall::millis().unsigned_abs(),
        uptime_seconds: seconds(history.started, now),
        group: source.group.clone(),
        topic: source.topics.to_string(),
        healthy: verdict(pulse.is_healthy(figures)),
        ready: verdict(is_ready(figures)),
        conditions: Vec::new(),
        kafka: kafka(&account, history, now),
        delivery: delivery.unwrap_or_default(),
        series: history.points(),
        partitions: partitions(source, &account, now),
        comets: comets(source, &account, &sample, [before, history.just_before()]),
        workers: workers(source, (&sample, before), &still),
        standing_still: still,
        held: held(source),
        dead_letters: dead_letters(source, lasts(history.since.letters_wait)),
        log: log(now),
        last_errors: logging::last_errors(),
    };
    status.held.at_limit_seconds = lasts(history.since.at_limit);
    status.conditions = conditions::conditions(&status);
    status
}

fn seconds(since: Instant, now: Instant) -> f64 {
    tenths(now.saturating_duration_since(since).as_secs_f64())
}

fn verdict(found: Result<(), String>) -> Verdict {
    Verdict {
        ok: found.is_ok(),
        why: found.err(),
    }
}

fn kafka(account: &GroupAccount, history: &History, now: Instant) -> Kafka {
    let lasts = |since: Option<Instant>| since.map(|since| seconds(since, now));
    let is_member = account.is_member;
    Kafka {
        is_member,
        no_member_seconds: lasts(history.since.no_member.filter(|_| !is_member)),
        waits_for_positions: account.waits_for_positions,
        members: account.size.map(|[members, _]| members),
        partitions: account.size.map(|[_, partitions]| partitions),
        reading_fails_seconds: lasts(history.since.reading_fails()),
        paused_seconds: lasts(history.since.paused),
        commits_fail_seconds: lasts(history.since.commits_fail()),
    }
}

fn partitions(source: &Source, account: &GroupAccount, now: Instant) -> Vec<Partition> {
    let topics = source.topics.are_several();
    let ours = account.partitions.iter();
    let mut all: Vec<_> = ours
        .map(|ours| Partition {
            topic: topics.then(|| source.topics.name(ours.partition.topic).into()),
            partition: ours.partition.index,
            lag: ours.lag(),
            lag_seconds: ours.lag_seconds(now).map(tenths),
            offset: ours.watermark,
            committed: ours.committed,
            finished_above: ours.finished_above,
            held_up_seconds: ours.held_up_since.map(|since| seconds(since, now)),
            tried: ours
                .held_up_since
                .and_then(|_| tried(source, ours.partition, ours.watermark)),
        })
        .collect();
    all.sort_by_key(|partition| (partition.topic.clone(), partition.partition));
    all
}

fn tried(source: &Source, partition: PartitionId, offset: i64) -> Option<Tried> {
    let trouble = source.figures.troubles.of(partition, offset)?;
    Some(Tried {
        comet: source.figures.comets.name(trouble.comet).to_string(),
        to: trouble.to,
        status: trouble.status,
        tries: trouble.tries,
    })
}

fn comets(
    source: &Source,
    account: &GroupAccount,
    sample: &Sample,
    [before, just_before]: [Option<&Sample>; 2],
) -> Vec<Comet> {
    let figures = &source.figures;
    let totals = Totals(&figures.workers);
    let lasted = before.map_or(0.0, |before| sample.seconds_since(before));
    let none = Calls::default();
    let comet = |(id, name): (CometId, std::sync::Arc<str>)| {
        // Until the group's thread says something, none is behind.
        let account = account.comets.get(id).copied().unwrap_or_default();
        let now = sample.comets.get(id).unwrap_or(&none);
        let calls_at = |then: Option<&'_ Sample>| {
            let calls = then.and_then(|then| then.comets.get(id));
            calls.cloned().unwrap_or_default()
        };
        let before = calls_at(before);
        let took = now.took.since(&before.took);
        Comet {
            address: name.to_string(),
            state: state(account.standing, totals.seen(id)).into(),
            calls_per_second: per_second(now.ended.saturating_sub(before.ended), lasted),
            failed_per_second: per_second(now.failed.saturating_sub(before.failed), lasted),
            failed_percent: now.failed_percent(&calls_at(just_before)),
            p99_ms: took.quantile(0.99).map(|micros| tenths(micros / 1e3)),
            calls_in_flight: totals.in_flight(id),
            missed: account.missed,
        }
    };
    figures.comets.all().into_iter().map(comet).collect()
}

fn workers(
    source: &Source,
    (sample, before): (&Sample, Option<&Sample>),
    still: &[String],
) -> Vec<Worker> {
    let figures = &source.figures;
    let lasted = before.map_or(0.0, |before| sample.seconds_since(before));
    let comets = figures.comets.all();
    let worker = |n: usize| {
        let (name, own) = (format!("worker-{n}"), &figures.workers[n]);
        let state = match own.heart.working() {
            _ if still.contains(&name) => "stands still",
            Some(_) => "works",
            None => "waits",
        };
        let totals = Totals(std::slice::from_ref(own));
        let in_flight = comets.iter().map(|(comet, _)| totals.in_flight(*comet));
        let ended = before.map_or(0, |before| before.workers[n]);
        Worker {
            name,
            state: state.into(),
            calls_per_second: per_second(sample.workers[n].saturating_sub(ended), lasted),
            calls_in_flight: in_flight.sum(),
        }
    };
    (0..figures.workers.len()).map(worker).collect()
}

fn dead_letters(source: &Source, waiting_seconds: Option<f64>) -> DeadLetters {
    let letters = &source.figures.letters;
    let undecided = letters.by_topic();
    let oldest = undecided.values().filter_map(|topic| topic.oldest_ms).min();
    let age = |since: i64| (wall::millis() - since).max(0) as f64 / 1e3;
    DeadLetters {
        topic: source.dead_letter_topics.join(","),
        written: letters.by_cause().map(|(_, count)| count).sum(),
        waiting: letters.waiting.get(),
        waiting_seconds,
        to_replay: (!undecided.is_empty())
            .then(|| undecided.values().map(|topic| topic.messages).sum()),
        oldest_seconds: oldest.map(|since| tenths(age(since))),
    }
}

fn held(source: &Source) -> Held {
    let [[messages, bytes], [messages_limit, bytes_limit]] = source.figures.consumer.held();
    Held {
        messages,
        messages_limit,
        bytes,
        bytes_limit,
        at_limit_seconds: None,
    }
}

fn log(now: Instant) -> Log {
    let mut log = Log {
        dropped: logging::dropped(),
        ..Log::default()
    };
    if let Some(trouble) = logging::trouble() {
        log.fails_seconds = Some(seconds(trouble.since, now));
        log.why = Some(trouble.why);
        log.dropped_since = trouble.dropped;
    }
    log
}

#[cfg(test)]
mod tests;
