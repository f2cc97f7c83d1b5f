//! The log's last lines at WARN or ERROR, for the status page.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::tz::Offset;

use super::entry::Entry;
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

/// Keeps a record. Those that repeat come once a second at most.
pub fn keep(entry: &Entry<'_>) {
    let line = shown(entry);
    let mut last = lock();
    if last.len() == KEPT {
        last.pop_front();
    }
    last.push_back(line);
}

fn lock() -> MutexGuard<'static, VecDeque<LoggedLine>> {
    // Nothing is left half done under it.
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shown(entry: &Entry<'_>) -> LoggedLine {
    let at = Offset::UTC.to_datetime(entry.at);
    let text = format!("{} - {}:{}", entry.text(), entry.file, entry.line);
    LoggedLine {
        at: at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        level: entry.level.as_str().into(),
        text: escape_first(text.as_bytes(), SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use log::{Level, Record};

    use super::*;

    fn with_record<T>(text: &str, each: impl FnOnce(&Entry<'_>) -> T) -> T {
        let mut record = Record::builder();
        record.target("chatroom_job").level(Level::Warn);
        record.file(Some("src/file.rs")).line(Some(88));
        let args = format_args!("{text}");
        let record = record.args(args).build();
        let at = "2026-11-23T06:49:37.468688Z".parse().expect("a time");
        each(&Entry {
            at,
            ..Entry::now(&record)
        })
    }

    #[test]
    fn a_line_is_escaped() {
        let expected = LoggedLine {
            at: "2026-11-23 06:49:37".into(),
            level: "WARN".into(),
            text: "a\\nb\\u{1b} - file.rs:88".into(),
        };
        assert_eq!(with_record("a\nb\x1b", shown), expected);
    }

    #[test]
    fn a_long_line_is_cut_and_the_last_twenty_are_kept() {
        for n in 0..30 {
            with_record(&format!("line {n} {}", "x".repeat(10_000)), keep);
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
