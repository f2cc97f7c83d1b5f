//! A name server for one test, and a command that has its names looked up there.
//!
//! The system's resolver asks at port 53 of the server in /etc/resolv.conf. So the server has an address of loopback of its
//! own, and the command runs in a mount namespace where that file names it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tempfile::NamedTempFile;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// Answer, recursion wanted and available.
const OK: u16 = 0x8180;
const NO_SUCH_NAME: u16 = OK | 3;

/// The server, until dropped.
pub struct Dns {
    address: Ipv4Addr,
    zone: Arc<Zone>,
    resolv_conf: NamedTempFile,
}

#[derive(Default)]
struct Zone {
    /// A name that isn't there is NXDOMAIN.
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
    /// Whether questions about IPv6 are dropped.
    drops_aaaa: AtomicBool,
    questions: AtomicUsize,
    over: AtomicBool,
}

impl Dns {
    /// Starts one without names; `None`, and a line that says so, where this user may not.
    pub fn start() -> Option<Dns> {
        let owner = std::fs::metadata("/proc/self").expect("/proc is there");
        if owner.uid() != 0 {
            eprintln!(
                "NOT TESTED: names of Comets. A name server at port 53 and a mount namespace need root."
            );
            return None;
        }
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = (std::process::id() % 250) as u8 + 1;
        let address = Ipv4Addr::new(127, 53, process, NEXT.fetch_add(1, Ordering::Relaxed));
        let socket = UdpSocket::bind((address, 53)).expect("root may use port 53 of loopback");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("a socket takes a timeout");
        let resolv_conf = NamedTempFile::new().expect("a file can be made");
        std::fs::write(&resolv_conf, format!("nameserver {address}\n")).expect("it can be written");
        let zone = Arc::new(Zone::default());
        let served = Arc::clone(&zone);
        thread::spawn(move || serve(&socket, &served));
        Some(Dns {
            address,
            zone,
            resolv_conf,
        })
    }

    /// From now on the name has these addresses.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        let mut names = self.zone.names.lock().expect("no holder of it panics");
        names.insert(name.to_owned(), addresses.to_vec());
    }

    /// From now on there is no such name.
    pub fn remove(&self, name: &str) {
        let mut names = self.zone.names.lock().expect("no holder of it panics");
        names.remove(name);
    }

    /// From now on questions about IPv6 get no answer.
    pub fn drop_questions_about_ipv6(&self) {
        self.zone.drops_aaaa.store(true, Ordering::Relaxed);
    }

    /// How many questions came.
    pub fn questions(&self) -> usize {
        self.zone.questions.load(Ordering::Relaxed)
    }

    /// A command that looks names up here.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c"])
            .arg(r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#)
            .arg(self.resolv_conf.path())
            .arg(program);
        command
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.zone.over.store(true, Ordering::Relaxed);
        if thread::panicking() {
            eprintln!(
                "--- {} questions came to {}",
                self.questions(),
                self.address
            );
        }
    }
}

fn serve(socket: &UdpSocket, zone: &Zone) {
    let mut buffer = [0; 512];
    while !zone.over.load(Ordering::Relaxed) {
        // Mostly its timeout.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        zone.questions.fetch_add(1, Ordering::Relaxed);
        if let Some(answer) = answer(&buffer[..length], zone) {
            let _ = socket.send_to(&answer, from);
        }
    }
}

/// The answer to a packet with one question; `None` for one that is dropped.
fn answer(packet: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (id, question) = (packet.get(..2)?, packet.get(12..)?);
    let (name, length) = name(question)?;
    let kind = u16::from_be_bytes(question.get(length..length + 2)?.try_into().ok()?);
    let question = question.get(..length + 4)?;
    if kind == TYPE_AAAA && zone.drops_aaaa.load(Ordering::Relaxed) {
        return None;
    }
    let names = zone.names.lock().expect("no holder of it panics");
    let known = names.get(&name.to_lowercase());
    let asked_for = |address: &&IpAddr| match address {
        IpAddr::V4(_) => kind == TYPE_A,
        IpAddr::V6(_) => kind == TYPE_AAAA,
    };
    let addresses: Vec<_> = known.into_iter().flatten().filter(asked_for).collect();
    let flags = if known.is_some() { OK } else { NO_SUCH_NAME };
    let mut answer = id.to_vec();
    for number in [flags, 1, addresses.len() as u16, 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(question);
    for address in addresses {
        // The question's name (where it stands), its type, the internet, not to be kept.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        match address {
            IpAddr::V4(v4) => answer.extend([&[0, 4][..], &v4.octets()].concat()),
            IpAddr::V6(v6) => answer.extend([&[0, 16][..], &v6.octets()].concat()),
        }
    }
    Some(answer)
}

/// A question's name, and how many bytes it takes.
fn name(question: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 0);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += length;
    }
}
