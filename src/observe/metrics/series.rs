//! Which figure is shown under which name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::Source;
use super::list::*;
use super::page::{Page, Values};
use crate::base::wall;
use crate::figures::{Account, METHODS, Method, Snapshot, TOOK, Totals, status_name};
use crate::message::{CometId, PartitionId, TopicId};
use crate::observe::comet_state::{STATES, state};
use crate::observe::{logging, process};

/// What the service before job named itself.
const SERVICE: &str = "job";

fn alone<T>(value: T) -> [(Values, T); 1] {
    [(Vec::new(), value)]
}

fn values<const N: usize>(values: [&str; N]) -> Values {
    values.map(str::to_owned).into()
}

impl Source {
    pub fn of_kafka(&self, page: &mut Page<'_>) -> fmt::Result {
        let (consumer, group) = (&self.figures.consumer, &self.figures.group);
        let (readings, account) = (consumer.partitions(), group.account());
        let of =
            |PartitionId { topic, index }| values([self.topics.name(topic), &index.to_string()]);
        let read = readings
            .iter()
            .map(|(partition, read)| (of(*partition), read.records));
        page.counter(&RECORDS_CONSUMED, read)?;
        let read = readings
            .iter()
            .map(|(partition, read)| (of(*partition), read.bytes));
        page.counter(&BYTES_CONSUMED, read)?;
        page.number(&DECODE_FAILURES, consumer.undecodable.get())?;
        let lag = |of_ours: &Account| Some((of(of_ours.partition), of_ours.lag()? as f64));
        page.gauge(&LAG_RECORDS, account.partitions.iter().filter_map(lag))?;
        let now = Instant::now();
        let lag = |of_ours: &Account| Some((of(of_ours.partition), of_ours.lag_seconds(now)?));
        page.gauge(&LAG_SECONDS, account.partitions.iter().filter_map(lag))?;
        let committed = |of_ours: &Account| {
            let committed = of_ours.committed?;
            Some((of(of_ours.partition), committed as f64))
        };
        page.gauge(
            &COMMITTED_OFFSET,
            account.partitions.iter().filter_map(committed),
        )?;
        let above = account.partitions.iter().map(|ours| ours.finished_above);
        page.number(&FINISHED_ABOVE_WATERMARK, above.sum())?;
        let since = account
            .partitions
            .iter()
            .filter_map(|ours| ours.held_up_since);
        let oldest = since
            .min()
            .map(|since| now.saturating_duration_since(since));
        page.gauge(
            &OLDEST_UNFINISHED_SECONDS,
            alone(oldest.unwrap_or_default().as_secs_f64()),
        )?;
        let [[messages, bytes], [messages_limit, bytes_limit]] = consumer.held();
        page.number(&MESSAGES_HELD, messages)?;
        page.number(&MESSAGES_HELD_LIMIT, messages_limit)?;
        page.number(&BYTES_HELD, bytes)?;
        page.number(&BYTES_HELD_LIMIT, bytes_limit)?;
        page.number(&PAUSED, consumer.paused.get())?;
        page.number(&ASSIGNED_PARTITIONS, account.partitions.len() as u64)?;
        page.number(&GROUP_MEMBER, u64::from(account.is_member))?;
        let rebalances = [
            ("assigned", &group.assigned),
            ("revoked", &group.revoked),
            ("lost", &group.lost),
        ];
        let rebalances = rebalances.map(|(kind, count)| (values([kind]), count.get()));
        page.counter(&REBALANCES, rebalances)?;
        let reconnects = consumer.reconnects.get() + group.reconnects.get();
        page.number(&KAFKA_RECONNECTS, reconnects)
    }

    pub fn of_comets(&self, page: &mut Page<'_>) -> fmt::Result {
        let totals = Totals(&self.figures.workers);
        let comets = self.figures.comets.all();
        let comets = || {
            comets
                .iter()
                .map(|(id, name): &(CometId, Arc<str>)| (*id, &**name))
        };
        let calls = comets().flat_map(|(id, comet)| {
            let of = |method: Method| {
                let ended = totals.ended(id, method).into_iter();
                ended.map(move |(status, count)| {
                    (values([comet, method.name(), status_name(status)]), count)
                })
            };
            METHODS.into_iter().flat_map(of).collect::<Vec<_>>()
        });
        page.counter(&CALLS, calls)?;
        let took = comets().flat_map(|(id, comet)| {
            let of = |method: Method| (values([comet, method.name()]), totals.took(id, method));
            let all = METHODS.map(of).into_iter();
            // A method that is never called isn't worth sixteen lines.
            all.filter(|(_, took): &(Values, Snapshot)| took.count() > 0)
        });
        page.histogram(&CALL_DURATION_SECONDS, 1e6, took)?;
        let in_flight = comets().map(|(id, comet)| (values([comet]), totals.in_flight(id) as f64));
        page.gauge(&CALLS_IN_FLIGHT, in_flight)?;
        page.histogram(&MESSAGES_PER_CALL, 1.0, alone(totals.carried()))?;
        let delivered = self.figures.group.account().delivered;
        page.number(&MESSAGES_DELIVERED, delivered)?;
        page.histogram(&DELIVERY_LATENCY_SECONDS, 1e3, alone(totals.latency()))?;
        page.histogram(&READ_TO_ANSWER_SECONDS, 1e3, alone(totals.since_read()))?;
        let retries = comets().flat_map(|(id, comet)| {
            let all = totals.retries(id).into_iter();
            all.map(move |(status, count)| (values([comet, status_name(status)]), count))
        });
        page.counter(&RETRIES, retries)?;
        let dropped = comets().map(|(id, comet)| (values([comet]), totals.dropped(id)));
        page.counter(&DROPPED, dropped)?;

        page.number(&CALLS_SAVED, self.figures.consumer.spared.get())?;
        let (now, lists) = (Instant::now(), self.figures.consumer.room_lists());
        let age = |(id, comet): (CometId, &str)| {
            let age = now.saturating_duration_since(*lists.get(id)?);
            Some((values([comet]), age.as_secs_f64()))
        };
        let ages: Vec<_> = comets().filter_map(age).collect();
        page.gauge(&COMET_ROOM_LIST_AGE_SECONDS, ages)?;

        // Until the group's thread says something, none is behind.
        let accounts = self.figures.group.account().comets;
        let account = |id: CometId| accounts.get(id).copied().unwrap_or_default();
        let of: Vec<_> = comets()
            .map(|(id, comet)| ((id, comet), account(id)))
            .collect();
        let states = of.iter().flat_map(|((id, comet), account)| {
            let now = state(account.standing, totals.seen(*id));
            STATES.map(|state| (values([comet, state]), f64::from(u8::from(state == now))))
        });
        page.gauge(&COMET_STATE, states)?;
        let missed = of
            .iter()
            .map(|((_, comet), of)| (values([comet]), of.missed as f64));
        page.gauge(&COMET_MISSED_RECORDS, missed)?;
        let caught_up = of
            .iter()
            .map(|((_, comet), of)| (values([comet]), of.caught_up));
        page.counter(&CAUGHT_UP, caught_up)
    }

    pub fn of_messages(&self, page: &mut Page<'_>) -> fmt::Result {
        let letters = self.figures.letters.by_cause();
        let letters = letters.map(|(cause, count)| (values([cause.name()]), count));
        page.counter(&DEAD_LETTERS, letters)?;
        page.number(&DEAD_LETTERS_WAITING, self.figures.letters.waiting.get())?;
        let undecided = self.figures.letters.by_topic();
        let of = |topic: &TopicId| values([&self.dead_letter_topics[usize::from(topic.0)]]);
        let waiting = undecided.iter();
        let waiting = waiting.map(|(topic, undecided)| (of(topic), undecided.messages as f64));
        page.gauge(&DEAD_LETTERS_TO_REPLAY, waiting)?;
        let now = wall::millis();
        let oldest = undecided.iter().map(|(topic, undecided)| {
            let since = undecided
                .oldest_ms
                .map_or(0, |oldest| (now - oldest).max(0));
            (of(topic), since as f64 / 1e3)
        });
        page.gauge(&DEAD_LETTERS_OLDEST_SECONDS, oldest)?;
        let account = self.figures.group.account();
        let skipped = [
            ("too_old", account.too_old),
            ("missed_too_old", account.missed_too_old),
            ("missed_deleted", account.missed_deleted),
            ("comet_left", account.comet_left),
        ];
        page.counter(&SKIPPED, skipped.map(|(why, count)| (values([why]), count)))
    }

    pub fn of_process(&self, page: &mut Page<'_>) -> fmt::Result {
        page.number(&LOG_RECORDS_DROPPED, logging::dropped())?;
        let version = values([env!("CARGO_PKG_VERSION")]);
        page.gauge(&BUILD_INFO, [(version, 1.0)])?;
        let Some(process) = process::look() else {
            return Ok(());
        };
        page.counter_of_parts(&PROCESS_CPU_SECONDS, process.cpu_seconds)?;
        page.number(&PROCESS_RESIDENT_MEMORY_BYTES, process.resident_bytes)?;
        page.number(&PROCESS_VIRTUAL_MEMORY_BYTES, process.virtual_bytes)?;
        page.number(&PROCESS_OPEN_FDS, process.open_files)?;
        page.number(&PROCESS_MAX_FDS, process.most_files)?;
        page.gauge(&PROCESS_START_TIME_SECONDS, alone(process.started))
    }

    pub fn of_the_service_before(&self, page: &mut Page<'_>) -> fmt::Result {
        let (consumer, group) = (&self.figures.consumer, &self.figures.group);
        let of = |topic: &str| values([topic, &self.group, SERVICE]);
        let consumed = self.topics.ids();
        let consumed =
            consumed.map(|topic| (of(self.topics.name(topic)), consumer.records_of(topic)));
        page.counter(&KAFKA_CONSUMED, consumed)?;
        let totals = Totals(&self.figures.workers);
        let comets = self.figures.comets.all();
        let mut calls = BTreeMap::<[&str; 2], u64>::new();
        for method in METHODS {
            for status in ["success", "failure"] {
                calls.insert([method.name(), status], 0);
            }
            let here = comets.iter().flat_map(|(id, _)| totals.ended(*id, method));
            for (status, count) in here.chain(totals.ended_at_gone(method)) {
                let status = if TOOK.contains(&status) {
                    "success"
                } else {
                    "failure"
                };
                *calls.entry([method.name(), status]).or_default() += count;
            }
        }
        let of = |([method, status], count): (&[&str; 2], &u64)| {
            (values([method, status, SERVICE]), *count)
        };
        page.counter(&GRPC_CALLS, calls.iter().map(of))?;
        let failed = calls.iter().filter(|([_, status], _)| *status == "failure");
        let errors = [
            ("protobuf_parse_failed", consumer.undecodable.get()),
            ("grpc_call_failed", failed.map(|(_, count)| count).sum()),
            (
                "kafka_error",
                consumer.failures.get() + group.failed_commits.get(),
            ),
        ];
        page.counter(
            &ERROR,
            errors.map(|(kind, count)| (values([kind, SERVICE]), count)),
        )
    }
}
