//! What to say when Kafka fails, and the commands that mend it.

use std::borrow::Cow;
use std::fmt;

use krafka::Kafka;
use krafka::admin::{DescribeTopicsOptions, TopicDescription};
use krafka::error::{ErrorCode, KrafkaError};

use super::cluster::{COMMAND_TIMEOUT, Cluster};
use super::finding::{Finding, find_out, without_number};
use super::{acl, secure::words};
use crate::base::limits::RAISE_FILES;

/// How many partitions a topic has; `None` where there is no such topic.
///
/// # Errors
/// When Kafka can't be asked within `COMMAND_TIMEOUT`, or doesn't let us see it.
pub async fn partitions(kafka: &Kafka, topic: &str) -> Result<Option<usize>, KrafkaError> {
    Ok(describe(kafka, topic)
        .await?
        .map(|topic| topic.partitions.len()))
}

/// What an ACL allows on a topic, by Kafka's number. Each of them lets us see the topic too.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Read = 3,
    Write = 4,
}

/// As `partitions`, for somebody who needs more than to see the topic.
///
/// # Errors
/// As `partitions`, and [`ErrorCode::TopicAuthorizationFailed`] where the topic is seen, but that is not allowed. Brokers that
/// don't tell what is allowed count as if it were.
pub async fn partitions_for(
    operation: Operation,
    kafka: &Kafka,
    topic: &str,
) -> Result<Option<usize>, KrafkaError> {
    let Some(described) = describe(kafka, topic).await? else {
        return Ok(None);
    };
    match is_allowed(operation, described.authorized_operations) {
        true => Ok(Some(described.partitions.len())),
        false => Err(KrafkaError::broker(
            ErrorCode::TopicAuthorizationFailed,
            format!("{operation:?} of topic {topic}{IS_NOT_ALLOWED}"),
        )),
    }
}

const IS_NOT_ALLOWED: &str = " is not allowed";

/// `allowed`: a bit for each operation, where the broker tells.
fn is_allowed(operation: Operation, allowed: Option<i32>) -> bool {
    allowed.is_none_or(|bits| bits & (1 << operation as u32) != 0)
}

async fn describe(kafka: &Kafka, topic: &str) -> Result<Option<TopicDescription>, KrafkaError> {
    let options = DescribeTopicsOptions::default().timeout(COMMAND_TIMEOUT);
    let described = kafka.admin().describe_topics([topic], options).await?;
    match described.into_values().next() {
        Some(Ok(topic)) => Ok(Some(topic)),
        Some(Err(KrafkaError::Broker {
            code: ErrorCode::UnknownTopicOrPartition,
            ..
        }))
        | None => Ok(None),
        Some(Err(error)) => Err(error),
    }
}

/// The command that makes a topic.
pub fn create_topic_command(cluster: &Cluster, topic: &str) -> String {
    format!(
        "bin/kafka-topics.sh --create {} --topic {topic} --partitions 1 --replication-factor 1",
        cluster.for_scripts()
    )
}

/// The command that changes a topic's setting, `name=value`.
pub fn alter_topic_command(cluster: &Cluster, topic: &str, setting: &str) -> String {
    format!(
        "bin/kafka-configs.sh {} --alter --entity-type topics --entity-name {topic} --add-config \
         {setting}",
        cluster.for_scripts()
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

/// Whether the topic refused a record for what it is, as a compacted one does where there is no key.
pub fn is_invalid(error: &KrafkaError) -> bool {
    matches!(
        error,
        KrafkaError::Broker {
            code: ErrorCode::InvalidRecord,
            ..
        }
    )
}

/// Whether a broker refused the login. A client of krafka keeps the password that it was made with.
pub fn is_login_refused(error: &KrafkaError) -> bool {
    matches!(error, KrafkaError::Auth { .. }) && words::tls_error(error).is_none()
}

/// What failed between us and Kafka, in words.
#[derive(Debug)]
pub struct Trouble {
    /// The brokers asked, `host:port` each.
    pub brokers: String,
    /// What came back.
    pub cause: String,
    /// What to check, or to do.
    pub advice: Cow<'static, str>,
}

impl Trouble {
    /// Words an error that came up while these brokers were asked.
    pub fn new(cluster: &Cluster, error: &KrafkaError) -> Trouble {
        let Finding { cause, advice } = finding(cluster, error);
        Trouble {
            brokers: cluster.brokers().join(", "),
            cause,
            advice,
        }
    }

    /// As `new`, where connecting failed. Asks the addresses what they are, which takes some seconds.
    pub async fn with_connecting(cluster: &Cluster, error: &KrafkaError) -> Trouble {
        let trouble = Trouble::new(cluster, error);
        let is_ours = matches!(error, KrafkaError::Config { .. });
        if is_ours || trouble.advice == RAISE_FILES {
            return trouble;
        }
        let found = find_out(cluster).await;
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
                    advice: first.advice.clone(),
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
                    advice: most_telling(wrong),
                    ..trouble
                }
            }
        }
    }
}

/// Of several addresses' advice: something that answers is more telling than nobody.
fn most_telling(wrong: &[(String, Finding)]) -> Cow<'static, str> {
    let tells = |advice: &&Cow<'static, str>| **advice != SETTING && **advice != SILENT;
    let mut advice = wrong.iter().map(|(_, finding)| &finding.advice);
    advice.find(tells).cloned().unwrap_or(SETTING.into())
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
    "Something else may listen there, or a listener of another kind: check security-protocol";
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
fn finding(cluster: &Cluster, error: &KrafkaError) -> Finding {
    if let Some(denied) = denied(cluster, error) {
        return denied;
    }
    match error {
        KrafkaError::Network(io) => {
            // Of what krafka asks us for: a token.
            if let Some(ours) = io
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Finding>())
            {
                return ours.clone();
            }
            let inner = io.get_ref().and_then(|inner| inner.source());
            if let Some(inner) = inner.and_then(|inner| inner.downcast_ref::<KrafkaError>()) {
                return finding(cluster, inner);
            }
            use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
            let text = io.to_string();
            // The relay's answer, of which nobody needs to know.
            let text = text.trim_start_matches("SOCKS5 proxy error: ");
            let advice = match io.kind() {
                ConnectionAborted | ConnectionReset | UnexpectedEof => OTHER,
                _ if limited_by_files(text) => RAISE_FILES,
                _ => SETTING,
            };
            Finding::new(without_number(text), advice)
        }
        KrafkaError::Timeout { operation } => {
            Finding::new(format!("no answer in time ({operation})"), SILENT)
        }
        KrafkaError::Protocol { .. } => {
            Finding::new(format!("the answer is not Kafka's ({error})"), OTHER)
        }
        KrafkaError::Auth { message, .. } => Finding::new(message.clone(), OTHER),
        KrafkaError::Config { message } => Finding::of_settings(message.clone()),
        KrafkaError::Broker { code, message } => {
            Finding::new(format!("{code:?} ({message})"), CHECK_LOG)
        }
        other => Finding::new(other.to_string(), CHECK_LOG),
    }
}

const CHECK_LOG: &str = "Check the log of the broker";

/// An error in the middle of a sentence, with what to do where that is known.
pub fn explained(cluster: &Cluster, error: &KrafkaError) -> String {
    match denied(cluster, error) {
        Some(Finding { cause, advice }) => format!("{cause}. {advice}"),
        None => error.to_string(),
    }
}

/// What keeps us out: TLS, SASL or an ACL. `None` where it is something else.
fn denied(cluster: &Cluster, error: &KrafkaError) -> Option<Finding> {
    if let Some(tls) = words::tls_error(error) {
        return Some(words::of_tls(tls, cluster.shows_certificate()));
    }
    match error {
        KrafkaError::Broker { code, message } => {
            let mut denied = acl::denied(cluster, *code)?;
            // `partitions_for` knows more of it.
            if message.ends_with(IS_NOT_ALLOWED) {
                denied.cause = format!("{}: {message}", denied.cause);
            }
            Some(denied)
        }
        KrafkaError::Auth { message, .. } => {
            let sasl = cluster.security().sasl.as_ref()?;
            Some(words::of_krafka(sasl, message))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    async fn refusal(brokers: &[&str]) -> String {
        let cluster = Cluster::plain(brokers);
        let connected = cluster.connect_for_command("check").await;
        connected.expect_err("no Kafka is there").to_string()
    }

    #[test]
    fn each_operation_has_its_bit() {
        // DESCRIBE and WRITE, as Kafka's AclOperation numbers them.
        let writer = Some(1 << 8 | 1 << 4);
        assert!(is_allowed(Operation::Write, writer) && !is_allowed(Operation::Read, writer));
        assert!(is_allowed(Operation::Read, Some(1 << 3)) && is_allowed(Operation::Read, None));
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
