use std::os::unix::net::UnixListener;

use super::*;
use crate::control::request::Request;

const PAUSE: CtlArgs = CtlArgs {
    request: Request::Pause,
    json: false,
};

/// Tells whoever gives this answer to pause. Returns what was heard there, and what `job ctl` shows.
fn told(answer: &'static str, args: &CtlArgs) -> (String, Result<String, String>) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("a.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut line = [0; 64];
        let count = stream.read(&mut line).expect("a line");
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8_lossy(&line[..count]).into_owned()
    });
    let mut out = Vec::new();
    let ended = ctl(&Socket::At(path), args, &mut out);
    let shown = String::from_utf8(out).expect("text");
    let heard = heard.join().expect("it ends");
    (heard, ended.map(|ok| format!("{ok}: {shown}")))
}

#[test]
fn it_says_what_the_job_did() {
    let (heard, shown) = told("{\"ok\":true,\"says\":[\"one\",\"two\"]}\n", &PAUSE);
    assert_eq!(heard, "pause\n");
    assert_eq!(shown, Ok("true: one\ntwo\n".into()));
    let (_, shown) = told("{\"ok\":false,\"says\":[\"no\",\"since\"]}\n", &PAUSE);
    assert_eq!(shown, Err("no\n  since".into()));
}

#[test]
fn the_answer_is_passed_on_as_it_is() {
    let args = CtlArgs {
        json: true,
        ..PAUSE
    };
    let (_, shown) = told("{\"ok\":false,\"says\":[],\"news\":1}\n", &args);
    assert_eq!(
        shown,
        Ok("false: {\"ok\":false,\"says\":[],\"news\":1}\n".into())
    );
}

#[test]
fn what_is_no_job_is_said_to_be_none() {
    for (answer, says) in [
        (
            "SSH-2.0\x1b\n",
            r#"no job listens there: it answers "SSH-2.0"#,
        ),
        ("", "was closed without an answer"),
    ] {
        let (_, shown) = told(answer, &PAUSE);
        let error = shown.expect_err(answer);
        assert!(
            error.contains(says) && error.contains("a.sock: "),
            "{error}"
        );
    }
}

#[test]
fn it_says_where_no_job_listens_and_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("a.sock");
    let error = |at| ctl(&at, &PAUSE, &mut Vec::new()).expect_err("nobody is there");
    let at = Socket::At(path.clone());
    let text = error(at.clone());
    assert!(text.contains("a.sock: no socket is there") && text.contains("--control PATH"));
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(error(at).contains("no job listens there any more"));
    assert!(error(Socket::Off).starts_with("--control is off"));
}
