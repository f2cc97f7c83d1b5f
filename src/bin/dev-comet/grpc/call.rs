//! One call, from its headers to its trailers.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use chatroom_job::comet::RpcStatusCode;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::time::timeout;

use super::message::{self, Incoming};
use super::{Answer, Outcome, Service, Status};

const GRPC: &str = "application/grpc";
/// Where a call names no time. Longer than anybody waits.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Answers a call. Where its caller is gone or the connection broke, nobody is left to be told.
pub async fn answer(
    service: impl Service,
    peer: &str,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let _gone = match refused(request.method(), request.headers()) {
        Some(status) => refuse(&mut respond, status),
        None => match within_its_time(&service, peer, request, &mut respond).await {
            Some(Ok(reply)) => reply_with(&mut respond, &reply),
            Some(Err(status)) => fail(&mut respond, &status),
            None => Ok(()),
        },
    };
}

/// What isn't gRPC is refused as HTTP does it.
fn refused(method: &Method, headers: &HeaderMap) -> Option<StatusCode> {
    if method != Method::POST {
        return Some(StatusCode::METHOD_NOT_ALLOWED);
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let rest = kind.and_then(|kind| kind.to_str().ok()?.strip_prefix(GRPC));
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with(['+', ';']) => None,
        _ => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
    }
}

/// What came of the call; `None` where its caller is gone.
async fn within_its_time(
    service: &impl Service,
    peer: &str,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Outcome> {
    let time = match request.headers().get("grpc-timeout") {
        None => FOREVER,
        Some(text) => match text.to_str().ok().and_then(message::timeout) {
            Some(time) => time,
            None => {
                let text = format!("grpc-timeout {text:?} is not a number and a unit");
                return Some(Err(Status::new(RpcStatusCode::INTERNAL, text)));
            }
        },
    };
    let in_time = timeout(time, outcome(service, peer, request, respond)).await;
    in_time.unwrap_or_else(|_| {
        Some(Err(Status::new(
            RpcStatusCode::DEADLINE_EXCEEDED,
            "the call's time is up",
        )))
    })
}

async fn outcome(
    service: &impl Service,
    peer: &str,
    request: Request<RecvStream>,
    respond: &mut SendResponse<Bytes>,
) -> Option<Outcome> {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path();
    if !service.has(path) {
        let text = format!("there is no method {path}");
        return Some(Err(Status::new(RpcStatusCode::UNIMPLEMENTED, text)));
    }
    let request = match whole(&mut body).await? {
        Ok(request) => request,
        Err(status) => return Some(Err(status)),
    };
    match service.call_with(&head.headers, path, peer, request) {
        Answer::Now(outcome) => Some(outcome),
        Answer::Later(later) => tokio::select! {
            outcome = later => Some(outcome.unwrap_or_else(|_| {
                Err(Status::new(RpcStatusCode::CANCELLED, "the call was let go"))
            })),
            _ = poll_fn(|context| respond.poll_reset(context)) => None,
        },
    }
}

/// The request's message; `None` where the stream ended badly.
async fn whole(body: &mut RecvStream) -> Option<Outcome> {
    let mut incoming = Incoming::default();
    while let Some(piece) = body.data().await {
        let piece = piece.ok()?;
        let room = body.flow_control().release_capacity(piece.len());
        room.ok()?;
        if let Err(status) = incoming.add(piece) {
            return Some(Err(status));
        }
    }
    Some(incoming.finish())
}

fn reply_with(respond: &mut SendResponse<Bytes>, reply: &[u8]) -> Result<(), h2::Error> {
    let framed = match message::framed(reply) {
        Ok(framed) => framed,
        Err(status) => return fail(respond, &status),
    };
    let mut stream = respond.send_response(head(), false)?;
    stream.send_data(framed, false)?;
    let mut trailers = HeaderMap::with_capacity(1);
    Status::ok().write(&mut trailers);
    stream.send_trailers(trailers)
}

/// The status stands in the only headers.
fn fail(respond: &mut SendResponse<Bytes>, status: &Status) -> Result<(), h2::Error> {
    let mut response = head();
    let headers = response.headers_mut();
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity"));
    status.write(headers);
    respond.send_response(response, true).map(drop)
}

fn refuse(respond: &mut SendResponse<Bytes>, status: StatusCode) -> Result<(), h2::Error> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    respond.send_response(response, true).map(drop)
}

fn head() -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(GRPC));
    response
}
