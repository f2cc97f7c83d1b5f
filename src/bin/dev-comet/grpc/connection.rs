//! One connection and all calls on it, in one task.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::Service;
use super::call::answer;

/// How much may be on its way: for a call, and for all calls of a connection.
const WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// The most that a request's headers may be.
const LONGEST_HEADERS: u32 = 16 << 10;
/// How long a new connection may take to say that it speaks HTTP/2.
const GREETING_WITHIN: Duration = Duration::from_secs(20);

/// Serves a connection until it ends. When `stop` says so it takes no new calls, and ends behind those that it has.
///
/// # Errors
/// It broke, or doesn't speak HTTP/2 as it should.
pub async fn serve<I: AsyncRead + AsyncWrite + Unpin>(
    io: I,
    peer: &str,
    service: impl Service,
    mut stop: watch::Receiver<bool>,
) -> Result<(), h2::Error> {
    let greeting = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LONGEST_HEADERS)
        .handshake::<_, Bytes>(io);
    let Ok(greeted) = tokio::time::timeout(GREETING_WITHIN, greeting).await else {
        return Ok(());
    };
    let mut connection = greeted?;
    let mut calls = FuturesUnordered::new();
    // It ends badly where the server is gone, which is a stop too.
    let mut stops = pin!(async move { drop(stop.wait_for(|stop| *stop).await) });
    let mut stopping = false;
    poll_fn(|context| {
        loop {
            if !stopping && stops.as_mut().poll(context).is_ready() {
                stopping = true;
                connection.graceful_shutdown();
            }
            // All that came is taken before the first of it is answered: so the answers leave in one piece.
            while let Poll::Ready(next) = connection.poll_accept(context) {
                match next {
                    Some(Ok((request, respond))) => {
                        calls.push(answer(service.clone(), peer, request, respond));
                    }
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                }
            }
            let mut answered = false;
            while let Poll::Ready(Some(())) = calls.poll_next_unpin(context) {
                answered = true;
            }
            if !answered {
                return Poll::Pending;
            }
        }
    })
    .await
}
