//! What is wrong with an address at which no Kafka can be reached.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use kafka_protocol::messages::MetadataRequest;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ask::{Connection, Unanswered};
use super::cluster::Cluster;
use super::dial::CONNECT_TIMEOUT;
use super::layout::METADATA;
use super::trouble::{OTHER, SETTING, SILENT, limited_by_files};
use crate::base::limits::RAISE_FILES;
use crate::settings::Security;
use crate::settings::security::Tls;

/// How long an answer may take. A broker under load takes seconds.
const ANSWER: Duration = Duration::from_secs(3);

/// How long somebody who waits for a line may take to complain of an empty one.
const COMPLAINT: Duration = Duration::from_secs(1);

/// A resolver that doesn't answer takes longer.
const IN_ALL: Duration = Duration::from_secs(8);
const _: () = assert!(
    CONNECT_TIMEOUT.as_millis() + ANSWER.as_millis() + COMPLAINT.as_millis() < IN_ALL.as_millis(),
    "what answers there would not be found out before time is up"
);

/// Why an address doesn't serve, and what to check about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub cause: String,
    pub advice: Cow<'static, str>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.cause, self.advice)
    }
}

impl std::error::Error for Finding {}

impl Finding {
    pub fn new(cause: String, advice: impl Into<Cow<'static, str>>) -> Finding {
        Finding {
            cause,
            advice: advice.into(),
        }
    }

    /// A setting, or a file that it names, can't be used: `cause` names it.
    pub fn of_settings(cause: String) -> Finding {
        Finding::new(cause, "Correct this setting, or its file")
    }
}

/// Asks each address as a client of Kafka would, all at once. Gives what is wrong with each, in their order.
pub async fn find_out(cluster: &Cluster) -> Vec<(String, Result<(), Finding>)> {
    let mut asking = JoinSet::new();
    for (n, address) in cluster.brokers().iter().enumerate() {
        let (cluster, address) = (cluster.clone(), address.clone());
        asking.spawn(async move {
            let found = timeout(IN_ALL, ask(&cluster, &address)).await;
            let found = found.unwrap_or_else(|_| {
                let cause = format!("no connection within {} s", IN_ALL.as_secs());
                Err(Finding::new(cause, SILENT))
            });
            (n, address, found)
        });
    }
    let mut found = asking.join_all().await;
    found.sort_by_key(|(n, ..)| *n);
    let found = found.into_iter();
    found.map(|(_, address, found)| (address, found)).collect()
}

async fn ask(cluster: &Cluster, address: &str) -> Result<(), Finding> {
    let found = |cause: String, advice: &'static str| Err(Finding::new(cause, advice));
    let mut connection = match Connection::try_open(cluster, address).await {
        Ok(connection) => connection,
        Err(Unanswered::Refused(finding)) => return Err(finding),
        // It is connected, and no Kafka answers when asked to log in.
        Err(why @ (Unanswered::Closed | Unanswered::Stranger(_))) => {
            return found(why.to_string(), OTHER);
        }
        Err(why) => {
            let cause = without_number(&why.to_string());
            let advice = match &why {
                _ if limited_by_files(&cause) => RAISE_FILES,
                Unanswered::Unconnected(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    SILENT
                }
                _ => SETTING,
            };
            return found(cause, advice);
        }
    };
    // About no topic. A listener with SASL would answer less than that.
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    match timeout(ANSWER, connection.try_ask(&request, METADATA)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(Unanswered::Refused(finding))) => Err(finding),
        Ok(Err(why @ Unanswered::Closed)) => found(why.to_string(), on_close(cluster)),
        Ok(Err(why)) => found(without_number(&why.to_string()), OTHER),
        Err(_) => {
            // A server of lines waits for the end of one. Kafka would close the connection.
            match timeout(COMPLAINT, connection.provoke()).await {
                Ok(Some(who)) => found(who, OTHER),
                Ok(None) | Err(_) => found(
                    format!(
                        "no answer within {} s on an open connection",
                        ANSWER.as_secs()
                    ),
                    SILENT,
                ),
            }
        }
    }
}

/// What to check where a broker closes the connection when it is asked for something.
fn on_close(cluster: &Cluster) -> &'static str {
    let Security { tls, sasl } = cluster.security();
    match (tls, sasl) {
        (Some(Tls { client: None, .. }), None) => {
            "Does the broker want a client certificate (ssl-certificate-location, ssl-key-location), or SASL \
             (security-protocol = SASL_SSL)?"
        }
        (Some(_), None) => {
            "Does the broker want SASL (security-protocol = SASL_SSL), or another client certificate?"
        }
        _ => OTHER,
    }
}

/// An error of the system without its number.
pub fn without_number(text: &str) -> String {
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A server that says this to whoever has sent these bytes.
    fn server(waits_for: &'static [u8], says: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut came = Vec::new();
                while !came.ends_with(waits_for) {
                    let mut byte = [0];
                    if !matches!(stream.read(&mut byte), Ok(1)) {
                        break;
                    }
                    came.push(byte[0]);
                }
                let _ = stream.write_all(says);
                kept.push(stream);
            }
        });
        address
    }

    #[tokio::test]
    async fn who_answers_is_found_out() {
        let addresses = [
            server(b"job", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            // Of a line that it waits for.
            server(b"\r\n", b"HTTP/1.0 414 Too Long\r\n\r\n"),
            server(b"job", b"\x15\x03\x03\0\x02\x02\x46"),
            server(b"", b"SSH-2.0-OpenSSH_9.2\r\n"),
            server(b"job", b"\0\0\x12\x04\0\0\0\0\0"),
            "127.0.0.1:1".to_owned(),
            "no-such-host.invalid:9092".to_owned(),
        ];
        let says = [
            "an HTTP server answers there: \"HTTP/1.1 400 Bad Request\"",
            "an HTTP server answers there: \"HTTP/1.0 414 Too Long\"",
            "a TLS listener answers there",
            "an SSH server answers there",
            "an HTTP/2 server answers there",
            "Connection refused",
            "lookup",
        ];
        let addresses = addresses.each_ref().map(String::as_str);
        let found = find_out(&Cluster::plain(&addresses)).await;
        for ((address, found), says) in found.into_iter().zip(says) {
            let cause = found.expect_err("no Kafka is there").cause;
            assert!(cause.contains(says), "{address}: {cause}");
        }
    }
}
