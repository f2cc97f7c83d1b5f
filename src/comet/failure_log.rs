//! Failed calls in the log: said once, counted while they go on.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::code::RpcStatusCode;
use super::verdict::{Verdict, verdict_on_status};
use crate::base::text::{escape_first, one_line};
use crate::message::Status;
use crate::message::fleet::Node;

/// The same failure of one Comet is logged no more often than this.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same for one that is detached: that was said already.
const INTERVAL_LEFT_OUT: Duration = Duration::from_secs(30);

/// Dropped messages are counted apart from all status codes.
const DROPPED: i32 = -1;

/// One Comet's failures, shared by the workers that call it.
#[derive(Default)]
pub struct FailureLog {
    /// By status code: when it was logged last, and how many came since.
    seen: Mutex<HashMap<i32, (Instant, u64)>>,
}

impl FailureLog {
    /// Logs that a call to `comet` failed with `status`, or counts it.
    pub fn failed(&self, comet: &Node, status: &Status, left_out: bool) {
        let interval = if left_out {
            INTERVAL_LEFT_OUT
        } else {
            INTERVAL
        };
        let Some(since) = self.due(status.code, interval, Instant::now()) else {
            return;
        };
        let more = more(since);
        log::warn!(
            comet = comet.name, status = RpcStatusCode::from(status.code).to_string();
            "RPC failed: {} - Comet {comet}{more}{}",
            said(status),
            advice(status)
        );
    }

    /// Logs that `comet` dropped a message for one user, or counts it.
    pub fn dropped(&self, comet: &str, key: &str, status: &Status) {
        let Some(since) = self.due(DROPPED, INTERVAL, Instant::now()) else {
            return;
        };
        log::warn!(
            comet, key, status = RpcStatusCode::from(status.code).to_string();
            "Comet {comet} dropped a message for user {}: {}{}; that user's connection takes messages too slowly, or is about to end",
            one_line(key),
            said(status),
            more(since)
        );
    }

    /// How many came since the last line, if it is time for another.
    fn due(&self, code: i32, interval: Duration, now: Instant) -> Option<u64> {
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        match seen.get_mut(&code) {
            Some((logged, since)) if now.duration_since(*logged) < interval => {
                *since += 1;
                None
            }
            Some((logged, since)) => {
                *logged = now;
                Some(std::mem::take(since))
            }
            None => {
                seen.insert(code, (now, 0));
                Some(0)
            }
        }
    }
}

fn more(since: u64) -> String {
    match since {
        0 => String::new(),
        n => format!(" ({n} more like it since the last such line)"),
    }
}

/// A status as people read it, wherever that is: its text is the Comet's. That of a connection which isn't there is mostly job's own: it
/// names files, and what to do.
pub fn said(status: &Status) -> String {
    /// In bytes.
    const SHOWN_OF_CONNECTIONS: usize = 500;
    let text = match verdict_on_status(status) {
        Verdict::Down => escape_first(status.text.as_bytes(), SHOWN_OF_CONNECTIONS),
        _ => one_line(&status.text),
    };
    format!("{} {text}", RpcStatusCode::from(status.code))
}

fn advice(status: &Status) -> &'static str {
    match verdict_on_status(status) {
        Verdict::Down => "; is it running, and reachable from here? Trying again until it is",
        Verdict::Misconfigured => {
            "; what answers there is no Comet, or doesn't let job in: check --comet and the Comet's access rules"
        }
        Verdict::Refused => "; the message goes to the dead-letter topic",
        Verdict::Unclear | Verdict::Finished => "; trying again",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_comet_says_is_one_short_line() {
        let said = said(&Status::new(
            RpcStatusCode::INVALID_ARGUMENT.into(),
            format!("no\r\n\x1b[31m{}", "x".repeat(20_000)),
        ));
        assert!(
            said.starts_with("3-INVALID_ARGUMENT no\\r\\n\\u{1b}[31mxxx"),
            "{said}"
        );
        assert!(
            said.len() < 300 && !said.contains(char::is_control),
            "{said}"
        );
    }

    #[test]
    fn one_line_a_second_and_code_with_a_count_of_the_rest() {
        let log = FailureLog::default();
        let start = Instant::now();
        assert_eq!(log.due(14, INTERVAL, start), Some(0));
        for _ in 0..5 {
            assert_eq!(log.due(14, INTERVAL, start + INTERVAL / 2), None);
        }
        assert_eq!(log.due(4, INTERVAL, start + INTERVAL / 2), Some(0));
        assert_eq!(log.due(14, INTERVAL, start + INTERVAL), Some(5));
        assert_eq!(log.due(14, INTERVAL, start + INTERVAL * 2), Some(0));
    }
}
