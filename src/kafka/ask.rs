//! Asks a broker what krafka has no call for, or where krafka's connections are in use: one request, one answer.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::cluster::Cluster;
use super::dial::connect;
use super::finding::Finding;
use super::secure::{self, words};
use super::stranger::{LONGEST_ANSWER, LOOKED_AT, describe, may_be_kafka};

/// How long the rest of a stranger's first words may take.
const FIRST_WORDS: Duration = Duration::from_millis(200);

/// A string as the protocol's messages want it.
pub fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.into())
}

/// Why there is no answer. Its text is the end of a sentence.
#[derive(Debug)]
pub enum Unanswered {
    /// There is no connection.
    Unconnected(io::Error),
    /// The other end closed the connection, and said nothing.
    Closed,
    /// What came is not Kafka's: who answers there.
    Stranger(String),
    /// TLS failed on an open connection.
    Tls(rustls::Error),
    /// TLS or SASL failed: why, and what to do.
    Refused(Finding),
    Other(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::Unconnected(error) => error.fmt(f),
            Unanswered::Closed => f.write_str("the connection was closed without an answer"),
            Unanswered::Stranger(why) | Unanswered::Other(why) => f.write_str(why),
            Unanswered::Tls(error) => error.fmt(f),
            Unanswered::Refused(Finding { cause, advice }) => write!(f, "{cause}. {advice}"),
        }
    }
}

impl From<io::Error> for Unanswered {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        if let Some(tls) = words::tls_error(&error) {
            return Unanswered::Tls(tls.clone());
        }
        match error.kind() {
            BrokenPipe | ConnectionReset => Unanswered::Closed,
            _ => Unanswered::Other(error.to_string()),
        }
    }
}

impl From<Finding> for Unanswered {
    fn from(finding: Finding) -> Self {
        Unanswered::Refused(finding)
    }
}

/// Where to connect to a broker, as it names itself.
pub fn address_of(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// One connection to one broker.
pub struct Connection {
    pub address: String,
    stream: Box<dyn Stream>,
    client_id: StrBytes,
    /// Whether it shows a client certificate.
    shows_certificate: bool,
    asked: i32,
}

/// A connection as TCP has it, or inside of TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connection {
    /// Connects within two seconds an IP address, and logs in as the cluster's settings say. The caller limits that.
    ///
    /// # Errors
    /// A sentence that names the address.
    pub async fn open(cluster: &Cluster, address: &str) -> Result<Self, String> {
        Self::try_open(cluster, address)
            .await
            .map_err(|why| format!("connecting to Kafka at {address} failed: {why}"))
    }

    /// # Errors
    /// [`Unanswered::Unconnected`]; where the cluster is secured, any other too.
    pub async fn try_open(cluster: &Cluster, address: &str) -> Result<Self, Unanswered> {
        let stream = connect(address).await.map_err(Unanswered::Unconnected)?;
        let security = cluster.security();
        let stream: Box<dyn Stream> = match &security.tls {
            None => Box::new(stream),
            Some(tls) => Box::new(secure::connect(address, stream, tls).await?),
        };
        let mut connection = Self {
            address: address.into(),
            stream,
            client_id: text(cluster.client_id()),
            shows_certificate: cluster.shows_certificate(),
            asked: 0,
        };
        if let Some(sasl) = &security.sasl {
            secure::authenticate(&mut connection, sasl, security).await?;
        }
        Ok(connection)
    }

    /// Asks, and waits for the answer, for as long as it takes.
    ///
    /// # Errors
    /// A sentence that names the address. The connection must not be used again then: the answer may still come.
    pub async fn ask<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, String> {
        self.ask_within(request, version, LONGEST_ANSWER).await
    }

    /// As `ask`, for an answer of `longest` bytes at most.
    ///
    /// # Errors
    /// As `ask`.
    pub async fn ask_within<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        longest: usize,
    ) -> Result<R::Response, String> {
        let answer = self.try_ask_within(request, version, longest).await;
        answer.map_err(|why| format!("asking Kafka at {} failed: {why}", self.address))
    }

    /// # Errors
    /// As [`Connection::ask`].
    pub async fn try_ask<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, Unanswered> {
        self.try_ask_within(request, version, LONGEST_ANSWER).await
    }

    async fn try_ask_within<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        longest: usize,
    ) -> Result<R::Response, Unanswered> {
        let answer = self.exchange(request, version, longest).await;
        answer.map_err(|why| match why {
            Unanswered::Tls(error) => words::of_tls(&error, self.shows_certificate).into(),
            other => other,
        })
    }

    async fn exchange<R: Request>(
        &mut self,
        request: &R,
        version: i16,
        longest: usize,
    ) -> Result<R::Response, Unanswered> {
        self.asked += 1;
        let message = encode(request, version, self.asked, &self.client_id)
            .map_err(|why| Unanswered::Other(format!("the request can't be encoded: {why}")))?;
        self.stream.write_all(&message).await?;
        self.stream.flush().await?;
        let answer = self.answer(longest).await?;
        decode::<R>(answer, version)
            .map_err(|why| Unanswered::Other(format!("the answer can't be read: {why}")))
    }

    /// The next answer, without its length.
    async fn answer(&mut self, longest: usize) -> Result<Bytes, Unanswered> {
        let mut came = BytesMut::new();
        while came.len() < 8 {
            if self.stream.read_buf(&mut came).await? == 0 {
                return Err(match came.is_empty() {
                    true => Unanswered::Closed,
                    false => Unanswered::Stranger(describe(&came)),
                });
            }
            if !may_be_kafka(&came, self.asked, longest) {
                return Err(self.stranger(came).await);
            }
        }
        let length = came.get_u32() as usize;
        let have = came.len();
        came.resize(have.max(length), 0);
        self.stream.read_exact(&mut came[have..]).await?;
        Ok(came.split_to(length).freeze())
    }

    /// Makes whoever waits for a line say something: who answers there, if it does.
    pub async fn provoke(&mut self) -> Option<String> {
        self.stream.write_all(b"\r\n\r\n").await.ok()?;
        self.stream.flush().await.ok()?;
        let mut came = BytesMut::new();
        let some = self.stream.read_buf(&mut came).await.ok()? > 0;
        match some {
            true => Some(self.stranger(came).await.to_string()),
            false => None,
        }
    }

    /// Who answers there, by what came and what follows at once.
    async fn stranger(&mut self, mut came: BytesMut) -> Unanswered {
        let more = async {
            while came.len() < LOOKED_AT && self.stream.read_buf(&mut came).await? > 0 {}
            Ok::<_, io::Error>(())
        };
        // What came by then is enough to tell.
        let _ = timeout(FIRST_WORDS, more).await;
        Unanswered::Stranger(describe(&came))
    }
}

/// A request with its header, and its length before it.
fn encode<R: Request>(
    request: &R,
    version: i16,
    correlation: i32,
    client_id: &StrBytes,
) -> Result<Bytes, String> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation)
        .with_client_id(Some(client_id.clone()));
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
