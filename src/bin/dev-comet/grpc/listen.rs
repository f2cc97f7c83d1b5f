//! Where calls come in: a TCP port or a Unix socket, with TLS or without.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use super::Service;
use super::connection::serve;
use crate::server::say;

/// How long a caller may take to greet.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// Between two tries where the system gives no connection, as when it has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// A place that is ours, where nobody is served yet.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes its file when it is dropped, unless another process has taken its place.
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// `unix:PATH`, or `host:port`, where port 0 is any free one. Also returns the address with the real port.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(listen: &str) -> io::Result<(Self, String)> {
        if let Some(path) = listen.strip_prefix("unix:") {
            let (listener, file) = bind_unix(Path::new(path))?;
            return Ok((Self::Unix(listener, file), listen.to_owned()));
        }
        let host = match listen.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => host,
            _ => return Err(io::Error::other("it is neither host:port nor unix:PATH")),
        };
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = format!("{host}:{}", listener.local_addr()?.port());
        Ok((Self::Tcp(listener), address))
    }
}

/// A file that a process left behind which was killed is no reason not to start.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let is_socket = |path: &Path| {
        path.metadata()
            .is_ok_and(|file| file.file_type().is_socket())
    };
    let left_behind = |error: io::Error| error.kind() == ErrorKind::ConnectionRefused;
    if is_socket(path) && UnixStream::connect(path).is_err_and(left_behind) {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    let file = SocketFile {
        path: path.to_owned(),
        inode: path.metadata()?.ino(),
    };
    Ok((listener, file))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self
            .path
            .metadata()
            .is_ok_and(|file| file.ino() == self.inode)
        {
            // Where it can't be removed, the next one that starts here tries again.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A server at work.
pub struct Server {
    stop: watch::Sender<bool>,
    /// Ends when the last connection has ended.
    open: mpsc::Receiver<()>,
}

impl Server {
    /// Takes connections from now on. This must run inside of a runtime.
    ///
    /// # Errors
    /// The runtime can't watch the socket.
    pub fn start(
        listener: Listener,
        tls: Option<TlsAcceptor>,
        service: impl Service,
    ) -> io::Result<Self> {
        let (stop, stops) = watch::channel(false);
        let (held, open) = mpsc::channel(1);
        let doors = Doors {
            tls,
            service,
            stops,
            open: held,
        };
        match listener {
            Listener::Tcp(listener) => {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                tokio::spawn(async move {
                    let mut stops = doors.stops.clone();
                    while let Some(taken) = unless_stopped(&mut stops, listener.accept()).await {
                        if let Some((socket, peer)) = usable(taken).await {
                            // Where that fails the connection is about to end.
                            let _ = socket.set_nodelay(true);
                            doors.open(socket, peer_name(peer));
                        }
                    }
                });
            }
            Listener::Unix(listener, file) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                tokio::spawn(async move {
                    let mut stops = doors.stops.clone();
                    while let Some(taken) = unless_stopped(&mut stops, listener.accept()).await {
                        if let Some((socket, _)) = usable(taken).await {
                            doors.open(socket, "unix:".to_owned());
                        }
                    }
                    drop(file);
                });
            }
        }
        Ok(Self { stop, open })
    }

    /// Takes no more connections or calls. Ends when all calls have.
    pub async fn shutdown(&mut self) {
        self.stop.send_replace(true);
        while self.open.recv().await.is_some() {}
    }
}

/// `None` where the server stops.
async fn unless_stopped<T>(
    stops: &mut watch::Receiver<bool>,
    accept: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        _ = stops.wait_for(|stop| *stop) => None,
        taken = accept => Some(taken),
    }
}

async fn usable<T>(taken: io::Result<T>) -> Option<T> {
    match taken {
        Ok(taken) => Some(taken),
        Err(error) => {
            say(&format!("cannot take a connection for gRPC: {error}"));
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

/// As gRPC writes it.
fn peer_name(peer: SocketAddr) -> String {
    match peer {
        SocketAddr::V4(_) => format!("ipv4:{peer}"),
        SocketAddr::V6(_) => format!("ipv6:{peer}"),
    }
}

/// What each connection gets.
struct Doors<S> {
    tls: Option<TlsAcceptor>,
    service: S,
    stops: watch::Receiver<bool>,
    /// The server has ended when all copies are gone.
    open: mpsc::Sender<()>,
}

impl<S: Service> Doors<S> {
    fn open<I>(&self, socket: I, peer: String)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (tls, service, stops) = (self.tls.clone(), self.service.clone(), self.stops.clone());
        let open = self.open.clone();
        tokio::spawn(async move {
            // That a connection broke is the caller's to see.
            match tls {
                None => drop(serve(socket, &peer, service, stops).await),
                Some(tls) => {
                    let shaken = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(socket)).await;
                    match shaken {
                        Ok(Ok(socket)) => drop(serve(socket, &peer, service, stops).await),
                        Ok(Err(error)) => say(&format!("{peer} made no TLS connection: {error}")),
                        Err(_) => say(&format!("{peer} made no TLS connection in time")),
                    }
                }
            }
            drop(open);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listen = format!("unix:{}", path.display());
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "nobody removed it");
        let (first, address) = Listener::bind(&listen).expect("it is ours");
        assert_eq!(address, listen);
        assert!(Listener::bind(&listen).is_err(), "it is in use");
        drop(first);
        assert!(!path.exists(), "it is removed");
        std::fs::write(&path, "a file of somebody's").expect("it is written");
        assert!(Listener::bind(&listen).is_err());
        assert!(path.exists(), "it is left alone");
    }
}
