//! The processes that a campaign starts and breaks: jobs and Comets.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::timeline::{Micros, now};

/// One process of a job, from start to end.
#[derive(Debug)]
pub struct Life {
    pub slot: usize,
    pub pid: u32,
    /// Whether an address at which no Kafka answers was first in its list.
    pub has_dead_address: bool,
    pub started: Micros,
    pub signalled: Option<Micros>,
    pub ended: Option<Micros>,
    pub end: End,
    /// Most kilobytes that were resident, and when.
    pub memory: (u64, Micros),
    /// Lines of its log that matter for the verdict, with the time at which they came.
    pub notes: Vec<(Micros, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Runs,
    Killed,
    Stopped,
    /// It ended though nobody asked it to.
    ByItself,
}

/// All jobs that ever ran.
pub type Lives = Arc<Mutex<Vec<Life>>>;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What in a job's log matters for the verdict.
const NOTED: [&str; 14] = [
    "has transactions",
    "reading from offset",
    "are released",
    "it is detached",
    "before this process had it",
    "has caught up",
    "gets what is new again",
    "not finished in time",
    "time is up",
    "panicked",
    "lost partitions",
    "the metadata of a commit has",
    "left the fleet",
    "joined the fleet",
];

/// A process that is killed when the campaign ends, however it ends.
pub struct Process {
    pub child: Child,
}

impl Process {
    /// Must be called on the campaign's main thread: the system kills the child when the thread that made it ends.
    fn spawn(mut command: Command) -> Result<Process, String> {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("JOB_") || name == "MUDUO_LOG_LEVEL" || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        // Several jobs run at once: they would fight for the default port. Each is told one of its own.
        command.env("JOB_HTTP", "off");
        command.env("JOB_CONTROL", "off");
        // A Ctrl-C in the terminal is the campaign's to deal with.
        command.process_group(0).stdin(Stdio::null());
        let ask = || nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(std::io::Error::from);
        // SAFETY: between fork and exec it makes one system call, and allocates nothing.
        unsafe { command.pre_exec(ask) };
        command
            .spawn()
            .map(|child| Process { child })
            .map_err(|e| format!("{} does not start: {e}", command.get_program().display()))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        // It fails where the process is gone already.
        let _ = kill(Pid::from_raw(self.pid() as i32), signal);
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary of this name, built together with this program.
pub fn binary(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe()
        .map_err(|e| format!("this program's own place is not known: {e}"))?;
    let folder = own
        .parent()
        .and_then(Path::parent)
        .ok_or("this program has no folder")?;
    let path = folder.join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!(
            "{} is missing: run scripts/torture, which builds it",
            path.display()
        ))
    }
}

/// How the job of one slot is started.
pub struct JobCommand {
    pub program: PathBuf,
    pub folder: PathBuf,
    pub slot: usize,
    /// All but the brokers.
    pub flags: Vec<String>,
    /// The brokers' addresses.
    pub kafka: String,
    /// An address at which no Kafka answers, to be tried before Kafka's.
    pub dead: Option<SocketAddr>,
    /// What is otherwise than for users, as job's failpoints.
    pub trial: String,
    pub lives: Lives,
}

/// A job that runs.
pub struct Job {
    pub process: Process,
    /// Its place in [`Lives`].
    pub life: usize,
}

impl JobCommand {
    pub fn start(&self) -> Result<Job, String> {
        let brokers = match self.dead {
            Some(dead) => format!("{dead},{}", self.kafka),
            None => self.kafka.clone(),
        };
        let mut command = Command::new(&self.program);
        command
            .env("FAILPOINTS", &self.trial)
            .args(["--brokers", &brokers])
            .args(&self.flags)
            .current_dir(&self.folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let started = now();
        let mut process = Process::spawn(command)?;
        let life = {
            let mut lives = lock(&self.lives);
            lives.push(Life {
                slot: self.slot,
                pid: process.pid(),
                has_dead_address: self.dead.is_some(),
                started,
                signalled: None,
                ended: None,
                end: End::Runs,
                memory: (0, started),
                notes: Vec::new(),
            });
            lives.len() - 1
        };
        let log = self
            .folder
            .join(format!("job-{}-life-{life:03}.log", self.slot));
        let log = File::create(&log).map_err(|e| format!("cannot write {}: {e}", log.display()))?;
        let log = Arc::new(Mutex::new(log));
        for output in [
            process
                .child
                .stdout
                .take()
                .map(|o| Box::new(o) as Box<dyn Read + Send>),
            process
                .child
                .stderr
                .take()
                .map(|o| Box::new(o) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let (log, lives) = (log.clone(), self.lives.clone());
            thread::spawn(move || follow(output, &log, &lives, life));
        }
        Ok(Job { process, life })
    }
}

/// Writes a job's log into a file, but for the block of each message.
fn follow(output: impl Read, log: &Mutex<File>, lives: &Lives, life: usize) {
    let mut block = 0;
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if line.ends_with("Received PushMsg:") {
            block = 4;
            continue;
        }
        if block > 0 {
            block -= 1;
            continue;
        }
        if NOTED.iter().any(|words| line.contains(words)) {
            lock(lives)[life]
                .notes
                .push((now(), line.clone().into_owned()));
        }
        // Where the disk is full, the verdict is what counts.
        let _ = writeln!(lock(log), "{line}");
    }
}

/// Kilobytes resident, as the system counts them.
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// One Comet, which comes and goes at fixed ports.
pub struct Comet {
    program: PathBuf,
    folder: PathBuf,
    number: usize,
    pub grpc: SocketAddr,
    web: SocketAddr,
    lives: usize,
    pub process: Option<Process>,
}

impl Comet {
    pub fn new(program: &Path, folder: &Path, number: usize) -> Comet {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Comet {
            program: program.to_owned(),
            folder: folder.to_owned(),
            number,
            grpc: local(free_port()),
            web: local(free_port()),
            lives: 0,
            process: None,
        }
    }

    /// Starts it, and comes back when it listens. Each life records to a file of its own: its path.
    pub fn start(&mut self) -> Result<PathBuf, String> {
        let record = self.folder.join(format!(
            "comet-{}-life-{:03}.record",
            self.number, self.lives
        ));
        let log = self
            .folder
            .join(format!("comet-{}-life-{:03}.log", self.number, self.lives));
        self.lives += 1;
        let log = File::create(&log).map_err(|e| format!("cannot write {}: {e}", log.display()))?;
        let errors = log
            .try_clone()
            .map_err(|e| format!("cannot write a log: {e}"))?;
        let mut command = Command::new(&self.program);
        command
            .args([
                "--listen",
                &self.grpc.to_string(),
                "--web",
                &self.web.to_string(),
            ])
            .arg("--record")
            .arg(&record)
            .arg("--faults")
            .stdout(log)
            .stderr(errors);
        let mut process = Process::spawn(command)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !(listens(self.web) && listens(self.grpc)) {
            if let Some(status) = process.ended() {
                return Err(format!(
                    "Comet {} ended while it was starting: {status}",
                    self.number
                ));
            }
            if Instant::now() > deadline {
                return Err(format!("Comet {} did not start within 30 s", self.number));
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
        Ok(record)
    }

    /// Sets the fault that it shows.
    pub fn fault(&self, json: &str) -> Result<(), String> {
        let failed =
            |e: std::io::Error| format!("Comet {} can't be told its fault: {e}", self.number);
        let mut stream = TcpStream::connect(self.web).map_err(failed)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .map_err(failed)?;
        write!(
            stream,
            "POST /fault HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{json}",
            self.web,
            json.len()
        )
        .map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        if answer.starts_with("HTTP/1.1 204") {
            Ok(())
        } else {
            Err(format!(
                "Comet {} refused the fault {json}: {answer}",
                self.number
            ))
        }
    }
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// A free port from below the range that the kernel hands out by itself, so that nobody takes it while its
/// process is down.
pub fn free_port() -> u16 {
    free_ports(Ipv4Addr::LOCALHOST, 1)
}

/// The first of so many such ports in a row.
pub fn free_ports(host: Ipv4Addr, count: u16) -> u16 {
    static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut taken = lock(&TAKEN);
    loop {
        let first = fastrand::u16(10_000..15_000 - count);
        let mut ports = first..first + count;
        if ports.all(|port| !taken.contains(&port) && TcpListener::bind((host, port)).is_ok()) {
            taken.extend(first..first + count);
            return first;
        }
    }
}
