//! The socket's connections: one line comes in, one goes out. What a client can use up is limited: connections, time and bytes.

use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::{sleep, timeout};

use super::desk::{By, Desk};
use super::request::Reply;

/// More than these are turned away.
pub const CONNECTIONS: usize = 4;
/// The command is there by then, or not taken.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// The answer is read by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Limits the line of a command, in bytes.
const LONGEST: usize = 1_024;
/// Wait after the system refused a connection, as it does where files run out.
const REFUSED: Duration = Duration::from_millis(500);

pub async fn serve(listener: UnixListener, desk: Desk) {
    let desk = Arc::new(Mutex::new(desk));
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(REFUSED).await;
            continue;
        };
        let place = places.clone().try_acquire_owned();
        let desk = desk.clone();
        // A connection that is turned away takes no time.
        match place {
            Ok(place) => drop(tokio::spawn(async move {
                answer(stream, &desk).await;
                drop(place);
            })),
            Err(_) => {
                let text = line(&Reply::failed("too many commands at once: try again"));
                let _ = stream.try_write(text.as_bytes());
            }
        }
    }
}

/// Answers one client. Whatever goes wrong is its own matter.
async fn answer(mut stream: UnixStream, desk: &Mutex<Desk>) {
    let Ok(peer) = stream.peer_cred() else {
        return;
    };
    let by = By {
        uid: peer.uid(),
        pid: peer.pid(),
    };
    let reply = match timeout(REQUEST_WITHIN, read(&mut stream)).await {
        // It went away without a word, as who only looks whether somebody listens.
        Ok(None) => return,
        Ok(Some(Ok(text))) if may(by.uid) => desk.lock().await.take(&text, by).await,
        Ok(Some(Ok(_))) => {
            log::warn!(
                "job ctl of uid {} was refused: it isn't this job's user",
                by.uid
            );
            Reply::failed("only root and the user of this job may steer it")
        }
        Ok(Some(Err(why))) => Reply::failed(why),
        Err(_) => Reply::failed(format!("no command within {} s", REQUEST_WITHIN.as_secs())),
    };
    let _ = timeout(ANSWER_WITHIN, stream.write_all(line(&reply).as_bytes())).await;
}

/// The file's mode keeps others out already. It may be changed, or stand where another file system ignores it.
fn may(uid: u32) -> bool {
    uid == 0 || uid == geteuid().as_raw()
}

fn line(reply: &Reply) -> String {
    // Numbers and text can always be written.
    serde_json::to_string(reply).unwrap_or_default() + "\n"
}

/// Reads a line. `None`: nothing came.
async fn read(stream: &mut UnixStream) -> Option<Result<String, String>> {
    let mut bytes = Vec::new();
    while !bytes.contains(&b'\n') {
        let mut some = [0; LONGEST];
        match stream.read(&mut some).await {
            Ok(0) | Err(_) if bytes.is_empty() => return None,
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&some[..count]),
        }
        if bytes.len() > LONGEST {
            return Some(Err(format!("a command has {LONGEST} bytes at most")));
        }
    }
    let end = bytes.iter().position(|byte| *byte == b'\n');
    bytes.truncate(end.unwrap_or(bytes.len()));
    Some(String::from_utf8(bytes).map_err(|_| "a command is UTF-8 text".into()))
}

#[cfg(test)]
mod tests;
