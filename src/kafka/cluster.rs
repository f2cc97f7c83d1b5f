//! What every user of krafka here shares: how to connect, and what to say when it fails.

use std::fmt;
use std::time::Duration;

use krafka::admin::DescribeTopicsOptions;
use krafka::error::{ErrorCode, KrafkaError};
use krafka::{Kafka, KafkaBuilder};

use super::finding::{Finding, find_out, without_number};
use crate::base::limits::RAISE_FILES;

/// What `kafka-consumer-groups.sh --describe` shows as CLIENT-ID.
pub const CLIENT_ID: &str = "job";

/// How long one request to a broker may take. A fetch or a join that the broker holds back on purpose counts apart.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// For so long krafka takes for true what a broker said of a topic. A partition that is added has to be seen soon.
pub const METADATA_AGE: Duration = Duration::from_secs(2);
/// How long closing a client may take of which nothing is wanted any more.
pub const CLOSING: Duration = Duration::from_millis(100);
/// How long somebody who typed a command waits for each answer.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(8);

/// Connects to the cluster behind `brokers` (`host:port` each).
///
/// # Errors
/// When none of them answers.
pub async fn connect(brokers: &[String]) -> Result<Kafka, KrafkaError> {
    builder(brokers, CLIENT_ID)
        .request_timeout(REQUEST_TIMEOUT)
        .connect()
        .await
}

/// As `connect`, for a command that somebody waits for.
///
/// # Errors
/// Within [`COMMAND_TIMEOUT`], and some seconds to find out why.
pub async fn connect_for_command(brokers: &[String], client_id: &str) -> Result<Kafka, Trouble> {
    let connecting = builder(brokers, client_id)
        .request_timeout(COMMAND_TIMEOUT)
        .connect();
    let connected = tokio::time::timeout(COMMAND_TIMEOUT, connecting).await;
    match connected.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok(kafka) => Ok(kafka),
        Err(error) => Err(Trouble::with_connecting(brokers, &error).await),
    }
}

fn builder(brokers: &[String], client_id: &str) -> KafkaBuilder {
    Kafka::builder(brokers.join(","))
        .client_id(client_id)
        .connect_timeout(CONNECT_TIMEOUT)
        .metadata_max_age(METADATA_AGE)
}

/// How many partitions a topic has; `None` where there is no such topic.
///
/// # Errors
/// When Kafka can't be asked within `COMMAND_TIMEOUT`, or doesn't let us see it.
pub async fn partitions(kafka: &Kafka, topic: &str) -> Result<Option<usize>, KrafkaError> {
    let options = DescribeTopicsOptions::default().timeout(COMMAND_TIMEOUT);
    let described = kafka.admin().describe_topics([topic], options).await?;
    match described.into_values().next() {
        Some(Ok(topic)) => Ok(Some(topic.partitions.len())),
        Some(Err(KrafkaError::Broker {
            code: ErrorCode::UnknownTopicOrPartition,
            ..
        }))
        | None => Ok(None),
        Some(Err(error)) => Err(error),
    }
}

/// The command that makes a topic.
pub fn create_topic_command(brokers: &[String], topic: &str) -> String {
    format!(
        "bin/kafka-topics.sh --create --bootstrap-server {} --topic {topic} --partitions 1 --replication-factor 1",
        brokers.join(",")
    )
}

/// The command that changes a topic's setting, `name=value`.
pub fn alter_topic_command(brokers: &[String], topic: &str, setting: &str) -> String {
    format!(
        "bin/kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {topic} --add-config \
         {setting}",
        brokers.join(",")
    )
}

/// Whether the topic refused a record for its size.
pub fn is_too_large(error: &KrafkaError) -> bool {
    matches!(
        error,
        KrafkaError::Broker {
            code: ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge,
            ..
        }
    )
}

/// What failed between us and Kafka, in words.
#[derive(Debug)]
pub struct Trouble {
    /// The brokers asked, `host:port` each.
    pub brokers: String,
    /// What came back.
    pub cause: String,
    /// What to check.
    pub advice: &'static str,
}

impl Trouble {
    /// Words an error that came up while these brokers were asked.
    pub fn new(brokers: &[String], error: &KrafkaError) -> Trouble {
        let (cause, advice) = cause(error);
        Trouble {
            brokers: brokers.join(", "),
            cause,
            advice,
        }
    }

    /// As `new`, where connecting failed. Asks the addresses what they are, which takes some seconds.
    pub async fn with_connecting(brokers: &[String], error: &KrafkaError) -> Trouble {
        let trouble = Trouble::new(brokers, error);
        if trouble.advice == RAISE_FILES {
            return trouble;
        }
        let found = find_out(brokers).await;
        let wrong: Option<Vec<(String, Finding)>> = found
            .into_iter()
            .map(|(address, found)| Some((address, found.err()?)))
            .collect();
        match wrong.as_deref() {
            // One of them answers by now.
            None | Some([]) => trouble,
            Some([(_, first), rest @ ..]) if rest.iter().all(|(_, other)| other == first) => {
                Trouble {
                    cause: first.cause.clone(),
                    advice: first.advice,
                    ..trouble
                }
            }
            Some(wrong) => {
                let each: Vec<String> = wrong
                    .iter()
                    .map(|(address, Finding { cause, .. })| format!("{address}: {cause}"))
                    .collect();
                Trouble {
                    cause: each.join("; "),
                    // Something else that answers is more telling than nobody.
                    advice: wrong
                        .iter()
                        .map(|(_, finding)| finding.advice)
                        .find(|advice| *advice == OTHER)
                        .unwrap_or(SETTING),
                    ..trouble
                }
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Trouble {
            brokers,
            cause,
            advice,
        } = self;
        write!(f, "Kafka at {brokers}: {cause}. {advice}")
    }
}

pub(super) const SETTING: &str = "Is Kafka running there? Check brokers (--brokers, JOB_BROKERS)";
pub(super) const OTHER: &str =
    "Something else may listen there, or a listener with TLS or SASL: job needs a PLAINTEXT one";
pub(super) const SILENT: &str = "Is Kafka up, or still starting? Is a firewall between? Can this machine reach the address that the \
                      broker gives itself (advertised.listeners)?";

/// Whether this process may open no more files.
///
/// # A fault of krafka 0.28.1
///
/// krafka wraps an error of the system in one of its own, and its number is lost. One sees it with
/// `ulimit -n` at its limit. So the words count. Once the number comes through, compare it with EMFILE and ENFILE.
pub(super) fn limited_by_files(cause: &str) -> bool {
    cause.contains("Too many open files")
}

/// The root of an error, and what to check about it.
fn cause(error: &KrafkaError) -> (String, &'static str) {
    match error {
        KrafkaError::Network(io) => {
            let inner = io.get_ref().and_then(|inner| inner.source());
            if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<KrafkaError>()) {
                return cause(inner);
            }
            use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
            let text = io.to_string();
            let advice = match io.kind() {
                ConnectionAborted | ConnectionReset | UnexpectedEof => OTHER,
                _ if limited_by_files(&text) => RAISE_FILES,
                _ => SETTING,
            };
            (without_number(&text), advice)
        }
        KrafkaError::Timeout { operation } => (format!("no answer in time ({operation})"), SILENT),
        KrafkaError::Protocol { .. } => (format!("the answer is not Kafka's ({error})"), OTHER),
        KrafkaError::Auth { message, .. } => (message.clone(), OTHER),
        KrafkaError::Broker { code, message } => {
            let advice = match code {
                ErrorCode::TopicAuthorizationFailed
                | ErrorCode::GroupAuthorizationFailed
                | ErrorCode::ClusterAuthorizationFailed => "Check the ACLs of the broker",
                _ => "Check the log of the broker",
            };
            (format!("{code:?} ({message})"), advice)
        }
        other => (other.to_string(), "Check the log of the broker"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    async fn refusal(brokers: &[&str]) -> String {
        let brokers: Vec<String> = brokers.iter().map(|&broker| broker.to_owned()).collect();
        connect_for_command(&brokers, CLIENT_ID)
            .await
            .expect_err("no Kafka is there")
            .to_string()
    }

    #[tokio::test]
    async fn says_what_is_wrong_with_an_address() {
        let text = refusal(&["127.0.0.1:1", "[::1]:1"]).await;
        assert!(
            text.starts_with(
                "Kafka at 127.0.0.1:1, [::1]:1: Connection refused. Is Kafka running there?"
            ),
            "{text}"
        );
        let text = refusal(&["no-such-host.invalid:9092"]).await;
        assert!(
            text.contains("lookup") && text.contains("Check brokers"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn says_that_something_else_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let text = refusal(&[&address]).await;
        assert!(
            text.contains("an HTTP server answers there: \"HTTP/1.1 400 Bad Request\"")
                && text.contains("Something else may listen there"),
            "{text}"
        );
    }
}
