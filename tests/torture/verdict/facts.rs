//! What the Comets wrote down, joined with what Kafka has: for each message, who delivered it where and when.

pub mod finished;
mod order;

use std::collections::{HashMap, HashSet};

use super::behind::{Behind, behind};
use super::calls::Callers;
use super::fleet::Outs;
use super::letters::Letters;
use super::{Evidence, context};
use crate::plan::REFUSALS;
use crate::record::Event;
use crate::streams::Stream;
use crate::timeline::{Micros, SECOND};

/// How often a message must have failed at a Comet before it may be given up.
pub const TRIES: u32 = 5;

/// One record of the topic that can be delivered.
pub struct Message {
    pub stream: Stream,
    pub sequence: u32,
    pub partition: i32,
    pub offset: i64,
    pub acknowledged: Option<Micros>,
    /// By Comet.
    pub at: Vec<Delivery>,
    pub letters: u32,
}

#[derive(Clone, Copy)]
pub struct Delivery {
    /// `Micros::MAX` where it never came.
    pub first: Micros,
    pub life: usize,
    pub calls: u32,
    pub refused: bool,
}

/// A message that a Comet took once more.
pub struct Repeat {
    pub message: usize,
    pub comet: usize,
    pub before: (Micros, usize),
    pub again: (Micros, usize),
}

#[derive(Default)]
pub struct Facts {
    pub messages: Vec<Message>,
    /// Place of each record among the messages, by partition and offset; `None` for what can't be delivered.
    pub by_offset: HashMap<(i32, i64), Option<usize>>,
    /// By stream, in the order of their offsets.
    pub by_stream: Vec<Vec<usize>>,
    pub repeats: Vec<Repeat>,
    pub behind: Vec<Behind>,
    pub outs: Outs,
    /// The places of the repeats, by message.
    repeats_of: HashMap<usize, Vec<usize>>,
    /// By Comet: time and life of each delivery, in the order in which they came.
    pub oks: Vec<Vec<(Micros, usize)>>,
    /// Calls with records that were read before the fetcher knew of their partition's first transaction.
    pub too_early: u64,
    /// What was recorded and can't be.
    pub strange: Vec<String>,
    late: Vec<Late>,
    overlaps: Vec<String>,
    firsts: u64,
    revived: u64,
    calls: u64,
}

/// A message that came to a Comet for the first time behind one that follows it.
struct Late {
    comet: usize,
    message: usize,
    behind: usize,
}

/// What one process last sent of a stream to a Comet.
struct Lane {
    message: usize,
    since: Micros,
    finished: bool,
}

impl Facts {
    pub fn gather(evidence: &Evidence<'_>) -> Facts {
        let callers = Callers::new(evidence.peers, evidence.lives);
        let oks = callers.oks(evidence.records);
        let mut facts = Facts {
            by_stream: vec![Vec::new(); evidence.streams.count()],
            behind: behind(evidence),
            outs: Outs::new(evidence),
            oks,
            ..Default::default()
        };
        let mut places = HashMap::new();
        let comets = evidence.records.len();
        let never = Delivery {
            first: Micros::MAX,
            life: Callers::NOBODY,
            calls: 0,
            refused: false,
        };
        for logged in evidence.log {
            let place = logged.message.map(|(stream, sequence)| {
                let place = facts.messages.len();
                if places.insert((stream, sequence), place).is_some() {
                    let name = evidence.streams.name(stream);
                    facts.strange.push(format!(
                        "{name} {sequence} is in Kafka twice: the producer's doing"
                    ));
                }
                facts.by_stream[stream].push(place);
                facts.messages.push(Message {
                    stream,
                    sequence,
                    partition: logged.partition,
                    offset: logged.offset,
                    acknowledged: None,
                    at: vec![never; comets],
                    letters: 0,
                });
                place
            });
            facts
                .by_offset
                .insert((logged.partition, logged.offset), place);
        }
        for of_stream in &mut facts.by_stream {
            of_stream.sort_by_key(|place| facts.messages[*place].offset);
        }
        for sent in evidence.acknowledged {
            if let Some(&place) = sent.message.and_then(|message| places.get(&message)) {
                facts.messages[place].acknowledged = Some(sent.acknowledged);
            }
        }
        for (partition, offsets) in Letters::new(evidence.letters).sources() {
            for offset in offsets {
                if let Some(Some(place)) = facts.by_offset.get(&(partition, offset)) {
                    facts.messages[*place].letters += 1;
                }
            }
        }
        let aborted: HashSet<(Stream, u32)> = evidence
            .transactions
            .iter()
            .flat_map(|transaction| transaction.messages.iter().copied())
            .filter(|message| !places.contains_key(message))
            .collect();
        for comet in 0..comets {
            facts.replay(evidence, comet, &places, &aborted, &callers);
        }
        let late = std::mem::take(&mut facts.late);
        let is_due =
            |late: &Late| facts.is_due(evidence, &facts.messages[late.message], late.comet);
        facts.late = late.into_iter().filter(is_due).collect();
        let astray = facts.astray(evidence, &places);
        facts.strange.extend(astray);
        for (place, repeat) in facts.repeats.iter().enumerate() {
            facts
                .repeats_of
                .entry(repeat.message)
                .or_default()
                .push(place);
        }
        facts
    }

    fn replay(
        &mut self,
        evidence: &Evidence<'_>,
        comet: usize,
        places: &HashMap<(Stream, u32), usize>,
        aborted: &HashSet<(Stream, u32)>,
        callers: &Callers,
    ) {
        let mut lanes: HashMap<(usize, Stream), Lane> = HashMap::new();
        // By stream, the message with the highest offset that was delivered.
        let mut highest: Vec<Option<usize>> = vec![None; evidence.streams.count()];
        let mut latest: HashMap<usize, (Micros, usize)> = HashMap::new();
        self.strange
            .extend(evidence.records[comet].strange.iter().cloned());
        let events = &evidence.records[comet].events;
        for event in events {
            match *event {
                Event::Call(call) => {
                    self.calls += 1;
                    let (at, stream) = (call.at, call.stream);
                    let Some(&message) = places.get(&(stream, call.sequence)) else {
                        let life = callers.whose(call.port, at);
                        let is_aborted = aborted.contains(&(stream, call.sequence));
                        if is_aborted && is_too_early(evidence, life, at) {
                            self.too_early += 1;
                            continue;
                        }
                        self.strange.push(format!(
                            "Comet {comet} got {} {} from job process {} at {}, {}",
                            evidence.streams.name(stream),
                            call.sequence,
                            pid(evidence, life),
                            evidence.timeline.at(at),
                            match is_aborted {
                                true => "whose transaction was aborted",
                                false => "which Kafka doesn't have",
                            }
                        ));
                        continue;
                    };
                    let life = callers.whose(call.port, at);
                    if self.outs.is_gone(evidence, comet, at) {
                        self.strange.push(format!(
                            "Comet {comet} got {} from job process {} at {}, long after it had left the list{}",
                            name(evidence, &self.messages[message]),
                            pid(evidence, life),
                            evidence.timeline.at(at),
                            context(evidence, at, at)
                        ));
                    }
                    self.messages[message].at[comet].calls += 1;
                    let lane = lanes.entry((life, stream)).or_insert(Lane {
                        message,
                        since: at,
                        finished: false,
                    });
                    let before = &self.messages[lane.message];
                    let new = &self.messages[message];
                    if lane.message != message {
                        let there = before.at[comet];
                        let done = lane.finished
                            || self.outs.left_within(comet, lane.since, at)
                            || there.first < at
                            || there.calls >= TRIES
                            || there.refused;
                        if new.offset > before.offset && !done {
                            self.overlaps.push(format!(
                                "at {} job process {} sent {} to Comet {comet} before {} had ended there{}",
                                evidence.timeline.at(at),
                                pid(evidence, life),
                                name(evidence, new),
                                name(evidence, before),
                                context(evidence, at, at)
                            ));
                        }
                        *lane = Lane {
                            message,
                            since: at,
                            finished: false,
                        };
                    }
                }
                Event::Answer { at, call, code } => {
                    let Event::Call(call) = events[call as usize] else {
                        continue;
                    };
                    let Some(&message) = places.get(&(call.stream, call.sequence)) else {
                        continue;
                    };
                    let life = callers.whose(call.port, call.at);
                    let delivered = is_delivered(code);
                    if let Some(lane) = lanes.get_mut(&(life, call.stream))
                        && lane.message == message
                    {
                        lane.finished |= delivered || REFUSALS.contains(&code);
                    }
                    self.messages[message].at[comet].refused |= REFUSALS.contains(&code);
                    if !delivered {
                        continue;
                    }
                    if let Some(before) = latest.insert(message, (at, life)) {
                        self.repeats.push(Repeat {
                            message,
                            comet,
                            before,
                            again: (at, life),
                        });
                        continue;
                    }
                    self.firsts += 1;
                    let there = &mut self.messages[message].at[comet];
                    (there.first, there.life) = (at, life);
                    let new = &self.messages[message];
                    let highest = &mut highest[call.stream];
                    let there = new.at[comet];
                    // Its turn was over: a job gave it up, and was killed before that was committed.
                    let given_up = there.refused || there.calls > TRIES || new.letters > 0;
                    match *highest {
                        Some(behind) if self.messages[behind].offset > new.offset => {
                            if given_up {
                                self.revived += 1;
                            } else {
                                self.late.push(Late {
                                    comet,
                                    message,
                                    behind,
                                });
                            }
                        }
                        _ => *highest = Some(message),
                    }
                }
            }
        }
    }
}

/// Whether with this status a Comet took the message, or has nobody for it.
pub fn is_delivered(code: i32) -> bool {
    code == 0 || code == 5
}

/// What a job says that turns to the fetcher that knows transactions.
const TURNED: &str = "has transactions";

/// The longest that a fault keeps a job from Kafka before it ends.
const CUT_OFF: Micros = 10 * SECOND;

/// Whether a process may have read the record of a call at `at` in the moment before it turned to the fetcher that knows
/// transactions: the first ones of a partition's first transaction come so. One that ended soon after, or was cut off from Kafka until
/// it ended, had no chance to turn.
fn is_too_early(evidence: &Evidence<'_>, life: usize, at: Micros) -> bool {
    let turns = |(when, line): &(Micros, String)| {
        let queued = when.saturating_sub(SECOND)..=when + finished::CALL;
        line.contains(TURNED) && queued.contains(&at)
    };
    let Some(life) = evidence.lives.get(life) else {
        return false;
    };
    let never_turned = !life.notes.iter().any(|(_, line)| line.contains(TURNED));
    let ended_soon = life
        .ended
        .is_some_and(|end| (at..=at + CUT_OFF).contains(&end));
    life.notes.iter().any(turns) || never_turned && ended_soon
}

pub fn name(evidence: &Evidence<'_>, message: &Message) -> String {
    format!(
        "{} {} (partition {}, offset {})",
        evidence.streams.name(message.stream),
        message.sequence,
        message.partition,
        message.offset
    )
}

pub fn pid(evidence: &Evidence<'_>, life: usize) -> String {
    match evidence.lives.get(life) {
        Some(found) => format!("{} (job {}, life {life})", found.pid, found.slot),
        None => "unknown".into(),
    }
}
