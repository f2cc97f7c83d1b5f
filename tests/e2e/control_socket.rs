//! The socket of `job ctl`: whose it is, where it is found, and what is said where it isn't.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::command::{Ended, job_with};
use crate::support::job::JobCommand;
use crate::support::socket::Socket;
use crate::support::{await_until, free_port};

/// A job without Kafka: it goes on trying.
fn alone() -> JobCommand {
    let nowhere = format!("127.0.0.1:{}", free_port());
    JobCommand::new().flag("--brokers", &nowhere)
}

fn at(socket: &Socket) -> JobCommand {
    alone().flag("--control", &socket.flag())
}

#[test]
fn it_is_the_users_alone_and_goes_with_the_job() {
    let socket = Socket::new();
    let mut job = at(&socket).start();
    job.await_line(&["INFO", "job ctl reaches this process at", &socket.flag()]);
    let mode = socket.path().metadata().expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    let said = socket.ctl(&["pause", "--json"]).well();
    assert!(
        said.starts_with(r#"{"ok":true,"says":["reading is paused; 0 messages"#),
        "{said}"
    );
    job.stop();
    assert!(!socket.path().exists());
    let text = socket.ctl(&["pause"]).failed();
    assert!(
        text.contains(&socket.flag()) && text.contains("no socket is there"),
        "{text}"
    );
}

#[test]
fn a_killed_jobs_socket_is_replaced_and_a_living_ones_is_an_error() {
    let socket = Socket::new();
    let mut killed = at(&socket).start();
    killed.await_line(&["job ctl reaches this process"]);
    killed.kill();
    assert!(socket.path().exists());
    let text = socket.ctl(&["journal"]).failed();
    assert!(text.contains("no job listens there any more"), "{text}");

    let mut job = at(&socket).start();
    job.await_line(&["job ctl reaches this process"]);
    let mut second = at(&socket).start();
    let line = second.await_line(&["ERROR", "another process listens at", "--control"]);
    assert_eq!(second.await_exit().code(), Some(1), "{line}");
    // The first one's is still there.
    socket.ctl(&["journal"]).well();
    job.stop();
}

fn ctl_in(runtime: &Path, words: &[&str]) -> Ended {
    let variables = [("XDG_RUNTIME_DIR", runtime)];
    job_with(&variables, &[&["ctl"], words].concat())
}

#[test]
fn the_only_job_is_found_and_of_several_one_has_to_be_named() {
    let runtime = tempfile::tempdir().expect("a folder can be made");
    let nobody = ctl_in(runtime.path(), &["resume"]).failed();
    assert!(
        nobody.contains("no job of this user listens in"),
        "{nobody}"
    );
    let mut first = alone().default_control(runtime.path()).start();
    first.await_line(&["job ctl reaches this process at", "chatroom-job/job.sock"]);
    let said = ctl_in(runtime.path(), &["resume"]).well();
    assert_eq!(said, "reading isn't paused\n");

    let mut second = alone().default_control(runtime.path()).start();
    let line = second.await_line(&["INFO", "another job has the default name there"]);
    let path = line
        .split(" at ")
        .nth(1)
        .and_then(|rest| rest.split(": another").next());
    let path = path.expect("a path");
    let text = ctl_in(runtime.path(), &["resume"]).failed();
    assert!(
        text.contains("more than one job listens") && text.contains(path),
        "{text}"
    );
    ctl_in(runtime.path(), &["resume", "--control", path]).well();
    first.stop();
    ctl_in(runtime.path(), &["journal"]).well();
    second.kill();
    // The next one sweeps away what the killed one left.
    let mut third = alone().default_control(runtime.path()).start();
    third.await_line(&["job ctl reaches this process at", "chatroom-job/job.sock"]);
    await_until("only its own socket", || match Path::new(path).exists() {
        true => Err(format!("{path} is there")),
        false => Ok(()),
    });
    third.stop();
}

#[test]
fn a_folder_that_is_open_to_others_is_not_used() {
    let runtime = tempfile::tempdir().expect("a folder can be made");
    let folder = runtime.path().join("chatroom-job");
    std::fs::create_dir(&folder).expect("a folder can be made");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder, open).expect("it is ours");
    let mut job = alone().default_control(runtime.path()).start();
    job.await_line(&["WARN", "job ctl can't reach this process", "chmod 700"]);
    let text = ctl_in(runtime.path(), &["pause"]).failed();
    assert!(text.contains("is open to others"), "{text}");
    job.stop();
}
