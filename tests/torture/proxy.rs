//! A network that can be cut: TCP proxies on loopback.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::timeline::{Micros, now};

/// How a link fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// Connections are closed, and new ones at once.
    Close,
    /// Nothing passes; what waits passes later.
    Hold,
    /// Requests pass, answers don't, and the connections are closed in the end.
    HoldAnswers,
    /// What is connected never passes anything again and isn't told: a firewall forgot it.
    Forget,
}

impl Mode {
    pub const FAULTS: [Mode; 4] = [Mode::Close, Mode::Hold, Mode::HoldAnswers, Mode::Forget];
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Mode::Open => "open",
            Mode::Close => "connections closed",
            Mode::Hold => "nothing passes",
            Mode::HoldAnswers => "no answer passes",
            Mode::Forget => "connections forgotten",
        })
    }
}

/// A connection from a proxy to what is behind it.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub since: Micros,
    /// The port that it comes from.
    pub port: u16,
    /// Whose it is.
    pub slot: usize,
}

/// All connections that the proxies made, in the order in which they were made.
pub type Peers = Arc<Mutex<Vec<Peer>>>;

/// One link. It stays for as long as the runtime.
#[derive(Clone)]
pub struct Proxy {
    /// Where it is connected to.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
}

impl Proxy {
    /// Passes on what connects to `listen` (any port where that is 0) to `upstream`, for the job of `slot`.
    pub async fn start(
        listen: SocketAddr,
        upstream: SocketAddr,
        slot: usize,
        peers: Peers,
    ) -> Result<Proxy, String> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|e| format!("a proxy can't listen on {listen}: {e}"))?;
        let address = listener
            .local_addr()
            .map_err(|e| format!("a proxy has no address: {e}"))?;
        let (mode, modes) = watch::channel(Mode::Open);
        tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                tokio::spawn(serve(client, upstream, modes.clone(), slot, peers.clone()));
            }
        });
        Ok(Proxy { address, mode })
    }

    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn serve(
    client: TcpStream,
    upstream: SocketAddr,
    modes: watch::Receiver<Mode>,
    slot: usize,
    peers: Peers,
) {
    if *modes.borrow() == Mode::Close {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else {
        return;
    };
    // What the proxies delay is in the campaign, and nothing else.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    if let Ok(own) = server.local_addr() {
        peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Peer {
                since: now(),
                port: own.port(),
                slot,
            });
    }
    // The first to end ends the connection.
    tokio::select! {
        () = pump(&client, &server, modes.clone(), true) => {}
        () = pump(&server, &client, modes.clone(), false) => {}
        () = closed(modes) => {}
    }
}

async fn closed(mut modes: watch::Receiver<Mode>) {
    while *modes.borrow_and_update() != Mode::Close {
        if modes.changed().await.is_err() {
            return;
        }
    }
}

async fn pump(from: &TcpStream, to: &TcpStream, mut modes: watch::Receiver<Mode>, requests: bool) {
    let mut buffer = vec![0; 64 << 10];
    let mut withheld = false;
    loop {
        let mode = *modes.borrow_and_update();
        let passes = match mode {
            Mode::Open if withheld => return,
            Mode::Open => true,
            Mode::Close => return,
            Mode::Hold => false,
            Mode::HoldAnswers => {
                withheld = true;
                requests
            }
            Mode::Forget => return swallow(from, &mut buffer, requests).await,
        };
        if !passes {
            if modes.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            ready = from.readable() => if ready.is_err() { return },
            changed = modes.changed() => {
                if changed.is_err() { return }
                continue;
            }
        }
        match from.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => {
                if write(to, &buffer[..n]).await.is_err() {
                    return;
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Takes what comes and lets nobody know. Ends when the client ends; that the server ends, nobody hears.
async fn swallow(from: &TcpStream, buffer: &mut [u8], requests: bool) {
    loop {
        let open = from.readable().await.is_ok()
            && match from.try_read(buffer) {
                Ok(n) => n > 0,
                Err(e) => e.kind() == ErrorKind::WouldBlock,
            };
        if !open {
            if requests {
                return;
            }
            std::future::pending::<()>().await;
        }
    }
}
