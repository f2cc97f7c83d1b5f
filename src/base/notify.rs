//! What systemd, or another supervisor with its protocol, is told: that job runs, that its threads go on, that it reads its settings
//! again, and that it stops.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The service runs; or it has read its settings again.
pub const READY: &str = "READY=1";
/// The watchdog's time begins anew.
pub const ALIVE: &str = "WATCHDOG=1";

/// The settings are read again, until [`READY`].
pub fn reloading() -> String {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros())
}

/// The service stops, which may take this long. It asks for the time as well, so that the unit's own limit needn't fit the setting.
pub fn stopping(within: Duration) -> String {
    /// For what comes behind the stop itself, as the log's last lines.
    const TO_SPARE: Duration = Duration::from_secs(5);
    let micros = within.saturating_add(TO_SPARE).as_micros();
    format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}")
}

/// Tells the supervisor that this process's environment names, if it names one.
pub fn tell(words: &str) {
    if let Some(supervisor) = supervisor() {
        supervisor.tell(words);
    }
}

/// The supervisor that this process's environment names.
pub fn supervisor() -> Option<&'static Supervisor> {
    static SUPERVISOR: OnceLock<Option<Supervisor>> = OnceLock::new();
    SUPERVISOR.get_or_init(Supervisor::of_environment).as_ref()
}

/// Where the supervisor listens.
#[derive(Debug)]
pub struct Supervisor {
    socket: UnixDatagram,
    at: SocketAddr,
    /// Without [`ALIVE`] for this long it ends the process, where it watches it at all.
    pub watchdog: Option<Duration>,
}

impl Supervisor {
    fn of_environment() -> Option<Self> {
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let own = u64::from(std::process::id());
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == own);
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_meant);
        let at = env::var("NOTIFY_SOCKET").ok()?;
        match Self::at(&at, watchdog.map(Duration::from_micros)) {
            Ok(supervisor) => Some(supervisor),
            Err(error) => {
                log::warn!(
                    "NOTIFY_SOCKET is {at:?}, and it can't be used: {error}; whoever started job hears nothing of it"
                );
                None
            }
        }
    }

    fn at(place: &str, watchdog: Option<Duration>) -> io::Result<Self> {
        let at = match place.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(place)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that takes nothing is no reason to wait.
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            at,
            watchdog,
        })
    }

    /// Tells it. Where that fails, the next word may come through.
    pub fn tell(&self, words: &str) {
        let _ = self.socket.send_to_addr(words.as_bytes(), &self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_through_by_path_and_by_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("@chatroom-job-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name[1..]).expect("a name");
        let path = path.to_str().expect("text");
        for (place, bound) in [
            (path, UnixDatagram::bind(path)),
            (&name, UnixDatagram::bind_addr(&abstract_name)),
        ] {
            let bound = bound.expect("it can be bound");
            let supervisor = Supervisor::at(place, None).expect("it is there");
            supervisor.tell(READY);
            let mut word = [0; 64];
            let length = bound.recv(&mut word).expect("a word");
            assert_eq!(&word[..length], READY.as_bytes());
        }
    }

    #[test]
    fn times_are_told_in_microseconds() {
        let words = reloading();
        let at = words.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let at: u64 = at.and_then(|at| at.parse().ok()).expect("a time");
        assert!(at > 0);
        let words = stopping(Duration::from_secs(8));
        assert_eq!(words, "STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000");
    }
}
