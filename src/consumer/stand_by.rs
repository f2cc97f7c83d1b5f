//! Which thread reads: one that hangs is given up, and the one that stands by goes on in its place.
//!
//! The kafka crate waits two minutes for an answer, and that can't be set. Where a broker's machine lost its power, or a
//! firewall forgot the connection, no answer comes, and nothing says so. So a thread leaves the consumer on a desk before
//! each read, and takes it back after it. From there the other takes it when that lasts too long; what the first one
//! gets after all is nobody's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Consumer;
use crate::kafka::fetch::{FetchError, LONGEST_LOOK, Make, Positions};

/// How long an answer may take before its connection is given up. A broker under load takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);
const _: () = assert!(
    LONGEST_LOOK.as_millis() < PATIENCE.as_millis(),
    "a fetcher that looks at the brokers would be given up each time before it is done, and nothing be read"
);

/// Starts to read, until the consumer is told to stop.
///
/// # Errors
/// When a thread can't be started.
pub fn spawn(consumer: Consumer, fetchers: Arc<Make>) -> std::io::Result<()> {
    begin(consumer, fetchers, PATIENCE)
}

fn begin(consumer: Consumer, fetchers: Arc<Make>, patience: Duration) -> std::io::Result<()> {
    let reader = Reader {
        desk: Arc::default(),
        fetchers,
        patience,
    };
    reader.clone().stand_by()?;
    thread::Builder::new()
        .name("consumer".into())
        .spawn(move || reader.read(Box::new(consumer)))?;
    Ok(())
}

#[derive(Clone)]
struct Reader {
    desk: Arc<Desk>,
    fetchers: Arc<Make>,
    patience: Duration,
}

impl Reader {
    fn read(&self, mut consumer: Box<Consumer>) {
        let mut fetcher = (self.fetchers)();
        while let Some(positions) = consumer.next() {
            let turn = self.desk.leave(consumer);
            let answer = fetcher.fetch(&positions);
            let Some(back) = self.desk.take_back(turn) else {
                return;
            };
            consumer = back;
            if consumer.take_in(&positions, answer).is_none() {
                break;
            }
        }
        self.desk.close();
    }

    /// Starts a thread that waits until the one that reads hangs.
    fn stand_by(self) -> std::io::Result<()> {
        let watch = move || {
            // A second more or less doesn't matter, and an idle job is to sleep.
            while self.desk.is_open() {
                thread::sleep(self.patience / 10);
                if let Some(consumer) = self.desk.take_over(self.patience) {
                    return self.replace(consumer);
                }
            }
        };
        thread::Builder::new()
            .name("stand-by".into())
            .spawn(watch)
            .map(drop)
    }

    fn replace(&self, mut consumer: Box<Consumer>) {
        let seconds = self.patience.as_secs();
        let mut why = format!("no answer within {seconds} s: the connection is given up");
        if let Err(error) = self.clone().stand_by() {
            why = format!("{why}, and nobody watches the next one: starting a thread: {error}");
        }
        let failed = Err(FetchError::Failed(why));
        match consumer.take_in(&Positions::new(), failed) {
            Some(()) => self.read(consumer),
            None => self.desk.close(),
        }
    }
}

/// Where the consumer lies while its thread waits for Kafka.
#[derive(Default)]
struct Desk(Mutex<State>);

#[derive(Default)]
struct State {
    left: Option<Left>,
    /// Counts the reads.
    turn: u64,
    closed: bool,
}

struct Left {
    consumer: Box<Consumer>,
    /// So that a late thread doesn't take what another left.
    turn: u64,
    since: Instant,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what to take it back with.
    fn leave(&self, consumer: Box<Consumer>) -> u64 {
        let mut state = self.state();
        state.turn += 1;
        state.left = Some(Left {
            consumer,
            turn: state.turn,
            since: Instant::now(),
        });
        state.turn
    }

    /// The consumer, unless another thread goes on with it.
    fn take_back(&self, turn: u64) -> Option<Box<Consumer>> {
        let left = &mut self.state().left;
        let left = left.take_if(|left| left.turn == turn)?;
        Some(left.consumer)
    }

    /// The consumer, if it has lain there for so long.
    fn take_over(&self, patience: Duration) -> Option<Box<Consumer>> {
        let left = &mut self.state().left;
        let left = left.take_if(|left| left.since.elapsed() >= patience)?;
        Some(left.consumer)
    }

    fn close(&self) {
        self.state().closed = true;
    }

    fn is_open(&self) -> bool {
        !self.state().closed
    }
}

#[cfg(test)]
mod tests;
