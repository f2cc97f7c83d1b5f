//! What a cheap Comet got: how many, which twice, which out of order, and how late.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use memchr::memchr;
use serde::{Deserialize, Serialize};

use super::http2::LONGEST;

/// Rooms and sequences above this are no message of the benchmark's.
const MOST: usize = 1 << 27;
/// `Proto.op` of a body that is a row of goim's frames, and the length of their headers.
const GOIM_FRAMES: u64 = 9;
const GOIM_HEADER: usize = 16;

/// What a Comet says when asked. Times are microseconds, of the clock that all processes share.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    pub calls: u64,
    pub messages: u64,
    pub unique: u64,
    pub duplicates: u64,
    pub out_of_order: u64,
    /// Requests and bodies that aren't the benchmark's.
    pub unreadable: u64,
    /// Messages of rooms that it doesn't have. No other figure has them.
    pub spare: u64,
    /// How often it was asked for its rooms.
    pub asked: u64,
    pub first: u64,
    pub last: u64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub latest: u64,
    /// CPU time of the Comet's process, since it was last reset.
    pub cpu: u64,
}

/// One Comet's account.
pub struct Tally {
    report: Report,
    /// By room, the sequence that should come next.
    next: Vec<u32>,
    /// What was skipped and may come late.
    holes: HashSet<(usize, u32)>,
    latency: Histogram<u64>,
    /// Messages that were sent before this are not timed.
    since: u64,
    /// Where it doesn't have all.
    rooms: Option<HashSet<usize>>,
    /// What it answers when it is asked for them: a `RoomsReply`.
    rooms_reply: Arc<[u8]>,
}

pub fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_micros() as u64
}

impl Tally {
    pub fn new() -> Result<Tally, String> {
        Ok(Tally {
            report: Report::default(),
            next: Vec::new(),
            holes: HashSet::new(),
            latency: Histogram::new_with_bounds(1, 3_600_000_000, 3).map_err(|e| e.to_string())?,
            since: 0,
            rooms: None,
            rooms_reply: Arc::default(),
        })
    }

    /// It has these rooms, and no others.
    pub fn has_rooms(&mut self, rooms: HashSet<usize>) -> Result<(), String> {
        // RoomsReply: a map is a field of entries, with the room's name and whether it is there.
        let entry = |room: &usize| {
            let name = format!("r{room}");
            let length = name.len() as u8;
            [
                &[0x0a, length + 4, 0x0a, length],
                name.as_bytes(),
                &[0x10, 1],
            ]
            .concat()
        };
        let reply: Vec<u8> = rooms.iter().flat_map(entry).collect();
        if reply.len() > LONGEST {
            return Err(format!("{} rooms are too many to tell", rooms.len()));
        }
        self.rooms_reply = reply.into();
        self.rooms = Some(rooms);
        Ok(())
    }

    /// It is asked for its rooms. Returns what it answers.
    pub fn asked(&mut self) -> Arc<[u8]> {
        self.report.asked += 1;
        self.rooms_reply.clone()
    }

    /// Forgets the counts and times, and knows the rooms still. What was sent before `now` is not timed.
    pub fn forget_times(&mut self, now: u64) {
        self.report = Report::default();
        self.latency.reset();
        self.since = now;
    }

    /// Takes a call that came at `now`.
    pub fn call(&mut self, request: &[u8], now: u64) {
        self.report.calls += 1;
        if self.report.first == 0 {
            self.report.first = now;
        }
        self.report.last = now;
        if self.read(request, now).is_none() {
            self.report.unreadable += 1;
        }
    }

    fn read(&mut self, request: &[u8], now: u64) -> Option<()> {
        // BroadcastRoomReq: roomID = 1, proto = 2. Proto: op = 2, body = 4.
        let (room, proto) = fields(request, 1, 2)?;
        let (op, body) = fields(proto.bytes, 2, 4)?;
        let (room, rest) = digits(room.bytes.strip_prefix(b"r")?)?;
        if !rest.is_empty() || room >= MOST {
            return None;
        }
        if op.number != GOIM_FRAMES {
            return self.body(room, body.bytes, now);
        }
        let mut frames = body.bytes;
        while !frames.is_empty() {
            let (length, _) = frames.split_first_chunk()?;
            let length = u32::from_be_bytes(*length) as usize;
            let (frame, behind) = frames.split_at_checked(length)?;
            self.body(room, frame.get(GOIM_HEADER..)?, now)?;
            frames = behind;
        }
        Some(())
    }

    /// Each message stands in a body as `@sequence@microseconds@` and padding; several bodies may have become one.
    fn body(&mut self, room: usize, mut body: &[u8], now: u64) -> Option<()> {
        let mut found = None;
        while let Some(at) = memchr(b'@', body) {
            let (sequence, rest) = digits(&body[at + 1..])?;
            let (sent, rest) = digits(rest.strip_prefix(b"@")?)?;
            body = rest.strip_prefix(b"@")?;
            self.message(room, u32::try_from(sequence).ok()?, sent as u64, now);
            found = Some(());
        }
        found
    }

    fn message(&mut self, room: usize, sequence: u32, sent: u64, now: u64) {
        if self
            .rooms
            .as_ref()
            .is_some_and(|rooms| !rooms.contains(&room))
        {
            self.report.spare += 1;
            return;
        }
        if room >= self.next.len() {
            self.next.resize((room + 1).next_power_of_two(), 0);
        }
        let report = &mut self.report;
        report.messages += 1;
        let next = &mut self.next[room];
        if sequence >= *next {
            self.holes
                .extend((*next..sequence).map(|skipped| (room, skipped)));
            *next = sequence + 1;
        } else if !self.holes.is_empty() && self.holes.remove(&(room, sequence)) {
            report.out_of_order += 1;
        } else {
            report.duplicates += 1;
            return;
        }
        report.unique += 1;
        if sent >= self.since {
            let latency = now.saturating_sub(sent).max(1);
            self.latency.saturating_record(latency);
        }
    }

    pub fn report(&self) -> Report {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        Report {
            p50: at(0.5),
            p99: at(0.99),
            p999: at(0.999),
            latest: if self.latency.is_empty() {
                0
            } else {
                self.latency.max()
            },
            ..self.report.clone()
        }
    }
}

impl Report {
    /// All Comets as one: sums, the first and the last.
    pub fn of_all(reports: &[Report]) -> Report {
        let mut all = Report::default();
        reports.iter().for_each(|one| all.add(one));
        all
    }

    fn add(&mut self, other: &Report) {
        self.calls += other.calls;
        self.messages += other.messages;
        self.unique += other.unique;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.unreadable += other.unreadable;
        self.spare += other.spare;
        self.asked += other.asked;
        if other.first > 0 && (self.first == 0 || other.first < self.first) {
            self.first = other.first;
        }
        self.last = self.last.max(other.last);
        self.p50 = self.p50.max(other.p50);
        self.p99 = self.p99.max(other.p99);
        self.p999 = self.p999.max(other.p999);
        self.latest = self.latest.max(other.latest);
        self.cpu = self.cpu.max(other.cpu);
    }

    /// From the first call to the last.
    pub fn seconds(&self) -> f64 {
        (self.last - self.first).max(1) as f64 / 1e6
    }
}

/// A decimal number at the beginning, and what is behind it.
fn digits(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes
        .iter()
        .take(18)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = bytes.split_at(length);
    (length > 0).then(|| {
        (
            digits
                .iter()
                .fold(0, |n, digit| n * 10 + usize::from(digit - b'0')),
            rest,
        )
    })
}

/// A protobuf field: its number, or its bytes.
#[derive(Clone, Copy, Default)]
struct Field<'a> {
    number: u64,
    bytes: &'a [u8],
}

/// Two fields of a protobuf message. `None` where it isn't one.
fn fields(mut message: &[u8], first: u64, second: u64) -> Option<(Field<'_>, Field<'_>)> {
    let (mut one, mut two) = (Field::default(), Field::default());
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let field = match tag & 7 {
            0 => Field {
                number: varint(&mut message)?,
                bytes: &[],
            },
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (bytes, rest) = message.split_at_checked(length)?;
                message = rest;
                Field { number: 0, bytes }
            }
            _ => return None,
        };
        if tag >> 3 == first {
            one = field;
        } else if tag >> 3 == second {
            two = field;
        }
    }
    Some((one, two))
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Shape, body};
    use chatroom_job::message::proto::comet::RoomsReply;
    use protobuf::Message;

    const SHAPE: Shape = Shape {
        rooms: 8,
        size: 256,
    };

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len();
        let mut field = vec![number << 3 | 2, length as u8 | 0x80, (length >> 7) as u8];
        field.extend_from_slice(bytes);
        field
    }

    fn request(room: usize, op: u8, body: &[u8]) -> Vec<u8> {
        let proto = [vec![2 << 3, op], field(4, body)].concat();
        [field(1, format!("r{room}").as_bytes()), field(2, &proto)].concat()
    }

    fn tally(requests: &[Vec<u8>]) -> Report {
        let mut tally = Tally::new().unwrap();
        for request in requests {
            tally.call(request, 1_000);
        }
        tally.report()
    }

    #[test]
    fn order_repeats_and_strangers_are_seen() {
        let sent = |room, sequence| request(room, 4, &body(&SHAPE, room, sequence, 900));
        let report = tally(&[sent(3, 0), sent(3, 2), sent(3, 1), sent(3, 1), sent(0, 0)]);
        assert_eq!((report.calls, report.messages, report.unique), (5, 5, 4));
        assert_eq!(
            (report.out_of_order, report.duplicates, report.unreadable),
            (1, 1, 0)
        );
        assert_eq!((report.p50, report.latest), (100, 100));
        let strange = [
            request(3, 4, b"hello"),
            b"\xff".to_vec(),
            request(3, 4, b"@1@"),
        ];
        assert_eq!(tally(&strange).unreadable, 3);
    }

    #[test]
    fn merged_messages_count_each() {
        let both = [body(&SHAPE, 1, 0, 0), body(&SHAPE, 1, 1, 0)];
        let frames: Vec<Vec<u8>> = both
            .iter()
            .map(|body| {
                let length = (GOIM_HEADER + body.len()) as u32;
                [
                    &length.to_be_bytes()[..],
                    &[0, 16, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0],
                    body,
                ]
                .concat()
            })
            .collect();
        for request in [
            request(1, 4, &both.concat()),
            request(1, 9, &frames.concat()),
        ] {
            let report = tally(&[request]);
            assert_eq!(
                (report.calls, report.unique, report.out_of_order),
                (1, 2, 0)
            );
        }
        let cut = &frames.concat()[..300];
        assert_eq!(tally(&[request(1, 9, cut)]).unreadable, 1);
    }

    #[test]
    fn rooms_are_told_and_others_are_spare() {
        let mut tally = Tally::new().unwrap();
        tally.has_rooms([3, 12].into()).unwrap();
        let told = RoomsReply::parse_from_bytes(&tally.asked()).unwrap().rooms;
        assert_eq!(told, [("r3".into(), true), ("r12".into(), true)].into());
        for room in [3, 4, 12] {
            tally.call(&request(room, 4, &body(&SHAPE, room, 0, 0)), 1_000);
        }
        let report = tally.report();
        assert_eq!((report.calls, report.unique, report.spare), (3, 2, 1));
        assert!(tally.has_rooms((0..10_000).collect()).is_err());
    }

    #[test]
    fn bodies_are_as_long_as_asked() {
        for size in [64, 200, 256, 1 << 20] {
            assert_eq!(
                body(&Shape { rooms: 1, size }, 0, 7, 1_700_000_000_000_000).len(),
                size
            );
        }
    }
}
