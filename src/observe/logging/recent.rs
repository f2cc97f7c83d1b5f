//! The log's last lines at WARN or ERROR, for the status page. The log's own thread picks them out, so that nobody who logs
//! waits for that.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::text::escape_first;
use crate::observe::status::LoggedLine;

const KEPT: usize = 20;
/// Bytes of a line that are shown.
const SHOWN: usize = 400;

static LAST: Mutex<VecDeque<LoggedLine>> = Mutex::new(VecDeque::new());

/// The last lines, the newest first.
pub fn last_errors() -> Vec<LoggedLine> {
    lock().iter().rev().cloned().collect()
}

/// Keeps a record, as it is written to the log, if it is worth that.
pub fn tap(record: &[u8]) {
    if let Some(line) = read(record) {
        let mut last = lock();
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(line);
    }
}

fn lock() -> MutexGuard<'static, VecDeque<LoggedLine>> {
    // Nothing is left half done under it.
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads `20261123 06:49:37.468688Z 23680 WARN  text - file.rs:88`.
fn read(record: &[u8]) -> Option<LoggedLine> {
    let mut words = record.splitn(4, |byte| *byte == b' ');
    let (date, time, _thread, rest) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let level = match rest.get(..6)? {
        b"WARN  " => "WARN",
        b"ERROR " => "ERROR",
        _ => return None,
    };
    let (date, time) = (str::from_utf8(date).ok()?, str::from_utf8(time).ok()?);
    Some(LoggedLine {
        at: format!(
            "{}-{}-{} {}",
            date.get(..4)?,
            date.get(4..6)?,
            date.get(6..8)?,
            time.get(..8)?
        ),
        level: level.into(),
        text: escape_first(rest[6..].trim_ascii_end(), SHOWN),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_and_errors_are_picked_out() {
        let line = |level: &str| {
            let record = format!("20261123 06:49:37.468688Z 23680 {level} a\nb\x1b - file.rs:88\n");
            read(record.as_bytes())
        };
        for (padded, level) in [("WARN ", "WARN"), ("ERROR", "ERROR")] {
            let expected = LoggedLine {
                at: "2026-11-23 06:49:37".into(),
                level: level.into(),
                text: "a\\nb\\u{1b} - file.rs:88".into(),
            };
            assert_eq!(line(padded), Some(expected));
        }
        assert_eq!(line("INFO "), None);
        for odd in ["", "WARN  ", "a b c WARN  d", "20261123 06:49:37 1 WARN"] {
            assert_eq!(read(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_the_last_twenty_are_kept() {
        for n in 0..30 {
            let text = format!("line {n} {}", "x".repeat(10_000));
            tap(format!("20261123 06:49:37.468688Z 1 WARN  {text} - a.rs:1\n").as_bytes());
        }
        let last = last_errors();
        assert_eq!(last.len(), KEPT);
        // Other tests may log too.
        let newest = last.iter().find(|line| line.text.starts_with("line "));
        let newest = &newest.expect("they are there").text;
        assert!(newest.starts_with("line 29 xxx"), "{newest}");
        assert!(
            newest.len() < 500 && newest.contains("first 400 shown"),
            "{newest}"
        );
    }
}
