//! Classic where the broker serves it, modern from the first record that classic can't read.

use super::classic::Classic;
use super::modern::Modern;
use super::{Batch, FetchError, Fetcher, Positions};
use crate::config::Config;

/// The classic client waits for one broker after the other, so it serves well only where there is one.
const MOST_BROKERS: usize = 1;

pub struct Auto {
    config: Config,
    reader: Reader,
}

enum Reader {
    Classic { client: Box<Classic>, proven: bool },
    Modern(Box<Modern>),
}

impl Auto {
    pub fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
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
                outcome
            }
            Reader::Modern(modern) => return modern.fetch(positions),
        };
        let Err(FetchError::Unsupported(why)) = outcome else {
            return outcome;
        };
        log::info!("reading with the modern fetcher: {why}");
        let mut modern = Box::new(Modern::new(&self.config));
        let outcome = modern.fetch(positions);
        self.reader = Reader::Modern(modern);
        outcome
    }
}
