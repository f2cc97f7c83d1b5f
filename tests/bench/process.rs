//! The processes of a benchmark, what they cost, and that none outlives it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A process that is killed when the benchmark ends, however it ends.
pub struct Process {
    pub child: Child,
}

impl Process {
    /// Must be called on the main thread: the system kills the child when the thread that made it ends.
    pub fn spawn(mut command: Command) -> Result<Process, String> {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("JOB_") {
                command.env_remove(&*name);
            }
        }
        // As in production, and on a port that nobody else has.
        command.env("JOB_HTTP", "127.0.0.1:0");
        command.env("JOB_CONTROL", "off");
        // A Ctrl-C in the terminal is the benchmark's to deal with.
        command.process_group(0);
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
}

impl Drop for Process {
    fn drop(&mut self) {
        // It fails where the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time that a process has used, in microseconds.
pub fn cpu_of(pid: u32) -> Result<u64, String> {
    let failed = |e| format!("the CPU time of process {pid} can't be read: {e}");
    let clock = clock_getcpuclockid(Pid::from_raw(pid as i32)).map_err(failed)?;
    let time: Duration = clock_gettime(clock).map_err(failed)?.into();
    Ok(time.as_micros() as u64)
}

/// A thread of a process, and the CPU time that it has used, in microseconds.
#[derive(Clone, Debug)]
pub struct Thread {
    pub name: String,
    pub cpu: f64,
}

/// The threads that a process has now, in the order in which they were started.
pub fn threads_of(pid: u32) -> Result<Vec<Thread>, String> {
    let folder = format!("/proc/{pid}/task");
    let failed = |e| format!("the threads of process {pid} can't be read: {e}");
    let mut ids: Vec<u32> = fs::read_dir(&folder)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    ids.sort_unstable();
    let mut threads: Vec<Thread> = Vec::new();
    for id in ids {
        let read = |file: &str| fs::read_to_string(format!("{folder}/{id}/{file}"));
        // A thread may end in between.
        let (Ok(name), Ok(times)) = (read("comm"), read("schedstat")) else {
            continue;
        };
        let nanoseconds = times.split_whitespace().next().and_then(|n| n.parse().ok());
        let cpu: f64 = nanoseconds.ok_or_else(|| format!("{folder}/{id}/schedstat: {times:?}"))?;
        let name = match name.trim() {
            _ if id == pid => "main",
            name => name,
        };
        let like = |thread: &&Thread| thread.name.split(" #").next() == Some(name);
        let name = match threads.iter().filter(like).count() {
            0 => name.to_owned(),
            n => format!("{name} #{}", n + 1),
        };
        threads.push(Thread {
            name,
            cpu: cpu / 1e3,
        });
    }
    Ok(threads)
}

/// A binary that was built along with this program, by its name, or any other by its whole path.
pub fn binary(name: impl AsRef<Path>) -> Result<PathBuf, String> {
    let name = name.as_ref();
    let own = std::env::current_exe()
        .map_err(|e| format!("this program's own place is not known: {e}"))?;
    let path = own
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join(name));
    path.filter(|path| path.exists()).ok_or_else(|| {
        format!(
            "{} is missing: run scripts/bench, which builds it",
            name.display()
        )
    })
}

/// How a job is started.
pub struct Start<'a> {
    pub binary: &'a Path,
    /// What the program is asked to be, where it isn't job.
    pub part: Option<&'a str>,
    pub brokers: &'a str,
    pub topic: &'a str,
    pub group: &'a str,
    pub comets: &'a [String],
    pub level: &'a str,
    pub flags: &'a [String],
    /// What it says goes there. It works in the folder.
    pub log: &'a Path,
}

/// Gives the job at this socket a command.
pub fn ctl(job: &Path, socket: &str, what: &str) -> Result<(), String> {
    let mut command = Command::new(binary(job)?);
    command.args(["ctl", what, "--control", socket]);
    let output = command.output();
    let output = output.map_err(|error| format!("job ctl can't be started: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "job ctl {what} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        )),
    }
}

/// A job that runs.
pub struct Job {
    process: Process,
    log: PathBuf,
}

impl Job {
    pub fn start(start: &Start) -> Result<Job, String> {
        let program = binary(start.binary)?;
        let log = start.log.to_owned();
        let failed = |e| format!("cannot write {}: {e}", log.display());
        let output = File::create(&log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .args(start.part)
            .args(["--brokers", start.brokers, "--topic", start.topic])
            .args(["--group", start.group])
            .args(["--comet", &start.comets.join(",")])
            .args(start.flags)
            .env("MUDUO_LOG_LEVEL", start.level)
            .current_dir(log.parent().unwrap_or(Path::new(".")))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let process = Process::spawn(command)?;
        Ok(Job { process, log })
    }

    /// An error with the end of its log, where it has ended though nobody asked it to.
    pub fn must_run(&mut self) -> Result<(), String> {
        match self.process.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("job has ended ({status}):\n{}", self.last_words())),
            Err(error) => Err(format!("job can't be watched: {error}")),
        }
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn cpu(&self) -> Result<u64, String> {
        cpu_of(self.process.pid())
    }

    pub fn threads(&self) -> Result<Vec<Thread>, String> {
        threads_of(self.process.pid())
    }

    /// Most and present resident memory, in MB.
    pub fn memory(&self) -> Result<(f64, f64), String> {
        let path = format!("/proc/{}/status", self.process.pid());
        let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        let field = |name: &str| {
            text.lines()
                .find_map(|line| {
                    line.strip_prefix(name)?
                        .split_whitespace()
                        .next()?
                        .parse::<f64>()
                        .ok()
                })
                .map(|kib| kib * 1024.0 / 1e6)
                .ok_or_else(|| format!("{path} has no {name}"))
        };
        Ok((field("VmHWM:")?, field("VmRSS:")?))
    }

    /// Asks it to stop, and waits for its end.
    pub fn stop(mut self) -> Result<(), String> {
        // It fails where the process is gone already.
        let _ = kill(Pid::from_raw(self.process.pid() as i32), Signal::SIGTERM);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(20) {
            match self.process.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                Ok(Some(status)) if status.success() => return Ok(()),
                ended => {
                    return Err(format!(
                        "job ended badly ({ended:?}):\n{}",
                        self.last_words()
                    ));
                }
            }
        }
        Err(format!(
            "job did not end within 20 s of SIGTERM:\n{}",
            self.last_words()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn threads_of_one_name_are_told_apart() {
        let (begun, over) = (Barrier::new(3), Barrier::new(3));
        thread::scope(|scope| {
            for _ in 0..2 {
                let start = || {
                    begun.wait();
                    over.wait();
                };
                let twin = thread::Builder::new().name("twin".into());
                twin.spawn_scoped(scope, start).expect("a thread");
            }
            begun.wait();
            let threads = threads_of(std::process::id());
            over.wait();
            let threads = threads.expect("this process has threads");
            for name in ["main", "twin", "twin #2"] {
                assert!(threads.iter().any(|one| one.name == name), "{threads:?}");
            }
        });
    }
}
