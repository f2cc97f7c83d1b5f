//! What the jobs' status pages show while things are broken.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use chatroom_job::observe::status::Status;

use crate::children::lock;
use crate::timeline::{Micros, now};

/// Between two looks at a page.
const EVERY: Duration = Duration::from_secs(1);

/// How long a page may take. It comes from a thread of its own, however slow everything else is.
const PATIENCE: Duration = Duration::from_secs(3);

/// Of 100 calls: twice as many as make a condition.
const FAIL: f64 = 10.0;

/// One look at one job's page.
pub struct Look {
    pub slot: usize,
    pub at: Micros,
    /// `None` where nobody answered.
    pub page: Option<Page>,
}

/// What a page said, as far as it matters for the verdict.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The process's id.
    pub process: u32,
    /// Their names, and what is so.
    pub conditions: Vec<(String, String)>,
    /// Addresses of Comets that job knows to be away, or at which many calls failed in the last seconds.
    pub failing: Vec<String>,
    /// Dead letters written since its start.
    pub letters: u64,
    pub has_partitions: bool,
}

impl Page {
    pub fn names(&self) -> Vec<&str> {
        let names = self.conditions.iter().map(|(name, _)| &name[..]);
        names.collect()
    }
}

impl From<Status> for Page {
    fn from(status: Status) -> Page {
        let conditions = status.conditions.into_iter();
        let comets = status.comets.into_iter();
        let failing = comets.filter(|comet| {
            ["down", "detached"].contains(&&comet.state[..]) || comet.failed_percent >= Some(FAIL)
        });
        Page {
            process: status.process,
            conditions: conditions.map(|one| (one.name, one.what)).collect(),
            failing: failing.map(|comet| comet.address).collect(),
            letters: status.dead_letters.written,
            has_partitions: !status.partitions.is_empty(),
        }
    }
}

/// All looks, in the order in which they were taken.
pub type Looks = Arc<Mutex<Vec<Look>>>;

/// Looks at the page of each slot's job until the campaign ends.
pub fn watch(ports: &[u16]) -> Looks {
    let looks = Looks::default();
    for (slot, port) in ports.iter().copied().enumerate() {
        let looks = looks.clone();
        thread::spawn(move || {
            loop {
                let at = now();
                let page = ask(port).map(Page::from);
                lock(&looks).push(Look { slot, at, page });
                thread::sleep(EVERY);
            }
        });
    }
    looks
}

fn ask(port: u16) -> Option<Status> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /status.json HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}

/// What stood on the pages, a line for each change. `at` says a time as the verdict does.
pub fn story<T: Display>(looks: &[Look], at: impl Fn(Micros) -> T) -> String {
    let mut text = String::new();
    let mut last = BTreeMap::new();
    for look in looks {
        let says = match &look.page {
            None => "no answer".into(),
            Some(page) => page.names().join(", "),
        };
        if last.get(&look.slot) != Some(&says) {
            let _ = writeln!(text, "{} job {}: {says}", at(look.at), look.slot);
            last.insert(look.slot, says);
        }
    }
    text
}
