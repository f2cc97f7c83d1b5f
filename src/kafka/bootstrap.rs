//! The addresses of a cluster, of which some may be dead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kafka_protocol::protocol::Request;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::ask::Connection;
use super::cluster::Cluster;

/// After so long without an answer the next address is asked too.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long one address may take for its answer, with connecting.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where to ask for a cluster: an address that is dead delays a question by a quarter of a second, and only until another
/// one has answered.
pub struct Bootstrap {
    cluster: Cluster,
    /// Which one answered last: it is asked first.
    good: AtomicUsize,
}

impl Bootstrap {
    pub fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            good: AtomicUsize::new(0),
        }
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Takes the first answer that comes. Its connection goes with it.
    ///
    /// # Errors
    /// When none comes within five seconds: a sentence on each address.
    pub async fn ask<R>(
        &self,
        request: &R,
        version: i16,
    ) -> Result<(Connection, R::Response), String>
    where
        R: Request + Clone + Send + Sync + 'static,
        R::Response: Send + 'static,
    {
        let addresses = self.cluster.brokers();
        let count = addresses.len();
        let first = self.good.load(Ordering::Relaxed);
        // The others are given up with it.
        let mut tries = JoinSet::new();
        for turn in 0..count {
            let index = (first + turn) % count;
            let (cluster, address) = (self.cluster.clone(), addresses[index].clone());
            let request = request.clone();
            tries.spawn(async move {
                sleep(HEAD_START * turn as u32).await;
                let asking = async {
                    let mut connection = Connection::open(&cluster, &address).await?;
                    let answer = connection.ask(&request, version).await?;
                    Ok((index, connection, answer))
                };
                let asked = timeout(ANSWER_TIMEOUT, asking).await;
                asked.unwrap_or_else(|_| {
                    let seconds = ANSWER_TIMEOUT.as_secs();
                    Err(format!("Kafka at {address}: no answer within {seconds} s"))
                })
            });
        }
        let mut failed = Vec::new();
        while let Some(tried) = tries.join_next().await {
            match tried.unwrap_or_else(|error| Err(error.to_string())) {
                Ok((index, connection, answer)) => {
                    self.good.store(index, Ordering::Relaxed);
                    return Ok((connection, answer));
                }
                Err(why) => failed.push(why),
            }
        }
        Err(failed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
    use kafka_protocol::protocol::Encodable;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    /// Answers each connection's first request with no brokers. Counts the connections.
    fn kafka() -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = count.clone();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 12];
                stream.read_exact(&mut request).expect("a request");
                let mut answer = BytesMut::from(&request[8..]);
                MetadataResponse::default()
                    .encode(&mut answer, 4)
                    .expect("it can be encoded");
                let length = (answer.len() as u32).to_be_bytes();
                stream
                    .write_all(&[&length, &answer[..]].concat())
                    .expect("somebody reads");
                kept.push(stream);
            }
        });
        (address, count)
    }

    #[tokio::test]
    async fn the_address_that_answered_is_asked_first() {
        let (good, count) = kafka();
        // It accepts, and never says a word.
        let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent = mute.local_addr().expect("bound").to_string();
        let bootstrap = Bootstrap::new(Cluster::plain(&["127.0.0.1:1", &silent, &good]));
        for n in 1..=2 {
            let asked = bootstrap.ask(&MetadataRequest::default(), 4).await;
            let (connection, _) = asked.expect("one of them answers");
            assert_eq!(connection.address, good);
            assert_eq!(count.load(Ordering::Relaxed), n);
        }
        assert_eq!(bootstrap.good.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn each_address_is_named_when_none_answers() {
        let bootstrap = Bootstrap::new(Cluster::plain(&["127.0.0.1:1", "[::1]:1"]));
        let asked = bootstrap.ask(&MetadataRequest::default(), 4).await;
        let why = asked.err().expect("nobody is there");
        assert!(
            why.contains("127.0.0.1:1 failed") && why.contains("[::1]:1 failed"),
            "{why}"
        );
    }
}
