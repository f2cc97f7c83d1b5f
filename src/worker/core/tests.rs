use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::effects::Said;
use super::super::endpoint_stats::{DETACH_AFTER, EndpointStats};
use super::*;
use crate::message::call::{Call, Delivery, Frame, OrderingKey};
use crate::message::{RecordId, Status};

const NOW_AND_LATER: Assignment = Assignment {
    partition: 3,
    epoch: 1,
};
const DOWN: i32 = 14;
const UNCLEAR: i32 = 2;
const REFUSED: i32 = 3;

/// What the core wanted done. Messages are named by their offsets.
#[derive(Clone, Debug, PartialEq)]
enum Done {
    Called {
        comet: u32,
        offset: i64,
        doublings: u32,
    },
    Probed(u32),
    Settled(i64, String),
    Acked(Assignment),
    Said(u32, String),
}

/// Notes what is done. Nothing is: the test answers calls as it likes.
#[derive(Default)]
struct Recorder {
    done: Vec<Done>,
    calls: Vec<(CometId, Id, i64)>,
    probes: Vec<CometId>,
}

impl Effects for Recorder {
    fn call(&mut self, comet: CometId, id: Id, call: &Call, doublings: u32, _now: Instant) {
        let body = call.clone().body_mut().clone();
        let offset = i64::from_be_bytes(body[..].try_into().expect("an offset"));
        self.calls.push((comet, id, offset));
        self.done.push(Done::Called {
            comet: comet.0,
            offset,
            doublings,
        });
    }

    fn probe(&mut self, comet: CometId) {
        self.probes.push(comet);
        self.done.push(Done::Probed(comet.0));
    }

    fn settled(&mut self, settled: Settled) {
        let offset = settled.record.offset;
        self.done
            .push(Done::Settled(offset, format!("{:?}", settled.completion)));
    }

    fn revoke_ack(&mut self, assignment: Assignment) {
        self.done.push(Done::Acked(assignment));
    }

    fn say(&mut self, comet: CometId, said: Said<'_>) {
        self.done.push(Done::Said(comet.0, format!("{said:?}")));
    }
}

/// A worker without a thread: time goes on as far as the test says.
struct Sim {
    core: Core,
    start: Instant,
    now: Instant,
    recorder: Recorder,
    /// All that was done, and when since the start.
    trace: Vec<(Duration, Done)>,
}

impl Sim {
    fn new(comets: usize, window: usize) -> Self {
        let start = Instant::now();
        let fleet: Fleet = (0..comets)
            .map(|_| Arc::new(EndpointStats::new(start)))
            .collect();
        let addresses = (0..comets).map(|n| format!("comet-{n}:1"));
        let rng = fastrand::Rng::with_seed(7);
        Self {
            core: Core::new(addresses, &fleet, window, None, start, rng),
            start,
            now: start,
            recorder: Recorder::default(),
            trace: Vec::new(),
        }
    }

    /// Tells the core of an event, as one loop of the worker does. Returns what was done then.
    fn tell(&mut self, event: Event) -> Vec<Done> {
        self.core.step(event, self.now, &mut self.recorder);
        self.drive()
    }

    fn drive(&mut self) -> Vec<Done> {
        let (core, now) = (&mut self.core, self.now);
        core.wake(now);
        while let Some(comet) = core.next_ready() {
            core.drive(comet, now, &mut self.recorder);
            while core.start_calls(comet, 2, now, &mut self.recorder) {}
            core.rest(comet, None, now);
        }
        let done = std::mem::take(&mut self.recorder.done);
        let since = now - self.start;
        self.trace
            .extend(done.iter().map(|done| (since, done.clone())));
        done
    }

    fn answer(&mut self, comet: u32, offset: i64, answer: Answer) -> Vec<Done> {
        let calls = &mut self.recorder.calls;
        let call = calls
            .iter()
            .position(|call| call.0 == CometId(comet) && call.2 == offset);
        let (comet, id, _) = calls.swap_remove(call.expect("such a call is in flight"));
        self.tell(Event::Answered { comet, id, answer })
    }

    /// Lets time go on to `end`. Whatever is in flight is answered at once, by each Comet as `answers` says.
    fn run_until(&mut self, end: Instant, answers: impl Fn(u32) -> Answer) {
        loop {
            if let Some(&(comet, _, offset)) = self.recorder.calls.first() {
                self.answer(comet.0, offset, answers(comet.0));
            } else if let Some(comet) = self.recorder.probes.pop() {
                let answer = answers(comet.0);
                self.tell(Event::Probed { comet, answer });
            } else {
                let next = self.core.wake_at().filter(|at| *at < end);
                self.now = next.map_or(end, |at| at.max(self.now + Duration::from_millis(1)));
                self.drive();
                if next.is_none() {
                    return;
                }
            }
        }
    }

    /// Lets time go on until something is called; probes hang meanwhile. Returns how long that took.
    fn run_to_call(&mut self) -> Duration {
        let before = self.now;
        while self.recorder.calls.is_empty() {
            self.now = self.core.wake_at().expect("something waits");
            self.drive();
        }
        self.now - before
    }

    /// The offsets that were settled and how, in offset order.
    fn settled(&self) -> Vec<(i64, &str)> {
        let settled = self.trace.iter().filter_map(|(_, done)| match done {
            Done::Settled(offset, completion) => Some((*offset, completion.as_str())),
            _ => None,
        });
        let mut settled: Vec<_> = settled.collect();
        settled.sort_unstable();
        settled
    }

    /// When the core first said something of the Comet that begins like this.
    fn said(&self, comet: u32, text: &str) -> Option<Duration> {
        let is_it = |done: &Done| matches!(done, Done::Said(of, said) if *of == comet && said.starts_with(text));
        let line = self.trace.iter().find(|(_, done)| is_it(done));
        line.map(|(at, _)| *at)
    }
}

fn message(key: u64, offset: i64, target: Target) -> Message {
    let body = Bytes::copy_from_slice(&offset.to_be_bytes());
    Message {
        record: RecordId {
            assignment: NOW_AND_LATER,
            offset,
        },
        bytes: body.len(),
        delivery: Delivery {
            key: OrderingKey(key),
            target,
            call: Call::BroadcastRoom {
                room: key.to_string(),
                frame: Frame { op: 4, body },
            },
        },
    }
}

/// A message of each key, the offsets count from `first`.
fn messages(first: i64, keys: &[u64]) -> Event {
    let message = |(offset, key): (i64, &u64)| message(*key, offset, Target::All);
    Event::Messages((first..).zip(keys).map(message).collect())
}

fn failed(code: i32) -> Answer {
    Err(Status {
        code,
        text: "no".into(),
    })
}

fn called(comet: u32, offset: i64) -> Done {
    Done::Called {
        comet,
        offset,
        doublings: 0,
    }
}

fn delivered(offset: i64) -> Done {
    Done::Settled(offset, "Delivered".into())
}

fn released(offset: i64) -> Done {
    Done::Settled(offset, "Released".into())
}

#[test]
fn a_message_is_called_fails_waits_is_called_again_and_is_reported() {
    let mut sim = Sim::new(1, 64);
    assert_eq!(
        sim.tell(messages(0, &[1, 1, 2])),
        [called(0, 0), called(0, 2)]
    );
    assert_eq!(sim.answer(0, 2, Ok(())), [delivered(2)]);

    // The Comet took another message meanwhile: no probe has to tell whether it is there.
    let done = sim.answer(0, 0, failed(UNCLEAR));
    assert!(matches!(done[..], [Done::Said(0, _)]), "{done:?}");
    let waited = sim.run_to_call();
    let (least, most) = (Duration::from_millis(40), Duration::from_millis(60));
    assert!((least..=most).contains(&waited), "{waited:?}");
    let (_, again) = sim.trace.last().expect("the call");
    let doublings = 1;
    assert_eq!(
        *again,
        Done::Called {
            comet: 0,
            offset: 0,
            doublings
        }
    );

    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0), called(0, 1)]);
    let done = sim.answer(0, 1, failed(REFUSED));
    let is_refused = |done: &Done| matches!(done, Done::Settled(1, why) if why.starts_with("Undeliverable(\"refused by Comet comet-0:1: "));
    assert!(done.iter().any(is_refused), "{done:?}");
    assert!(sim.core.messages.is_empty());
}

#[test]
fn a_revoke_gives_back_what_is_queued_and_finishes_what_is_in_flight() {
    let mut sim = Sim::new(1, 64);
    assert_eq!(sim.tell(messages(0, &[1, 1])), [called(0, 0)]);
    let done = sim.tell(Event::Revoke(NOW_AND_LATER));
    assert_eq!(done, [released(1), Done::Acked(NOW_AND_LATER)]);
    // What comes late goes back at once.
    assert_eq!(sim.tell(messages(2, &[1])), [released(2)]);

    // A Comet may have seen the one in flight: it is tried until it is delivered.
    sim.answer(0, 0, failed(DOWN));
    sim.run_to_call();
    assert_eq!(sim.answer(0, 0, Ok(())), [delivered(0)]);
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_is_forgotten_is_not_tried_again() {
    let mut sim = Sim::new(1, 64);
    assert_eq!(sim.tell(messages(0, &[1, 1])), [called(0, 0)]);
    assert_eq!(sim.tell(Event::Forget(NOW_AND_LATER)), [released(1)]);
    let done = sim.answer(0, 0, failed(DOWN));
    assert_eq!(done.last(), Some(&released(0)), "{done:?}");
    assert!(sim.core.messages.is_empty());
}

#[test]
fn what_is_suspended_waits_and_others_go_on_beside_it() {
    let mut sim = Sim::new(1, 1);
    sim.tell(Event::Suspend(NOW_AND_LATER));
    assert_eq!(sim.tell(messages(0, &[1, 2])), []);
    let mut other = message(3, 9, Target::All);
    other.record.assignment.partition += 1;
    assert_eq!(sim.tell(Event::Messages(vec![other])), [called(0, 9)]);
    assert_eq!(sim.answer(0, 9, Ok(())), [delivered(9)]);
    let done = sim.tell(Event::Resume(NOW_AND_LATER));
    assert!(matches!(done[..], [Done::Called { .. }]), "{done:?}");
}

/// Two Comets get a message a second. The second one is down for a while, and nobody waits for it then.
fn outage() -> Sim {
    let mut sim = Sim::new(2, 64);
    let is_down = |second| (10..60).contains(&second);
    for second in 0..70 {
        sim.tell(messages(second, &[second as u64]));
        let end = sim.start + Duration::from_secs(second as u64 + 1);
        sim.run_until(end, |comet| match comet == 1 && is_down(second) {
            true => failed(DOWN),
            false => Ok(()),
        });
    }
    sim
}

#[test]
fn a_comet_that_is_away_is_detached_while_another_delivers_and_attached_when_it_answers() {
    let mut sim = outage();
    let detached = sim.said(1, "Detached").expect("it is detached");
    let from = Duration::from_secs(10) + DETACH_AFTER;
    let most = from + Duration::from_secs(3);
    assert!((from..=most).contains(&detached), "{detached:?}");
    let returned = sim.said(1, "Returned").expect("it returns");
    assert!(returned >= Duration::from_secs(60) && returned < Duration::from_secs(63));
    assert_eq!(sim.said(0, ""), None, "the first one was never away");

    // All were delivered at the first one; none was skipped there, nor is one left.
    let expected: Vec<_> = (0..70).map(|offset| (offset, "Delivered")).collect();
    assert_eq!(sim.settled(), expected);
    assert!(sim.core.messages.is_empty());
    let called = |of: u32| {
        let calls = sim.trace.iter().filter_map(move |(at, done)| match done {
            Done::Called { comet, offset, .. } if *comet == of => Some((*at, *offset)),
            _ => None,
        });
        calls.collect::<Vec<_>>()
    };
    assert_eq!(called(0).len(), 70, "each once");
    let while_detached = |at: &Duration| (detached..returned).contains(at);
    assert!(!called(1).iter().any(|(at, _)| while_detached(at)));
    assert_eq!(called(1).last().map(|(_, offset)| *offset), Some(69));

    // One that only it should have is a dead letter while it is away.
    sim.now += Duration::from_secs(1);
    for second in 100..140 {
        sim.tell(messages(second, &[1, 2]));
        let end = sim.now + Duration::from_secs(1);
        sim.run_until(end, |comet| match comet {
            1 => failed(DOWN),
            _ => Ok(()),
        });
    }
    let target = Target::One(CometId(1));
    let done = sim.tell(Event::Messages(vec![message(5, 999, target)]));
    let skipped = |done: &Done| matches!(done, Done::Settled(999, why) if why.starts_with("Skipped") && why.contains("comet-1:1"));
    assert!(done.iter().any(skipped), "{done:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, other) = (outage().trace, outage().trace);
    assert!(one.len() > 200, "{} steps", one.len());
    assert_eq!(one, other);
}

#[test]
fn the_core_names_no_clock_channel_thread_connection_or_log() {
    let sources = [
        include_str!("../breaker.rs"),
        include_str!("../core.rs"),
        include_str!("../drive.rs"),
        include_str!("../effects.rs"),
        include_str!("../endpoint.rs"),
        include_str!("../endpoint_stats.rs"),
        include_str!("../key_queue.rs"),
        include_str!("../scheduler.rs"),
    ];
    let words = [
        "::now()",
        "elapsed()",
        "crossbeam",
        "Sender",
        "Receiver",
        "thread",
        "Client",
        "Cork",
        "grpcio",
        "log::",
        "Mutex",
        "fastrand::f64",
        "fastrand::shuffle",
        "Rng::new",
    ];
    for source in sources {
        let title = source.lines().next().unwrap_or_default();
        let named: Vec<_> = words
            .iter()
            .filter(|word| source.contains(**word))
            .collect();
        assert!(named.is_empty(), "{title} {named:?}");
    }
}
