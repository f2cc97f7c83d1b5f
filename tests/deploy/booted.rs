//! The Debian package's units under a systemd of their own: it is booted in a copy of this system, which goes away with the test.

use std::process::Stdio;

use super::package::{made, pack, there};
use super::root::in_copy;
use super::skipped;

/// Boots systemd above a copy of this system's files, `$1` mounted in it as /mnt. /mnt/try runs there, and what it says is the
/// outcome: the shell of nspawn has none.
const BOOT: &str = r#"
# Nothing of this system's is started, and nothing of a job that it has is left.
rm -rf run/* etc/systemd/system etc/chatroom-job etc/credstore etc/rc?.d/S* var/lib/man-db/auto-update
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s /usr/lib/systemd/system/multi-user.target etc/systemd/system/default.target
ln -s ../try.service etc/systemd/system/multi-user.target.wants/try.service
cat >etc/systemd/system/try.service <<'UNIT'
[Service]
Type=oneshot
ExecStart=/bin/bash /mnt/try
StandardOutput=file:/mnt/said
StandardError=inherit
ExecStopPost=/bin/systemctl exit 0 --force
UNIT
# In one where systemd doesn't come up nobody waits for ever.
exec timeout -k 5 300 systemd-nspawn --quiet --directory=/mnt/root --register=no --keep-unit --private-network --bind="$1:/mnt" --boot
"#;

const TRY: &str = r#"
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
echo "begin"
show() { systemctl show --value -p "$1" "$2"; }
expect() { # WHAT IS, until it is so
  local what=$1 is=$2 i found
  shift 2
  for i in $(seq 600); do
    found=$("$@" 2>&1)
    [ "$found" != "$is" ] || { echo "ok: $what"; return 0; }
    sleep 0.05
  done
  echo "FAILED: $what: it is '$found' instead of '$is'"
}
dpkg -i /mnt/chatroom-job_*.deb >/mnt/dpkg 2>&1 || cat /mnt/dpkg
expect "it waits for its settings" inactive systemctl is-active chatroom-job

# Nobody listens there: it is well all the same.
cat >/etc/chatroom-job/job.toml <<'TOML'
brokers = "127.0.0.1:1"
comet = "127.0.0.1:1"
security-protocol = "SASL_PLAINTEXT"
sasl-mechanism = "PLAIN"
sasl-username = "me"
TOML
install -d -m 700 /etc/credstore
(umask 077; echo hidden >/etc/credstore/chatroom-job.sasl-password)
echo JOB_HTTP=127.0.0.1:9094 >/etc/chatroom-job/b.env
systemctl enable --now chatroom-job chatroom-job@b 2>/mnt/systemctl || cat /mnt/systemctl
expect "it is running" active systemctl is-active chatroom-job
expect "and so is another one" active systemctl is-active chatroom-job@b
expect "it answers" well job status --health
expect "and so does the other one" well job status --health --http 127.0.0.1:9094
main=$(show MainPID chatroom-job)
expect "its user is its own" chatroom-job stat -c %U /proc/$main
expect "it has no capability" 0000000000000000 sed -n 's/^CapEff:\t//p' /proc/$main/status
expect "its system calls are filtered" 2 sed -n 's/^Seccomp:\t//p' /proc/$main/status
expect "the secret comes as a credential" "400 chatroom-job" stat -c '%a %U' /run/credentials/chatroom-job.service/sasl-password
grep -q hidden /proc/$main/environ && echo "FAILED: the secret is in the environment"
[ -n "$(show WatchdogTimestamp chatroom-job)" ] && echo "ok: its watchdog is fed"

echo 'hold-messages = 100' >>/etc/chatroom-job/job.toml
systemctl reload chatroom-job && echo "ok: it reads its settings again"
expect "and says so" 1 sh -c "journalctl -u chatroom-job | grep -c 'hold-messages: 4000 → 100'"
expect "that was no restart" "$main" show MainPID chatroom-job
echo 'threads = 2' >>/etc/chatroom-job/job.toml
systemctl reload chatroom-job 2>/dev/null && echo "FAILED: a reload that needs a restart went well"
expect "it goes on with the old ones" "$main" show MainPID chatroom-job

dpkg -i /mnt/chatroom-job_*.deb >/mnt/dpkg 2>&1 || cat /mnt/dpkg
expect "an upgrade leaves it running" active systemctl is-active chatroom-job
upgraded=$(show MainPID chatroom-job)
[ "$upgraded" != "$main" ] && echo "ok: as a new process"
[ "$(show Result chatroom-job)" = success ] && echo "ok: the old one ended well"

kill -KILL "$upgraded"
expect "what crashes comes back" 1 show NRestarts chatroom-job
expect "and is active again" active systemctl is-active chatroom-job

echo 'threads = "many"' >/etc/chatroom-job/job.toml
systemctl restart chatroom-job 2>/dev/null
expect "what is set wrong stays down" failed systemctl is-active chatroom-job
expect "whatever its restarts are" exit-code show Result chatroom-job

dpkg --purge chatroom-job >/mnt/dpkg 2>&1 || cat /mnt/dpkg
expect "the other one is stopped" inactive systemctl is-active chatroom-job@b
ls -d /etc/chatroom-job /etc/systemd/system/*/chatroom-job* 2>/dev/null
journalctl -u chatroom-job >/mnt/journal
echo "end"
"#;

#[test]
fn systemd_runs_what_the_package_installs() {
    for program in ["systemd-nspawn", "dpkg-deb", "unshare"] {
        if !there(program) {
            return skipped(&format!(
                "no {program} here: the units were not started under systemd"
            ));
        }
    }
    let folder = pack("--deb");
    made(folder.path(), ".deb");
    std::fs::write(folder.path().join("try"), TRY).expect("written");
    let output = in_copy(BOOT, folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("unshare runs");
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
    if !said.starts_with("begin\n") {
        let why = String::from_utf8_lossy(&output.stderr);
        let last = why
            .trim_end()
            .lines()
            .last()
            .unwrap_or("it said nothing")
            .to_owned();
        return skipped(&format!(
            "systemd can't be booted in a container here, which takes root: {last}"
        ));
    }
    let journal = std::fs::read_to_string(folder.path().join("journal")).unwrap_or_default();
    let wrong: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("ok: ") && !["begin", "end"].contains(line))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{said}\n{journal}");
    assert!(said.ends_with("end\n"), "{said}");
    let well = said.lines().filter(|line| line.starts_with("ok: ")).count();
    assert_eq!(well, 22, "{said}\n{journal}");
}
