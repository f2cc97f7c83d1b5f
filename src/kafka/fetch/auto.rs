//! Classic if the broker serves it; modern from the first record that classic can't read, or reads slowly.

use std::time::Duration;

use super::classic::Classic;
use super::codecs::Codecs;
use super::modern::Modern;
use super::transactions::Transactions;
use super::{Batch, FetchError, Fetcher, Outcome, Positions};
use crate::settings::Config;

/// A fault of kafka 0.10.0: it waits for one broker's answer after the other's. One sees it with two brokers, of which one
/// has nothing new: the other's records wait for `MAX_WAIT`. So it suits only a single broker. Once it asks all of them at
/// once, delete this limit.
const MOST_BROKERS: usize = 1;

pub struct Auto {
    config: Config,
    reader: Reader,
    transactions: Transactions,
    codecs: Codecs,
}

enum Reader {
    Classic { client: Box<Classic>, proven: bool },
    Modern(Box<Modern>),
}

impl Auto {
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            transactions: Transactions::new(config),
            codecs: Codecs::new(config),
            reader: Reader::Classic {
                client: Box::new(Classic::new(config, MOST_BROKERS)),
                proven: false,
            },
        }
    }
}

impl Fetcher for Auto {
    fn fetch(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, FetchError> {
        let outcome = match &mut self.reader {
            Reader::Classic { client, proven } => {
                let mut outcome = client.fetch(positions, wait);
                if outcome.is_err() && !*proven && client.was_closed() {
                    // A second close shows that the broker answers this protocol so.
                    outcome = client.fetch(positions, wait);
                }
                if outcome.is_ok() && !*proven {
                    log::info!(
                        "reading with the classic fetcher: one broker, and it serves protocol v0"
                    );
                    *proven = true;
                }
                // Records before a gap may belong to a transaction that a marker in the gap aborts.
                let gap = client.take_gap().filter(|_| self.transactions.matter());
                outcome.and_then(|batches| {
                    gap.map_or(Ok(batches), |why| Err(FetchError::Unsupported(why)))
                })
            }
            Reader::Modern(modern) => return modern.fetch(positions, wait),
        };
        let why = match outcome {
            Err(FetchError::Unsupported(why)) => why,
            Err(failed) => return Err(failed),
            Ok(batches) => match unreadable(&batches) {
                Some(why) => why,
                None if batches.is_empty() => return Ok(batches),
                None => match self.transactions.needed(positions) {
                    Ok(Some(why)) => why,
                    Ok(None) => match self.codecs.needed(&batches) {
                        Some(why) => why,
                        None => return Ok(batches),
                    },
                    Err(why) => return Err(FetchError::Failed(why)),
                },
            },
        };
        // It reads the classic client's last batches again, in a fetch of its own.
        log::info!("reading with the modern fetcher: {why}");
        self.reader = Reader::Modern(Box::new(Modern::new(&self.config)));
        Ok(Vec::new())
    }

    fn longest(&self) -> Option<Duration> {
        match &self.reader {
            Reader::Classic { client, .. } => client.longest(),
            Reader::Modern(modern) => modern.longest(),
        }
    }

    fn ends(&mut self) -> Positions {
        match &mut self.reader {
            Reader::Classic { client, .. } => client.ends(),
            Reader::Modern(modern) => modern.ends(),
        }
    }
}

/// Returns why the classic client can't read a batch. The modern one may.
fn unreadable(batches: &[Batch]) -> Option<String> {
    batches.iter().find_map(|batch| match &batch.outcome {
        Outcome::Unreadable { why, .. } => Some(why.clone()),
        _ => None,
    })
}
