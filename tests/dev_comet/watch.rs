//! `dev-comet watch`: what it prints, and what it says is missing.

use super::*;

#[test]
fn watch_prints_each_frame_as_a_line() {
    let comet = DevComet::start();
    let caller = Caller::new(&comet);
    let mut watch = watch(&comet, &["--room", "r 1&", "--key", "u1", "--count", "4"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut notes = BufReader::new(watch.stderr.take().unwrap());
    let mut note = String::new();
    notes.read_line(&mut note).unwrap();
    assert_eq!(note, "joined\n");
    caller.room("r 1&", r#"{"content":"聊天"}"#);
    caller.push(&["u1"], "two\nlines");
    caller.room("r 1&", b"\xff\"\n".as_slice());
    caller.broadcast("x".repeat(1 << 20));
    let done = watch.wait_with_output().unwrap();
    let printed = String::from_utf8(done.stdout).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines[..3],
        [r#"{"content":"聊天"}"#, "two\\nlines", r#"b"\xff\"\n""#]
    );
    assert_eq!((lines.len(), lines[3].len()), (4, 1 << 20));
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn watch_says_what_is_missing() {
    let comet = DevComet::start();
    let late = watch(&comet, &["--count", "2", "--timeout", "1"])
        .output()
        .unwrap();
    let error = String::from_utf8(late.stderr).unwrap();
    assert_eq!(late.status.code(), Some(1));
    assert!(error.contains("0 of 2 frames came"), "{error}");

    let nobody = DevComet::start().web.clone();
    let lost = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
        .args(["watch", "--web", &nobody])
        .output()
        .unwrap();
    let error = String::from_utf8(lost.stderr).unwrap();
    assert_eq!(lost.status.code(), Some(1));
    assert!(error.contains(&nobody), "{error}");
}

fn watch(comet: &DevComet, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev-comet"));
    command.args(["watch", "--web", &comet.web]).args(args);
    command
}
