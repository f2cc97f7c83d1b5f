//! scripts/package: what it makes, and the Debian package's life in a copy of this system that goes away with the test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::root::Root;
use super::{file, skipped};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SETTINGS: &str = "/etc/chatroom-job/job.env";

/// Packs the binary of this test. What it wrote is in the folder.
pub fn pack(only: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let mut script = Command::new(file("scripts/package"));
    script.args(["--fast", only, "--binary", env!("CARGO_BIN_EXE_job")]);
    script.arg("--output").arg(folder.path());
    done(&mut script);
    folder
}

fn done(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The one file in the folder whose name ends so.
pub fn made(folder: &Path, ending: &str) -> PathBuf {
    let names = std::fs::read_dir(folder).expect("a folder");
    let found: Vec<PathBuf> = names
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

pub fn there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The next version of a package, whose settings in the package are changed where `settings` says so.
fn next(package: &Path, folder: &Path, version: &str, settings: Option<&str>) -> PathBuf {
    let tree = folder.join(version);
    done(Command::new("dpkg-deb").arg("-R").arg(package).arg(&tree));
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control).expect("control");
    let old = format!("Version: {VERSION}\n");
    assert!(text.contains(&old), "{text}");
    std::fs::write(
        &control,
        text.replace(&old, &format!("Version: {version}\n")),
    )
    .expect("written");
    if let Some(settings) = settings {
        std::fs::write(tree.join(&SETTINGS[1..]), settings).expect("written");
    }
    let made = folder.join(format!("chatroom-job_{version}.deb"));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Znone", "-b"]);
    done(build.arg(&tree).arg(&made));
    made
}

/// Mode, owner and group.
fn owned(root: &Root, path: &str) -> String {
    root.run(&format!("stat -c '%a %U:%G' {path}"))
}

#[test]
fn the_debian_package_is_installed_upgraded_removed_and_purged() {
    if !there("dpkg-deb") {
        return skipped("no dpkg here: the Debian package was neither made nor installed");
    }
    let folder = pack("--deb");
    let first = made(folder.path(), ".deb");
    let second = next(&first, folder.path(), "1000.1", None);
    let third = next(&first, folder.path(), "1000.2", Some("# new\n"));
    belongs_to_root(&first);
    let Some(root) = Root::of_this_system(folder.path()) else {
        return;
    };
    let install = |package: &Path| {
        let name = package.file_name().expect("a name").to_string_lossy();
        root.run(&format!("dpkg --force-confold -i /mnt/{name}"))
    };

    let said = install(&first);
    assert!(
        said.contains("systemctl enable --now chatroom-job"),
        "{said}"
    );
    installed(&root);

    // What an administrator wrote, and whom they let read it, stays.
    root.run(&format!(
        "echo JOB_TOPIC=mine > {SETTINGS}; chmod 600 {SETTINGS}; touch /etc/chatroom-job/job.toml"
    ));
    for (package, version) in [(&second, "1000.1"), (&third, "1000.2")] {
        let said = install(package);
        assert!(!said.contains("enable --now"), "{said}");
        let shown = root.run("dpkg-query -W -f '${Status} ${Version}' chatroom-job");
        assert_eq!(shown, format!("install ok installed {version}"));
        assert_eq!(root.run(&format!("cat {SETTINGS}")), "JOB_TOPIC=mine\n");
        assert_eq!(owned(&root, SETTINGS), "600 root:chatroom-job\n");
    }
    assert_eq!(root.run(&format!("cat {SETTINGS}.dpkg-dist")), "# new\n");

    root.run("dpkg --remove chatroom-job");
    assert_eq!(root.run(&format!("cat {SETTINGS}")), "JOB_TOPIC=mine\n");
    assert_eq!(
        root.run("ls /usr/bin/job /usr/lib/systemd/system/chatroom-job* 2>/dev/null || true"),
        ""
    );
    install(&first);
    assert_eq!(
        root.run("cd /etc/chatroom-job && . ./job.env && echo $JOB_TOPIC"),
        "mine\n"
    );

    root.run("dpkg --purge chatroom-job");
    let left = "find /etc /usr/bin /usr/lib/systemd /usr/share /var/lib/dpkg/info /var/lib/systemd -name '*chatroom-job*'";
    assert_eq!(root.run(left), "");
    assert_eq!(
        root.run("getent passwd chatroom-job; getent group chatroom-job; true"),
        ""
    );
}

/// Everything in the package, with modes that a system's files have.
fn belongs_to_root(package: &Path) {
    let list = done(Command::new("dpkg-deb").arg("-c").arg(package));
    assert!(list.lines().count() > 50, "{list}");
    for line in list.lines() {
        let mode = match line.rsplit(' ').next() {
            Some("./usr/bin/job") => "-rwxr-xr-x",
            Some("./etc/chatroom-job/job.env") => "-rw-r-----",
            Some(path) if path.ends_with('/') => "drwxr-xr-x",
            _ => "-rw-r--r--",
        };
        assert!(line.starts_with(&format!("{mode} root/root ")), "{line}");
    }
}

/// What the package brings, each file with its owner, and that it works.
fn installed(root: &Root) {
    let user = root.run("getent passwd chatroom-job");
    assert!(
        user.trim_end().ends_with(":/nonexistent:/usr/sbin/nologin"),
        "{user}"
    );
    assert_eq!(owned(root, SETTINGS), "640 root:chatroom-job\n");
    assert_eq!(owned(root, "/usr/bin/job"), "755 root:root\n");
    // Its list of checksums is right.
    assert_eq!(root.run("dpkg -V chatroom-job"), "");

    assert_eq!(root.run("job --version"), format!("job {VERSION}\n"));
    assert!(root.run("job check --help").contains("--brokers"));
    // As its own user, where the unit starts it.
    let shown = root.run("cd /etc/chatroom-job && runuser -u chatroom-job -- job config");
    assert!(shown.contains("brokers"), "{shown}");

    let pages = root.run("cd /usr/share/man/man1 && ls job*.1.gz && zcat job.1.gz job-check.1.gz job-dead-letter-replay.1.gz");
    for part in [
        "job-run.1.gz",
        ".TH job 1",
        ".TH job-check 1",
        ".TH job-dead-letter-replay 1",
    ] {
        assert!(pages.contains(part), "no {part}");
    }
    let completed =
        root.run("bash -c '. /usr/share/bash-completion/completions/job; complete -p job'");
    assert!(completed.contains("-F _job"), "{completed}");
    root.run("test -s /usr/share/zsh/vendor-completions/_job && test -s /usr/share/fish/vendor_completions.d/job.fish");
    for (shell, check) in [
        ("zsh", "zsh -n /usr/share/zsh/vendor-completions/_job"),
        (
            "fish",
            "fish -n /usr/share/fish/vendor_completions.d/job.fish",
        ),
        ("man", "man -P cat job-check | grep -q -e --brokers"),
        (
            "systemd-analyze",
            "systemd-analyze verify chatroom-job.service chatroom-job@a.service",
        ),
    ] {
        if there(shell) {
            assert_eq!(root.run(check), "", "{check}");
        } else {
            skipped(&format!("no {shell} here: not tried: {check}"));
        }
    }
    // Nobody has said yet where Kafka is.
    assert_eq!(
        root.run("ls /etc/systemd/system/*/chatroom-job* 2>/dev/null || true"),
        ""
    );
}

#[test]
fn the_tarball_has_all_that_the_documentation_installs() {
    let folder = pack("--tarball");
    let tarball = made(folder.path(), ".tar.gz");
    done(
        Command::new("tar")
            .arg("-C")
            .arg(folder.path())
            .arg("-xzf")
            .arg(&tarball),
    );
    let name = tarball
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    let tree = folder.path().join(name.trim_end_matches(".tar.gz"));
    assert_eq!(
        done(Command::new(tree.join("job")).arg("--version")),
        format!("job {VERSION}\n")
    );
    for path in [
        "scripts/job.env",
        "scripts/chatroom-job.service",
        "scripts/chatroom-job@.service",
        "start_job.sh",
        "man1/job.1.gz",
        "completions/_job",
        "examples/job.toml",
        "docs/INSTALL.md",
        "COPYRIGHT",
    ] {
        assert!(tree.join(path).is_file(), "no {path}");
    }
    let terms = std::fs::read_to_string(tree.join("COPYRIGHT")).expect("text");
    assert!(terms.contains("\nkrafka v"), "{terms}");
    // Where whoever packed it keeps the sources is nobody's business.
    assert!(!terms.contains(env!("CARGO_MANIFEST_DIR")), "{terms}");
}

#[test]
fn what_cannot_be_packed_is_said() {
    for (arguments, why) in [
        (&["--deb", "--tarball"][..], "leave out each other"),
        (&["--binary"], "--binary needs a value"),
        (&["--what"], "unknown option: --what"),
        (&["--binary", "/bin/false"], "/bin/false manual doesn't run"),
    ] {
        let script = Command::new(file("scripts/package"))
            .args(arguments)
            .output();
        let Output { status, stderr, .. } = script.expect("it starts");
        let said = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && said.contains(why), "{said}");
    }
}
