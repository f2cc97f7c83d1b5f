//! Why job is slow, or doesn't deliver: conditions with a name, what is so, and what to do. They are found in the status alone,
//! without a clock or a look at anything.

mod comets;
mod letters;
mod log;

use super::document::{Condition, Point, Severity, Status};
use crate::base::text::counted;
use comets::p99;

/// A start takes this long before it is worth a word that job isn't a member of its group.
const JOINS_WITHIN: f64 = 20.0;
/// Reading pauses at the cap for a moment whenever a fetch fills it.
const PAUSES: f64 = 3.0;
/// A message takes this long where its Comet is slow, or fails it again and again.
const HELD_UP: f64 = 30.0;
/// The lag grows where it did so in most of these points: half a minute.
const POINTS: usize = 7;
/// A lag of fewer records, or of less than two seconds, is no lag.
const LAG: u64 = 100;
const LAG_SECONDS: f64 = 2.0;

/// Finds the conditions of this status: the worst first.
pub fn conditions(status: &Status) -> Vec<Condition> {
    let mut found = Vec::new();
    found.extend(stands_still(status));
    found.extend(membership(status));
    found.extend(reading_fails(status));
    found.extend(paused(status));
    found.extend(comets::states(status));
    found.extend(letters::not_written(status));
    found.extend(commits_fail(status));
    found.extend(at_limit(status));
    found.extend(held_up(status));
    found.extend(comets::calls_fail(status));
    found.extend(comets::slow(status));
    found.extend(lag_grows(status));
    found.extend(letters::to_decide_on(status));
    found.extend(log::not_written(status));
    // Those of the same severity stay in this order.
    found.sort_by_key(|condition| condition.severity);
    found
}

fn condition(severity: Severity, name: &str, what: String, advice: String) -> Condition {
    Condition {
        name: name.into(),
        severity,
        what,
        advice,
    }
}

/// `34 s`, `5 min`, `3 h`.
pub fn lasting(seconds: f64) -> String {
    match seconds {
        ..120.0 => format!("{seconds:.0} s"),
        ..7_200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.0} h", seconds / 3_600.0),
    }
}

fn stands_still(status: &Status) -> Option<Condition> {
    let still = &status.standing_still;
    (!still.is_empty()).then(|| {
        condition(
            Severity::Urgent,
            "Thread stands still",
            format!(
                "{} made no step for 30 s or longer; what goes through there doesn't move.",
                still.join(", ")
            ),
            format!(
                "Start job again: what isn't finished is read again. Before that, keep the log and \
                 `gdb -p {} -batch -ex 'thread apply all bt'`: they show where it stands.",
                status.process
            ),
        )
    })
}

fn membership(status: &Status) -> Option<Condition> {
    let (kafka, group, topic) = (&status.kafka, &status.group, &status.topic);
    if let Some(seconds) = kafka.no_member_seconds {
        let lasts = lasting(seconds);
        return Some(match status.uptime_seconds < JOINS_WITHIN {
            true => condition(
                Severity::Note,
                "Joining the group",
                format!("job has been joining group {group} for {lasts}; until it is a member, it reads nothing."),
                "Wait. A member that ended without leaving is waited for until its session times out \
                 (--session-timeout)."
                    .into(),
            ),
            false => condition(
                Severity::Urgent,
                "Not a member of the group",
                format!("job has not been a member of group {group} for {lasts}, so it has no partition to read."),
                "Run job check with the same settings: it tries each thing that job needs of Kafka. The last errors say what \
                 Kafka answered."
                    .into(),
            ),
        });
    }
    if kafka.waits_for_positions {
        return Some(condition(
            Severity::Warning,
            "Positions unknown",
            format!("Kafka has not said yet from where to read the partitions of {topic}."),
            "Wait some seconds. If it stays so, the last errors say what Kafka answered; job check asks it too.".into(),
        ));
    }
    if !status.partitions.is_empty() {
        return None;
    }
    let (what, stands_by) = match (kafka.members, kafka.partitions) {
        (Some(members), Some(partitions)) => (
            format!(
                "Group {group} has {} and topic {topic} has {}; this member has none of them.",
                counted(members as u64, "member"),
                counted(partitions as u64, "partition")
            ),
            members > partitions,
        ),
        _ => (
            format!("job is a member of group {group}, and has none of the partitions of {topic}."),
            false,
        ),
    };
    let advice = match stands_by {
        true => {
            "Nothing, where it shall stand by for a member that fails. For more throughput add partitions to the topic; more members \
             don't help."
        }
        false => {
            "Wait for the rebalance. If it stays so, see who has the partitions: \
             kafka-consumer-groups.sh --describe --group. Does another service use the same group?"
        }
    };
    let severity = match stands_by {
        true => Severity::Note,
        false => Severity::Warning,
    };
    Some(condition(severity, "No partition", what, advice.into()))
}

fn reading_fails(status: &Status) -> Option<Condition> {
    let lasts = lasting(status.kafka.reading_fails_seconds?);
    Some(condition(
        Severity::Urgent,
        "Kafka unreachable",
        format!("Reading from Kafka has failed for {lasts}. job tries until it works; what isn't read stays in Kafka."),
        "See that the brokers run and can be reached from here: job check. The last errors name the broker and its answer.".into(),
    ))
}

fn paused(status: &Status) -> Option<Condition> {
    let lasts = lasting(status.kafka.paused_seconds?);
    let lags = status.partitions.iter().filter_map(|ours| ours.lag);
    Some(condition(
        Severity::Warning,
        "Paused",
        format!(
            "Reading has been paused by job ctl pause for {lasts}. What comes stays in Kafka: {} or more are not finished.",
            counted(lags.sum::<u64>(), "record")
        ),
        "job ctl resume goes on. job ctl journal says who paused it. A restart goes on, too."
            .into(),
    ))
}

fn commits_fail(status: &Status) -> Option<Condition> {
    let lasts = lasting(status.kafka.commits_fail_seconds?);
    Some(condition(
        Severity::Warning,
        "Commits fail",
        format!(
            "Kafka has taken no commits for {lasts}. Messages are delivered, but after a restart those since then are sent again."
        ),
        "Don't restart job. See that the group's coordinator can be reached, and that job may Read the group: job check. The last \
         errors say what Kafka answered."
            .into(),
    ))
}

fn at_limit(status: &Status) -> Option<Condition> {
    let held = &status.held;
    let seconds = held.at_limit_seconds.filter(|seconds| *seconds >= PAUSES)?;
    let slowest = status.comets.iter().filter(|comet| comet.p99_ms.is_some());
    let slowest = slowest.max_by(|a, b| f64::total_cmp(&p99(a), &p99(b)));
    let slowest = slowest.map_or_else(String::new, |comet| {
        format!(
            " The slowest Comet is {}: p99 {:.0} ms.",
            comet.address,
            p99(comet)
        )
    });
    Some(condition(
        Severity::Warning,
        "Held messages at the cap",
        format!(
            "{} of {} messages and {} of {} bytes are held. Reading has paused for {}, until the Comets take some.{slowest}",
            held.messages,
            held.messages_limit,
            held.bytes,
            held.bytes_limit,
            lasting(seconds)
        ),
        "Look at the Comets that are slow or out: they take less than Kafka brings. Where all are well and fast, raise --window, or \
         --hold-messages and --hold-bytes."
            .into(),
    ))
}

fn held_up(status: &Status) -> Option<Condition> {
    let held_up = |seconds: &Option<f64>| seconds.unwrap_or_default();
    let longest = status.partitions.iter();
    let longest = longest.max_by(|a, b| {
        f64::total_cmp(&held_up(&a.held_up_seconds), &held_up(&b.held_up_seconds))
    })?;
    let seconds = longest
        .held_up_seconds
        .filter(|seconds| *seconds >= HELD_UP)?;
    let (to, why, advice) = match &longest.tried {
        Some(tried) => {
            let count = match tried.tries {
                0 => String::new(),
                count => format!(", try {count}"),
            };
            (
                format!(", {},", tried.to),
                format!(" at Comet {}: {}{count}", tried.comet, tried.status),
                "See that Comet's log for this message. It is tried until the Comet takes it, or takes others and not this one; job ctl skip \
                 gives it up by hand.",
            )
        }
        None => (
            String::new(),
            String::new(),
            "Look at the Comets that are slow or out, and in the last errors for this offset.",
        ),
    };
    Some(condition(
        Severity::Warning,
        "Message held up",
        format!(
            "The message {}[{}]@{}{to} has been held up for {}{why}. {} behind it are finished; after a restart they are not sent again.",
            longest.topic.as_ref().unwrap_or(&status.topic),
            longest.partition,
            longest.offset,
            lasting(seconds),
            longest.finished_above
        ),
        advice.into(),
    ))
}

fn lag_grows(status: &Status) -> Option<Condition> {
    if status.kafka.paused_seconds.is_some() {
        return None;
    }
    let from = status.series.len().checked_sub(POINTS)?;
    let recent: &[Point] = &status.series[from..];
    let (first, last) = (recent.first()?, recent.last()?);
    let steps = recent.windows(2).filter(|pair| pair[1].lag > pair[0].lag);
    let least = LAG.max((LAG_SECONDS * last.delivery.messages_per_second) as u64);
    let grows = steps.count() + 2 >= POINTS && last.lag > first.lag && last.lag >= least;
    grows.then(|| {
        condition(
            Severity::Warning,
            "Lag grows",
            format!(
                "{} records are not finished, {} more than half a minute ago; {:.0} messages/s are delivered.",
                last.lag,
                last.lag - first.lag,
                last.delivery.messages_per_second
            ),
            "If a condition above says why, do that first. Else Logic writes more than this job delivers: start more jobs in the same \
             group, up to one for each partition; --coalesce needs fewer calls."
                .into(),
        )
    })
}

#[cfg(test)]
mod tests;
