//! What every user of krafka here shares: one way to connect.

use std::time::Duration;

use krafka::Kafka;
use krafka::error::KrafkaError;

/// What `kafka-consumer-groups.sh --describe` shows as CLIENT-ID.
pub const CLIENT_ID: &str = "job";

/// How long one request to a broker may take. A fetch or a join that the broker holds back on purpose counts apart.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects to the cluster behind `brokers` (`host:port` each).
///
/// # Errors
/// When none of them answers.
pub async fn connect(brokers: &[String]) -> Result<Kafka, KrafkaError> {
    Kafka::builder(brokers.join(","))
        .client_id(CLIENT_ID)
        .request_timeout(REQUEST_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .connect()
        .await
}
