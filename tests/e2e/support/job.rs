//! The `job` binary, run as its users run it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::dns::Dns;
use super::{await_until, is, signals, sockets};

const BINARY: &str = env!("CARGO_BIN_EXE_job");

/// How a job will be started.
pub struct JobCommand {
    command: Command,
    folder: TempDir,
}

impl JobCommand {
    pub fn new() -> JobCommand {
        JobCommand::of(Command::new(BINARY))
    }

    /// Under `nohup`, which has SIGHUP ignored.
    pub fn under_nohup() -> JobCommand {
        let mut command = Command::new("nohup");
        command.arg(BINARY);
        JobCommand::of(command)
    }

    /// With the system's lookups at a name server of the test's.
    pub fn with_names_from(dns: &Dns) -> JobCommand {
        JobCommand::of(dns.command(BINARY))
    }

    /// `job send` to a topic.
    pub fn send(brokers: &str, topic: &str) -> JobCommand {
        JobCommand::new().args(&["send", "--brokers", brokers, "--topic", topic])
    }

    pub fn args(mut self, args: &[&str]) -> JobCommand {
        self.command.args(args);
        self
    }

    fn of(mut command: Command) -> JobCommand {
        // No job.toml of whoever runs the tests, and none of their settings.
        let folder = TempDir::new().expect("a folder can be made");
        command.current_dir(&folder);
        signals::hang_up_by_default(&mut command);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let of_systemd = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
            let of_the_log = ["MUDUO_LOG_LEVEL", "RUST_LOG", "JOURNAL_STREAM"];
            if name.starts_with("JOB_")
                || of_the_log.contains(&&*name)
                || of_systemd.contains(&&*name)
            {
                command.env_remove(&*name);
            }
        }
        // Many jobs run at once: they would fight for the default port.
        command.env("JOB_HTTP", "off");
        command.env("JOB_CONTROL", "off");
        JobCommand { command, folder }
    }

    pub fn flag(mut self, name: &str, value: &str) -> JobCommand {
        self.command.args([name, value]);
        self
    }

    /// Serves metrics and health where the default says. All others serve nowhere, unless told.
    pub fn default_http(mut self) -> JobCommand {
        self.command.env_remove("JOB_HTTP");
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> JobCommand {
        self.command.env(name, value);
        self
    }

    /// Takes commands in the runtime folder, which is this one. All others take none, unless told.
    pub fn default_control(mut self, runtime: &Path) -> JobCommand {
        self.command.env_remove("JOB_CONTROL");
        self.command.env("XDG_RUNTIME_DIR", runtime);
        self
    }

    pub fn log_level(mut self, level: &str) -> JobCommand {
        self.command.env("MUDUO_LOG_LEVEL", level);
        self
    }

    /// A fault to inject, as the crate `fail` writes it: `worker=1*off->panic`.
    pub fn fault(mut self, fault: &str) -> JobCommand {
        self.command.env("FAILPOINTS", fault);
        self
    }

    pub fn start(self) -> Job {
        let mut job = self.start_unread();
        job.read();
        job
    }

    /// Nobody reads its standard output until [`Job::read`].
    pub fn start_unread(mut self) -> Job {
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{BINARY} does not start: {e}"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let err = follow(child.stderr.take().expect("it is piped"), "stderr: ", &log);
        Job {
            unread: child.stdout.take(),
            child,
            log,
            readers: vec![err],
            _folder: self.folder,
        }
    }
}

fn follow(
    output: impl Read + Send + 'static,
    prefix: &'static str,
    log: &Arc<Mutex<Vec<String>>>,
) -> JoinHandle<()> {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = format!("{prefix}{}", String::from_utf8_lossy(&line));
            log.lock().expect("no reader of it panics").push(line);
        }
    })
}

/// A job that runs; it is killed where a test leaves it running, and its log is shown where the test failed.
pub struct Job {
    child: Child,
    /// Its standard output, while nobody reads it.
    unread: Option<ChildStdout>,
    log: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl Job {
    /// Reads its standard output from now on.
    pub fn read(&mut self) {
        let out = self.unread.take().expect("nobody reads it yet");
        self.readers.push(follow(out, "", &self.log));
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().expect("no reader of it panics").clone()
    }

    /// The lines so far that hold all of these words.
    pub fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let mut lines = self.log();
        lines.retain(|line| words.iter().all(|word| line.contains(word)));
        lines
    }

    /// Waits for a line that holds all of these words.
    #[track_caller]
    pub fn await_line(&mut self, words: &[&str]) -> String {
        await_until(&format!("a line with {words:?}"), || {
            // Asked before the log is read: what it said before it ended is there then.
            let ended = self.try_exit();
            match (self.lines_with(words).into_iter().next(), ended) {
                (Some(line), _) => Ok(line),
                (None, Some(status)) => {
                    panic!("job ended ({status}) without a line with {words:?}")
                }
                (None, None) => Err("it did not come".into()),
            }
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        kill(pid, signal).expect("job runs and can be signalled");
    }

    /// Halts it with SIGSTOP, and comes back when it stands still.
    #[track_caller]
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        await_until("a halt of job", || is(is_halted(self.child.id()), true));
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// How many of its connections the other end, at this port, has closed while job still holds its own.
    pub fn half_closed(&self, port: u16) -> usize {
        sockets::half_closed(self.child.id(), port)
    }

    /// What the list of processes shows of it: its arguments.
    pub fn command_line(&self) -> String {
        let path = format!("/proc/{}/cmdline", self.child.id());
        std::fs::read_to_string(path).expect("job runs")
    }

    /// Bytes of its memory that are resident, as the kernel counts them.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("job runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: Option<u64> = kilobytes.and_then(|number| number.parse().ok());
        kilobytes.expect("the kernel says it") << 10
    }

    /// Whether it ignores a signal, as the kernel shows it.
    pub fn ignores(&self, signal: Signal) -> bool {
        signals::holds(self.child.id(), "SigIgn", signal)
    }

    /// How it ended, when it has.
    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        let status = self
            .child
            .try_wait()
            .expect("the child can be waited for")?;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader ends with its pipe");
        }
        Some(status)
    }

    #[track_caller]
    pub fn await_exit(&mut self) -> ExitStatus {
        await_until("job's end", || self.try_exit().ok_or("it runs".into()))
    }

    /// Stops it as systemd does, and checks that it ended well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.await_exit();
        assert!(status.success(), "job ended with {status}");
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.await_exit();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(200);
            eprintln!("--- the end of job's log:\n{}", log[from..].join("\n"));
        }
    }
}

/// Whether all threads of a process are stopped, as the kernel shows it.
fn is_halted(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("the process is there");
    threads.flatten().all(|thread| {
        // A thread may end in between.
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tT")
    })
}
