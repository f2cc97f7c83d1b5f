//! A running Comet: the server that takes calls, the one that serves people, and how both end.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chatroom_job::message::Dialect;
use futures_util::FutureExt;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::calls::Handler;
use super::dedupe::Dedupe;
use super::faults::Faults;
use super::goim::Goims;
use super::grpc::{Files, Listener, Server};
use super::hub::{Hub, Limits};
use super::record::Recorder;
use super::web;

/// How long a stop waits for calls and connections to end by themselves.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How a Comet is to be started.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it takes calls: `host:port`, where port 0 is any free one, or `unix:PATH`.
    pub listen: String,
    /// Which service it has.
    pub dialect: Dialect,
    /// What it has for TLS, if its callers speak it.
    pub tls: Option<Files>,
    /// Where it serves people, likewise.
    pub web: String,
    /// Where it writes down each call and answer, if it does.
    pub record: Option<PathBuf>,
    /// Whether `POST /fault` may make it fail.
    pub faults: bool,
    /// Whether it drops what it has taken before.
    pub dedupe: bool,
    /// What the page tells people to send messages with, as `job send --brokers 127.0.0.1:9092`.
    pub send_command: String,
}

/// A running Comet.
pub struct DevComet {
    /// Where it takes calls, with the real port.
    pub grpc: String,
    /// Where it serves the page and the WebSocket, with the real port.
    pub web: SocketAddr,
    hub: Arc<Hub>,
    server: Server,
    runtime: Runtime,
    stop_web: oneshot::Sender<()>,
    sockets_open: mpsc::Receiver<()>,
}

impl DevComet {
    /// Starts to listen, for calls and for people.
    ///
    /// An error says which address or file it was about and why it can't be had.
    pub fn start(settings: &Settings) -> Result<DevComet, String> {
        let web = settings.web.as_str();
        let hub = Arc::new(Hub::new(Limits::default()));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("dev-comet")
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the server's threads: {error}"))?;
        let recorder = settings.record.as_deref().map(Recorder::open).transpose()?;
        let faults = settings.faults.then(Arc::<Faults>::default);
        let handler = Handler {
            hub: hub.clone(),
            recorder: recorder.map(Arc::new),
            faults: faults.clone(),
        };
        let tls = settings.tls.as_ref().map(Files::acceptor).transpose()?;
        let listen = settings.listen.as_str();
        let no_calls = |error| cannot_listen("gRPC", listen, "--listen", &error);
        let (calls, grpc) = Listener::bind(listen).map_err(no_calls)?;
        let listener = TcpListener::bind(web)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| cannot_listen("the page", web, "--web", &error))?;
        let (stop_web, web_stops) = oneshot::channel();
        let (open, sockets_open) = mpsc::channel(1);
        let web = {
            let _inside = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|error| cannot_listen("the page", web, "--web", &error))?;
            let address = listener
                .local_addr()
                .map_err(|error| cannot_listen("the page", web, "--web", &error))?;
            let router = web::router(hub.clone(), faults, open, &settings.send_command)
                .into_make_service_with_connect_info::<SocketAddr>();
            runtime.spawn(async move {
                let served = axum::serve(listener, router)
                    .with_graceful_shutdown(web_stops.map(drop))
                    .await;
                if let Err(error) = served {
                    say(&format!("the web server ended: {error}"));
                }
            });
            address
        };
        let server = {
            let _inside = runtime.enter();
            let started = match (settings.dialect, settings.dedupe) {
                (Dialect::Chatroom, false) => Server::start(calls, tls, handler),
                (Dialect::Goim, false) => Server::start(calls, tls, Goims(handler)),
                (Dialect::Chatroom, true) => Server::start(calls, tls, Dedupe::new(handler)),
                (Dialect::Goim, true) => Server::start(calls, tls, Dedupe::new(Goims(handler))),
            };
            started.map_err(no_calls)?
        };
        Ok(DevComet {
            grpc,
            web,
            hub,
            server,
            runtime,
            stop_web,
            sockets_open,
        })
    }

    /// Takes no more calls, says goodbye to everybody, and ends.
    pub fn stop(mut self) {
        self.runtime.block_on(async {
            // A call that doesn't end by then ends with the process.
            let _ = tokio::time::timeout(STOP_TIMEOUT, self.server.shutdown()).await;
            self.hub.stop();
            // Its receiver is gone where the web server has ended by itself.
            let _ = self.stop_web.send(());
            let all_closed = async { while self.sockets_open.recv().await.is_some() {} };
            // Who takes longer is left behind: the process ends, and its sockets with it.
            let _ = tokio::time::timeout(STOP_TIMEOUT, all_closed).await;
        });
    }
}

fn cannot_listen(what: &str, address: &str, flag: &str, error: &dyn std::error::Error) -> String {
    format!(
        "cannot listen on {address} for {what}: {error}. {flag} takes another host:port; \
         port 0 is any free port"
    )
}

/// Tells whoever watches the terminal.
pub fn say(line: &str) {
    // If nobody can hear it, nobody needs it.
    let _ = writeln!(std::io::stderr(), "dev-comet: {line}");
}
