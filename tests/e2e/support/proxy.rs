//! A firewall between job and a Comet: it passes connections on, and can forget or cut them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// One address that leads to another. It stays for as long as the tests run.
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<Connection>>>,
    /// Bytes that went through it, either way.
    passed: Arc<AtomicUsize>,
}

struct Connection {
    forgotten: Arc<AtomicBool>,
    client: TcpStream,
}

impl Proxy {
    /// Passes on what connects to it to `upstream`.
    pub fn start(upstream: String) -> Proxy {
        Proxy::start_on(Ipv4Addr::LOCALHOST, upstream)
    }

    /// The same, reached by this address of the machine.
    pub fn start_on(address: Ipv4Addr, upstream: String) -> Proxy {
        let listener = TcpListener::bind((address, 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let connections = Arc::new(Mutex::new(Vec::new()));
        let made = Arc::clone(&connections);
        let passed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&passed);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Nobody there: the connection ends at once.
                let Ok(server) = TcpStream::connect(&upstream) else {
                    continue;
                };
                let forgotten = Arc::new(AtomicBool::new(false));
                let connection = Connection {
                    forgotten: Arc::clone(&forgotten),
                    client: client.try_clone().expect("a socket can be shared"),
                };
                made.lock()
                    .expect("no holder of it panics")
                    .push(connection);
                connect(client, server, forgotten, &counted);
            }
        });
        Proxy {
            address,
            connections,
            passed,
        }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Forgets the connections made so far: nothing passes any more, and nobody is told.
    pub fn forget_all(&self) {
        let connections = self.connections.lock().expect("no holder of it panics");
        for connection in &*connections {
            connection.forgotten.store(true, Ordering::Relaxed);
        }
    }

    /// Cuts the connections made so far, as the crash of what is behind it does.
    pub fn cut_all(&self) {
        let connections = self.connections.lock().expect("no holder of it panics");
        for connection in &*connections {
            let _ = connection.client.shutdown(Shutdown::Both);
        }
    }

    /// The same, behind a goodbye without an error, as a server's stop does that doesn't wait for its calls. Nothing may be on its way to the
    /// client.
    pub fn say_goodbye_and_cut_all(&self) {
        /// GOAWAY: all calls were taken; NO_ERROR.
        const GOODBYE: &[u8] = b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0";
        let mut connections = self.connections.lock().expect("no holder of it panics");
        for connection in &mut *connections {
            // Those that ended don't take it.
            let _ = connection.client.write_all(GOODBYE);
            let _ = connection.client.shutdown(Shutdown::Both);
        }
    }

    /// Forgets the first of them only.
    pub fn forget_first(&self) {
        let connections = self.connections.lock().expect("no holder of it panics");
        connections[0].forgotten.store(true, Ordering::Relaxed);
    }

    /// How many bytes went through it so far, either way.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        let connections = self.connections.lock().expect("no holder of it panics");
        connections.len()
    }
}

fn connect(
    client: TcpStream,
    server: TcpStream,
    forgotten: Arc<AtomicBool>,
    passed: &Arc<AtomicUsize>,
) {
    for socket in [&client, &server] {
        socket.set_nodelay(true).expect("a socket takes the option");
    }
    let again = |socket: &TcpStream| socket.try_clone().expect("a socket can be shared");
    let (from_client, to_client) = (again(&client), client);
    let (from_server, to_server) = (again(&server), server);
    for (from, to) in [(from_client, to_server), (from_server, to_client)] {
        let (forgotten, passed) = (Arc::clone(&forgotten), Arc::clone(passed));
        thread::spawn(move || pump(from, to, &forgotten, &passed));
    }
}

/// Passes on what comes, until its end. Of what was forgotten the other side hears nothing.
fn pump(mut from: TcpStream, mut to: TcpStream, forgotten: &AtomicBool, passed: &AtomicUsize) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        passed.fetch_add(length, Ordering::Relaxed);
        if !forgotten.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    if !forgotten.load(Ordering::Relaxed) {
        let _ = to.shutdown(Shutdown::Both);
    }
}
