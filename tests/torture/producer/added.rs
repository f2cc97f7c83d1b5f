//! Partitions that the topic gets while messages flow.

use std::future::Future;
use std::time::{Duration, Instant};

use super::{Lane, PATIENCE, Producer, builder};
use crate::kafka::{self, Entry};

impl Producer {
    /// Adds so many partitions to the topic there, and sends to their rooms from then on. `existing` is how
    /// many there were. Waits for Kafka where it is out of reach.
    pub fn add_partitions(
        &self,
        entry: Entry,
        existing: i32,
        count: i32,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let added = self.added.clone();
        async move {
            let end = existing + count;
            let deadline = Instant::now() + PATIENCE;
            let connection = loop {
                let made = async {
                    let client = entry.connect().await?;
                    kafka::grow_topic(&client, end).await?;
                    builder(&client)
                        .build()
                        .await
                        .map_err(|e| format!("the producer does not start: {e}"))
                };
                match made.await {
                    Ok(connection) => break connection,
                    Err(error) if Instant::now() > deadline => return Err(error),
                    Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
                }
            };
            // Nobody takes it when the campaign is over.
            let _ = added.send(Lane { end, connection });
            Ok(())
        }
    }
}
