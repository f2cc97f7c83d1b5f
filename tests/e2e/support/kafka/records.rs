//! Records of a topic: written, counted and read.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chatroom_job::kafka::Cluster;
use chatroom_job::kafka::ask::{Connection, text};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, TopicName};
use krafka::Record;
use krafka::admin::OffsetSpec;
use krafka::consumer::{AutoOffsetReset, ConsumerRecord, TopicPartition};
use krafka::producer::{Acks, TransactionalProducer};

use super::Kafka;
use crate::support::{PATIENCE, runtime};

/// Limit for the leader of a partition to be known.
const LEADER_WITHIN: Duration = Duration::from_secs(60);

impl Kafka {
    /// Writes the records in their order, and comes back when Kafka has acknowledged all.
    pub fn produce(&self, records: impl IntoIterator<Item = Record>) {
        runtime().block_on(async {
            let producer = self
                .client
                .producer()
                .build()
                .await
                .expect("a producer starts");
            let mut acknowledged = Vec::new();
            for record in records {
                acknowledged.push(producer.enqueue(record).await.expect("a record is queued"));
            }
            for handle in acknowledged {
                let written = handle.await.expect("Kafka takes the record");
                assert!(written.is_persisted(), "{written:?}");
            }
            producer.close().await.expect("the producer closes");
        });
    }

    /// Writes so many records a second, until there is none. Comes back when Kafka has acknowledged all, with their number.
    /// Each is written once, whatever becomes of the brokers.
    pub fn produce_at(&self, rate: u32, mut next: impl FnMut() -> Option<Record>) -> usize {
        runtime().block_on(async {
            let producer = self.client.producer().acks(Acks::All).idempotent(true);
            let producer = producer.linger(Duration::from_millis(2));
            let producer = producer.delivery_timeout(PATIENCE).max_block(PATIENCE);
            let producer = producer.build().await.expect("a producer starts");
            let mut acknowledged = Vec::new();
            let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
            while let Some(record) = next() {
                tick.tick().await;
                acknowledged.push(producer.enqueue(record).await.expect("a record is queued"));
            }
            producer.flush().await.expect("Kafka takes the records");
            let written = acknowledged.len();
            for handle in acknowledged {
                let written = handle.await.expect("Kafka takes the record");
                assert!(written.is_persisted(), "{written:?}");
            }
            producer.close().await.expect("the producer closes");
            written
        })
    }

    /// Deletes the records of all partitions of a topic, as its retention does after a time. Returns how many there were.
    pub fn delete_records(&self, topic: &str) -> i64 {
        let ends = self.end_offsets(topic);
        let before = ends
            .iter()
            .map(|(&partition, &end)| (TopicPartition::new(topic, partition), end));
        let admin = self.client.admin();
        let deleted = runtime()
            .block_on(admin.delete_records(before, Default::default()))
            .expect("Kafka answers");
        for start in deleted.into_values() {
            start.expect("the records are deleted");
        }
        ends.into_values().sum()
    }

    /// The end offset of each partition; empty where there is no such topic.
    pub fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        runtime().block_on(async {
            let admin = self.client.admin();
            // The leader of a topic that was made a moment ago may not know it yet, and one that is being deleted may be gone
            // after it was described.
            let begun = Instant::now();
            loop {
                let described = admin
                    .describe_topics([topic], Default::default())
                    .await
                    .expect("Kafka answers")
                    .remove(topic);
                let Some(Ok(description)) = described else {
                    return BTreeMap::new();
                };
                let partitions = description
                    .partitions
                    .iter()
                    .map(|p| (TopicPartition::new(topic, p.partition), OffsetSpec::Latest))
                    .collect::<Vec<_>>();
                let listed = admin
                    .list_offsets(partitions, Default::default())
                    .await
                    .expect("Kafka answers");
                let ends: Result<BTreeMap<_, _>, _> = listed
                    .into_iter()
                    .map(|(tp, end)| end.map(|end| (tp.partition, end.offset)))
                    .collect();
                match ends {
                    Ok(ends) => return ends,
                    Err(error) if begun.elapsed() > LEADER_WITHIN => {
                        panic!("the partitions of {topic} have no leader: {error}")
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        })
    }

    /// All that a topic holds now, partition by partition in offset order.
    pub fn read(&self, topic: &str) -> Vec<ConsumerRecord> {
        let ends = self.end_offsets(topic);
        let expected = ends.values().sum::<i64>() as usize;
        let mut records = runtime().block_on(async {
            let consumer = self
                .client
                .consumer_without_group()
                .auto_offset_reset(AutoOffsetReset::Earliest)
                .build()
                .await
                .expect("a consumer starts");
            consumer
                .assign(topic, ends.into_keys().collect())
                .await
                .expect("the partitions can be assigned");
            let mut records = Vec::new();
            while records.len() < expected {
                let batch = consumer
                    .poll(Duration::from_secs(1))
                    .await
                    .expect("the topic can be read");
                records.extend(batch);
            }
            records
        });
        records.sort_by_key(|r| (r.partition, r.offset));
        records
    }

    /// A producer whose records belong to transactions.
    pub fn transactional(&self, id: &str) -> TransactionalProducer {
        runtime()
            .block_on(self.client.producer().build_transactional(id))
            .expect("a producer with transactions starts")
    }

    /// Writes a batch as it is.
    pub fn produce_batch(&self, topic: &str, partition: i32, batch: Vec<u8>) {
        const PRODUCE: i16 = 8;
        let data = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(batch.into()));
        let data = TopicProduceData::default()
            .with_name(TopicName(text(topic)))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(60_000)
            .with_topic_data(vec![data]);
        let answer = runtime().block_on(async {
            let mut connection = Connection::open(&Cluster::plain(&[]), &self.address()).await?;
            connection.ask(&request, PRODUCE).await
        });
        let answer = answer.expect("Kafka answers");
        let taken = &answer.responses[0].partition_responses[0];
        assert_eq!(taken.error_code, 0, "{taken:?}");
    }
}
