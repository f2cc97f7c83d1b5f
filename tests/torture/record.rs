//! What the Comets wrote down, read while they write.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use crate::streams::{Stream, Streams};
use crate::timeline::Micros;

/// A call that a Comet took.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub at: Micros,
    pub stream: Stream,
    pub sequence: u32,
    /// The port that it came from.
    pub port: u16,
    /// Place of its answer among the events, if it got one.
    pub answer: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    Call(Call),
    /// To the call at that place among the events.
    Answer {
        at: Micros,
        call: u32,
        code: i32,
    },
}

/// One Comet's calls and answers, in the order in which it wrote them down.
pub struct Record {
    comet: usize,
    pub events: Vec<Event>,
    /// Answers to calls that send nobody anything, and the port that they went to.
    pub probes: Vec<(Micros, u16)>,
    /// Calls for users of another Comet.
    pub astray: Vec<(Micros, Stream, u32)>,
    /// Lines that no job should cause.
    pub strange: Vec<String>,
    files: Vec<Tail>,
    /// Deliveries by stream and sequence.
    seen: Vec<Vec<bool>>,
    pub delivered: u64,
    pub repeated: u64,
}

enum Open {
    /// Its place among the events.
    Message(u32),
    /// The port that it came from.
    Probe(u16),
    Astray,
}

struct Tail {
    path: PathBuf,
    reader: BufReader<File>,
    /// Calls without an answer, by their number.
    calls: HashMap<u64, Open>,
    partial: String,
}

impl Record {
    pub fn new(comet: usize, streams: &Streams) -> Record {
        Record {
            comet,
            events: Vec::new(),
            probes: Vec::new(),
            astray: Vec::new(),
            strange: Vec::new(),
            files: Vec::new(),
            seen: vec![Vec::new(); streams.count()],
            delivered: 0,
            repeated: 0,
        }
    }

    /// Reads this file too, from now on.
    pub fn follow(&mut self, path: PathBuf) -> Result<(), String> {
        let file = File::open(&path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        self.files.push(Tail {
            path,
            reader: BufReader::with_capacity(256 << 10, file),
            calls: HashMap::new(),
            partial: String::new(),
        });
        Ok(())
    }

    /// Takes in what was written since the last time. A file that another one followed is complete.
    pub fn catch_up(&mut self, streams: &Streams) -> Result<(), String> {
        let mut files = std::mem::take(&mut self.files);
        for tail in &mut files {
            loop {
                let read = tail
                    .reader
                    .read_line(&mut tail.partial)
                    .map_err(|e| format!("cannot read {}: {e}", tail.path.display()))?;
                if read == 0 || !tail.partial.ends_with('\n') {
                    break;
                }
                let line = std::mem::take(&mut tail.partial);
                if self
                    .take(line.trim_end_matches('\n'), &mut tail.calls, streams)
                    .is_none()
                {
                    self.strange
                        .push(format!("Comet {} recorded: {line}", self.comet));
                }
            }
        }
        // Earlier processes of this Comet write no more.
        let last = files.pop();
        self.files.extend(last);
        Ok(())
    }

    /// `None` for a line that makes no sense.
    fn take(
        &mut self,
        line: &str,
        calls: &mut HashMap<u64, Open>,
        streams: &Streams,
    ) -> Option<()> {
        let mut fields = line.split('\t');
        let kind = fields.next()?;
        let number: u64 = fields.next()?.parse().ok()?;
        let at: Micros = fields.next()?.parse().ok()?;
        let place = self.events.len() as u32;
        if kind == "answer" {
            let code = fields.next()?.parse().ok()?;
            let call = match calls.remove(&number) {
                Some(Open::Message(call)) => call,
                Some(Open::Probe(port)) => {
                    self.probes.extend((code == 0).then_some((at, port)));
                    return Some(());
                }
                // Its call made no sense, or was for users of another Comet.
                None | Some(Open::Astray) => return Some(()),
            };
            if let Event::Call(call) = &mut self.events[call as usize] {
                call.answer = Some(place);
                if code == 0 {
                    let (stream, sequence) = (call.stream, call.sequence as usize);
                    let seen = &mut self.seen[stream];
                    if seen.len() <= sequence {
                        seen.resize(sequence + 1, false);
                    }
                    self.delivered += u64::from(!seen[sequence]);
                    self.repeated += u64::from(seen[sequence]);
                    seen[sequence] = true;
                }
            }
            self.events.push(Event::Answer { at, call, code });
            return Some(());
        }
        let (rpc, target, peer, body) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let port = peer.rsplit(':').next()?.parse().ok()?;
        if rpc == "Rooms" {
            calls.insert(number, Open::Probe(port));
            return Some(());
        }
        let (stream, sequence) = streams.parse(body)?;
        if !streams.is_called_by(stream, rpc, target) {
            return None;
        }
        if !streams.reaches(stream, self.comet) {
            self.astray.push((at, stream, sequence));
            calls.insert(number, Open::Astray);
            return Some(());
        }
        calls.insert(number, Open::Message(place));
        self.events.push(Event::Call(Call {
            at,
            stream,
            sequence,
            port,
            answer: None,
        }));
        Some(())
    }
}
