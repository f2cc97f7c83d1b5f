//! A log that isn't written: nobody would see there that it isn't.

use super::{condition, lasting};
use crate::base::text::counted;
use crate::observe::status::document::{Condition, Severity, Status};

pub fn not_written(status: &Status) -> Option<Condition> {
    let log = &status.log;
    let lasts = lasting(log.fails_seconds?);
    let why = log.why.as_deref().unwrap_or("nobody knows why");
    let lost = counted(log.dropped_since, "line");
    let is = if log.dropped_since == 1 { "is" } else { "are" };
    Some(condition(
        Severity::Warning,
        "Log not written",
        format!(
            "The log has not been written for {lasts}: {why}. {lost} {is} lost so far. Messages are delivered."
        ),
        "Make room on the disk under the log, or see what its reader does. Then the log goes on by itself, and says how many lines \
         it lacks."
            .into(),
    ))
}
