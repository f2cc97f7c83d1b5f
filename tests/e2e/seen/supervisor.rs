//! What systemd hears: the protocol of sd_notify(3).

use std::os::unix::net::UnixDatagram;

use tempfile::TempDir;

use super::topic;
use crate::support::PATIENCE;
use crate::support::comet::Comet;
use crate::support::job::JobCommand;
use crate::support::messages::over_rooms;
use crate::support::socket::Socket;

const READY: &str = "READY=1";
const ALIVE: &str = "WATCHDOG=1";

/// Hears what systemd would.
struct Supervisor {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Supervisor {
    fn new() -> Supervisor {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("it can be bound");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("it can wait");
        Supervisor { socket, folder }
    }

    fn of(&self, job: JobCommand) -> JobCommand {
        job.env(
            "NOTIFY_SOCKET",
            &self.folder.path().join("notify").to_string_lossy(),
        )
    }

    /// Waits for the next words.
    fn words(&self) -> String {
        let mut words = [0; 256];
        let length = self.socket.recv(&mut words).expect("words come");
        String::from_utf8_lossy(&words[..length]).into_owned()
    }

    /// Forgets what was said.
    fn forget(&self) {
        self.socket.set_nonblocking(true).expect("it can be");
        while self.socket.recv(&mut [0; 256]).is_ok() {}
        self.socket.set_nonblocking(false).expect("it can be");
    }
}

/// The number in a line of `words` that begins so.
fn number(words: &str, name: &str) -> u64 {
    let value = words
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let number = value.and_then(|value| value.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in {words:?}"))
}

#[test]
fn systemd_hears_that_the_threads_go_on_until_one_stands_still() {
    let supervisor = Supervisor::new();
    let topic = topic(1);
    let comet = Comet::start();
    // Without the pages: they are no part of it.
    let job = topic
        .job(&[&comet])
        .log_level("INFO")
        .flag("--threads", "1");
    let job = supervisor.of(job).env("WATCHDOG_USEC", "400000");
    let mut job = job
        .fault("worker=1*sleep(5000);stands-still=return(1500)")
        .start();
    // A thread of its own says the one, and the others began before all are there.
    let mut heard = [(); 4].map(|()| supervisor.words());
    heard.sort_unstable();
    assert_eq!(heard, [READY, ALIVE, ALIVE, ALIVE]);
    topic.produce(over_rooms(1, 0, 1));
    job.await_line(&["ERROR", "stands still", "worker-0", "watchdog"]);
    supervisor.forget();
    // Nothing more is said before it goes on, which is when the message is delivered.
    assert_eq!(comet.count(), 0);
    assert_eq!(supervisor.words(), ALIVE);
    comet.await_delivered(1);
    job.stop();
}

#[test]
fn systemd_hears_of_a_reload_and_of_a_stop() {
    let (supervisor, socket) = (Supervisor::new(), Socket::new());
    let topic = topic(1);
    let comet = Comet::start();
    let job = topic.job(&[&comet]).flag("--control", &socket.flag());
    let mut job = supervisor.of(job).flag("--shutdown-timeout", "7s").start();
    assert_eq!(supervisor.words(), READY);

    for _ in 0..2 {
        socket.ctl(&["reload"]).well();
        let words = supervisor.words();
        assert!(words.starts_with("RELOADING=1\n"), "{words:?}");
        assert!(number(&words, "MONOTONIC_USEC") > 0);
        assert_eq!(supervisor.words(), READY);
    }

    job.stop();
    let words = supervisor.words();
    assert!(words.starts_with("STOPPING=1\n"), "{words:?}");
    // Time for the whole stop, and for what comes behind it.
    assert!(number(&words, "EXTEND_TIMEOUT_USEC") > 7_000_000);
}
