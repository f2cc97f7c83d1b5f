//! The socket where a job of a test takes commands.

use std::path::PathBuf;

use tempfile::TempDir;

use super::command::{self, Ended};

pub struct Socket {
    folder: TempDir,
}

impl Socket {
    pub fn new() -> Socket {
        let folder = TempDir::new().expect("a folder can be made");
        Socket { folder }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("job.sock")
    }

    /// For `--control`.
    pub fn flag(&self) -> String {
        self.path().display().to_string()
    }

    /// `job ctl` with these words.
    pub fn ctl(&self, words: &[&str]) -> Ended {
        let control = ["--control", &self.flag()];
        command::job(&[&["ctl"], words, &control].concat())
    }
}
