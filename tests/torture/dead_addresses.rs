//! Addresses at which no Kafka answers.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How an address is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dead {
    /// Nobody listens.
    Refuses,
    /// It drops who connects, as a host does that is down.
    Swallows,
    /// It accepts, and never says a word.
    Mute,
}

impl Dead {
    pub const ALL: [Dead; 3] = [Dead::Refuses, Dead::Swallows, Dead::Mute];
}

impl fmt::Display for Dead {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Dead::Refuses => "first address refuses",
            Dead::Swallows => "first address drops packets",
            Dead::Mute => "first address accepts and is silent",
        })
    }
}

/// One address of each kind, dead for as long as this value lives.
pub struct DeadAddresses {
    refuses: TcpSocket,
    swallows: (TcpListener, Vec<TcpStream>),
    mute: SocketAddr,
}

impl DeadAddresses {
    pub async fn start() -> Result<DeadAddresses, String> {
        let failed = |e: std::io::Error| format!("a dead address can't be made: {e}");
        let bound = || {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            Ok(socket)
        };
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let mute = silent.local_addr().map_err(failed)?;
        tokio::spawn(async move {
            let mut kept = Vec::new();
            loop {
                match silent.accept().await {
                    Ok((client, _)) => kept.push(client),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
                // Of those that the other side closed, nothing is to be kept.
                kept.retain(|client: &TcpStream| client.try_read(&mut [0; 4096]).ok() != Some(0));
            }
        });
        Ok(DeadAddresses {
            refuses: bound().map_err(failed)?,
            swallows: full(bound().map_err(failed)?).await.map_err(failed)?,
            mute,
        })
    }

    /// Where such a one is.
    pub fn of(&self, dead: Dead) -> Result<SocketAddr, String> {
        match dead {
            Dead::Refuses => self.refuses.local_addr(),
            Dead::Swallows => self.swallows.0.local_addr(),
            Dead::Mute => Ok(self.mute),
        }
        .map_err(|e| format!("a dead address isn't known: {e}"))
    }
}

/// A listener that nobody accepts from, and whose queue is full: the kernel drops further requests to connect.
async fn full(socket: TcpSocket) -> std::io::Result<(TcpListener, Vec<TcpStream>)> {
    let listener = socket.listen(0)?;
    let address = listener.local_addr()?;
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(500);
    while let Ok(connected) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        waiting.push(connected?);
    }
    Ok((listener, waiting))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_dead_in_its_way() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads start");
        runtime.block_on(async {
            let all = DeadAddresses::start().await.expect("they can be made");
            let connect = async |dead| {
                let connecting = TcpStream::connect(all.of(dead).expect("it is known"));
                tokio::time::timeout(Duration::from_millis(700), connecting).await
            };
            let refused = connect(Dead::Refuses).await.expect("it is told at once");
            let kind = refused.map(|_| ()).map_err(|e| e.kind());
            assert_eq!(kind, Err(std::io::ErrorKind::ConnectionRefused));
            assert!(connect(Dead::Swallows).await.is_err(), "it waits");
            let connected = connect(Dead::Mute).await.expect("it is told at once");
            let stream = connected.expect("it is accepted");
            let silence = tokio::time::timeout(Duration::from_millis(200), stream.readable()).await;
            assert!(silence.is_err(), "nothing comes");
        });
    }
}
