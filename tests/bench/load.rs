//! Messages as Logic writes them: web bodies, keyed by room, each with its room's sequence and the time it was sent.

use std::fmt::Write;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use krafka::Kafka as Client;
use krafka::producer::{DeliveryHandle, Producer, Record};
use protobuf::Message;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use chatroom_job::message::proto::push::{PushMsg, push_msg::Type};

use crate::comet::now;

/// How many rooms, and how long a body is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub rooms: usize,
    pub size: usize,
}

/// The body of a message: the web page's JSON, or bare text where that would be too long for the size asked for.
/// `@sequence@microseconds@` stands in it, for the Comet to find.
pub fn body(shape: &Shape, room: usize, sequence: u32, sent: u64) -> Vec<u8> {
    let mut body = String::with_capacity(shape.size.max(256));
    let marker = format!("@{sequence}@{sent}@");
    // Writing to a String doesn't fail.
    let _ = write!(
        body,
        r#"{{"type":"serverMessages","payload":{{"roomId":"r{room}","messages":[{{"id":"{sequence}","content":"{marker}"#
    );
    let end = r#"","user":{"id":1,"username":"bench"},"timestamp":1700000000000}]}}"#;
    if body.len() + end.len() > shape.size {
        body = marker;
        body.extend(std::iter::repeat_n(
            'x',
            shape.size.saturating_sub(body.len()),
        ));
    } else {
        body.extend(std::iter::repeat_n(
            'x',
            shape.size - body.len() - end.len(),
        ));
        body.push_str(end);
    }
    body.into_bytes()
}

/// How a loader sends.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// In large batches, to fill a topic.
    Fast,
    /// As a service does that sends what people write.
    AtARate { linger: Duration },
}

/// What the collector of acknowledgements is to do.
enum Sent {
    Message { due: u64, handle: DeliveryHandle },
    ForgetTimes,
}

/// Writes messages to a topic, room after room in turn.
pub struct Loader {
    topic: String,
    shape: Shape,
    producer: Producer,
    collecting: JoinHandle<Result<Histogram<u64>, String>>,
    handles: mpsc::Sender<Sent>,
    next: Vec<u32>,
    made: usize,
}

impl Loader {
    pub async fn new(
        client: &Client,
        topic: &str,
        shape: Shape,
        pace: Pace,
    ) -> Result<Loader, String> {
        let (batch, linger) = match pace {
            Pace::Fast => (256 << 10, Duration::from_millis(5)),
            Pace::AtARate { linger } => (16 << 10, linger),
        };
        let producer = client
            .producer()
            .batch_size(batch)
            .linger(linger)
            .buffer_memory(64 << 20)
            .metrics_push(false)
            .build()
            .await
            .map_err(|e| format!("the producer does not start: {e}"))?;
        let (handles, sent) = mpsc::channel(200_000);
        let collecting = tokio::spawn(collect(sent));
        Ok(Loader {
            topic: topic.to_owned(),
            next: vec![0; shape.rooms],
            shape,
            producer,
            collecting,
            handles,
            made: 0,
        })
    }

    async fn send(&mut self, sent: u64) -> Result<(), String> {
        let room = self.made % self.shape.rooms;
        self.made += 1;
        let sequence = self.next[room];
        self.next[room] += 1;
        let name = format!("r{room}");
        let message = PushMsg {
            type_: Type::ROOM.into(),
            operation: 4,
            msg: body(&self.shape, room, sequence, sent).into(),
            room: name.clone(),
            ..PushMsg::new()
        };
        let value = message.write_to_bytes().map_err(|e| e.to_string())?;
        let record = Record::new(self.topic.as_str(), value).key(name);
        let handle = self.producer.enqueue(record).await;
        let handle = handle.map_err(|e| format!("the producer does not take a message: {e}"))?;
        // It fails where the collector has stopped at an error, which `finish` gives.
        let _ = self.handles.send(Sent::Message { due: sent, handle }).await;
        Ok(())
    }

    /// The times to the acknowledgement count from here on.
    pub fn forget_times(&mut self, runtime: &Handle) {
        // As above.
        let _ = runtime.block_on(self.handles.send(Sent::ForgetTimes));
    }

    /// As fast as it goes.
    pub async fn fill(&mut self, messages: usize) -> Result<(), String> {
        for _ in 0..messages {
            self.send(now()).await?;
        }
        Ok(())
    }

    /// So many a second. Each message carries the time at which it is due, not the one at which the producer got to it: a
    /// stall counts for each message that it held up. To be called outside of the runtime, whose timers are too coarse.
    /// Returns how late the producer was at most in handing a message to its client.
    pub fn run(&mut self, runtime: &Handle, rate: usize, seconds: f64) -> Result<Duration, String> {
        let (begin, origin) = (Instant::now(), now());
        let mut late = Duration::ZERO;
        for n in 0..(rate as f64 * seconds) as u64 {
            let due = Duration::from_nanos(n * 1_000_000_000 / rate as u64);
            let early = due.saturating_sub(begin.elapsed());
            if early > Duration::from_micros(100) {
                std::thread::sleep(early);
            }
            runtime.block_on(self.send(origin + due.as_micros() as u64))?;
            late = late.max(begin.elapsed().saturating_sub(due));
        }
        Ok(late)
    }

    /// Waits until Kafka has acknowledged all. Returns the microseconds that it took for each, from when it was due.
    pub async fn finish(self) -> Result<Histogram<u64>, String> {
        let flushed = self.producer.flush().await;
        drop(self.handles);
        let times = self
            .collecting
            .await
            .map_err(|e| format!("the producer's collector: {e}"))??;
        flushed.map_err(|e| format!("the producer can't finish: {e}"))?;
        let _ = self.producer.close().await;
        Ok(times)
    }
}

/// Waits for the acknowledgements, in the order of sending.
async fn collect(mut sent: mpsc::Receiver<Sent>) -> Result<Histogram<u64>, String> {
    let mut times = Histogram::new(3).map_err(|e| e.to_string())?;
    while let Some(sent) = sent.recv().await {
        match sent {
            Sent::Message { due, handle } => {
                if let Err(error) = handle.await {
                    return Err(format!("Kafka did not take a message: {error}"));
                }
                times += now().saturating_sub(due);
            }
            Sent::ForgetTimes => times.reset(),
        }
    }
    Ok(times)
}
