//! What stands before a Comet: it ends TLS, or listens at a Unix socket, and passes the rest on.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::runtime;

/// How a connection that comes is met.
#[derive(Clone)]
pub enum Manner {
    Tls(Arc<ServerConfig>),
    /// It is held, and nothing is ever said.
    Silent,
}

/// A front with an address of its own, until it is dropped.
pub struct Front {
    pub address: String,
    manner: Arc<Mutex<Manner>>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    listens: AbortHandle,
}

impl Front {
    /// At a port of its own.
    pub fn start(manner: Manner, upstream: u16) -> Front {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let listener = runtime().block_on(TcpListener::bind(any)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let manner = Arc::new(Mutex::new(manner));
        let connections: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let (how, made) = (manner.clone(), connections.clone());
        let listens = runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let manner = how.lock().expect("no holder of it panics").clone();
                let task = tokio::spawn(meet(socket, manner, upstream));
                made.lock()
                    .expect("no holder of it panics")
                    .push(task.abort_handle());
            }
        });
        Front {
            address: format!("localhost:{port}"),
            manner,
            connections,
            listens: listens.abort_handle(),
        }
    }

    /// At a Unix socket.
    pub fn at_path(path: &Path, upstream: u16) -> Front {
        let entered = runtime().enter();
        let listener = UnixListener::bind(path).expect("a socket");
        drop(entered);
        let connections: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let made = connections.clone();
        let listens = runtime().spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let task = tokio::spawn(pass_on(socket, upstream));
                made.lock()
                    .expect("no holder of it panics")
                    .push(task.abort_handle());
            }
        });
        Front {
            address: format!("unix:{}", path.display()),
            manner: Arc::new(Mutex::new(Manner::Silent)),
            connections,
            listens: listens.abort_handle(),
        }
    }

    /// Meets connections to come in another way.
    pub fn set(&self, manner: Manner) {
        *self.manner.lock().expect("no holder of it panics") = manner;
    }

    /// Cuts all connections.
    pub fn cut_all(&self) {
        let mut connections = self.connections.lock().expect("no holder of it panics");
        connections.drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.listens.abort();
        self.cut_all();
    }
}

async fn meet(socket: TcpStream, manner: Manner, upstream: u16) {
    match manner {
        Manner::Tls(config) => {
            // What is wrong with a handshake is the client's to tell.
            if let Ok(socket) = TlsAcceptor::from(config).accept(socket).await {
                pass_on(socket, upstream).await;
            }
        }
        Manner::Silent => {
            let _held = socket;
            std::future::pending::<()>().await;
        }
    }
}

async fn pass_on(mut socket: impl AsyncRead + AsyncWrite + Unpin, upstream: u16) {
    if let Ok(mut comet) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await {
        let _ = copy_bidirectional(&mut socket, &mut comet).await;
    }
}
