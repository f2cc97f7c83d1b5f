//! journald's own protocol: a record is a datagram of fields. A field is `NAME=value` and a new line; one whose value has lines
//! is `NAME`, a new line, the value's length in 8 bytes, the value, and a new line. In the log's queue an empty line ends a record.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use super::entry::Entry;
use super::form::priority;

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// What systemd gives a process whose output goes to journald: the device and the inode of that output.
pub const STREAM: &str = "JOURNAL_STREAM";

/// Writes one record.
pub fn write(out: &mut impl Write, entry: &Entry<'_>) -> io::Result<()> {
    field(out, "MESSAGE", &entry.text().to_string())?;
    field(out, "PRIORITY", &priority(entry.level).to_string())?;
    field(out, "SYSLOG_IDENTIFIER", "job")?;
    field(out, "TID", &entry.thread.to_string())?;
    field(out, "CODE_FILE", entry.file)?;
    field(out, "CODE_LINE", &entry.line.to_string())?;
    field(out, "MODULE", entry.target)?;
    let mut fields = Vec::new();
    entry.each_field(|key, value| fields.push((key.to_ascii_uppercase(), value.to_string())));
    for (name, value) in fields {
        // journald leaves out what is named otherwise.
        let is_legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_legal) {
            field(out, &name, &value)?;
        }
    }
    writeln!(out)
}

fn field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    if !value.contains('\n') {
        return writeln!(out, "{name}={value}");
    }
    writeln!(out, "{name}")?;
    out.write_all(&(value.len() as u64).to_le_bytes())?;
    writeln!(out, "{value}")
}

/// The records in what was written, each with the empty line that ends it.
pub fn entries(written: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = written;
    std::iter::from_fn(move || {
        (!rest.is_empty()).then(|| {
            let (first, others) = rest.split_at(length_of_first(rest).min(rest.len()));
            rest = others;
            first
        })
    })
}

fn length_of_first(written: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = written.get(at..).unwrap_or_default();
        let Some(line) = rest.iter().position(|byte| *byte == b'\n') else {
            return written.len();
        };
        at += line + 1;
        if line == 0 {
            return at;
        }
        if !rest[..line].contains(&b'=') {
            let length = rest[line + 1..].first_chunk().copied();
            let length = u64::from_le_bytes(length.unwrap_or_default());
            at += 8 + length as usize + 1;
        }
    }
}

/// The journal as an output: each write takes one record. It has no connection, so journald may restart.
pub struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// # Errors
    /// Nobody listens there.
    pub fn at(path: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        UnixDatagram::unbound()?.connect(path)?;
        Ok(Self {
            socket,
            path: path.into(),
        })
    }
}

impl Write for Journal {
    fn write(&mut self, records: &[u8]) -> io::Result<usize> {
        let Some(record) = entries(records).next() else {
            return Ok(0);
        };
        self.socket
            .send_to(&record[..record.len().saturating_sub(1)], &self.path)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether standard output is what systemd connected with journald.
pub fn has_stdout(stream: &str) -> bool {
    let stat = nix::sys::stat::fstat(io::stdout().as_fd());
    stat.is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_taken_apart_where_they_end() {
        let mut written = Vec::new();
        field(&mut written, "MESSAGE", "one").expect("memory takes it");
        written.push(b'\n');
        let first = written.len();
        field(&mut written, "MESSAGE", "a\n\nb=c\n").expect("memory takes it");
        field(&mut written, "ROOM", "").expect("memory takes it");
        written.push(b'\n');
        let all: Vec<_> = entries(&written).collect();
        assert_eq!(all, [&written[..first], &written[first..]]);
        assert_eq!(entries(b"").count(), 0);
        for cut in 1..written.len() {
            // Never happens; but then it ends too.
            assert!(entries(&written[..cut]).count() <= 2);
        }
    }

    #[test]
    fn each_record_is_a_datagram_and_a_restart_of_the_journal_is_survived() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("socket");
        let name = path.to_str().expect("a name");
        assert!(Journal::at(name).is_err(), "nobody listens");
        let listener = UnixDatagram::bind(&path).expect("it listens");
        let mut journal = Journal::at(name).expect("it listens");
        let records = b"MESSAGE=one\n\nMESSAGE=two\n\n";
        journal.write_all(records).expect("it is there");
        let mut received = [0; 64];
        for expected in [b"MESSAGE=one\n", b"MESSAGE=two\n"] {
            let length = listener.recv(&mut received).expect("it comes");
            assert_eq!(&received[..length], expected);
        }
        drop(listener);
        std::fs::remove_file(&path).expect("it is there");
        assert!(journal.write(records).is_err());
        let listener = UnixDatagram::bind(&path).expect("it listens");
        journal.write_all(b"MESSAGE=three\n\n").expect("it is back");
        let length = listener.recv(&mut received).expect("it comes");
        assert_eq!(&received[..length], b"MESSAGE=three\n");
    }
}
