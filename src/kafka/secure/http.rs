//! One request to a token endpoint, and its answer.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::tls::{self, Unsafe};
use super::words::tls_error;
use crate::kafka::dial;
use crate::kafka::finding::{Finding, without_number};
use crate::settings::security::{Tls, Url};

/// How long the whole may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Of an answer, in bytes. A token has some thousands.
const LONGEST: usize = 256 << 10;

const REACH: &str = "Check sasl-oauthbearer-token-endpoint-url, and whether the OAuth server is up and reachable from here";
const CA: &str = "Set ssl-ca-location to a PEM file that also has the CA of the token endpoint's certificate, and reach it by \
                  a name that is in it";

/// Posts a form. Gives the status and the body of the answer.
///
/// # Errors
/// There is none: why, and what to do.
pub async fn post(
    url: &Url,
    ca: Option<PathBuf>,
    authorization: &str,
    form: String,
) -> Result<(u16, Bytes), Finding> {
    let posting = async {
        let stream = dial::connect(&url.address).await;
        let stream =
            stream.map_err(|error| Finding::new(without_number(&error.to_string()), REACH))?;
        if !url.is_https {
            return exchange(stream, url, authorization, form).await;
        }
        // The client certificate is for the brokers alone, and the name counts here.
        let of_endpoint = Tls {
            ca,
            ..Tls::default()
        };
        match tls::handshake(&url.address, stream, &of_endpoint).await {
            Ok(stream) => exchange(stream, url, authorization, form).await,
            Err(Unsafe::Settings(why)) => Err(Finding::of_settings(why)),
            Err(Unsafe::Failed(error)) => Err(match tls_error(&error) {
                Some(why) => Finding::new(format!("TLS failed: {why}"), CA),
                None => Finding::new(
                    format!("the connection ended while TLS began ({error})"),
                    REACH,
                ),
            }),
        }
    };
    let posted = timeout(WITHIN, posting).await;
    posted.unwrap_or_else(|_| {
        let cause = format!("no answer within {} s", WITHIN.as_secs());
        Err(Finding::new(cause, REACH))
    })
}

async fn exchange<S>(
    stream: S,
    url: &Url,
    authorization: &str,
    form: String,
) -> Result<(u16, Bytes), Finding>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let request = Request::post(&url.path)
        .header(HOST, &url.authority)
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(form)));
    let request = request.map_err(|error| Finding::of_settings(error.to_string()))?;
    let no_http = |error: String| Finding::new(format!("no answer in HTTP ({error})"), REACH);
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| no_http(error.to_string()))?;
    // It ends with the answer. What fails there fails here too.
    let driven = tokio::spawn(async { drop(connection.await) });
    let answered = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| no_http(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| no_http(error.to_string()))?;
        Ok((status, body.to_bytes()))
    };
    let answered = answered.await;
    driven.abort();
    answered
}
