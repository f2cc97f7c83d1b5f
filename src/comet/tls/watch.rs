//! Looks whether the files have changed, on a thread of its own: no worker waits for a disk.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use super::Tls;
use crate::settings::CometTls;

/// A change is read when the next look finds no other: a certificate and its key are two files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Tls {
    /// Begins to look, until nobody uses this any more.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn watch(self: &Arc<Self>) -> io::Result<()> {
        let (tls, watch) = (Arc::downgrade(self), Watch::new(self));
        let builder = thread::Builder::new().name("certificates".into());
        builder.spawn(move || look(&tls, watch)).map(drop)
    }
}

fn look(tls: &Weak<Tls>, mut watch: Watch) {
    loop {
        thread::sleep(LOOK_EVERY);
        let Some(tls) = tls.upgrade() else {
            return;
        };
        match watch.look(&tls) {
            None => {}
            Some(Ok(())) => log::info!(
                "the files of TLS to the Comets have changed and were read again: new connections use them"
            ),
            Some(Err(error)) => log::warn!(
                "the files of TLS to the Comets have changed and can't be used; going on with what was in them: {error}"
            ),
        }
    }
}

/// By which a change of a file is seen; `None` where it can't be looked at.
pub type Stamp = Option<[i64; 6]>;

pub fn stamps(settings: &CometTls) -> Vec<Stamp> {
    let client = settings.client.iter().flat_map(|(one, other)| [one, other]);
    let files = settings.ca.iter().chain(client);
    files.map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let of = fs::metadata(file).ok()?;
    let numbers = [of.dev(), of.ino(), of.size()].map(u64::cast_signed);
    let [dev, ino, size] = numbers;
    // That of the inode tells of permissions too, which may be what was wrong.
    Some([dev, ino, size, of.mtime_nsec(), of.ctime(), of.ctime_nsec()])
}

/// What was seen, and what was read.
pub struct Watch {
    read: Vec<Stamp>,
    seen: Vec<Stamp>,
}

impl Watch {
    pub fn new(tls: &Tls) -> Self {
        Self::of(tls.stamps.clone())
    }

    fn of(stamps: Vec<Stamp>) -> Self {
        Self {
            read: stamps.clone(),
            seen: stamps,
        }
    }

    /// Reads the files again after a change. Returns None if there was none, else whether they can be used.
    pub fn look(&mut self, tls: &Tls) -> Option<Result<(), String>> {
        let is_due = self.is_due(stamps(&tls.settings));
        is_due.then(|| tls.read_again())
    }

    /// Whether the files are to be read now. They are once for each change, be it of use or not.
    fn is_due(&mut self, now: Vec<Stamp>) -> bool {
        let is_settled = now == self.seen;
        let is_due = is_settled && now != self.read;
        if is_due {
            self.read.clone_from(&now);
        }
        self.seen = now;
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: i64) -> Vec<Stamp> {
        vec![Some([number; 6]), None]
    }

    #[test]
    fn a_change_is_read_once_and_when_it_is_over() {
        let mut watch = Watch::of(of(1));
        for (stamp, is_due) in [
            (1, false),
            (2, false),
            (3, false),
            (3, true),
            (3, false),
            // There and back again: nothing has changed.
            (4, false),
            (3, false),
            (3, false),
            (4, false),
            (4, true),
        ] {
            assert_eq!(watch.is_due(of(stamp)), is_due, "{stamp}");
        }
    }

    #[test]
    fn whatever_happens_to_a_file_changes_its_stamp() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, other] = ["file", "other"].map(|name| folder.path().join(name));
        let mut seen = vec![stamp(&file)];
        let mut next = |what: &str| {
            let stamp = stamp(&folder.path().join("file"));
            assert!(!seen.contains(&stamp), "{what}");
            seen.push(stamp);
        };
        fs::write(&file, "a").expect("written");
        next("it is there");
        fs::write(&file, "ab").expect("written");
        next("it is longer");
        fs::write(&other, "cd").expect("written");
        fs::rename(&other, &file).expect("moved");
        next("another file has its place");
        fs::remove_file(&file).expect("removed");
        assert_eq!(stamp(&file), None);
    }
}
