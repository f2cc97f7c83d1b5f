//! A log whose reader is stuck or gone, or whose disk is full: the service goes on.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::channel;

use nix::sys::signal::Signal;

use super::{Started, folder, service, wait_until};

#[test]
fn a_stuck_log_keeps_no_stop_from_ending_well() {
    let folder = folder();
    // A pipe that is full and read by nobody.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&[b'\n'; 65_536]).expect("fills the pipe");
    let child = service(folder.path())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let mut job = Started {
        child,
        lines: channel().1,
    };
    wait_until("signals are taken over", || {
        job.holds("SigCgt", Signal::SIGINT) && job.holds("SigCgt", Signal::SIGHUP)
    });
    job.signal(Signal::SIGINT);
    assert_eq!(job.wait().code(), Some(0));
    drop(reader);
}

#[test]
fn a_reader_that_goes_away_does_not_end_the_service() {
    let folder = folder();
    let mut child = service(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut first)
        .expect("reads");
    let mut job = Started {
        child,
        lines: channel().1,
    };
    // The pipe is closed by now; what is logged from here on has nowhere to go.
    assert!(
        said_of_the_log(&mut job).contains(
            "ERROR writing the log to standard output failed: Broken pipe (os error 32); its lines are dropped"
        )
    );
    job.signal(Signal::SIGTERM);
    assert_eq!(job.wait().code(), Some(0));
}

#[test]
fn a_full_disk_under_the_log_is_said_on_standard_error() {
    let folder = folder();
    let full = std::fs::File::create("/dev/full").expect("there is such a device");
    let child = service(folder.path())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut job = Started {
        child,
        lines: channel().1,
    };
    assert!(said_of_the_log(&mut job).contains(
        "ERROR writing the log to standard output failed: No space left on device (os error 28); its lines are \
         dropped until that works again. Make room where it is written to. Delivery goes on - "
    ));
    job.signal(Signal::SIGTERM);
    assert_eq!(job.wait().code(), Some(0));
}

/// The first line of standard error.
pub fn said_of_the_log(job: &mut Started) -> String {
    let stderr = job.child.stderr.take().expect("a pipe");
    let mut line = String::new();
    BufReader::new(stderr).read_line(&mut line).expect("reads");
    line
}
