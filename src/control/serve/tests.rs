use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use crossbeam_channel::{Receiver, unbounded};
use log::LevelFilter;
use tempfile::TempDir;

use super::super::desk::Wires;
use super::super::place::Place;
use super::super::{Reload, spawn};
use super::*;
use crate::figures::Figures;
use crate::message::consumer::{Control, Paused};
use crate::message::group::{self, Skip, Skipped};
use crate::message::{CometId, Held, PartitionId, Topics};
use crate::settings::args::SettingArgs;
use crate::settings::load::{Environment, Loaded, load};

/// Settings as with these flags.
fn loaded(flags: &[&str]) -> Loaded {
    let command = SettingArgs::augment_args(clap::Command::new("job"));
    let matches = command.get_matches_from([&["job"], flags].concat());
    let environment = Environment {
        variables: Default::default(),
        folder: std::env::temp_dir(),
    };
    load(&matches, &environment).expect("they are right")
}

/// A job's threads, as far as commands reach them.
struct Bench {
    _folder: TempDir,
    _place: Place,
    path: PathBuf,
    consumer: Receiver<Control>,
    group: Receiver<group::Event>,
}

impl Bench {
    /// `again`: the flags as they are at a reload.
    fn new(flags: &[&str], again: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("job.sock");
        let (place, listener) = Place::take(&path).expect("it is free");
        let (to_consumer, consumer) = unbounded();
        let (to_group, group) = unbounded();
        let wires = Wires {
            consumer: to_consumer,
            group: to_group,
            topics: Topics::new(["chat".to_owned()]),
            figures: Arc::new(Figures::new(
                &["a:1".into(), "b:1".into()],
                0,
                Held::default(),
            )),
            reload: Reload {
                current: loaded(flags),
                read: Box::new(move || match again {
                    ["wrong"] => Err("job.toml:1: it is wrong\n".into()),
                    flags => Ok(loaded(flags)),
                }),
                apply: Box::new(|_| ()),
            },
        };
        spawn(listener, Desk::new(wires)).expect("a thread");
        Self {
            _folder: folder,
            _place: place,
            path,
            consumer,
            group,
        }
    }

    fn says(&self, line: &str) -> Reply {
        ask(&self.path, line.as_bytes())
    }

    /// What it says to a line, while the consumer answers this.
    fn pauses(&self, line: &str, was_paused: bool) -> (bool, String) {
        let consumer = self.consumer.clone();
        let answers = std::thread::spawn(move || {
            let Ok(Control::Pause { paused, reply }) = consumer.recv() else {
                panic!("another control");
            };
            let held = Held {
                messages: 3,
                bytes: 9,
            };
            reply
                .send(Paused { was_paused, held })
                .expect("it is waited for");
            paused
        });
        let said = self.says(line).says.join("\n");
        (answers.join().expect("it ends"), said)
    }

    /// What it says to a skip, while the group answers this.
    fn skips(&self, line: &str, skipped: Skipped) -> Reply {
        let group = self.group.clone();
        let answers = std::thread::spawn(move || {
            let Ok(group::Event::Skip(Skip {
                partition,
                offset,
                reply,
                ..
            })) = group.recv()
            else {
                panic!("another event");
            };
            assert_eq!((partition, offset), (PartitionId::of_first(3), 12));
            reply.send(skipped).expect("it is waited for");
        });
        let reply = self.says(line);
        answers.join().expect("it ends");
        reply
    }
}

fn read(mut client: Client) -> String {
    let mut text = String::new();
    // Where not all of a line was read, its connection is reset.
    let _ = client.read_to_string(&mut text);
    text
}

fn ask(path: &Path, line: &[u8]) -> Reply {
    let mut client = Client::connect(path).expect("it listens");
    // A line that is too long isn't read to its end: the answer tells.
    let _ = client.write_all(&[line, b"\n"].concat());
    let text = read(client);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn a_pause_says_what_is_in_hand() {
    let bench = Bench::new(&[], &[]);
    let text = "reading is paused; 3 messages in hand are finished and committed";
    assert_eq!(bench.pauses("pause", false), (true, text.into()));
    let text = "reading is paused already; 3 messages in hand";
    assert_eq!(bench.pauses("pause", true), (true, text.into()));
    assert_eq!(
        bench.pauses("resume", true),
        (false, "reading goes on".into())
    );
    assert_eq!(
        bench.pauses("resume", false),
        (false, "reading isn't paused".into())
    );
}

#[test]
fn a_skip_says_who_gets_the_message_and_who_does_not() {
    let bench = Bench::new(&[], &[]);
    let reply = bench.skips(
        "skip chat 3 12",
        Skipped::Taken {
            queued: vec![CometId(1)],
            in_flight: vec![CometId(0)],
            missed: Vec::new(),
        },
    );
    let text = "chat[3]@12 is skipped; it becomes a dead letter for b:1; a call is under way to a:1, which has it if that ends \
                well, and else it isn't tried again";
    assert_eq!((reply.ok, &reply.says[..]), (true, &[text.to_owned()][..]));
    for (skipped, says) in [
        (Skipped::NotOurs, "this job doesn't have the partition"),
        (Skipped::Suspect, "may be another member's"),
        (Skipped::Unread { next: 7 }, "the next to be read is 7"),
        (
            Skipped::Finished { missed: Vec::new() },
            "is finished already",
        ),
        (
            Skipped::Finished {
                missed: vec![CometId(1)],
            },
            "b:1 missed it",
        ),
        (Skipped::NotHeld, "no worker has it"),
    ] {
        let reply = bench.skips("skip 3 12", skipped);
        assert!(!reply.ok && reply.says[0].contains(says), "{reply:?}");
    }
    let reply = bench.says("skip other 3 12");
    assert_eq!(reply.says, ["this job reads chat, not other"]);
}

#[test]
fn the_level_changes_and_the_journal_names_who_gave_the_commands() {
    let bench = Bench::new(&[], &[]);
    assert_eq!(
        bench.says("journal").says,
        ["no command was given since this job's start"]
    );
    let before = log::max_level();
    assert!(bench.says("log-level debug").ok);
    assert_eq!(log::max_level(), LevelFilter::Debug);
    assert!(!bench.says("log-level loud").ok);
    assert!(bench.says(&format!("log-level {}", LevelFilter::Error)).ok);
    log::set_max_level(before);
    let journal = bench.says("journal").journal;
    let commands: Vec<_> = journal
        .iter()
        .map(|entry| (&entry.command[..], entry.ok))
        .collect();
    let given = [
        ("log-level DEBUG", true),
        ("log-level loud", false),
        ("log-level ERROR", true),
    ];
    assert_eq!(commands, given);
    let pid = i32::try_from(std::process::id()).expect("a process id");
    for entry in &journal {
        assert_eq!((entry.uid, entry.pid), (geteuid().as_raw(), Some(pid)));
        assert_eq!(entry.at.len(), "2026-11-23 06:49:37".len());
    }
}

#[test]
fn a_reload_applies_all_or_nothing() {
    let says = |flags: &[&str], again: &'static [&'static str]| {
        let reply = Bench::new(flags, again).says("reload");
        (reply.ok, reply.says)
    };
    let changed = ["--log-messages=off", "--hold-messages=9"];
    let (ok, lines) = says(
        &["--log-messages=on", "--hold-messages=4000"],
        &["--log-messages=off", "--hold-messages=9"],
    );
    assert_eq!(changed.len() + 1, lines.len());
    assert!(
        ok && lines[0] == "applied: hold-messages, log-messages",
        "{lines:?}"
    );
    assert_eq!(lines[2], "log-messages: on → off (--log-messages)");

    let (ok, lines) = says(&[], &["--log-messages=off", "--topic=other", "--threads=2"]);
    assert!(!ok);
    assert_eq!(
        lines[0],
        "nothing is applied, as this needs a restart: topic, threads"
    );
    assert_eq!(lines.len(), 4);

    let (ok, lines) = says(&["--topic=a"], &["--topic=a"]);
    assert!(ok && lines[0].starts_with("no setting has changed"));
    let (ok, lines) = says(&[], &["wrong"]);
    assert_eq!(
        (ok, &lines[0][..]),
        (false, "nothing is applied: job.toml:1: it is wrong")
    );

    // The fetcher that was chosen without a limit may not read the records' times.
    assert!(!says(&[], &["--max-age=5m"]).0);
    assert!(says(&["--max-age=9m"], &["--max-age=5m"]).0);
    assert!(says(&["--max-age=9m"], &[]).0);
    assert!(says(&["--fetch=modern"], &["--fetch=modern", "--max-age=5m"]).0);
}

#[test]
fn what_is_no_command_harms_nothing() {
    let bench = Bench::new(&[], &[]);
    // Nothing, and then gone.
    drop(Client::connect(&bench.path).expect("it listens"));
    let reply = ask(&bench.path, b"GET / HTTP/1.1");
    assert!(
        !reply.ok && reply.says[0].starts_with("no such command"),
        "{reply:?}"
    );
    let reply = ask(&bench.path, b"\xff\xfe");
    assert_eq!(reply.says, ["a command is UTF-8 text"]);
    let reply = ask(&bench.path, &[b'a'; 1_500]);
    assert_eq!(reply.says, ["a command has 1024 bytes at most"]);
    // A line may end with the connection.
    let mut client = Client::connect(&bench.path).expect("it listens");
    client.write_all(b"journal").expect("it reads");
    client
        .shutdown(std::net::Shutdown::Write)
        .expect("it can end");
    assert!(read(client).contains("\"ok\":true"));
}

#[test]
fn more_than_a_few_at_once_are_turned_away() {
    let bench = Bench::new(&[], &[]);
    let silent: Vec<_> = (0..CONNECTIONS)
        .map(|_| Client::connect(&bench.path).expect("it listens"))
        .collect();
    // They are taken in their order, so this one is the fifth.
    let late = Client::connect(&bench.path).expect("it listens");
    assert!(read(late).contains("too many commands at once"));
    drop(silent);
    // Their places are free once their ends were seen.
    loop {
        let mut client = Client::connect(&bench.path).expect("it listens");
        let _ = client.write_all(b"journal\n");
        if read(client).contains("\"ok\":true") {
            return;
        }
        std::thread::yield_now();
    }
}
