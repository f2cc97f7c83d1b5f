//! The records that letters stand for, read again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::kafka::Cluster;
use crate::kafka::client::{ConsumerRecord, KrafkaError};
use crate::kafka::fetch::{MAX_WAIT, Positions, Reader};
use crate::message::{PartitionId, RecordId, Topics};
use crate::settings::Isolation;

/// Reads records again, as they are in Kafka: delivery keeps neither key, headers nor timestamp, and the classic
/// fetcher can't tell null from empty.
pub struct Originals {
    reader: Reader,
    /// The records of the last read: letters often follow each other.
    last: BTreeMap<i64, ConsumerRecord>,
    partition: Option<PartitionId>,
}

impl Originals {
    /// Connects to read from the topics `sources`.
    pub async fn connect(cluster: &Cluster, sources: &Topics) -> Result<Self, KrafkaError> {
        Ok(Self {
            // The record was delivered, so it is readable whatever became of its transaction.
            reader: Reader::connect(cluster, sources, Isolation::ReadUncommitted).await?,
            last: BTreeMap::new(),
            partition: None,
        })
    }

    pub async fn close(self) {
        self.reader.close().await;
    }

    /// Returns the record, or `None` if Kafka no longer has it.
    pub async fn get(&mut self, record: RecordId) -> Result<Option<ConsumerRecord>, KrafkaError> {
        if self.partition != Some(record.assignment.partition)
            || !self.last.contains_key(&record.offset)
        {
            self.last = self.read_from(record).await?;
            self.partition = Some(record.assignment.partition);
        }
        Ok(self.last.get(&record.offset).cloned())
    }

    async fn read_from(
        &mut self,
        record: RecordId,
    ) -> Result<BTreeMap<i64, ConsumerRecord>, KrafkaError> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let position = Positions::from([(record.assignment.partition, record.offset)]);
        loop {
            let records = match self.reader.read(&position, MAX_WAIT).await {
                Ok(records) => records,
                Err(KrafkaError::NoOffset { .. }) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error),
            };
            if !records.is_empty() {
                return Ok(records
                    .into_iter()
                    .map(|record| (record.offset, record))
                    .collect());
            }
            if Instant::now() > deadline {
                return Err(KrafkaError::timeout(format!(
                    "reading partition {} at offset {} again",
                    record.assignment.partition, record.offset
                )));
            }
        }
    }
}
