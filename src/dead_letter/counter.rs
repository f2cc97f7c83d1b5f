//! The thread that counts which dead letters wait for a decision, for metrics and the status page. It reads what is new in the
//! dead-letter topics, now and then and slowly.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::tally::Tally;
use super::topic::Topic;
use crate::base::trial;
use crate::figures::{Figures, Undecided};
use crate::kafka::client::Kafka;
use crate::kafka::{self, Cluster, Operation, Trouble};
use crate::message::TopicId;
use crate::settings::{Config, dead_letter_topic};

const EVERY: Duration = Duration::from_secs(30);
/// The first look comes sooner, but after the start.
const FIRST: Duration = Duration::from_secs(5);

/// Offsets that are read in one go, and the pause after them: the start reads up to [`super::tally::WINDOW`] letters of a partition.
const PIECE: i64 = 500;
const PAUSE: Duration = Duration::from_millis(200);

/// Starts the thread. It never ends.
///
/// # Errors
/// The system refuses a thread or the runtime's files.
pub fn spawn(config: &Config, figures: Arc<Figures>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let topics = config.topics.ids().map(|id| Counted {
        id,
        name: dead_letter_topic(config.topics.name(id)),
        topic: None,
        tally: Tally::default(),
    });
    let mut counter = Counter {
        cluster: Cluster::of(config),
        kafka: None,
        topics: topics.collect(),
        failed: false,
    };
    thread::Builder::new()
        .name("letter-count".into())
        .spawn(move || {
            runtime.block_on(async {
                tokio::time::sleep(trial::limit("letter-count-every", FIRST)).await;
                loop {
                    counter.look(&figures).await;
                    tokio::time::sleep(trial::limit("letter-count-every", EVERY)).await;
                }
            });
        })
        .map(drop)
}

struct Counter {
    cluster: Cluster,
    kafka: Option<Kafka>,
    topics: Vec<Counted>,
    /// Whether it was said that it fails.
    failed: bool,
}

/// A dead-letter topic.
struct Counted {
    /// Of the topic whose letters it has.
    id: TopicId,
    name: String,
    topic: Option<Topic>,
    tally: Tally,
}

impl Counter {
    /// Counts anew. What can't be read keeps its last count: letters don't go by themselves.
    async fn look(&mut self, figures: &Figures) {
        let kafka = match self.kafka.take() {
            Some(kafka) => kafka,
            None => match self.cluster.connect().await {
                Ok(kafka) => kafka,
                Err(error) => {
                    let why = Trouble::new(&self.cluster, &error).to_string();
                    return self.note(Some(why));
                }
            },
        };
        let mut failure = None;
        for counted in &mut self.topics {
            match counted.count(&kafka, &self.cluster).await {
                Ok(undecided) => figures.letters.undecided(counted.id, undecided),
                Err(why) => {
                    counted.topic = None;
                    failure = Some(why);
                }
            }
        }
        // After a failure the next look has a fresh connection.
        self.kafka = failure.is_none().then_some(kafka);
        self.note(failure);
    }

    /// Says a failure once. It disturbs no delivery.
    fn note(&mut self, failure: Option<String>) {
        if let Some(why) = &failure
            && !self.failed
        {
            log::info!(cause = why; "which dead letters wait for a decision is not known: {why}");
        }
        self.failed = failure.is_some();
    }
}

impl Counted {
    async fn count(&mut self, kafka: &Kafka, cluster: &Cluster) -> Result<Undecided, String> {
        let partitions = kafka::partitions_for(Operation::Read, kafka, &self.name)
            .await
            .map_err(|error| Trouble::new(cluster, &error).to_string())?;
        let Some(partitions) = partitions else {
            *self = Counted {
                id: self.id,
                name: std::mem::take(&mut self.name),
                topic: None,
                tally: Tally::default(),
            };
            return Ok(Undecided::default());
        };
        let topic = match self.topic.take() {
            Some(topic) if topic.partitions.len() == partitions => Some(topic),
            _ => Topic::open_on(kafka.clone(), cluster.clone(), self.name.clone()).await?,
        };
        let Some(mut topic) = topic else {
            return Ok(Undecided::default());
        };
        let bounds = topic.bounds().await?;
        for (partition, range) in self.tally.due(&bounds) {
            let mut from = range.start;
            while from < range.end {
                let to = range.end.min(from + PIECE);
                let add = |record| {
                    self.tally.add(record);
                    ControlFlow::Continue(())
                };
                topic.read(partition, from..to, add).await?;
                self.tally.has_read(partition, to);
                from = to;
                if from < range.end {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.topic = Some(topic);
        Ok(self.tally.undecided())
    }
}
