//! What the end-to-end tests stand on: a real Kafka, a real gRPC server in Comet's place, and the `job` binary itself.

pub mod bodiless;
pub mod browser;
pub mod certificates;
pub mod comet;
pub mod command;
pub mod dead_address;
pub mod dev_comet;
pub mod dns;
pub mod front;
pub mod gaps;
pub mod http;
pub mod job;
pub mod kafka;
pub mod kcat;
pub mod messages;
pub mod prometheus;
pub mod proxy;
pub mod signals;
pub mod socket;
pub mod sockets;
pub mod stream;
pub mod tls_server;
pub mod tokens;
pub mod topic;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for what must come. Only a fault uses it up, so it is generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Polls `condition` until it gives `Ok`; its `Err` says how things stand, and is shown when patience ends.
#[track_caller]
pub fn await_until<T>(what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(state) if start.elapsed() > PATIENCE => {
                panic!("waited {PATIENCE:?} in vain for {what}: {state}")
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// `Ok` once `actual` is what it should be; else says what it is.
pub fn is<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("it is {actual:?}, not {expected:?}"))
    }
}

/// krafka's clients and the Comets' delayed answers live here.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a tokio runtime starts")
    });
    &RUNTIME
}

/// A free port from 15,000 to 24,999: below the range that the kernel hands out by itself, and below that of `scripts/lib.sh`, so
/// that nobody gets it by chance in the time until its server listens (again). There are more than all tests together need, so
/// that none gets one whose server is down for a moment.
pub fn free_port() -> u16 {
    const PORTS: u16 = 2_500;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = 15_000 + (std::process::id() % 4) as u16 * PORTS;
    (0..PORTS)
        .map(|_| start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("one of some thousand ports is free")
}
