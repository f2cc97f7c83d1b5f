//! Fetching records: two clients behind one trait, and the choice between them.

mod auto;
mod care;
mod classic;
mod codecs;
mod inspect;
mod leaders;
mod modern;
mod raw;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::kafka::Cluster;
use crate::message::PartitionId;
use crate::message::trace::Trace;
use crate::settings::{Coalesce, Config, Fetch, Isolation};

pub use inspect::Inspector;
pub(crate) use modern::Reader;

/// Limits a fetch's wait at the broker for new records. The first one ends the wait.
pub const MAX_WAIT: Duration = Duration::from_millis(100);

/// Limits that wait while Comets catch up: what they missed is handed on between two fetches.
pub const SHORT_WAIT: Duration = Duration::from_millis(20);

/// Limits the time that a fetcher takes to learn what it can read, before a fetch.
pub const LONGEST_LOOK: Duration = leaders::LOOK_WITHIN;
const _: () = assert!(
    inspect::ALL.as_millis() <= LONGEST_LOOK.as_millis(),
    "there is a longer look"
);

/// Limits the bytes of one fetch over all partitions. What is held exceeds its cap by no more than this.
const FETCH_BYTES: usize = 16 << 20;

/// Bytes that a fetch asks for over all partitions: enough to keep the workers busy until the next one arrives. More costs
/// memory without speed, except with coalescing: more messages of one room then arrive together.
const FETCH_WANTED: usize = 1 << 20;
const FETCH_WANTED_COALESCING: usize = 4 << 20;

/// Bytes to ask for from one partition, at least and at most. A record that doesn't fit raises it.
const PARTITION_LEAST: usize = 64 << 10;

/// Bytes to ask for when a Comet catches up. It gets what one fetch brings at once, and only then has the next partition a turn. So
/// this is much less than a Comet may hold.
const AGAIN_BYTES: usize = 128 << 10;
const PARTITION_BYTES: usize = 1 << 20;
const _: () = assert!(
    PARTITION_LEAST <= PARTITION_BYTES,
    "what is asked for would have no value between them"
);
const _: () = assert!(
    FETCH_WANTED <= FETCH_BYTES
        && FETCH_WANTED_COALESCING <= FETCH_BYTES
        && PARTITION_BYTES <= FETCH_BYTES,
    "a fetch would want more than it may bring"
);

/// Next offset to read, by partition.
pub type Positions = BTreeMap<PartitionId, i64>;

/// A record, as far as delivery needs it. Key and headers are read again for a dead letter.
#[derive(Debug)]
pub struct Record {
    pub offset: i64,
    /// `None` for a null value, if the client can tell it from an empty one.
    pub value: Option<Bytes>,
    /// Milliseconds since 1970. Negative where the record has none, or the client doesn't tell it.
    pub timestamp: i64,
    /// Its trace, where calls pass that on, and the client reads headers.
    pub trace: Option<Arc<Trace>>,
    /// Its share in bytes of the fetched block, which stays in memory while the value is held.
    pub size: usize,
}

/// A fetch's outcome for one partition.
#[derive(Debug)]
pub struct Batch {
    pub partition: PartitionId,
    pub outcome: Outcome,
}

#[derive(Debug)]
pub enum Outcome {
    /// Records in offset order, none below the position asked for, and the position after them.
    Records { records: Vec<Record>, next: i64 },
    /// The broker doesn't hold the position asked for.
    OutOfRange,
    /// The batch at the position can't be read, for the reason `why`. `last` is its last offset if known, as it always is
    /// when this reaches the consumer.
    Unreadable { last: Option<i64>, why: String },
}

#[derive(Debug)]
pub enum FetchError {
    /// The client can't read what the broker holds, or the broker doesn't serve its protocol: the reason.
    Unsupported(String),
    /// A failure that may pass, such as a broken connection or an election: the reason.
    Failed(String),
}

/// Fetches records from given positions.
pub trait Fetcher {
    /// Fetches once: returns on the first records, or after `wait`, which is [`MAX_WAIT`] at most.
    ///
    /// The result omits partitions without new records.
    ///
    /// # Errors
    /// No partition could be read. The caller owns the positions, so a retry loses nothing.
    fn fetch(&mut self, positions: &Positions, wait: Duration) -> Result<Vec<Batch>, FetchError>;

    /// How long a fetch may take where it ends by itself in any case, and only slowly: each answer that it needs has a limit
    /// of its own. `None` where nothing but the watchdog ends one that hangs.
    fn longest(&self) -> Option<Duration> {
        None
    }

    /// Where the logs of partitions end, as Kafka said with the last fetch. Leaves out what it didn't say.
    fn ends(&mut self) -> Positions {
        Positions::new()
    }
}

/// Makes a fetcher on the thread that will use it.
pub type Make = dyn Fn() -> Box<dyn Fetcher> + Send + Sync;

/// Returns what makes the configured fetcher.
pub fn fetchers(config: &Config) -> Arc<Make> {
    let config = config.clone();
    Arc::new(move || {
        let reader: Box<dyn Fetcher> = match config.fetch {
            Fetch::Auto if config.max_age.is_some() => {
                log::info!(
                    "reading with the modern fetcher: --max-age needs the time of each record"
                );
                Box::new(modern::Modern::new(&config))
            }
            Fetch::Auto if config.record_metadata => {
                log::info!(
                    "reading with the modern fetcher: --record-metadata passes on traces, which are in the records' headers"
                );
                Box::new(modern::Modern::new(&config))
            }
            Fetch::Auto if !Cluster::of(&config).suits_classic() => {
                log::info!(
                    "reading with the modern fetcher: only this one knows TLS, SASL and racks"
                );
                Box::new(modern::Modern::new(&config))
            }
            Fetch::Auto => Box::new(auto::Auto::new(&config)),
            Fetch::Classic => {
                log::info!("reading with the classic fetcher (protocol v0), as configured");
                if config.isolation == Isolation::ReadCommitted {
                    log::warn!(
                        "--fetch classic can't tell records of a transaction from others: it delivers them before \
                         their commit, and aborted ones too. Where Logic uses transactions, use --fetch auto or modern; \
                         --isolation-level read_uncommitted says that this is meant"
                    );
                }
                if config.record_metadata {
                    log::warn!(
                        "--fetch classic reads no headers: --record-metadata tells Comets the records, and no traces. Where Logic \
                         writes traceparent, use --fetch auto or modern"
                    );
                }
                Box::new(classic::Classic::new(&config, usize::MAX))
            }
            Fetch::Modern => {
                log::info!("reading with the modern fetcher, as configured");
                Box::new(modern::Modern::new(&config))
            }
        };
        Box::new(care::Care::new(&config, reader))
    })
}

/// Returns what makes the fetcher that reads again what a Comet missed: the modern one, whatever is configured. Its waits
/// never hang.
pub fn modern_fetchers(config: &Config) -> Arc<Make> {
    let config = config.clone();
    Arc::new(move || {
        Box::new(care::Care::new(
            &config,
            Box::new(modern::Modern::with_bytes(&config, AGAIN_BYTES)),
        ))
    })
}

/// Bytes to ask for from each of `partitions`.
fn bytes_per_partition(coalesce: Coalesce, partitions: usize) -> usize {
    let wanted = match coalesce {
        Coalesce::Off => FETCH_WANTED,
        Coalesce::Json | Coalesce::Goim => FETCH_WANTED_COALESCING,
    };
    (wanted / partitions.max(1)).clamp(PARTITION_LEAST, PARTITION_BYTES)
}
