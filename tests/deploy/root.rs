//! A copy of this system in which a test may install, and of which nothing is left.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::skipped;

/// This system's files below, and what is written in memory above: seen by what runs in its mount namespace alone.
pub struct Root {
    keeper: Child,
}

/// The copy is the working folder from there on.
const COPY: &str = r#"
set -e
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay none -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
"#;

/// Runs a script in a copy of this system, with the folder as `$1`.
pub fn in_copy(script: &str, folder: &Path) -> Command {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "sh", "-c"]);
    unshare.args([&format!("{COPY}{script}"), "sh"]).arg(folder);
    unshare
}

/// `$1` becomes /mnt of the copy. It says when all is there, and lives until its standard input ends.
const KEEPER: &str = r#"
mount --rbind /dev dev
mount -t proc none proc
mount --bind "$1" mnt
# No systemd runs here: the package must not ask this system's. And its manual's index takes seconds to write anew.
rm -rf run/systemd var/lib/man-db/auto-update
echo ready
read -r _ || true
"#;

impl Root {
    /// `None`, and it says so, where this test may not mount.
    pub fn of_this_system(folder: &Path) -> Option<Self> {
        let spawned = in_copy(KEEPER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut keeper = match spawned {
            Ok(keeper) => keeper,
            Err(error) => {
                skipped(&format!(
                    "unshare doesn't run ({error}): nothing was installed"
                ));
                return None;
            }
        };
        let mut line = String::new();
        let said = BufReader::new(keeper.stdout.take().expect("a pipe")).read_line(&mut line);
        if said.is_ok() && line == "ready\n" {
            return Some(Self { keeper });
        }
        let output = keeper.wait_with_output().expect("it ends");
        let why = String::from_utf8_lossy(&output.stderr);
        skipped(&format!(
            "no copy of this system to install in, which takes root: {}",
            why.trim_end()
        ));
        None
    }

    /// What the command says, which has to end well.
    pub fn run(&self, command: &str) -> String {
        let mut enter = Command::new("nsenter");
        enter.args(["--mount", "--target", &self.keeper.id().to_string()]);
        enter.args([
            "chroot",
            "/mnt/root",
            "sh",
            "-c",
            &format!("exec 2>&1; {command}"),
        ]);
        enter
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8");
        let output = enter.stdin(Stdio::null()).output().expect("nsenter runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        said
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
