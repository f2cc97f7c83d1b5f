//! What is said over the socket: a line with a command and its words; one line of JSON comes back.

use std::fmt;

use log::LevelFilter;
use serde::{Deserialize, Serialize};

/// What a job can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Reload,
    LogLevel(LevelFilter),
    Pause,
    Resume,
    Skip {
        /// `None`: the topic that the job reads.
        topic: Option<String>,
        partition: i32,
        offset: i64,
    },
    Journal,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reply {
    pub ok: bool,
    /// For people, a line each.
    pub says: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub journal: Vec<Entry>,
}

/// A command that was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// UTC, as `2026-11-23 06:49:37`.
    pub at: String,
    /// The user and the process that gave it.
    pub uid: u32,
    pub pid: Option<i32>,
    pub command: String,
    pub ok: bool,
    /// The first line of what it came to.
    pub outcome: String,
}

impl Reply {
    pub fn done(what: impl Into<String>) -> Self {
        Self {
            ok: true,
            says: vec![what.into()],
            journal: Vec::new(),
        }
    }

    pub fn failed(why: impl Into<String>) -> Self {
        Self {
            ok: false,
            ..Self::done(why)
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Reload => f.write_str("reload"),
            Request::LogLevel(level) => write!(f, "log-level {level}"),
            Request::Pause => f.write_str("pause"),
            Request::Resume => f.write_str("resume"),
            Request::Skip {
                topic,
                partition,
                offset,
            } => {
                let topic = topic.as_ref().map(|topic| format!("{topic} "));
                write!(f, "skip {}{partition} {offset}", topic.unwrap_or_default())
            }
            Request::Journal => f.write_str("journal"),
        }
    }
}

impl Request {
    /// Reads the line of a command.
    ///
    /// # Errors
    /// It is no command, or has the wrong words.
    pub fn read(line: &str) -> Result<Request, String> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match &words[..] {
            ["reload"] => Ok(Request::Reload),
            ["log-level", name] => level(name).map(Request::LogLevel),
            ["pause"] => Ok(Request::Pause),
            ["resume"] => Ok(Request::Resume),
            ["skip", words @ ..] => skip(words),
            ["journal"] => Ok(Request::Journal),
            _ => Err(
                "no such command; there are reload, log-level LEVEL, pause, resume, skip [TOPIC] PARTITION OFFSET and journal"
                    .into(),
            ),
        }
    }
}

/// Reads which record to skip.
///
/// # Errors
/// A number is wrong, or there are too few or too many words.
pub fn skip<T: AsRef<str>>(words: &[T]) -> Result<Request, String> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let (topic, partition, offset) = match words[..] {
        [partition, offset] => (None, partition, offset),
        [topic, partition, offset] => (Some(topic.to_owned()), partition, offset),
        _ => return Err("write skip [TOPIC] PARTITION OFFSET".into()),
    };
    let partition = partition.parse().ok().filter(|number| *number >= 0);
    let offset = offset.parse().ok().filter(|number| *number >= 0);
    match (partition, offset) {
        (Some(partition), Some(offset)) => Ok(Request::Skip {
            topic,
            partition,
            offset,
        }),
        _ => Err(
            "a partition and an offset are whole numbers from 0 on: skip [TOPIC] PARTITION OFFSET"
                .into(),
        ),
    }
}

/// Reads a level, by muduo's or Rust's name.
///
/// # Errors
/// There is none of that name.
pub fn level(name: &str) -> Result<LevelFilter, String> {
    match name.to_ascii_uppercase().as_str() {
        "TRACE" => Ok(LevelFilter::Trace),
        "DEBUG" => Ok(LevelFilter::Debug),
        "INFO" => Ok(LevelFilter::Info),
        "WARN" | "WARNING" => Ok(LevelFilter::Warn),
        "ERROR" | "FATAL" => Ok(LevelFilter::Error),
        _ => Err("write TRACE, DEBUG, INFO, WARN or ERROR".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_is_written() {
        let skip = |topic: Option<&str>| Request::Skip {
            topic: topic.map(str::to_owned),
            partition: 3,
            offset: 1_234_567_890_123,
        };
        for request in [
            Request::Reload,
            Request::LogLevel(LevelFilter::Warn),
            Request::Pause,
            Request::Resume,
            skip(None),
            skip(Some("chat-7")),
            Request::Journal,
        ] {
            assert_eq!(Request::read(&request.to_string()), Ok(request));
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for wrong in [
            "",
            "stop",
            "pause now",
            "PAUSE",
            "log-level",
            "log-level loud",
            "skip",
            "skip 3",
            "skip -1 5",
            "skip 3 -5",
            "skip a 3 x",
            "skip a 3 5 7",
            "skip 2147483648 5",
        ] {
            assert!(Request::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn levels_have_the_names_of_muduo_and_of_rust_in_any_case() {
        for (name, means) in [
            ("warn", LevelFilter::Warn),
            ("WARNING", LevelFilter::Warn),
            ("Fatal", LevelFilter::Error),
            ("trace", LevelFilter::Trace),
        ] {
            assert_eq!(level(name), Ok(means));
        }
        assert!(level("").is_err() && level("off").is_err());
    }
}
