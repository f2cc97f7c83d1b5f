//! TLS for krafka where a broker's certificate may have any name. krafka checks all of a certificate or nothing, so it
//! speaks without TLS to a relay inside this process, and the relay speaks TLS to the broker.
//!
//! The relay is a SOCKS5 server on the loopback interface. Only who knows the password of this process gets in:
//! others on this machine must not use its client certificate.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::{socks, tls};
use crate::kafka::dial;
use crate::kafka::finding::Finding;
use crate::settings::security::{Secret, Tls};

/// How long everything may take before records flow. krafka gives up sooner.
const OPENING: Duration = Duration::from_secs(10);

/// Before the next try, where the system has no file for a connection.
const PAUSE: Duration = Duration::from_millis(100);

const BYTES_OF_PASSWORD: usize = 24;

/// A relay, until it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    password: Secret,
    _until: oneshot::Sender<()>,
}

impl Relay {
    /// # Errors
    /// The system refuses a port or a thread.
    pub fn start(tls: &Tls) -> io::Result<Relay> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut random = [0; BYTES_OF_PASSWORD];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let password = Secret::new(&URL_SAFE_NO_PAD.encode(random));
        let side = Arc::new(FarSide {
            tls: tls.clone(),
            password: password.clone(),
            said: Mutex::default(),
        });
        let (until, dropped) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        thread::Builder::new()
            .name("kafka-tls".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = dropped => {}
                        () = accept(listener, side) => {}
                    }
                });
            })?;
        Ok(Relay {
            address,
            password,
            _until: until,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn password(&self) -> &Secret {
        &self.password
    }
}

/// What a connection to a broker needs.
struct FarSide {
    tls: Tls,
    password: Secret,
    /// By address, what was last said of it: said again when it is another.
    said: Mutex<HashMap<String, Finding>>,
}

async fn accept(listener: TcpListener, side: Arc<FarSide>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return log::error!("no TLS to Kafka: the relay can't listen: {error}"),
    };
    loop {
        match listener.accept().await {
            Ok((near, _)) => {
                let side = side.clone();
                tokio::spawn(async move {
                    // krafka sees that its connection ended, and says so.
                    let _ = side.serve(near).await;
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

impl FarSide {
    async fn serve(&self, mut near: TcpStream) -> io::Result<()> {
        near.set_nodelay(true)?;
        let opened = timeout(OPENING, self.open(&mut near)).await;
        let Some((address, mut far)) = opened.map_err(io::Error::from)?? else {
            return Ok(());
        };
        let ended = copy_bidirectional(&mut near, &mut far).await;
        // A broker refuses a client certificate after it began TLS.
        if let Err(error) = &ended
            && super::words::tls_error(error).is_some()
        {
            let shown = self.tls.client.is_some();
            self.say(&address, super::words::of_handshake(error, shown));
        }
        ended.map(drop)
    }

    /// Connects to the broker that krafka names; `None` where that fails, and krafka knows.
    async fn open(
        &self,
        near: &mut TcpStream,
    ) -> io::Result<Option<(String, TlsStream<TcpStream>)>> {
        let address = socks::asked_for(near, &self.password).await?;
        let Ok(stream) = dial::connect(&address).await else {
            socks::refuse(near).await?;
            return Ok(None);
        };
        stream.set_nodelay(true)?;
        match tls::connect(&address, stream, &self.tls).await {
            Ok(far) => {
                self.said().remove(&address);
                socks::agree(near).await?;
                Ok(Some((address, far)))
            }
            Err(finding) => {
                self.say(&address, finding);
                socks::refuse(near).await?;
                Ok(None)
            }
        }
    }

    fn say(&self, address: &str, finding: Finding) {
        let mut said = self.said();
        if said.get(address) != Some(&finding) {
            let Finding { cause, advice } = &finding;
            log::warn!(cause; "TLS to Kafka at {address}: {cause}. {advice}");
            said.insert(address.to_owned(), finding);
        }
    }

    fn said(&self) -> std::sync::MutexGuard<'_, HashMap<String, Finding>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
