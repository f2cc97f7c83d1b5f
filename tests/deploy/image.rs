//! The files of the image, as deploy/image-root lays them out, with job in them as a container runs it: PID 1, a user of its own, a
//! root that nobody can write to, and nothing but /tmp beside it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{file, skipped};

/// What takes the place of a container's runtime. `$1` is the root, `$2` how many files may be open.
const CONTAINER: &str = r#"
set -e
mount --bind "$1" "$1"
mount -t tmpfs -o mode=1777 none "$1/tmp"
mount -t proc none "$1/proc"
mount -o remount,bind,ro "$1"
ulimit -n "$2"
exec setpriv --no-new-privs chroot --userspec=10001:10001 --groups= "$1" /usr/bin/job run
"#;

/// How long anything may take that ought to take a moment.
const LONG: Duration = Duration::from_secs(30);

struct Container {
    /// unshare: it waits for job, whose parent it is.
    runtime: Child,
    log: Box<dyn BufRead>,
}

impl Container {
    fn start(root: &Path, files: u64) -> Self {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
        ]);
        unshare
            .args(["sh", "-c", CONTAINER, "sh"])
            .arg(root)
            .arg(files.to_string());
        unshare
            .env_clear()
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
        // Nobody listens at the brokers' port, and job takes any port for its pages.
        unshare
            .env("JOB_BROKERS", "127.0.0.1:1")
            .env("JOB_COMET", "127.0.0.1:1")
            .env("JOB_HTTP", "127.0.0.1:0");
        unshare
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut runtime = unshare.spawn().expect("unshare runs");
        let log = Box::new(BufReader::new(runtime.stdout.take().expect("a pipe")));
        Self { runtime, log }
    }

    /// The first line of the log with this text. `None`: the log ended.
    fn line(&mut self, text: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.log.read_line(&mut line).expect("text") == 0 {
                return None;
            }
            if line.contains(text) {
                return Some(line);
            }
        }
    }

    fn job(&self) -> i32 {
        let id = self.runtime.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        children
            .expect("unshare has a child")
            .trim()
            .parse()
            .expect("one child")
    }

    /// Waits for the end: the exit code, the rest of the log, and what it said on standard error.
    fn end(&mut self) -> (Option<i32>, String, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.runtime.try_wait().expect("a child") {
                break status;
            }
            assert!(begin.elapsed() < LONG, "it doesn't end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let (mut log, mut said) = (String::new(), String::new());
        self.log.read_to_string(&mut log).expect("text");
        let mut errors = self.runtime.stderr.take().expect("a pipe");
        errors.read_to_string(&mut said).expect("text");
        (status.code(), log, said)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // --kill-child: job goes with it.
        let _ = self.runtime.kill();
        let _ = self.runtime.wait();
    }
}

/// The image's files. `None`, and it says so, where this test may not do what a container's runtime does.
fn root() -> Option<TempDir> {
    let tried = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "setpriv", "--version"])
        .output();
    match tried {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr);
            skipped(&format!(
                "the image's files were not run, which takes root: {}",
                why.trim_end()
            ));
            return None;
        }
        Err(error) => {
            skipped(&format!(
                "the image's files were not run: no unshare here: {error}"
            ));
            return None;
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut script = Command::new(file("deploy/image-root"));
    let output = script
        .arg(env!("CARGO_BIN_EXE_job"))
        .arg(folder.path())
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(folder)
}

fn as_user(root: &Path, arguments: &[&str]) -> std::process::Output {
    let mut chroot = Command::new("chroot");
    chroot
        .arg("--userspec=10001:10001")
        .arg(root)
        .arg("/usr/bin/job")
        .args(arguments);
    chroot
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin")
        .output()
        .expect("chroot runs")
}

#[test]
fn it_runs_as_a_container_does() {
    let Some(folder) = root() else { return };
    // Nothing that one could start but job.
    for shell in ["bin/sh", "usr/bin/env", "bin/busybox"] {
        assert!(!folder.path().join(shell).exists(), "{shell}");
    }

    // It says how many files it needs, and that many are enough.
    let mut short = Container::start(folder.path(), 64);
    let (code, _, said) = short.end();
    assert_eq!(code, Some(1), "{said}");
    let (_, needs) = said
        .split_once("job needs ")
        .unwrap_or_else(|| panic!("{said}"));
    let needs: u64 = needs
        .split(' ')
        .next()
        .expect("a number")
        .parse()
        .expect("a number");

    let mut container = Container::start(folder.path(), needs);
    let served = container
        .line("metrics and health")
        .unwrap_or_else(|| panic!("{:?}", container.end()));
    let (_, address) = served.split_once("http://").expect("an address");
    let address = address
        .split(['/', ' '])
        .next()
        .expect("an address")
        .to_owned();
    let job = container.job();
    let status = std::fs::read_to_string(format!("/proc/{job}/status")).expect("it runs");
    let line = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a line")
    };
    assert!(line("NSpid:").ends_with("\t1"), "{status}");
    assert_eq!(
        line("Uid:").split_whitespace().collect::<Vec<_>>(),
        ["10001"; 4]
    );
    assert_eq!(line("CapEff:").trim(), "0000000000000000");
    assert_eq!(line("NoNewPrivs:").trim(), "1");
    // The root can't be written to, though its files could.
    let mounts = std::fs::read_to_string(format!("/proc/{job}/mountinfo")).expect("it runs");
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"))
        .expect("a root");
    assert!(
        root.split(' ')
            .nth(5)
            .is_some_and(|options| options.starts_with("ro")),
        "{root}"
    );

    // The image's health check, and the page that Kubernetes asks for readiness.
    let well = as_user(folder.path(), &["status", "--health", "--http", &address]);
    assert!(well.status.success(), "{well:?}");
    assert_eq!(well.stdout, b"well\n");

    // PID 1 hears only the signals that it asks for.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(job), nix::sys::signal::SIGTERM)
        .expect("it runs");
    let begin = Instant::now();
    let (code, log, said) = container.end();
    assert_eq!(code, Some(0), "{log}{said}");
    assert!(
        begin.elapsed() < Duration::from_secs(10),
        "docker stop would have killed it: {log}"
    );
    let unwell = as_user(folder.path(), &["status", "--health", "--http", &address]);
    assert_eq!(unwell.status.code(), Some(1));
}
