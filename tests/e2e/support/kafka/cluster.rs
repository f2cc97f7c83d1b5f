//! Brokers in one cluster, and the partitions that they lead.

use std::collections::BTreeMap;
use std::fs;

use super::{Kafka, address};
use crate::support::{await_until, free_port, is, runtime};

impl Kafka {
    /// One more broker in this one's cluster, which has no other controller than this one.
    pub fn start_joined(&self) -> Kafka {
        let first = self.folder.to_str().expect("a folder's name is text");
        Kafka::start_so(self.version, free_port(), &["--joins", first])
    }

    /// Gives a topic more partitions, `total` in all, and comes back when this client writes to them.
    pub fn add_partitions(&self, topic: &str, total: i32) {
        let changed = runtime()
            .block_on(
                self.client
                    .admin()
                    .create_partitions([(topic, total)], Default::default()),
            )
            .expect("Kafka answers");
        for result in changed.into_values() {
            result.expect("the partitions are made");
        }
        await_until("the new partitions", || {
            let leaders = self.leaders(topic);
            is(leaders.values().flatten().count(), total as usize)
        });
    }

    /// The broker that leads each partition, where one does.
    pub fn leaders(&self, topic: &str) -> BTreeMap<i32, Option<i32>> {
        let found = runtime().block_on(async {
            let consumer = self.client.consumer_without_group();
            let consumer = consumer.build().await.expect("a consumer starts");
            consumer
                .fetch_metadata(Some(topic))
                .await
                .expect("Kafka answers")
        });
        let partitions = found.topics.iter().flat_map(|t| t.partitions_iter());
        partitions
            .map(|p| (p.partition, Some(p.leader).filter(|leader| *leader >= 0)))
            .collect()
    }

    /// Makes a topic whose only partition has the number 1, in a way that only ZooKeeper allows.
    pub fn create_topic_with_gap(&self, name: &str) {
        let settings = fs::read_to_string(self.folder.join("zookeeper.properties"))
            .expect("it runs with ZooKeeper");
        let port = settings
            .lines()
            .find_map(|line| line.strip_prefix("clientPort="))
            .expect("ZooKeeper has a port");
        let path = format!("/brokers/topics/{name}");
        let partitions =
            r#"{"version":2,"partitions":{"1":[1]},"adding_replicas":{},"removing_replicas":{}}"#;
        let made = self.tool(
            "org.apache.zookeeper.ZooKeeperMain",
            &[
                "-server",
                &address(port.parse().expect("a port")),
                "create",
                &path,
                partitions,
            ],
        );
        assert!(made.status.success(), "{made:?}");
        await_until("the topic with a gap", || {
            let leaders = self.leaders(name);
            is(leaders.keys().copied().collect::<Vec<_>>(), vec![1])
        });
    }
}
