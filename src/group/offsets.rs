//! Commits offsets, on a connection of its own to the group's coordinator.
//!
//! krafka would send a commit on the connection on which the member's JoinGroup may be waiting, and Kafka reads a
//! connection's next request only when it has answered the one before. A join waits until the session of a killed
//! member is over: ten seconds in which nothing could be committed, and what was finished would come again. Kafka
//! itself takes commits during a join.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ParseResponseErrorCode;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    FindCoordinatorRequest, FindCoordinatorResponse, OffsetCommitRequest, OffsetCommitResponse,
    RequestHeader, ResponseHeader,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use krafka::consumer::ConsumerGroupMetadata;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::membership::Commit;
use crate::kafka::CLIENT_ID;

/// How long one commit may take, with finding the coordinator and connecting to it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The same where joining anew waits for it.
pub(super) const LAST_WORD: Duration = Duration::from_secs(1);

/// The first versions that know static members (Kafka 2.3); Kafka 4 takes them too.
const OFFSET_COMMIT: i16 = 7;
const FIND_COORDINATOR: i16 = 2;

/// An answer is a few bytes a partition; a longer one is not from Kafka.
const LONGEST_ANSWER: usize = 1 << 20;

pub(super) struct Offsets {
    brokers: Vec<String>,
    group: String,
    topic: String,
    coordinator: Mutex<Option<Connection>>,
}

impl Offsets {
    pub(super) fn new(brokers: Vec<String>, group: String, topic: String) -> Self {
        Self {
            brokers,
            group,
            topic,
            coordinator: Mutex::new(None),
        }
    }

    /// Commits for a member, one commit at a time.
    ///
    /// # Errors
    /// A sentence that says what came back from where. Not all of it is committed then.
    pub(super) async fn commit(
        &self,
        member: &ConsumerGroupMetadata,
        commits: &[Commit],
        within: Duration,
    ) -> Result<(), String> {
        let request = self.request(member, commits);
        tokio::time::timeout(within, self.send(&request))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
    }

    async fn send(&self, request: &OffsetCommitRequest) -> Result<(), String> {
        let mut coordinator = self.coordinator.lock().await;
        // Taken out: whatever goes wrong, or takes too long, the next commit finds the coordinator anew.
        let mut connection = match coordinator.take() {
            Some(connection) => connection,
            None => self.find_coordinator().await?,
        };
        let answer: OffsetCommitResponse = connection.ask(request, OFFSET_COMMIT).await?;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            if let Some(error) = partition.error_code.err() {
                return Err(format!(
                    "Kafka at {} answered {error:?} for partition {}",
                    connection.address, partition.partition_index
                ));
            }
        }
        *coordinator = Some(connection);
        Ok(())
    }

    /// Asks one broker after the other.
    async fn find_coordinator(&self) -> Result<Connection, String> {
        let mut why = String::new();
        for broker in &self.brokers {
            match self.ask_for_coordinator(broker).await {
                Ok(address) => return Connection::open(&address).await,
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    async fn ask_for_coordinator(&self, broker: &str) -> Result<String, String> {
        let request = FindCoordinatorRequest::default().with_key(text(&self.group));
        let answer: FindCoordinatorResponse = Connection::open(broker)
            .await?
            .ask(&request, FIND_COORDINATOR)
            .await?;
        match answer.error_code.err() {
            None if answer.host.contains(':') => Ok(format!("[{}]:{}", answer.host, answer.port)),
            None => Ok(format!("{}:{}", answer.host, answer.port)),
            Some(error) => Err(format!(
                "Kafka at {broker} answered {error:?} when asked for the coordinator of group {}",
                self.group
            )),
        }
    }

    fn request(&self, member: &ConsumerGroupMetadata, commits: &[Commit]) -> OffsetCommitRequest {
        let partitions = commits
            .iter()
            .map(|commit| {
                OffsetCommitRequestPartition::default()
                    .with_partition_index(commit.partition)
                    .with_committed_offset(commit.offset)
                    .with_committed_metadata(Some(text(&commit.metadata)))
            })
            .collect();
        OffsetCommitRequest::default()
            .with_group_id(text(&self.group).into())
            .with_generation_id_or_member_epoch(member.generation_id())
            .with_member_id(text(member.member_id()))
            .with_group_instance_id(member.group_instance_id().map(text))
            .with_topics(vec![
                OffsetCommitRequestTopic::default()
                    .with_name(text(&self.topic).into())
                    .with_partitions(partitions),
            ])
    }
}

fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.into())
}

struct Connection {
    address: String,
    stream: TcpStream,
    asked: i32,
}

impl Connection {
    async fn open(address: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("connecting to Kafka at {address} failed: {error}"))?;
        Ok(Self {
            address: address.into(),
            stream,
            asked: 0,
        })
    }

    /// Asks, and waits for the answer.
    async fn ask<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, String> {
        let failed = |what: &str, error: &dyn std::fmt::Display, address: &str| {
            format!("{what} Kafka at {address} failed: {error}")
        };
        self.asked += 1;
        let message = encode(request, version, self.asked)
            .map_err(|error| failed("encoding a request to", &error, &self.address))?;
        let answer = async {
            self.stream.write_all(&message).await?;
            let length = self.stream.read_u32().await? as usize;
            if length > LONGEST_ANSWER {
                return Err(std::io::Error::other(format!(
                    "an answer of {length} bytes: is that Kafka?"
                )));
            }
            let mut answer = BytesMut::zeroed(length);
            self.stream.read_exact(&mut answer).await?;
            Ok(answer.freeze())
        }
        .await
        .map_err(|error| failed("asking", &error, &self.address))?;
        decode::<R>(answer, version)
            .map_err(|error| failed("reading the answer of", &error, &self.address))
    }
}

/// A request with its header, and its length before it.
fn encode<R: Request>(request: &R, version: i16, correlation: i32) -> Result<Bytes, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(text(CLIENT_ID)));
    let mut body = BytesMut::new();
    encode_request_header_into_buffer(&mut body, &header)
        .and_then(|()| request.encode(&mut body, version))
        .map_err(|error| error.to_string())?;
    let mut message = BytesMut::with_capacity(4 + body.len());
    message.put_u32(body.len() as u32);
    message.put(body);
    Ok(message.freeze())
}

fn decode<R: Request>(mut answer: Bytes, version: i16) -> Result<R::Response, String> {
    ResponseHeader::decode(&mut answer, R::Response::header_version(version))
        .and_then(|_| R::Response::decode(&mut answer, version))
        .map_err(|error| error.to_string())
}
