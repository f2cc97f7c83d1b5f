//! `job ctl`: tells a running job what to do, over its socket.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::base::text::escape_first;
use crate::commands::cli::CtlArgs;
use crate::control::place;
use crate::control::request::Reply;
use crate::settings::Socket;

/// The job's threads answer it within 15 s, or it says that they don't. Commands before this one may take as long.
const ANSWER_WITHIN: Duration = Duration::from_secs(40);
/// Limits the answer's bytes.
const MOST: u64 = 1 << 20;

/// Gives a command, and shows what it came to. Returns whether the job did it.
///
/// # Errors
/// No job can be told: where it was looked for, and what to do.
pub fn ctl(at: &Socket, args: &CtlArgs, out: &mut impl Write) -> Result<bool, String> {
    let path = path(at)?;
    let text = ask(&path, &args.request.to_string())
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let reply: Reply = serde_json::from_str(&text).map_err(|error| {
        let shown = escape_first(text.as_bytes(), 80);
        format!(
            "{}: no job listens there: it answers {shown:?} ({error})",
            path.display()
        )
    })?;
    // Whoever reads it may have enough.
    if args.json {
        let _ = writeln!(out, "{}", text.trim_end());
        return Ok(reply.ok);
    }
    if !reply.ok {
        return Err(reply.says.join("\n  "));
    }
    for line in &reply.says {
        let _ = writeln!(out, "{line}");
    }
    Ok(true)
}

fn path(at: &Socket) -> Result<PathBuf, String> {
    match at {
        Socket::At(path) => Ok(path.clone()),
        Socket::Auto => place::find(&|name| std::env::var_os(name)),
        Socket::Off => Err(
            "--control is off in these settings: such a job takes no commands. Name the socket of one that does: --control PATH"
                .into(),
        ),
    }
}

fn ask(path: &Path, line: &str) -> Result<String, String> {
    let mut stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            "no socket is there. Does job run? Its log says where it listens (job ctl reaches this process at ...): name that \
             with --control PATH"
                .into()
        }
        ErrorKind::ConnectionRefused => {
            "no job listens there any more. Where one runs, its log says where it listens: name that with --control PATH".into()
        }
        ErrorKind::PermissionDenied => {
            format!("{error}: run job ctl as the job's user, or as root")
        }
        _ => error.to_string(),
    })?;
    let until = Instant::now() + ANSWER_WITHIN;
    let late = || {
        format!(
            "no answer within {} s: does the job stand still?",
            ANSWER_WITHIN.as_secs()
        )
    };
    let sent = stream
        .set_write_timeout(Some(ANSWER_WITHIN))
        .and_then(|()| stream.write_all(format!("{line}\n").as_bytes()));
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\n") {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(late());
        }
        let mut some = [0; 4_096];
        let read = stream
            .set_read_timeout(Some(left))
            .and_then(|()| stream.read(&mut some));
        match read {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&some[..count]),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                return Err(late());
            }
            Err(error) => return Err(error.to_string()),
        }
        if bytes.len() as u64 > MOST {
            return Err("the answer is too long to be a job's".into());
        }
    }
    if bytes.is_empty() {
        let why = sent
            .err()
            .map_or_else(String::new, |error| format!(" ({error})"));
        return Err(format!("the connection was closed without an answer{why}"));
    }
    String::from_utf8(bytes).map_err(|_| "the answer isn't UTF-8 text".into())
}

#[cfg(test)]
mod tests;
