//! The simplest service that could do job's work: one thread, one message at a time, each call waited for. As long as it
//! keeps up, nothing adds less to Kafka's own latency.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use clap::Args;
use grpcio::{ChannelBuilder, Client, EnvBuilder};
use kafka::client::{FetchPartition, KafkaClient};

use chatroom_job::comet::request::method_of;
use chatroom_job::consumer::decode::decode;
use chatroom_job::consumer::route::Router;
use chatroom_job::message::Dialect;

/// What job is asked for too, but for what there is no need of here.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    #[arg(long)]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    #[arg(long)]
    comet: String,
}

/// The process. It reads the topic from its beginning, commits nothing, and runs until it is killed.
pub fn serve(asked: &Asked) -> Result<(), String> {
    let failed = |e: kafka::Error| format!("reading {}: {e}", asked.topic);
    let mut kafka = KafkaClient::new(vec![asked.brokers.clone()]);
    kafka.set_fetch_min_bytes(1);
    kafka.load_metadata_all().map_err(failed)?;
    let topics = kafka.topics();
    let partitions = topics.partitions(&asked.topic).into_iter();
    let mut positions: BTreeMap<i32, i64> = partitions
        .flat_map(|partitions| partitions.available_ids())
        .map(|partition| (partition, 0))
        .collect();
    let channel = ChannelBuilder::new(EnvBuilder::new().build().into()).connect(&asked.comet);
    let comet = Client::new(channel);
    let router = Router::new(vec![asked.comet.clone().into()]);
    loop {
        let requests: Vec<_> = positions
            .iter()
            .map(|(partition, offset)| FetchPartition::new(&asked.topic, *partition, *offset))
            .collect();
        let answers = kafka.fetch_messages(&requests).map_err(failed)?;
        let topics = answers.iter().flat_map(|answer| answer.topics());
        for partition in topics.flat_map(|topic| topic.partitions()) {
            let Ok(data) = partition.data() else {
                // The topic is new: not every partition has a leader at once.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            for message in data.messages() {
                let push = decode(Some(&message.value.to_vec().into()))?;
                let call = router.route(push)?.call;
                comet
                    .unary_call(
                        method_of(Dialect::Chatroom, &call),
                        &call,
                        Default::default(),
                    )
                    .map_err(|e| format!("calling {}: {e}", asked.comet))?;
                positions.insert(partition.partition(), message.offset + 1);
            }
        }
    }
}
