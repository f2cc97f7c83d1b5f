//! Asks a broker what krafka has no call for, or where krafka's connections are in use: one request, one answer.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, Request, StrBytes, encode_request_header_into_buffer,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::CLIENT_ID;

/// An answer is a few bytes a partition; a longer one is not from Kafka.
const LONGEST_ANSWER: usize = 1 << 20;

/// A string as the protocol's messages want it.
pub fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.into())
}

/// One connection to one broker.
pub struct Connection {
    pub address: String,
    stream: TcpStream,
    asked: i32,
}

impl Connection {
    /// # Errors
    /// A sentence that names the address.
    pub async fn open(address: &str) -> Result<Self, String> {
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
    ///
    /// # Errors
    /// A sentence that names the address. The connection must not be used again then: the answer may still come.
    pub async fn ask<R: Request>(
        &mut self,
        request: &R,
        version: i16,
    ) -> Result<R::Response, String> {
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
