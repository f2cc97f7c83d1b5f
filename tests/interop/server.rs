//! A server as a process that is started again and again.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How long one that was asked to stop has for it.
const STOPS_WITHIN: Duration = Duration::from_secs(10);

pub struct Server {
    command: String,
    child: Child,
}

impl Server {
    pub fn start(command: &str) -> io::Result<Self> {
        Ok(Self {
            command: command.to_owned(),
            child: spawn(command)?,
        })
    }

    /// Asks it to stop, or kills it, and starts another.
    pub fn restart(&mut self, kills: bool) -> io::Result<()> {
        self.stop(kills)?;
        self.child = spawn(&self.command)?;
        Ok(())
    }

    fn stop(&mut self, kills: bool) -> io::Result<()> {
        if !kills {
            self.signal(Signal::SIGTERM);
            let begin = Instant::now();
            while begin.elapsed() < STOPS_WITHIN {
                if self.child.try_wait()?.is_some() {
                    return Ok(());
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        self.signal(Signal::SIGKILL);
        self.child.wait().map(drop)
    }

    /// To it and to what it started: they are a process group.
    fn signal(&self, signal: Signal) {
        // It may be gone.
        let _ = killpg(Pid::from_raw(self.child.id() as i32), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop(true);
    }
}

fn spawn(command: &str) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
}
