//! The log's own thread, so that whoever reads the log may be slow, or stuck, and the service goes on.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};

use super::form::Form;
use super::repeats::Repeats;
use super::sink::{RETRY_AFTER, Sink, complain, lines_were, lost};
use super::trouble::{self, Kind};
use super::{own_line, recent};

/// Records that wait to be written at most.
const WAITING: usize = 4_096;
/// So long a record waits for a place among them: a disk may be busy. Then the log's reader is taken for stuck, and
/// what is logged is lost until it goes on.
const SEND_WITHIN: Duration = Duration::from_secs(1);
/// Records that come within this time are written together, as long as they are few: a system call and a wake-up for each
/// would cost more than all the rest of it.
const GATHER: Duration = Duration::from_millis(5);
const FEW: usize = 256;
/// Bytes that are written together.
const PIECE: usize = 256 << 10;
/// What a flush waits for at most.
const FLUSH_WITHIN: Duration = Duration::from_millis(500);
const _: () = assert!(
    GATHER.as_millis() < FLUSH_WITHIN.as_millis() && GATHER.as_millis() < SEND_WITHIN.as_millis(),
    "the writer would be taken for stuck while it gathers, and the last lines be lost"
);
const _: () = assert!(
    FEW < WAITING,
    "the writer would sleep while records are dropped"
);

enum Entry {
    Record(Vec<u8>),
    /// Is dropped when everything before it is written.
    Flush(Sender<()>),
}

/// Starts a thread that writes to `output`.
///
/// # Errors
/// Where the system gives no thread.
pub fn start(
    output: impl Write + Send + 'static,
    form: Form,
    repeats: Arc<Repeats>,
) -> io::Result<(Queue, Flusher)> {
    let (entries, waiting) = bounded(WAITING);
    thread::Builder::new()
        .name("log".into())
        .spawn(move || write(&waiting, output, form, &repeats))?;
    let flusher = Flusher(entries.clone());
    Ok((Queue::new(entries, form), flusher))
}

fn write(entries: &Receiver<Entry>, output: impl Write, form: Form, repeats: &Repeats) {
    let mut sink = Sink::new(output, form, RETRY_AFTER);
    let mut piece = Vec::new();
    let mut flushes = Vec::new();
    loop {
        let repeats_due = repeats.due_in(Instant::now());
        let wake = [sink.retry_in(), repeats_due].into_iter().flatten().min();
        let first = match wake {
            None => entries.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(time) => entries.recv_timeout(time),
        };
        let first = match first {
            Ok(first) => Some(first),
            // Nothing is logged just now; what was counted or lost shall be said all the same.
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if matches!(first, Some(Entry::Record(_))) && entries.len() < FEW {
            thread::sleep(GATHER);
        }
        let mut next = first;
        while let Some(entry) = next {
            match entry {
                Entry::Record(record) => {
                    piece.extend_from_slice(&record);
                }
                Entry::Flush(done) => flushes.push(done),
            }
            next = (piece.len() < PIECE)
                .then(|| entries.try_recv().ok())
                .flatten();
        }
        for repeated in repeats.due(Instant::now(), !flushes.is_empty()) {
            recent::keep(&repeated.entry());
            piece.extend(form.bytes(&repeated.entry()));
        }
        // A flush may be the last chance.
        if !flushes.is_empty() || sink.retry_in() == Some(Duration::ZERO) {
            sink.retry();
        }
        if !piece.is_empty() {
            sink.write(&piece);
        }
        piece.clear();
        flushes.clear();
    }
}

/// Takes records, one with each `write`.
pub struct Queue {
    entries: Sender<Entry>,
    form: Form,
    stuck: Option<Stuck>,
}

/// Since when nothing is written, and how many lines were lost by that.
struct Stuck {
    since: Instant,
    lost_lines: u64,
}

impl Queue {
    fn new(entries: Sender<Entry>, form: Form) -> Self {
        Self {
            entries,
            form,
            stuck: None,
        }
    }

    /// Says in the log what it lost, once there is room again: for half of what may wait, or each record that finds a
    /// place would bring such a line.
    fn go_on(&mut self) {
        if self.entries.len() <= WAITING / 2
            && let Some(Stuck { since, lost_lines }) = self.stuck.take()
        {
            trouble::ends(Kind::Blocked);
            let line = own_line(
                self.form,
                log::Level::Warn,
                format_args!(
                    "the log's reader was blocked for {:.1} s; {} dropped. Delivery went on",
                    since.elapsed().as_secs_f64(),
                    lines_were(lost_lines)
                ),
            );
            let _ = self.entries.try_send(Entry::Record(line));
        }
    }
}

impl Write for Queue {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.go_on();
        if let Some(stuck) = &mut self.stuck {
            stuck.lost_lines += lost(self.form, record);
            return Ok(record.len());
        }
        let entry = Entry::Record(record.to_vec());
        if let Err(SendTimeoutError::Timeout(_)) = self.entries.send_timeout(entry, SEND_WITHIN) {
            trouble::begins(Kind::Blocked, "nobody reads it".into());
            self.stuck = Some(Stuck {
                since: Instant::now(),
                lost_lines: lost(self.form, record),
            });
            complain(
                self.form,
                "the log's reader on standard output is blocked: lines are dropped until it reads on. Delivery goes on"
                    .into(),
            );
        }
        Ok(record.len())
    }

    /// Does nothing: the thread writes within [`GATHER`]. To wait for it, see [`Flusher`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until what was logged is written.
pub struct Flusher(Sender<Entry>);

impl Flusher {
    /// Waits half a second at most for room, and as long for the writing: the reader may be stuck.
    pub fn flush(&self) {
        let (done, written) = bounded::<()>(0);
        if self
            .0
            .send_timeout(Entry::Flush(done), FLUSH_WITHIN)
            .is_ok()
        {
            let _ = written.recv_timeout(FLUSH_WITHIN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands on what is written when `allowed` says so, piece by piece, and without asking once that is gone.
    struct Output {
        allowed: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Output {
        fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
            let _ = self.allowed.recv();
            let _ = self.written.send(piece.to_vec());
            Ok(piece.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn output() -> (Output, Sender<()>, Receiver<Vec<u8>>) {
        let (allow, allowed) = bounded(0);
        let (written, pieces) = crossbeam_channel::unbounded();
        (Output { allowed, written }, allow, pieces)
    }

    #[test]
    fn a_flush_waits_until_all_is_written_in_order() {
        let (output, allow, pieces) = output();
        drop(allow);
        let (mut queue, flusher) = start(output, Form::Muduo, Arc::default()).unwrap();
        let mut expected = Vec::new();
        for n in 0..10_000 {
            let record = format!("record {n}\n");
            queue.write_all(record.as_bytes()).unwrap();
            expected.extend_from_slice(record.as_bytes());
        }
        flusher.flush();
        let written: Vec<u8> = pieces.try_iter().flatten().collect();
        assert_eq!(written, expected);
    }

    #[test]
    fn a_stuck_reader_costs_records_and_says_so_when_it_goes_on() {
        let (output, allow, pieces) = output();
        let (mut queue, flusher) = start(output, Form::Muduo, Arc::default()).unwrap();
        // As many as wait, and some that the thread has in hand; then some more.
        let record = [&[b'x'; 99][..], b"\n"].concat();
        let (mut accepted, dropped) = (0, super::super::dropped());
        while queue.stuck.is_none() {
            queue.write_all(&record).unwrap();
            accepted += 1;
        }
        for _ in 1..7 {
            queue.write_all(&record).unwrap();
        }
        // Other tests lose some too.
        assert!(super::super::dropped() - dropped >= 7);
        drop(allow);
        flusher.flush();
        queue.write_all(b"after it\n").unwrap();
        flusher.flush();
        let written = String::from_utf8(pieces.try_iter().flatten().collect()).unwrap();
        let (before, after) = written.split_at(100 * (accepted - 1));
        assert!(before.bytes().all(|byte| b"x\n".contains(&byte)));
        assert!(
            after.contains("WARN  the log's reader was blocked for ")
                && after.contains(" s; 7 lines were dropped. Delivery went on"),
            "{after}"
        );
        assert!(after.ends_with("after it\n"), "{after}");
    }
}
