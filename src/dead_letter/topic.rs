//! Reading the dead-letter topic.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use crate::dead_letter::letter::Place;
use crate::kafka::client::{
    AutoOffsetReset, Consumer, ConsumerRecord, Kafka, KrafkaError, ListOffsetsOptions, OffsetSpec,
    TopicPartition,
};
use crate::kafka::{self, COMMAND_TIMEOUT, Cluster, Operation, Trouble};
use crate::settings::Config;

/// Limits a fetch's wait at the broker for new records.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// Bytes per fetch.
const FETCH_BYTES: i32 = 4 << 20;
/// Limits the bytes of cached records, so that letters that lie together are read together.
const KEPT_BYTES: usize = 32 << 20;

/// The dead-letter topic, and a connection to Kafka.
pub struct Topic {
    pub kafka: Kafka,
    pub name: String,
    pub partitions: Vec<i32>,
    cluster: Cluster,
    consumer: Consumer,
    /// The consumer's position.
    at: Option<Place>,
    kept: BTreeMap<Place, ConsumerRecord>,
    kept_bytes: usize,
}

impl Topic {
    /// Connects. Returns `None` when there is no such topic.
    ///
    /// # Errors
    /// No broker can be reached, or Kafka doesn't allow to describe or read the topic.
    pub async fn open(config: &Config) -> Result<Option<Topic>, String> {
        let cluster = Cluster::of(config);
        let connected = cluster.connect_for_command("dead-letter");
        let kafka = connected.await.map_err(|trouble| trouble.to_string())?;
        Topic::open_on(kafka, cluster, config.dead_letter_topic()).await
    }

    /// As `open`, over a connection that is there.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_on(
        kafka: Kafka,
        cluster: Cluster,
        name: String,
    ) -> Result<Option<Topic>, String> {
        let open = async {
            let Some(partitions) = kafka::partitions_for(Operation::Read, &kafka, &name).await?
            else {
                return Ok(None);
            };
            let consumer = kafka
                .consumer_without_group()
                // Retention may delete the oldest letters meanwhile: continue with the next ones.
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .fetch_min_bytes(1)
                .fetch_max_wait(MAX_WAIT)
                .fetch_max_bytes(FETCH_BYTES)
                .max_partition_fetch_bytes(FETCH_BYTES)
                .max_poll_records(-1)
                .metrics_push(false)
                .build()
                .await?;
            Ok(Some((partitions, consumer)))
        };
        let opened = open.await;
        let opened = opened.map_err(|error| tried(&format!("opening {name}"), &cluster, &error))?;
        Ok(opened.map(|(partitions, consumer)| Topic {
            kafka,
            name,
            partitions: (0..).take(partitions).collect(),
            cluster,
            consumer,
            at: None,
            kept: BTreeMap::new(),
            kept_bytes: 0,
        }))
    }

    /// Words the failure of `what`.
    pub fn tried(&self, what: &str, error: &KrafkaError) -> String {
        tried(what, &self.cluster, error)
    }

    /// The offsets that each partition holds now.
    ///
    /// # Errors
    /// Kafka doesn't list the offsets.
    pub async fn bounds(&self) -> Result<BTreeMap<i32, Range<i64>>, String> {
        let mut starts = self.offsets(OffsetSpec::Earliest).await?;
        let ends = self.offsets(OffsetSpec::Latest).await?;
        Ok(ends
            .into_iter()
            .filter_map(|(partition, end)| Some((partition, starts.remove(&partition)?..end)))
            .collect())
    }

    /// The offset after the last record of each partition.
    ///
    /// # Errors
    /// Kafka doesn't list the offsets.
    pub async fn ends(&self) -> Result<BTreeMap<i32, i64>, String> {
        self.offsets(OffsetSpec::Latest).await
    }

    async fn offsets(&self, which: OffsetSpec) -> Result<BTreeMap<i32, i64>, String> {
        let asked = self
            .partitions
            .iter()
            .map(|&partition| (TopicPartition::new(&self.name, partition), which));
        let options = ListOffsetsOptions::default().timeout(COMMAND_TIMEOUT);
        let listed = self.kafka.admin().list_offsets(asked, options).await;
        let offsets = listed.and_then(|listed| {
            let offsets = listed.into_iter();
            offsets
                .map(|(of, listed)| Ok((of.partition, listed?.offset)))
                .collect()
        });
        offsets.map_err(|error| {
            self.tried(&format!("asking for the offsets of {}", self.name), &error)
        })
    }

    /// Reads the records of a range, in order, until `each` breaks.
    ///
    /// # Errors
    /// Kafka doesn't answer within the commands' limit.
    pub async fn read(
        &mut self,
        partition: i32,
        range: Range<i64>,
        mut each: impl FnMut(ConsumerRecord) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let mut next = range.start;
        while next < range.end {
            let (records, after) = self.some(partition, next).await?;
            for record in records {
                if record.offset >= range.end || each(record).is_break() {
                    return Ok(());
                }
            }
            next = after;
        }
        Ok(())
    }

    /// Returns the record at `place`, or `None` if there is none (any more).
    ///
    /// # Errors
    /// Kafka doesn't answer within the commands' limit.
    pub async fn get(&mut self, place: Place) -> Result<Option<ConsumerRecord>, String> {
        if let Some(record) = self.kept.get(&place) {
            return Ok(Some(record.clone()));
        }
        let end = self.ends().await?.get(&place.partition).copied();
        if end.is_none_or(|end| place.offset >= end) {
            return Ok(None);
        }
        let (records, _) = self.some(place.partition, place.offset).await?;
        if self.kept_bytes > KEPT_BYTES {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        for record in records {
            self.kept_bytes += record.value.as_ref().map_or(0, bytes::Bytes::len);
            self.kept.insert(Place::of(&record), record);
        }
        Ok(self.kept.get(&place).cloned())
    }

    /// Returns records from an offset on, and the offset after them. Something must follow that offset, or this times out.
    async fn some(
        &mut self,
        partition: i32,
        from: i64,
    ) -> Result<(Vec<ConsumerRecord>, i64), String> {
        let read = self.try_some(partition, from).await;
        read.map_err(|error| {
            // The position is unknown after a failure.
            self.at = None;
            self.tried(
                &format!("reading {}[{partition}] from offset {from} on", self.name),
                &error,
            )
        })
    }

    async fn try_some(
        &mut self,
        partition: i32,
        from: i64,
    ) -> Result<(Vec<ConsumerRecord>, i64), KrafkaError> {
        let place = Place {
            partition,
            offset: from,
        };
        if self.at.is_none_or(|at| at.partition != partition) {
            self.consumer.assign(&self.name, vec![partition]).await?;
        }
        if self.at != Some(place) {
            self.consumer.seek(&self.name, partition, from).await?;
        }
        self.at = Some(place);
        let begin = Instant::now();
        loop {
            let records = self.consumer.poll(MAX_WAIT).await?;
            // Aborted transactions and compaction move the position without a record.
            let position = self.consumer.position(&self.name, partition).await;
            let next = position.filter(|&next| next > from);
            if let Some(offset) = next {
                self.at = Some(Place { partition, offset });
                return Ok((records, offset));
            }
            if begin.elapsed() > COMMAND_TIMEOUT {
                return Err(KrafkaError::timeout("waiting for records"));
            }
        }
    }
}

fn tried(what: &str, cluster: &Cluster, error: &KrafkaError) -> String {
    format!("{what} failed: {}", Trouble::new(cluster, error))
}
