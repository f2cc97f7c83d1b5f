//! The last commands, with who gave them and what they came to.

use std::collections::VecDeque;

use super::request::Entry;

/// So many are kept.
const KEPT: usize = 100;

#[derive(Debug, Default)]
pub struct Journal(VecDeque<Entry>);

impl Journal {
    pub fn note(&mut self, entry: Entry) {
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(entry);
    }

    /// The oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.iter().cloned().collect()
    }
}

/// Shows an entry on a line.
pub fn line(entry: &Entry) -> String {
    let Entry {
        at,
        uid,
        pid,
        command,
        ok,
        outcome,
    } = entry;
    let pid = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
    let ended = match ok {
        true => "",
        false => "failed: ",
    };
    format!("{at}  uid {uid}{pid}  {command}: {ended}{outcome}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_are_kept() {
        let mut journal = Journal::default();
        for n in 0..250 {
            journal.note(Entry {
                uid: n,
                ..Entry::default()
            });
        }
        let uids: Vec<_> = journal.entries().iter().map(|entry| entry.uid).collect();
        assert_eq!(uids, (150..250).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_says_who_did_what() {
        let entry = Entry {
            at: "2026-11-23 06:49:37".into(),
            uid: 1000,
            pid: Some(7),
            command: "pause".into(),
            ok: false,
            outcome: "no".into(),
        };
        let text = "2026-11-23 06:49:37  uid 1000, process 7  pause: failed: no";
        assert_eq!(line(&entry), text);
    }
}
