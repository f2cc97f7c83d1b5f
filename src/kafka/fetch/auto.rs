//! Classic where the broker serves it, modern from the first record that classic can't read.

use super::classic::Classic;
use super::modern::Modern;
use super::transactions::Transactions;
use super::{Batch, FetchError, Fetcher, Outcome, Positions};
use crate::settings::Config;

/// The classic client waits for one broker after the other, so it serves well only where there is one.
const MOST_BROKERS: usize = 1;

pub struct Auto {
    config: Config,
    reader: Reader,
    transactions: Transactions,
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
            reader: Reader::Classic {
                client: Box::new(Classic::new(config, MOST_BROKERS)),
                proven: false,
            },
        }
    }
}

impl Fetcher for Auto {
    fn fetch(&mut self, positions: &Positions) -> Result<Vec<Batch>, FetchError> {
        let outcome = match &mut self.reader {
            Reader::Classic { client, proven } => {
                let mut outcome = client.fetch(positions);
                if outcome.is_err() && !*proven && client.was_closed() {
                    // A second time shows whether that is how it answers the protocol.
                    outcome = client.fetch(positions);
                }
                if outcome.is_ok() && !*proven {
                    log::info!(
                        "reading with the classic fetcher: one broker, and it serves protocol v0"
                    );
                    *proven = true;
                }
                // What stands before a gap may be of a transaction that the marker in it aborts.
                let gap = client.take_gap().filter(|_| self.transactions.matter());
                outcome.and_then(|batches| {
                    gap.map_or(Ok(batches), |why| Err(FetchError::Unsupported(why)))
                })
            }
            Reader::Modern(modern) => return modern.fetch(positions),
        };
        let why = match outcome {
            Err(FetchError::Unsupported(why)) => why,
            Err(failed) => return Err(failed),
            Ok(batches) => match worth_modern(&batches) {
                Some(why) => why,
                None if batches.is_empty() => return Ok(batches),
                None => match self.transactions.found(positions) {
                    Ok(Some(why)) => why,
                    Ok(None) => return Ok(batches),
                    Err(why) => return Err(FetchError::Failed(why)),
                },
            },
        };
        self.go_modern(&why, positions)
    }
}

impl Auto {
    /// Reads with the modern client from now on. What the classic one brought last is read again.
    fn go_modern(&mut self, why: &str, positions: &Positions) -> Result<Vec<Batch>, FetchError> {
        log::info!("reading with the modern fetcher: {why}");
        let mut modern = Box::new(Modern::new(&self.config));
        let outcome = modern.fetch(positions);
        self.reader = Reader::Modern(modern);
        outcome
    }
}

/// What the classic client can't read, the modern one may.
fn worth_modern(batches: &[Batch]) -> Option<String> {
    batches.iter().find_map(|batch| match &batch.outcome {
        Outcome::Unreadable { why, .. } => Some(why.clone()),
        _ => None,
    })
}
