//! How a record is written: muduo's line, a JSON object, or what journald takes.

use std::io::{self, Write};

use jiff::tz::Offset;
use log::Level;

use super::entry::{Entry, Field};
use super::journal;

/// A form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `20261123 06:49:37.468688Z 23680 INFO  text - file.rs:88`: UTC with microseconds, the kernel's thread id,
    /// the level, the text, and where in the source it was written.
    Muduo,
    /// An object a line.
    Json,
    /// journald's own protocol: see `journal`.
    Journal,
    /// Muduo's line, each line of it behind `<N>`, syslog's number for its level: systemd takes that off standard output and
    /// keeps it as the priority.
    Prefixed,
}

impl Form {
    /// Writes one record.
    pub fn write(self, out: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
        match self {
            Form::Muduo => muduo(out, entry),
            Form::Json => json(out, entry),
            Form::Journal => journal::write(out, entry),
            Form::Prefixed => prefixed(out, entry),
        }
    }

    /// The record as bytes.
    pub fn bytes(self, entry: &Entry<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        // Memory takes everything.
        let _ = self.write(&mut out, entry);
        out
    }

    /// The form in which standard error is told something.
    pub fn on_terminal(self) -> Form {
        match self {
            Form::Journal => Form::Prefixed,
            other => other,
        }
    }

    /// How many lines these are, or entries of the journal: a message at INFO is one record and five lines.
    pub fn count(self, written: &[u8]) -> u64 {
        match self {
            Form::Journal => journal::entries(written).count() as u64,
            _ => written.iter().filter(|&&byte| byte == b'\n').count() as u64,
        }
    }
}

fn muduo(out: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    let time = Offset::UTC.to_datetime(entry.at);
    writeln!(
        out,
        "{:04}{:02}{:02} {:02}:{:02}:{:02}.{:06}Z {} {:<5} {} - {}:{}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.subsec_nanosecond() / 1_000,
        entry.thread,
        entry.level,
        entry.text(),
        entry.file,
        entry.line,
    )
}

fn json(out: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    write!(
        out,
        r#"{{"time":"{:.6}","level":"{}","thread":{},"message":"#,
        entry.at, entry.level, entry.thread
    )?;
    serde_json::to_writer(&mut *out, &entry.text().to_string())?;
    let mut fields = Vec::new();
    entry.each_field(|key, field| fields.push((key.to_owned(), field)));
    for (key, field) in fields {
        write!(out, ",")?;
        serde_json::to_writer(&mut *out, &key)?;
        write!(out, ":")?;
        match field {
            Field::Text(text) => serde_json::to_writer(&mut *out, &text)?,
            // Infinite ones have no number in JSON.
            Field::Float(number) => serde_json::to_writer(&mut *out, &number)?,
            number => write!(out, "{number}")?,
        }
    }
    for (key, text) in [("module", entry.target), ("file", entry.file)] {
        write!(out, r#","{key}":"#)?;
        serde_json::to_writer(&mut *out, text)?;
    }
    writeln!(out, r#","line":{}}}"#, entry.line)
}

fn prefixed(out: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    let mut lines = Vec::new();
    muduo(&mut lines, entry)?;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        write!(out, "<{}>", priority(entry.level))?;
        out.write_all(line)?;
    }
    Ok(())
}

/// Syslog's number for a level.
pub fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests;
