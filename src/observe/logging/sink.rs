//! Where the log's bytes go, and what is said when they can't.

use std::io::{self, ErrorKind, Write};
use std::thread;
use std::time::{Duration, Instant};

use super::form::Form;
use super::own_line;
use super::trouble::{self, Kind};
use crate::base::text::counted;

/// After a failed write the next one is tried this much later: a full disk stays full for a while, and each attempt
/// may leave half a line there.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How long an output that takes nothing without blocking is left alone: a terminal, or a pipe that another program made
/// so.
const BUSY: Duration = Duration::from_millis(5);

/// An output that may fail, as a full disk does, and work again.
pub struct Sink<W> {
    output: W,
    form: Form,
    retry_after: Duration,
    broken: Option<Broken>,
}

/// Since when writing fails.
struct Broken {
    since: Instant,
    tried: Instant,
    error: io::Error,
    lost_lines: u64,
    /// The output ends in the middle of a line.
    torn: bool,
}

impl<W: Write> Sink<W> {
    pub fn new(output: W, form: Form, retry_after: Duration) -> Self {
        Self {
            output,
            form,
            retry_after,
            broken: None,
        }
    }

    /// When to call [`Self::retry`]; `None` while writing works.
    pub fn retry_in(&self) -> Option<Duration> {
        let broken = self.broken.as_ref()?;
        Some(self.retry_after.saturating_sub(broken.tried.elapsed()))
    }

    /// Writes whole lines. Where that fails they are dropped, and said to be: on standard error now, in the output when
    /// it works again.
    pub fn write(&mut self, lines: &[u8]) {
        if let Some(broken) = &mut self.broken
            && broken.tried.elapsed() < self.retry_after
        {
            broken.lost_lines += lost(self.form, lines);
            return;
        }
        self.retry();
        match &mut self.broken {
            Some(broken) => broken.lost_lines += lost(self.form, lines),
            None => {
                if let Err((written, error)) = write_all(&mut self.output, lines) {
                    self.breaks(lines.split_at(written), error);
                }
            }
        }
    }

    fn breaks(&mut self, (done, left): (&[u8], &[u8]), error: io::Error) {
        let output = match self.form {
            Form::Journal => "the journal",
            _ => "standard output",
        };
        complain(
            self.form,
            format!(
                "writing the log to {output} failed: {error}; its lines are dropped until that works again. {}. Delivery \
                 goes on",
                advice(self.form, error.kind())
            ),
        );
        trouble::begins(
            Kind::Fails,
            format!("writing it to {output} fails: {error}"),
        );
        self.broken = Some(Broken {
            since: Instant::now(),
            tried: Instant::now(),
            error,
            lost_lines: lost(self.form, left),
            torn: done.last().is_some_and(|&byte| byte != b'\n'),
        });
    }

    /// Says in the output what it missed, if it works again.
    pub fn retry(&mut self) {
        let Some(broken) = &mut self.broken else {
            return;
        };
        let mut text = if broken.torn { vec![b'\n'] } else { Vec::new() };
        text.extend(own_line(
            self.form,
            log::Level::Error,
            format_args!(
                "writing the log failed for {:.1} s ({}); {} dropped. Delivery went on",
                broken.since.elapsed().as_secs_f64(),
                broken.error,
                lines_were(broken.lost_lines)
            ),
        ));
        match write_all(&mut self.output, &text) {
            Ok(()) => {
                self.broken = None;
                trouble::ends(Kind::Fails);
            }
            Err((written, error)) => {
                broken.tried = Instant::now();
                broken.error = error;
                if let Some(last) = text[..written].last() {
                    broken.torn = *last != b'\n';
                }
            }
        }
    }
}

/// What to do about an output that fails so.
fn advice(form: Form, error: ErrorKind) -> &'static str {
    match error {
        _ if form == Form::Journal => "See that systemd-journald runs",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "Make room where it is written to"
        }
        ErrorKind::BrokenPipe => "The program that read it has ended",
        _ => "Check what standard output leads to",
    }
}

/// As `Write::write_all`; the error comes with how much was written before.
fn write_all(output: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return Err((written, ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(BUSY),
            Err(error) => return Err((written, error)),
        }
    }
    output.flush().map_err(|error| (written, error))
}

/// Notes that these lines are lost. Returns how many they are.
pub fn lost(form: Form, lines: &[u8]) -> u64 {
    let count = form.count(lines);
    trouble::lost(count);
    count
}

/// `1 line was`, `2 lines were`.
pub fn lines_were(count: u64) -> String {
    counted(count, "line") + if count == 1 { " was" } else { " were" }
}

/// Says something on standard error, on a thread of its own: it may be stuck as the log is.
pub fn complain(form: Form, text: String) {
    let _ = thread::Builder::new().spawn(move || {
        let form = form.on_terminal();
        let line = own_line(form, log::Level::Error, format_args!("{text}"));
        let _ = io::stderr().write_all(&line);
    });
}

/// Standard output without a buffer: what one holds back after an error would be written later, in the middle of
/// something else.
pub struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes as many bytes as there is room for, then fails as a full disk does.
    struct Disk {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::Error::from_raw_os_error(nix::libc::ENOSPC));
            }
            self.room -= count;
            self.text.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn disk(room: usize, retry_after: Duration) -> Sink<Disk> {
        let text = Vec::new();
        Sink::new(Disk { text, room }, Form::Muduo, retry_after)
    }

    fn text(sink: &Sink<Disk>) -> String {
        String::from_utf8(sink.output.text.clone()).expect("text")
    }

    #[test]
    fn a_full_disk_that_has_room_again_is_told_what_it_missed() {
        let mut sink = disk(10, Duration::ZERO);
        sink.write(b"first\nsecond\nthird\n");
        sink.write(b"fourth\n");
        assert_eq!(text(&sink), "first\nseco");
        assert!(sink.retry_in().is_some());
        sink.output.room = 1_000;
        sink.write(b"fifth\n");
        let text = text(&sink);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[0], lines[1]), ("first", "seco"));
        assert!(
            lines[2].contains("ERROR writing the log failed for ")
                && lines[2]
                    .contains("(No space left on device (os error 28)); 3 lines were dropped"),
            "{text}"
        );
        assert_eq!(lines[3..], ["fifth"]);
        assert!(sink.retry_in().is_none());
    }

    #[test]
    fn what_is_lost_between_two_tries_is_counted_too() {
        let mut sink = disk(0, Duration::from_secs(3600));
        sink.write(b"one\n");
        sink.output.room = 1_000;
        sink.write(b"two\nthree\n");
        assert_eq!(text(&sink), "", "it is not time to try again");
        sink.retry();
        assert!(
            text(&sink).contains("3 lines were dropped"),
            "{}",
            text(&sink)
        );
        sink.write(b"four\n");
        assert!(text(&sink).ends_with("\nfour\n"));
    }

    #[test]
    fn a_notice_that_does_not_fit_is_written_anew() {
        let mut sink = disk(0, Duration::ZERO);
        sink.write(b"one\n");
        sink.output.room = 30;
        sink.retry();
        sink.output.room = 1_000;
        sink.retry();
        let text = text(&sink);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.ends_with('\n') && text.contains("1 line was dropped"),
            "{text}"
        );
    }

    #[test]
    fn an_output_that_does_not_block_is_waited_for() {
        struct Busy(Vec<u8>, usize);
        impl Write for Busy {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => self.0.write(&bytes[..1]),
                    1 => Err(ErrorKind::WouldBlock.into()),
                    _ => Err(ErrorKind::Interrupted.into()),
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut sink = Sink::new(Busy(Vec::new(), 0), Form::Muduo, Duration::ZERO);
        sink.write(b"line\n");
        assert_eq!(sink.output.0, b"line\n");
    }
}
