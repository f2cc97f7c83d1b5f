//! Replaces a consumer thread whose fetch hangs.
//!
//! The kafka crate waits two minutes for an answer, without a setting for it. If a broker's machine loses its power, or a
//! firewall forgets the connection, no answer and no error comes. So a thread parks the consumer before each fetch, and
//! unparks it after. When a fetch takes too long, the watchdog's thread takes the parked consumer and fetches in its
//! place. The late answer of the first thread is dropped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Consumer;
use crate::kafka::fetch::{FetchError, LONGEST_LOOK, Make, Positions};

/// Limits a fetch, where the fetcher says nothing else; its connection is given up after this. A broker under load takes
/// seconds.
const TIMEOUT: Duration = Duration::from_secs(10);
const _: () = assert!(
    LONGEST_LOOK.as_millis() < TIMEOUT.as_millis(),
    "a fetcher that looks at the brokers would be given up each time before it is done, and nothing be read"
);

/// Starts the consumer's thread and its watchdog. Both end when the consumer is told to stop.
///
/// # Errors
/// The system refuses a thread.
pub fn spawn(consumer: Consumer, fetchers: Arc<Make>) -> std::io::Result<()> {
    begin(consumer, fetchers, TIMEOUT)
}

fn begin(consumer: Consumer, fetchers: Arc<Make>, timeout: Duration) -> std::io::Result<()> {
    let reader = Reader {
        parking: Arc::default(),
        fetchers,
        timeout,
    };
    reader.clone().watch()?;
    thread::Builder::new()
        .name("consumer".into())
        .spawn(move || reader.read(Box::new(consumer)))?;
    Ok(())
}

#[derive(Clone)]
struct Reader {
    parking: Arc<Parking>,
    fetchers: Arc<Make>,
    timeout: Duration,
}

impl Reader {
    fn read(&self, mut consumer: Box<Consumer>) {
        let mut fetcher = (self.fetchers)();
        while let Some((positions, wait)) = consumer.next_fetch() {
            consumer.rests();
            let limit = fetcher.longest().unwrap_or(self.timeout);
            let ticket = self.parking.park(consumer, limit);
            let answer = fetcher.fetch(&positions, wait);
            let Some(back) = self.parking.unpark(ticket) else {
                return;
            };
            consumer = back;
            consumer.works();
            consumer.note_ends(fetcher.ends());
            if consumer.on_fetched(&positions, answer).is_none() {
                break;
            }
        }
        self.parking.close();
    }

    /// Starts a thread that waits until the one that reads hangs.
    fn watch(self) -> std::io::Result<()> {
        let watch = move || {
            // A second more or less doesn't matter, and an idle job should sleep.
            while self.parking.is_open() {
                thread::sleep(self.timeout / 10);
                if let Some((consumer, limit)) = self.parking.take_over() {
                    return self.replace(consumer, limit);
                }
            }
        };
        thread::Builder::new()
            .name("watchdog".into())
            .spawn(watch)
            .map(drop)
    }

    /// Goes on with the consumer of a thread that hangs.
    fn replace(&self, mut consumer: Box<Consumer>, limit: Duration) {
        let seconds = limit.as_secs();
        let mut why = format!("no answer within {seconds} s: the connection is given up");
        if let Err(error) = self.clone().watch() {
            why = format!("{why}, and nobody watches the next one: starting a thread: {error}");
        }
        consumer.works();
        let failed = Err(FetchError::Failed(why));
        match consumer.on_fetched(&Positions::new(), failed) {
            Some(()) => self.read(consumer),
            None => self.parking.close(),
        }
    }
}

/// Holds the consumer while its thread waits for Kafka.
#[derive(Default)]
struct Parking(Mutex<State>);

#[derive(Default)]
struct State {
    parked: Option<Parked>,
    /// Counts the fetches.
    ticket: u64,
    closed: bool,
}

struct Parked {
    consumer: Box<Consumer>,
    /// Keeps a late thread from taking the consumer that another thread parked.
    ticket: u64,
    since: Instant,
    limit: Duration,
}

impl Parking {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Parks the consumer. Returns the ticket to unpark it.
    fn park(&self, consumer: Box<Consumer>, limit: Duration) -> u64 {
        let mut state = self.state();
        state.ticket += 1;
        state.parked = Some(Parked {
            consumer,
            ticket: state.ticket,
            since: Instant::now(),
            limit,
        });
        state.ticket
    }

    /// Returns the consumer, or `None` if another thread goes on with it.
    fn unpark(&self, ticket: u64) -> Option<Box<Consumer>> {
        let parked = &mut self.state().parked;
        let parked = parked.take_if(|parked| parked.ticket == ticket)?;
        Some(parked.consumer)
    }

    /// Returns the consumer if it has been parked for as long as its limit, and that.
    fn take_over(&self) -> Option<(Box<Consumer>, Duration)> {
        let parked = &mut self.state().parked;
        let parked = parked.take_if(|parked| parked.since.elapsed() >= parked.limit)?;
        Some((parked.consumer, parked.limit))
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
