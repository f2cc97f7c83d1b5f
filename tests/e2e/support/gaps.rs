//! How much a test sends a second, and the longest time in which a room got nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::comet::Call;

/// Messages a second, if `JOB_TEST_RATE` doesn't say otherwise. Who sets it is told the longest gaps.
pub const RATE: usize = 400;
const SET_RATE: &str = "JOB_TEST_RATE";

pub fn rate() -> usize {
    let set = std::env::var(SET_RATE).ok();
    set.map_or(RATE, |rate| rate.parse().expect("it is a number"))
}

/// Tells the longest time in which nothing came to a room at a Comet, of all its rooms, and how much came a second.
pub fn tell_gap(what: &str, calls: &[Call]) {
    if std::env::var_os(SET_RATE).is_none() {
        return;
    }
    let mut last: BTreeMap<&str, Instant> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    for call in calls.iter().filter(|call| !call.room.is_empty()) {
        if let Some(before) = last.insert(&call.room, call.at) {
            longest = longest.max(call.at.saturating_duration_since(before));
        }
    }
    let took = calls
        .last()
        .map_or(Duration::ZERO, |last| last.at - calls[0].at);
    eprintln!(
        "{what}: {} calls, {:.0} a second, the longest gap of a room {:.2} s",
        calls.len(),
        calls.len() as f64 / took.as_secs_f64().max(1e-3),
        longest.as_secs_f64()
    );
}
