//! The verdict on campaigns that are made up: one Comet or two, one room in partition 0, one job that has everything.

use std::time::{SystemTime, UNIX_EPOCH};

use chatroom_job::dead_letter::header;
use krafka::consumer::ConsumerRecord;

use super::*;
use crate::children::End;
use crate::producer::Fate;
use crate::record::{Call, Event};
use crate::timeline::{SECOND, Scope, Window, now};

mod behind;
mod fleet;
mod older;
mod shown;

const PORT: u16 = 7_000;

/// A job that runs from the beginning.
fn life(slot: usize) -> Life {
    Life {
        slot,
        pid: 1,
        has_dead_address: false,
        started: 0,
        signalled: None,
        ended: None,
        end: End::Runs,
        memory: (0, 0),
        notes: Vec::new(),
    }
}

/// What happened.
struct Story {
    streams: Streams,
    timeline: Timeline,
    lives: Vec<Life>,
    records: Vec<Record>,
    log: Vec<Logged>,
    letters: Vec<ConsumerRecord>,
    acknowledged: Vec<Sent>,
    transactions: Vec<Transaction>,
    corrupt: Vec<Corrupt>,
    looks: Vec<Look>,
}

impl Story {
    fn new(comets: usize) -> Story {
        let streams = Streams::new(1, comets, 1);
        Story {
            records: (0..comets).map(|n| Record::new(n, &streams)).collect(),
            streams,
            timeline: Timeline::default(),
            lives: vec![life(0)],
            log: Vec::new(),
            letters: Vec::new(),
            acknowledged: Vec::new(),
            transactions: Vec::new(),
            corrupt: Vec::new(),
            looks: Vec::new(),
        }
    }

    /// Kafka has the room's next message.
    fn log(&mut self) -> u32 {
        let sequence = self.log.len() as u32;
        self.log.push(Logged {
            partition: 0,
            offset: i64::from(sequence),
            hash: crate::hash(None),
            message: Some((0, sequence)),
        });
        sequence
    }

    /// Likewise, and it says so at this time.
    fn log_at(&mut self, at: Micros) -> u32 {
        let sequence = self.log();
        self.acknowledged.push(Sent {
            acknowledged: at,
            partition: 0,
            offset: Some(i64::from(sequence)),
            message: Some((0, sequence)),
        });
        sequence
    }

    /// One more job, which has a place and a port of its own.
    fn job(&mut self, started: Micros) -> usize {
        let job = self.lives.len();
        let life = Life {
            started,
            ..life(job)
        };
        self.lives.push(life);
        job
    }

    fn end(&mut self, job: usize, at: Micros, end: End) {
        (self.lives[job].ended, self.lives[job].end) = (Some(at), end);
    }

    fn says(&mut self, job: usize, at: Micros, line: &str) {
        self.lives[job].notes.push((at, line.into()));
    }

    /// Something is broken from here to there.
    fn broken(&mut self, scopes: &[Scope], from: Micros, to: Micros) {
        self.timeline.windows.push(Window {
            what: "broken".into(),
            fault: None,
            scopes: scopes.into(),
            from,
            to,
            echo: 0,
        });
    }

    /// A Comet takes the room's message with this number.
    fn take(&mut self, comet: usize, sequence: u32, at: Micros) {
        self.take_from(0, comet, sequence, at);
    }

    fn take_from(&mut self, job: usize, comet: usize, sequence: u32, at: Micros) {
        self.call(job, comet, (sequence, at), 0);
    }

    /// A call that the Comet answers at once with this status.
    fn call(&mut self, job: usize, comet: usize, (sequence, at): (u32, Micros), code: i32) {
        let events = &mut self.records[comet].events;
        let call = events.len() as u32;
        events.push(Event::Call(Call {
            at,
            stream: 0,
            sequence,
            port: PORT + job as u16,
            answer: Some(call + 1),
        }));
        events.push(Event::Answer { at, call, code });
    }

    /// Letters of the record at offset 0, which can't be delivered, begun at these times; and what its job said when.
    fn letters_at(times: &[Micros], said: &[(Micros, &str)]) -> Vec<String> {
        let mut story = Story::new(1);
        story.log();
        story.log[0].message = None;
        // A letter says the time of day.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let origin = unix.as_micros() as u64 - now();
        for at in times {
            story.letter(0, None);
            let at = ((origin + at) / 1_000).to_string();
            let time = (header::TIME.into(), Some(at.into()));
            story.letters.last_mut().unwrap().headers.push(time);
        }
        let said = said.iter().map(|(at, line)| (*at, (*line).into()));
        story.lives[0].notes = said.collect();
        story.violations(&["dead letters"])
    }

    fn letter(&mut self, first: i64, last: Option<i64>) {
        let mut letter = ConsumerRecord::new("letters", 0, 0, None, None);
        let mut header = |name: &str, value: i64| {
            let value = Some(value.to_string().into());
            letter.headers.push((name.into(), value));
        };
        header(header::PARTITION, 0);
        header(header::OFFSET, first);
        if let Some(last) = last {
            header(header::LAST, last);
        }
        self.letters.push(letter);
    }

    /// The violations of these promises.
    fn violations(&self, promises: &[&str]) -> Vec<String> {
        let of_them = self
            .verdict()
            .findings
            .into_iter()
            .filter(|(promise, _)| promises.contains(promise));
        of_them
            .flat_map(|(_, finding)| finding.violations)
            .collect()
    }

    fn verdict(&self) -> Verdict {
        let peer = |(job, life): (usize, &Life)| Peer {
            since: life.started,
            port: PORT + job as u16,
            slot: life.slot,
        };
        let peers: Vec<Peer> = self.lives.iter().enumerate().map(peer).collect();
        judge(&Evidence {
            streams: &self.streams,
            timeline: &self.timeline,
            lives: &self.lives,
            records: &self.records,
            peers: &peers,
            acknowledged: &self.acknowledged,
            trouble: &[],
            transactions: &self.transactions,
            corrupt: &self.corrupt,
            log: &self.log,
            letters: &self.letters,
            misdeeds: &[],
            unsettled: None,
            quiet: 100 * SECOND,
            sent: 0,
            faults: 0,
            looks: &self.looks,
        })
    }
}

#[test]
fn a_batch_that_was_changed_is_a_dead_letter_or_comes_as_it_was() {
    let promises = ["nothing lost", "in order", "dead letters"];
    let mut story = Story::new(1);
    for sequence in 0..5 {
        story.log();
        if !(1..=2).contains(&sequence) {
            story.take(0, sequence, Micros::from(sequence) * SECOND);
        }
    }
    assert_eq!(story.violations(&promises).len(), 2, "1 and 2 never came");
    story.letter(1, Some(2));
    let wrong = story.violations(&promises);
    let is_wrong = |v: &String| v.contains("no batch that can't be read");
    assert!(wrong.iter().any(is_wrong), "{wrong:?}");
    story.corrupt.push(Corrupt::made_up(0, 1, 2));
    assert_eq!(story.violations(&promises), [""; 0]);
    story.letters.clear();
    story.letter(1, Some(3));
    assert_eq!(story.violations(&promises).len(), 1, "not what it is of");
    // Nobody noticed the change.
    story.letters.clear();
    story.take(0, 1, 6 * SECOND);
    story.take(0, 2, 7 * SECOND);
    let late = story.violations(&promises);
    assert!(late.iter().all(|v| v.contains("after")), "{late:?}");
}

#[test]
fn of_an_aborted_transaction_nothing_may_come() {
    let mut story = Story::new(1);
    let (committed, aborted) = (story.log(), 7);
    story.take(0, committed, SECOND);
    story.transactions.push(Transaction {
        messages: vec![(0, aborted)],
        fate: Fate::Aborted,
    });
    assert_eq!(story.violations(&["nothing lost"]), [""; 0]);
    story.take(0, aborted, 2 * SECOND);
    let came = story.violations(&["nothing lost"]);
    assert!(
        came[0].contains("whose transaction was aborted"),
        "{came:?}"
    );
    // It was the first in its partition, and the job turned to the fetcher that knows transactions a moment too late.
    let turns = "reading with the modern fetcher: partition 0 has transactions";
    for (at, found) in [(2, 0), (20, 1)] {
        story.lives[0].notes = vec![(at * SECOND, turns.into())];
        assert_eq!(story.violations(&["nothing lost"]).len(), found, "{at} s");
    }
    // Or it ended before it could turn.
    story.lives[0].notes.clear();
    for (end, found) in [(9, 0), (40, 1)] {
        story.lives[0].ended = Some(end * SECOND);
        assert_eq!(story.violations(&["nothing lost"]).len(), found, "{end} s");
    }
}

#[test]
fn a_second_letter_needs_a_hand_over_while_the_first_was_on_its_way() {
    let times = [20 * SECOND, 22 * SECOND];
    let left = "partition 0: 3 messages not finished in time, left to its next owner";
    let other = left.replace("partition 0", "partition 10");
    assert_eq!(Story::letters_at(&times, &[(21 * SECOND, left)]), [""; 0]);
    let without: [&[(Micros, &str)]; 4] = [
        &[],
        &[(21 * SECOND, &other)],
        // It was begun when the partition had gone.
        &[(19 * SECOND + SECOND / 2, left)],
        &[(23 * SECOND, left)],
    ];
    for said in without {
        let found = Story::letters_at(&times, said);
        assert_eq!(found.len(), 1, "{said:?}: {found:?}");
    }
    // Each needs one of its own.
    let three = [20 * SECOND, 22 * SECOND, 40 * SECOND];
    let found = Story::letters_at(&three, &[(21 * SECOND, left)]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_second_letter_may_come_while_a_map_has_no_room() {
    let times = [20 * SECOND, 60 * SECOND];
    let full = "partition 0: too many separate runs of messages are finished behind";
    let fits = "partition 0: the metadata of a commit has room again for all that is finished";
    let other = full.replace("partition 0", "partition 1");
    let reasons: [&[(Micros, &str)]; 3] = [
        &[(10 * SECOND, full)],
        &[(30 * SECOND, full)],
        &[(10 * SECOND, full), (50 * SECOND, fits)],
    ];
    for said in reasons {
        assert_eq!(Story::letters_at(&times, said), [""; 0], "{said:?}");
    }
    let gone = "partitions [0, 3] are released";
    let without: [&[(Micros, &str)]; 4] = [
        &[(10 * SECOND, full), (15 * SECOND, gone)],
        &[(10 * SECOND, full), (15 * SECOND, fits)],
        &[(70 * SECOND, full)],
        &[(30 * SECOND, &other)],
    ];
    for said in without {
        let found = Story::letters_at(&times, said);
        assert_eq!(found.len(), 1, "{said:?}: {found:?}");
    }
}

#[test]
fn a_repeat_has_its_reason_where_a_map_had_no_room() {
    let mut story = Story::new(1);
    story.log();
    story.job(0);
    for at in [10, 40] {
        story.take(0, 0, at * SECOND);
    }
    assert_eq!(story.violations(&["few repeats"]).len(), 1);
    let full = "partition 0: too many separate runs of messages are finished behind";
    for owner in [0, 1] {
        for (at, found) in [(20, 0), (50, 1)] {
            story.lives[owner].notes = vec![(at * SECOND, full.into())];
            let violations = story.violations(&["few repeats"]);
            assert_eq!(violations.len(), found, "job {owner}, {at} s");
        }
        story.lives[owner].notes.clear();
    }
}

#[test]
fn a_refused_message_may_come_late() {
    const INVALID_ARGUMENT: i32 = 3;
    for (refused, found) in [(false, 1), (true, 0)] {
        let mut story = Story::new(1);
        story.log_at(5 * SECOND);
        if refused {
            story.call(0, 0, (0, 10 * SECOND), INVALID_ARGUMENT);
        }
        story.take(0, 0, 40 * SECOND);
        assert_eq!(story.violations(&["no stall"]).len(), found);
    }
}
