//! The fleet's thread, with sources that change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::sources::Resolve;
use super::*;
use crate::comet::lookup::Family;
use crate::settings::fleet::comets;

const SOON: Duration = Duration::from_secs(60);
const REFRESH: Duration = Duration::from_millis(50);

/// A name server that a test changes.
#[derive(Clone, Default)]
struct Zone {
    names: Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>,
    /// Counts the questions.
    asked: Arc<AtomicUsize>,
}

impl Zone {
    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        self.names.lock().unwrap().insert(name.into(), addresses);
    }

    fn remove(&self, name: &str) {
        self.names.lock().unwrap().remove(name);
    }

    /// Waits for this many more questions.
    fn is_asked(&self, more: usize) {
        let enough = self.asked.load(Relaxed) + more;
        while self.asked.load(Relaxed) < enough {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn resolve(&self) -> Resolve {
        let (zone, asked) = (self.names.clone(), self.asked.clone());
        Arc::new(move |host, family| {
            asked.fetch_add(1, Relaxed);
            let all = zone.lock().unwrap().get(host).cloned().unwrap_or_default();
            let is_of = |ip: &IpAddr| ip.is_ipv4() == (family == Family::V4);
            let found: Vec<_> = all.into_iter().filter(is_of).collect();
            match found.is_empty() {
                true => Err(NotFound {
                    said: "no such name".into(),
                    certain: true,
                }),
                false => Ok(found),
            }
        })
    }
}

struct Running {
    group: Receiver<group::Event>,
    wire: Sender<Told>,
    directory: Arc<Directory>,
}

fn start(list: &str, zone: &Zone) -> (Vec<String>, Running) {
    let sources = comets(list).unwrap().0;
    let (own, heard) = unbounded();
    let ways = Ways {
        refresh: REFRESH,
        resolve: zone.resolve(),
        is_lean: false,
        tls: None,
        own,
    };
    let fleet = Fleet::with(sources, ways, heard, SOON);
    let comets = fleet.comets();
    let wire = fleet.wire();
    let directory = Arc::new(Directory::new(&comets, Duration::ZERO, wire.clone()).unwrap());
    let (to_group, group) = unbounded();
    fleet.spawn(directory.clone(), to_group).unwrap();
    let names = comets.iter().map(Node::to_string).collect();
    let running = Running {
        group,
        wire,
        directory,
    };
    (names, running)
}

impl Running {
    /// The next change, in words.
    fn change(&self) -> String {
        match self.group.recv_timeout(SOON) {
            Ok(group::Event::Fleet(Change::Join(comet, node))) => format!("+{} {node}", comet.0),
            Ok(group::Event::Fleet(Change::Become(comet, node))) => {
                format!(
                    "{} {node}{}",
                    comet.0,
                    if node.drains { " drains" } else { "" }
                )
            }
            Ok(group::Event::Fleet(Change::Leave(comet))) => format!("-{}", comet.0),
            _ => panic!("no change came"),
        }
    }
}

fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, path).unwrap();
}

#[test]
fn a_file_that_changes_changes_the_fleet_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("comets.json");
    put(&path, r#"["a=10.0.0.1:1", "b=10.0.0.2:1"]"#);
    let list = format!("file://{},z=10.0.0.9:1", path.display());
    let (names, running) = start(&list, &Zone::default());
    assert_eq!(
        names,
        ["a (10.0.0.1:1)", "b (10.0.0.2:1)", "z (10.0.0.9:1)"]
    );
    put(&path, "[");
    put(&path, "[]");
    put(&path, r#"["unix:/run/comet.sock"]"#);
    fs::remove_file(&path).unwrap();
    put(
        &path,
        r#"[{"targets": ["10.0.0.2:1"], "labels": {"name": "b", "drain": true}}, "c=10.0.0.3:1"]"#,
    );
    assert_eq!(running.change(), "-0");
    assert_eq!(running.change(), "1 b (10.0.0.2:1) drains");
    assert_eq!(running.change(), "+3 c (10.0.0.3:1)");
    let target = |comet| {
        running
            .directory
            .get(CometId(comet))
            .unwrap()
            .location
            .target()
    };
    assert_eq!(target(3).as_deref(), Some("ipv4:10.0.0.3:1"));
    assert_eq!(
        target(0).as_deref(),
        Some("ipv4:10.0.0.1:1"),
        "something may be under way"
    );
    running.wire.send(Told::Gone(CometId(0))).unwrap();
    put(&path, r#"["a=10.0.0.1:1", "b=10.0.0.2:1", "c=10.0.0.3:1"]"#);
    assert_eq!(running.change(), "1 b (10.0.0.2:1)");
    assert_eq!(running.change(), "+4 a (10.0.0.1:1)");
    assert!(running.directory.get(CometId(0)).is_none());
}

#[test]
fn each_address_of_a_name_is_a_comet_and_a_name_that_is_lost_empties_nothing() {
    let zone = Zone::default();
    zone.set("comet", &["10.0.0.1", "10.0.0.2"]);
    let (names, running) = start("dns:///comet:50051", &zone);
    assert_eq!(names, ["10.0.0.1:50051", "10.0.0.2:50051"]);
    zone.remove("comet");
    zone.is_asked(12);
    assert!(running.group.is_empty());
    zone.set("comet", &["10.0.0.2", "10.0.0.3", "fd00::3"]);
    // People may still be where nobody new is sent to.
    assert_eq!(running.change(), "0 10.0.0.1:50051 drains");
    assert_eq!(running.change(), "+2 10.0.0.3:50051");
    let fails = |comet| {
        let known = running.directory.get(CometId(comet)).expect("it is there");
        known.location.failed();
    };
    fails(2);
    fails(0);
    assert_eq!(running.change(), "-0");
    zone.set("comet", &["10.0.0.3"]);
    assert_eq!(running.change(), "1 10.0.0.2:50051 drains");
    zone.set("comet", &["10.0.0.3", "10.0.0.2"]);
    assert_eq!(running.change(), "1 10.0.0.2:50051");
    fails(1);
    zone.is_asked(12);
    assert!(running.group.is_empty());
}

/// The answer about IPv4 was late, or was lost.
#[test]
fn addresses_of_both_kinds_never_get_messages_at_the_same_time() {
    let zone = Zone::default();
    zone.set("comet", &["fd00::1", "fd00::2"]);
    let (names, running) = start("dns:///comet:50051", &zone);
    assert_eq!(names, ["[fd00::1]:50051", "[fd00::2]:50051"]);
    zone.set("comet", &["fd00::1", "fd00::2", "10.0.0.1"]);
    let changes = [running.change(), running.change(), running.change()];
    assert_eq!(changes, ["-0", "-1", "+2 10.0.0.1:50051"]);
}

#[test]
fn a_name_that_is_not_there_yet_is_a_fleet_without_comets() {
    let zone = Zone::default();
    let (names, running) = start("dns:///comet:50051", &zone);
    assert!(names.is_empty());
    zone.set("comet", &["10.0.0.1"]);
    assert_eq!(running.change(), "+0 10.0.0.1:50051");
}

#[test]
fn other_sources_change_only_what_they_change() {
    let zone = Zone::default();
    zone.set("comet", &["10.0.0.1"]);
    let (_, running) = start("dns:///comet:1,a:1", &zone);
    let sources = comets("b:1,dns:///comet:1").unwrap().0;
    running.wire.send(Told::Settings(sources, REFRESH)).unwrap();
    assert_eq!(running.change(), "-1");
    assert_eq!(running.change(), "+2 b:1");
    zone.set("comet", &["10.0.0.1", "10.0.0.2"]);
    assert_eq!(running.change(), "+3 10.0.0.2:1");
    // One that says nothing yet empties nothing.
    let sources = comets("dns:///other:1").unwrap().0;
    running.wire.send(Told::Settings(sources, REFRESH)).unwrap();
    zone.is_asked(12);
    assert!(running.group.is_empty());
    zone.set("other", &["10.0.0.2"]);
    let mut changes = [running.change(), running.change()];
    changes.sort();
    assert_eq!(changes, ["-0", "-2"]);
}
