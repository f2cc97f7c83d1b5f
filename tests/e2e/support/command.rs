//! The commands of `job`, as people type them.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `job` with these arguments to its end, away from any settings of whoever runs the tests.
pub fn job(args: &[&str]) -> Ended {
    job_with(&[], args)
}

/// With these variables, and no others.
pub fn job_with(variables: &[(&str, &Path)], args: &[&str]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let output = Command::new(env!("CARGO_BIN_EXE_job"))
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(&folder)
        .output()
        .expect("job starts");
    Ended::from(output)
}

pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Ended {
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }
}

impl Ended {
    /// What it printed, where it went well.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(
            (self.code, self.err.as_str()),
            (Some(0), ""),
            "{}",
            self.out
        );
        self.out
    }

    /// What it complained of, where it failed.
    #[track_caller]
    pub fn failed(self) -> String {
        assert_eq!(self.code, Some(1), "{} {}", self.out, self.err);
        self.err
    }
}

/// What one said that ended with this code, wherever it did.
#[track_caller]
pub fn complains(ended: Ended, code: i32) -> String {
    let said = ended.out + &ended.err;
    assert_eq!(ended.code, Some(code), "{said}");
    said
}
