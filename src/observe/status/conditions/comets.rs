//! Comets that are not well.

use super::condition;
use crate::base::text::counted;
use crate::observe::health::NO_COMET;
use crate::observe::status::document::{Comet, Condition, Severity, Status};

/// A Comet whose slowest answers take longer holds up its rooms.
const SLOW_MS: f64 = 1_000.0;
/// So many of 100 calls to a Comet that takes others fail.
const FAIL: f64 = 5.0;
/// Of several Comets, so many are named.
const NAMED: usize = 5;

/// Some of these Comets by their names.
fn named(comets: &[&Comet]) -> String {
    let names = comets.iter().take(NAMED).map(|comet| &comet.address[..]);
    let mut text = names.collect::<Vec<_>>().join(", ");
    if comets.len() > NAMED {
        text += &format!(" and {} more", comets.len() - NAMED);
    }
    text
}

pub fn states(status: &Status) -> Vec<Condition> {
    let of = |state: &str| -> Vec<&Comet> {
        let all = status.comets.iter();
        all.filter(|comet| comet.state == state).collect()
    };
    let (down, detached, refusing) = (of("down"), of("detached"), of("refusing"));
    let mut found = Vec::new();
    if status.comets.is_empty() {
        found.push(condition(
            Severity::Urgent,
            "No Comet is known",
            "Nothing is read, since there is nobody to deliver to. Messages wait in Kafka.".into(),
            "See what comet (--comet, JOB_COMET) lists: the log and job check say what is wrong with it. Reading begins by itself."
                .into(),
        ));
    } else if down.len() + detached.len() == status.comets.len() {
        let all: Vec<_> = status.comets.iter().collect();
        found.push(condition(
            Severity::Urgent,
            "No Comet takes messages",
            format!(
                "{}: none takes anything, so nothing is delivered. Messages wait in Kafka.",
                named(&all)
            ),
            "See that the Comets run and can be reached from here: job check calls each. Delivery goes on by itself, in order, \
             once one answers."
                .into(),
        ));
    } else {
        if !detached.is_empty() {
            let missed: u64 = detached.iter().map(|comet| comet.missed).sum();
            found.push(condition(
                Severity::Urgent,
                "Comet detached",
                format!(
                    "{} took nothing for a while. The others go on; {} waiting in Kafka.",
                    named(&detached),
                    match missed {
                        1 => "1 record is".into(),
                        n => format!("{n} records are"),
                    }
                ),
                "Start it again, or see why it doesn't answer at this address: job check. Then it gets what it missed, as far as \
                 --catch-up says. If it is gone for good, take it out of --comet."
                    .into(),
            ));
        }
        if !down.is_empty() {
            found.push(condition(
                Severity::Urgent,
                "Comet out",
                format!(
                    "{} took nothing lately. One message at a time is tried there, and what is behind it waits.",
                    named(&down)
                ),
                "Start it again, or see why it doesn't answer at this address: job check. If it stays away, job detaches it and the \
                 others go on."
                    .into(),
            ));
        }
    }
    if !refusing.is_empty() {
        found.push(condition(
            Severity::Urgent,
            "Comet refuses everything",
            format!(
                "{} refused message after message. One a second is tried there, until one is taken.",
                named(&refusing)
            ),
            "See in the last errors with which status it refuses, and whether it is a Comet of this system. job dead-letter list \
             shows what it refused."
                .into(),
        ));
    }
    let catching_up = of("catching_up");
    if !catching_up.is_empty() {
        let missed: u64 = catching_up.iter().map(|comet| comet.missed).sum();
        found.push(condition(
            Severity::Note,
            "Comet catches up",
            format!(
                "{} came back. What was missed is being sent: {} to go.",
                named(&catching_up),
                counted(missed, "record")
            ),
            "Wait. Live messages follow behind that.".into(),
        ));
    }
    found.extend(no_answer_yet(status));
    found
}

/// No Comet has answered since the start, and no message has found out more.
fn no_answer_yet(status: &Status) -> Option<Condition> {
    let why = status.ready.why.as_deref()?;
    let is_up = |comet: &Comet| comet.state == "up";
    let is_so = why.contains(NO_COMET) && status.comets.iter().all(is_up);
    is_so.then(|| {
        let all: Vec<_> = status.comets.iter().collect();
        condition(
            Severity::Warning,
            "No Comet has answered",
            format!("{}: no answer since job's start.", named(&all)),
            "See that the Comets run and can be reached from here: job check calls each.".into(),
        )
    })
}

/// Comets that are up all the same: for the others a condition says it already.
pub fn calls_fail(status: &Status) -> Option<Condition> {
    let percent = |comet: &Comet| comet.failed_percent.unwrap_or_default();
    let (failing, most) = beyond(status, FAIL, percent)?;
    Some(condition(
        Severity::Warning,
        "Calls fail",
        format!(
            "{}: {most:.0} of 100 calls failed in the last seconds. What failed is tried again, and what is behind it in its room waits.",
            named(&failing)
        ),
        "See in the last errors with which status, and in that Comet's log why. Where it never answered (DEADLINE_EXCEEDED), the Comet \
         hangs, or something on the way to it swallows the answers."
            .into(),
    ))
}

pub fn slow(status: &Status) -> Option<Condition> {
    let (slow, slowest) = beyond(status, SLOW_MS, p99)?;
    Some(condition(
        Severity::Warning,
        "Comet slow",
        format!(
            "{}: 1 of 100 calls takes {:.1} s or longer. A room's next message waits for the answer to the one before.",
            named(&slow),
            slowest / 1_000.0
        ),
        "Look at the Comet's load and the way to it. --coalesce sends what waits for a room in one call.".into(),
    ))
}

/// The Comets that are up and of which this figure reaches the limit, and the largest of these figures.
fn beyond(
    status: &Status,
    limit: f64,
    figure: impl Fn(&Comet) -> f64,
) -> Option<(Vec<&Comet>, f64)> {
    let is_beyond = |comet: &&Comet| comet.state == "up" && figure(comet) >= limit;
    let comets: Vec<_> = status.comets.iter().filter(is_beyond).collect();
    let figures = comets.iter().map(|comet| figure(comet));
    let most = figures.max_by(f64::total_cmp)?;
    Some((comets, most))
}

pub fn p99(comet: &Comet) -> f64 {
    comet.p99_ms.unwrap_or_default()
}
