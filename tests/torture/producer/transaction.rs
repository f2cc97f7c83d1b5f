//! Messages that Kafka gets in a transaction: all of them are to be delivered, or none.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use fastrand::Rng;
use krafka::producer::{DeliveryHandle, TransactionalProducer};

use super::{Ledger, PATIENCE, Producer, Sent, builder};
use crate::children::lock;
use crate::kafka::Entry;
use crate::streams::Stream;
use crate::timeline::now;

/// How long Kafka leaves a transaction open of which it hears nothing more.
const OPEN_AT_MOST: Duration = Duration::from_secs(120);

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Aborted,
    /// Kafka did not say: its log does.
    Unknown,
}

/// The messages of one transaction.
pub struct Transaction {
    pub messages: Vec<(Stream, u32)>,
    pub fate: Fate,
}

impl Producer {
    /// Streams to write to in one transaction.
    pub fn some_streams(&self, rng: &mut Rng) -> Vec<Stream> {
        let partitions = self.ledger.partitions.load(Relaxed);
        let mut streams: Vec<Stream> = (0..4)
            .map(|_| self.ledger.streams.draw(rng, partitions))
            .collect();
        streams.sort();
        streams.dedup();
        streams
    }

    /// Sends so many messages to these streams in a transaction that is open for so long. Waits for Kafka where it is
    /// out of reach.
    pub fn transaction(
        &self,
        entry: Entry,
        streams: Vec<Stream>,
        count: u32,
        lasts: Duration,
        commit: bool,
        mut rng: Rng,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let ledger = self.ledger.clone();
        async move {
            let id = format!("torture-{:x}", rng.u64(..));
            let producer = open(&entry, &id).await?;
            let mut sent = Vec::new();
            let written = write(&producer, &ledger, &streams, count, lasts, rng, &mut sent).await;
            let ended = match (written, commit) {
                (Err(error), _) => Err(error),
                (Ok(handles), true) => acknowledged(handles, &producer).await,
                (Ok(_), false) => producer
                    .abort()
                    .await
                    .map(|()| Vec::new())
                    .map_err(|e| e.to_string()),
            };
            let fate = match &ended {
                Ok(_) if commit => Fate::Committed,
                Ok(_) => Fate::Aborted,
                Err(_) => Fate::Unknown,
            };
            if ended.is_err() {
                // Whoever has its name next ends it, and nobody waits for its end any more.
                drop(producer);
                open(&entry, &id).await?;
            }
            let acknowledged = now();
            for (message, (partition, offset)) in sent.iter().zip(ended.unwrap_or_default()) {
                ledger.acknowledge(Sent {
                    message: Some(*message),
                    partition,
                    offset,
                    acknowledged,
                });
            }
            lock(&ledger.transactions).push(Transaction {
                messages: sent,
                fate,
            });
            Ok(())
        }
    }
}

async fn open(entry: &Entry, id: &str) -> Result<TransactionalProducer, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let made = async {
            let client = entry.connect().await?;
            builder(&client)
                .delivery_timeout(OPEN_AT_MOST / 2)
                .max_block(OPEN_AT_MOST / 2)
                .transaction_timeout(OPEN_AT_MOST)
                .build_transactional(id)
                .await
                .map_err(|e| format!("the transactional producer does not start: {e}"))
        };
        match made.await {
            Ok(producer) => return Ok(producer),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

/// Fills `sent` with what may have been written, also where it fails.
async fn write(
    producer: &TransactionalProducer,
    ledger: &Arc<Ledger>,
    streams: &[Stream],
    count: u32,
    lasts: Duration,
    mut rng: Rng,
    sent: &mut Vec<(Stream, u32)>,
) -> Result<Vec<DeliveryHandle>, String> {
    producer.begin().map_err(|e| e.to_string())?;
    let mut handles = Vec::new();
    for _ in 0..count {
        let stream = streams[rng.usize(0..streams.len())];
        let (sequence, record) = ledger.next(stream, &mut rng);
        sent.push((stream, sequence));
        let handle = producer.enqueue(record).await;
        handles.push(handle.map_err(|e| e.to_string())?);
        tokio::time::sleep(lasts / count.max(1)).await;
    }
    // Even those of an aborted one are to be in the log.
    producer.flush().await.map_err(|e| e.to_string())?;
    Ok(handles)
}

/// Partition and offset of each message, when all are committed.
async fn acknowledged(
    handles: Vec<DeliveryHandle>,
    producer: &TransactionalProducer,
) -> Result<Vec<(i32, Option<i64>)>, String> {
    let mut places = Vec::new();
    for handle in handles {
        let written = handle.await.map_err(|e| e.to_string())?;
        places.push((
            written.partition,
            (written.offset >= 0).then_some(written.offset),
        ));
    }
    producer.commit().await.map_err(|e| e.to_string())?;
    Ok(places)
}
