//! Against the server of the `h2` crate, with limits of all kinds.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use h2::Reason;
use h2::server::{Builder, SendResponse};
use http::{HeaderMap, Request, Response};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::*;

/// What the server is to do.
#[derive(Clone, Copy)]
pub struct Manners {
    pub streams: u32,
    pub window: u32,
    pub connection_window: u32,
    pub frame: u32,
    /// Refuses each third call when it comes first.
    pub refuses: bool,
    /// Says goodbye on each connection after so many calls.
    pub goodbye_after: usize,
}

pub const PLAIN: Manners = Manners {
    streams: 100,
    window: 65_535,
    connection_window: 65_535,
    frame: 16_384,
    refuses: false,
    goodbye_after: usize::MAX,
};

pub struct Server {
    pub address: Address,
    /// Calls that were answered, each time.
    pub answered: Arc<Mutex<Vec<u64>>>,
    _runtime: Runtime,
}

fn serve(manners: Manners) -> Server {
    serve_with(manners, None)
}

/// With TLS, where it is given what that needs.
pub fn serve_with(manners: Manners, tls: Option<Arc<ServerConfig>>) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let answered: Arc<Mutex<Vec<u64>>> = Arc::default();
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let listener = runtime.block_on(TcpListener::bind(any)).expect("a port");
    let address = Address::Tcp(listener.local_addr().expect("its address"));
    let (all, refused) = (answered.clone(), Arc::default());
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (all, refused) = (all.clone(), Arc::clone(&refused));
            let acceptor = tls.clone().map(TlsAcceptor::from);
            tokio::spawn(async move {
                // A handshake that fails is the client's to tell.
                match acceptor {
                    None => drop(connection(socket, manners, all, refused).await),
                    Some(acceptor) => {
                        if let Ok(socket) = acceptor.accept(socket).await {
                            drop(connection(socket, manners, all, refused).await);
                        }
                    }
                }
            });
        }
    });
    Server {
        address,
        answered,
        _runtime: runtime,
    }
}

async fn connection(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    manners: Manners,
    answered: Arc<Mutex<Vec<u64>>>,
    refused: Arc<Mutex<BTreeSet<u64>>>,
) -> Result<(), h2::Error> {
    let mut connection = Builder::new()
        .max_concurrent_streams(manners.streams)
        .initial_window_size(manners.window)
        .initial_connection_window_size(manners.connection_window)
        .max_frame_size(manners.frame)
        .handshake::<_, Bytes>(socket)
        .await?;
    let mut calls = 0;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call?;
        calls += 1;
        if calls == manners.goodbye_after {
            connection.graceful_shutdown();
        }
        tokio::spawn(answer(
            request,
            respond,
            manners,
            answered.clone(),
            refused.clone(),
        ));
    }
    Ok(())
}

/// The request's fields are as they should be, and the answer says what came: of each fifth call that there is no such key.
async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    manners: Manners,
    answered: Arc<Mutex<Vec<u64>>>,
    refused: Arc<Mutex<BTreeSet<u64>>>,
) -> Result<(), h2::Error> {
    assert_eq!(
        (request.method(), request.uri().path()),
        (&http::Method::POST, PATH)
    );
    let fields = request.headers();
    assert_eq!(
        (&fields["te"], &fields["content-type"]),
        (
            &"trailers".parse().unwrap(),
            &"application/grpc".parse().unwrap()
        )
    );
    let mut body = request.into_body();
    let mut all = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part?;
        all.extend_from_slice(&part);
        body.flow_control().release_capacity(part.len())?;
    }
    let message = all.split_off(5);
    assert_eq!(
        all[..],
        [&[0], &(message.len() as u32).to_be_bytes()[..]].concat()
    );
    let tag = u64::from_be_bytes(*message.first_chunk().expect("a tag"));
    if manners.refuses && tag.is_multiple_of(3) && refused.lock().unwrap().insert(tag) {
        respond.send_reset(Reason::REFUSED_STREAM);
        return Ok(());
    }
    answered.lock().unwrap().push(tag);
    let head = || {
        Response::builder()
            .header("content-type", "application/grpc")
            .header("x-note", format!("call {tag}"))
    };
    if tag.is_multiple_of(5) {
        let alone = head()
            .header("grpc-status", "5")
            .header("grpc-message", format!("no%20key%20{tag}"));
        respond.send_response(alone.body(()).unwrap(), true)?;
        return Ok(());
    }
    let mut stream = respond.send_response(head().body(()).unwrap(), false)?;
    all.extend_from_slice(&message);
    stream.send_data(all.freeze(), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers)
}

pub fn body(tag: u64) -> Vec<u8> {
    let sizes = [0, 10, 1_000, 17_000, 150_000];
    let mut body = tag.to_be_bytes().to_vec();
    body.resize(8 + sizes[tag as usize % sizes.len()], tag as u8);
    body
}

pub fn assert_answered(client: &Client, tag: u64) {
    let finished = &client.ended[&tag];
    if tag.is_multiple_of(5) {
        let text = format!("no key {tag}");
        assert_eq!(client.of(tag), (5, By::Server, text.as_str()));
    } else {
        assert_eq!(client.of(tag), (0, By::Server, ""));
        assert!(finished.body == body(tag), "another answer than its own");
    }
}

#[test]
fn each_call_has_its_answer_whatever_the_limits_are() {
    call_under_all_limits(None);
}

/// Calls over several connections, under limits of all kinds.
pub fn call_under_all_limits(tls: Option<(&Arc<ServerConfig>, &Secured)>) {
    const CALLS: u64 = 200;
    for manners in [
        PLAIN,
        Manners {
            streams: 1,
            ..PLAIN
        },
        Manners {
            streams: 10,
            window: 1_000,
            ..PLAIN
        },
        Manners {
            window: 17,
            connection_window: 70_000,
            ..PLAIN
        },
        Manners {
            frame: 1 << 20,
            window: 1 << 20,
            connection_window: 1 << 22,
            ..PLAIN
        },
    ] {
        let server = serve_with(manners, tls.map(|(server, _)| server.clone()));
        let mut client = Client::new();
        client.tls = tls.map(|(_, client)| client.clone());
        let links: Vec<_> = (0..3)
            .map(|_| client.open(std::slice::from_ref(&server.address)))
            .collect();
        // With so small a window a large body takes too long.
        let tags: Vec<u64> = (0..CALLS)
            .filter(|tag| manners.window > 17 || tag % 5 < 3)
            .collect();
        for tag in &tags {
            client.call(links[*tag as usize % links.len()], *tag, &body(*tag));
        }
        client.until_ended(tags.len());
        tags.iter().for_each(|tag| assert_answered(&client, *tag));
        assert_eq!(server.answered.lock().unwrap().len(), tags.len());
        assert!(client.closed.is_empty(), "{:?}", client.closed);
    }
}

/// What wasn't taken is called again, until everything is answered: once each.
pub fn call_until_all_are_answered(server: &Server, calls: u64, mut client: Client) -> Client {
    let mut link = client.open(std::slice::from_ref(&server.address));
    for tag in 0..calls {
        client.call(link, tag, &body(tag));
    }
    let begin = Instant::now();
    while client.ended.len() < calls as usize {
        assert!(begin.elapsed() < PATIENCE, "it hangs");
        for tag in client.turn() {
            if client.ended[&tag].by != By::Unsent {
                continue;
            }
            client.ended.remove(&tag);
            let takes_calls = client
                .links
                .with(link, |connection| connection.takes_calls());
            if takes_calls != Some(true) {
                link = client.open(std::slice::from_ref(&server.address));
            }
            client.call(link, tag, &body(tag));
        }
    }
    (0..calls).for_each(|tag| assert_answered(&client, tag));
    let mut answered = server.answered.lock().unwrap().clone();
    answered.sort_unstable();
    assert!(
        answered.into_iter().eq(0..calls),
        "each call is answered once"
    );
    client
}

#[test]
fn calls_that_are_refused_are_made_again() {
    let server = serve(Manners {
        refuses: true,
        ..PLAIN
    });
    let client = call_until_all_are_answered(&server, 100, Client::new());
    assert!(client.closed.is_empty());
}

#[test]
fn goodbyes_under_load_lose_no_call() {
    let server = serve(Manners {
        goodbye_after: 20,
        streams: 30,
        ..PLAIN
    });
    let client = call_until_all_are_answered(&server, 300, Client::new());
    assert!(client.closed.len() >= 5, "{:?}", client.closed);
    for (_, why) in &client.closed {
        assert!(
            why.starts_with("the server said goodbye (NO_ERROR)"),
            "{why}"
        );
    }
}
