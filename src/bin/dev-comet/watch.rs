//! `dev-comet watch`: a person without a browser. Prints each frame as a line.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{HandshakeError, Message, WebSocket};

/// The largest frame taken; a Comet's call is no larger.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// What to watch, and for how long.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where a dev-comet serves its page, `host:port`.
    pub web: String,
    pub rooms: Vec<String>,
    /// User keys.
    pub keys: Vec<String>,
    /// Operations that are accepted, where the Comet filters.
    pub accepts: Vec<i32>,
    /// Ends well after so many frames; never where it is `None`.
    pub count: Option<u64>,
    /// Ends badly after so long, from the start.
    pub timeout: Option<Duration>,
}

#[derive(Deserialize)]
struct Ack {
    joined: Vec<String>,
}

/// Joins, says `joined` on `notes` when the Comet has answered that it did, and writes each frame to `lines` as one
/// line: text as it is, its control characters escaped; binary as `b"…"`. Each line is flushed.
///
/// Ends well when `count` frames have come. Else the error says why it ended, and how many had come.
pub fn watch(watch: &Watch, lines: &mut dyn Write, notes: &mut dyn Write) -> Result<(), String> {
    let deadline = watch.timeout.map(|timeout| Instant::now() + timeout);
    let mut socket = connect(watch, deadline)?;
    let mut came = 0;
    let mut joined = false;
    while !joined || watch.count.is_none_or(|count| came < count) {
        let frame = next(&mut socket, deadline).map_err(|why| {
            let wanted = watch
                .count
                .map_or(String::new(), |count| format!(" of {count}"));
            format!("{came}{wanted} frames came from {}: {why}", watch.web)
        })?;
        if !joined {
            let text = frame.to_text().unwrap_or_default();
            serde_json::from_str::<Ack>(text)
                .ok()
                .filter(|ack| ack.joined == watch.rooms)
                .ok_or_else(|| {
                    format!(
                        "{} didn't acknowledge the joins: is it a dev-comet?",
                        watch.web
                    )
                })?;
            joined = true;
            writeln!(notes, "joined").map_err(|error| format!("cannot write: {error}"))?;
            continue;
        }
        came += 1;
        writeln!(lines, "{}", line(&frame))
            .and_then(|()| lines.flush())
            .map_err(|error| format!("cannot write frame {came}: {error}"))?;
    }
    Ok(())
}

fn connect(watch: &Watch, deadline: Option<Instant>) -> Result<WebSocket<TcpStream>, String> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("ack", "1");
    query.extend_pairs(watch.rooms.iter().map(|room| ("room", room)));
    query.extend_pairs(watch.keys.iter().map(|key| ("key", key)));
    let accepts = watch.accepts.iter().map(i32::to_string);
    query.extend_pairs(accepts.map(|operation| ("accept", operation)));
    let url = format!("ws://{}/ws?{}", watch.web, query.finish());

    let cannot = |error: &dyn std::error::Error| {
        format!(
            "cannot connect to ws://{}/ws: {error}. Does a dev-comet serve its page there?",
            watch.web
        )
    };
    let stream = TcpStream::connect(&watch.web).map_err(|error| cannot(&error))?;
    wait_until(&stream, deadline)
        .map_err(|error| format!("no answer from {}: {error}", watch.web))?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    match tungstenite::client::client_with_config(url, stream, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(HandshakeError::Failure(error)) => Err(cannot(&error)),
        Err(HandshakeError::Interrupted(_)) => Err(format!("no answer from {} in time", watch.web)),
    }
}

/// The next text or binary frame.
fn next(socket: &mut WebSocket<TcpStream>, deadline: Option<Instant>) -> Result<Message, String> {
    loop {
        wait_until(socket.get_ref(), deadline)?;
        match socket.read() {
            Ok(frame @ (Message::Text(_) | Message::Binary(_))) => return Ok(frame),
            Ok(Message::Close(Some(close))) => {
                return Err(format!("the connection was closed: {}", close.reason));
            }
            Ok(_) => {}
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Lets reads wait until then and no longer. An error where it is too late already.
fn wait_until(stream: &TcpStream, deadline: Option<Instant>) -> Result<(), String> {
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left.is_some_and(|left| left.is_zero()) {
        return Err("the time is up".to_owned());
    }
    stream
        .set_read_timeout(left)
        .map_err(|error| error.to_string())
}

/// One frame, one line.
fn line(frame: &Message) -> String {
    match frame {
        Message::Text(text) => {
            let mut line = String::with_capacity(text.len());
            for c in text.chars() {
                if c.is_control() {
                    line.extend(c.escape_default());
                } else {
                    line.push(c);
                }
            }
            line
        }
        other => format!("b\"{}\"", other.clone().into_data().escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_one_line() {
        assert_eq!(line(&Message::text("{\"a\":\"聊天\"}")), "{\"a\":\"聊天\"}");
        assert_eq!(
            line(&Message::text("one\ntwo\r\u{85}")),
            "one\\ntwo\\r\\u{85}"
        );
        let binary = Message::binary(b"\xffA\n\"".as_slice());
        assert_eq!(line(&binary), r#"b"\xffA\n\"""#);
    }
}
