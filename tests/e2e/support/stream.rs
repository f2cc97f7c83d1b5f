//! Messages of all kinds, at once or as a steady stream, and what must be true of what arrives of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use chatroom_job::message::proto::push::PushMsg;
use chatroom_job::message::proto::push::push_msg::Type;
use krafka::Record;

use super::comet::{Call, Comet, Rpc};
use super::kafka::Kafka;
use super::messages::{assert_in_order, encoded, numbered};
use super::topic::Topic;

const ROOMS: usize = 17;

/// Messages to rooms, to one user at each Comet, and to everybody, in turn. What goes to a user at one Comet is for that one.
#[derive(Clone)]
pub struct Mixed {
    comets: Vec<String>,
    sent: usize,
}

impl Mixed {
    /// `comets` are those that have a user.
    pub fn new(comets: &[&Comet]) -> Mixed {
        let comets = comets.iter().map(|comet| comet.address()).collect();
        Mixed { comets, sent: 0 }
    }

    fn keys(&self) -> usize {
        ROOMS + 1 + self.comets.len()
    }

    fn next_record(&mut self, topic: &str) -> Record {
        let (key, sequence) = (self.sent % self.keys(), self.sent / self.keys());
        self.sent += 1;
        let (key, message) = match key.checked_sub(ROOMS) {
            None => {
                let room = format!("room-{key}");
                (room.clone(), numbered(&room, sequence))
            }
            Some(0) => ("all".to_owned(), to_all(sequence)),
            Some(n) => {
                let user = format!("user-{n}");
                let server = self.comets[n - 1].clone();
                (user.clone(), to_user(&user, server, sequence))
            }
        };
        Record::new(topic, encoded(&message)).key(key.into_bytes())
    }

    /// Writes so many more.
    pub fn produce(&mut self, topic: &Topic<'_>, count: usize) {
        let records: Vec<_> = (0..count).map(|_| self.next_record(&topic.name)).collect();
        topic.kafka.produce(records);
    }

    /// How many of them the Comet is to get.
    pub fn due(&self, comet: &Comet) -> usize {
        let (rounds, rest) = (self.sent / self.keys(), self.sent % self.keys());
        let address = comet.address();
        let is_others = |n: &usize| match n.checked_sub(ROOMS + 1) {
            Some(user) => self.comets[user] != address,
            None => false,
        };
        let others = (0..self.keys()).filter(is_others).count();
        self.sent - rounds * others - (0..rest).filter(is_others).count()
    }

    /// Panics unless the Comet got all that it is to get, and the first delivery of each in its key's order. Returns the number
    /// of further deliveries.
    #[track_caller]
    pub fn assert_all_in_order(&self, comet: &Comet) -> usize {
        let delivered = comet.delivered().into_iter().map(by_key);
        let delivered: Vec<_> = delivered.collect();
        let has_user = self.comets.contains(&comet.address());
        let keys = ROOMS + 1 + usize::from(has_user);
        comet.assert_no_overlaps();
        assert_in_order(&delivered, keys, self.due(comet))
    }
}

fn to_all(sequence: usize) -> PushMsg {
    PushMsg {
        type_: Type::BROADCAST.into(),
        msg: format!("all/{sequence}").into(),
        ..Default::default()
    }
}

/// A message to a user at the Comet `server`.
pub fn to_user(user: &str, server: String, sequence: usize) -> PushMsg {
    PushMsg {
        type_: Type::PUSH.into(),
        server,
        keys: vec![user.into()],
        msg: format!("{user}/{sequence}").into(),
        ..Default::default()
    }
}

/// The call as if its key were a room.
fn by_key(call: Call) -> Call {
    let room = match call.rpc {
        Rpc::PushMsg => call.keys[0].clone(),
        Rpc::Broadcast => "all".into(),
        _ => call.room.clone(),
    };
    Call { room, ..call }
}

/// A thread that writes [`Mixed`] messages until it is stopped.
pub struct Stream {
    stop: Arc<AtomicBool>,
    mixed: Arc<Mutex<Mixed>>,
    writer: Option<JoinHandle<()>>,
}

const PAUSE: Duration = Duration::from_millis(100);

impl Stream {
    /// Writes about `rate` messages a second.
    pub fn start(topic: &Topic<'static>, mut mixed: Mixed, rate: usize) -> Stream {
        let stop = Arc::new(AtomicBool::new(false));
        let (kafka, topic): (&'static Kafka, String) = (topic.kafka, topic.name.clone());
        let shared = Arc::new(Mutex::new(mixed.clone()));
        let (stopped, written) = (Arc::clone(&stop), Arc::clone(&shared));
        let each = rate / (Duration::from_secs(1).as_millis() / PAUSE.as_millis()) as usize;
        let writer = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let records: Vec<_> = (0..each).map(|_| mixed.next_record(&topic)).collect();
                kafka.produce(records);
                *written.lock().unwrap() = mixed.clone();
                thread::sleep(PAUSE);
            }
        });
        Stream {
            stop,
            mixed: shared,
            writer: Some(writer),
        }
    }

    /// What it has written so far.
    pub fn so_far(&self) -> Mixed {
        self.mixed.lock().unwrap().clone()
    }

    /// Waits until the Comet has all that is written by now.
    #[track_caller]
    pub fn await_up_to_now(&self, comet: &Comet) {
        comet.await_delivered(self.so_far().due(comet));
    }

    /// Ends it. Returns what it has written.
    pub fn stop(mut self) -> Mixed {
        self.end();
        self.so_far()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(writer) = self.writer.take() {
            let ended = writer.join();
            assert!(ended.is_ok() || thread::panicking(), "the stream failed");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}
