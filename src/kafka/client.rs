//! krafka, for the rooms that write or read records of their own: dead letters, and the commands. What isn't in this list
//! is used in this room alone.

pub use krafka::admin::{
    ConfigResource, ConsumerGroupLagOptions, CreateTopicsOptions, DescribeClusterOptions,
    DescribeConfigsOptions, DescribeConsumerGroupsOptions, ListConsumerGroupOffsetsOptions,
    ListConsumerGroupsOptions, ListOffsetsOptions, NewTopic, OffsetSpec, TopicPartition,
};
pub use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRecord};
pub use krafka::error::{ErrorCode, KrafkaError};
pub use krafka::producer::{Acks, DeliveryHandle, Producer, Record, RecordMetadata};
pub use krafka::{CloseOptions, Kafka};
