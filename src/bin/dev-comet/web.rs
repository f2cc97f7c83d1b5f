//! The web side, on one port: the page, the WebSocket and the counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::SinkExt;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::faults::{Fault, Faults};
use super::hub::{Hub, Limits, Seat};
use super::server::say;

const PAGE: &str = include_str!("page.html");
/// Where the page has the command that sends a message, as a string of JavaScript.
const SEND: &str = "\"{{SEND}}\"";
/// The page needs nothing but itself and its socket; so it may use nothing else.
const PAGE_MAY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                        img-src data:; connect-src 'self' ws: wss:";
/// What a person sends is a room's name and little more.
const MAX_ASK_BYTES: usize = 64 << 10;
/// Frames written between two flushes.
const BATCH: usize = 256;
/// How long a connection that is ended may take to read what is on its way and say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone)]
struct Web {
    hub: Arc<Hub>,
    page: Arc<str>,
    /// Held by each open socket: the stop waits until all copies are gone.
    open: mpsc::Sender<()>,
}

/// `/`, `/ws` and `/stats`, and `/fault` where faults may be asked for. Each open socket keeps a copy of `open`.
/// `send_command` is what the page tells people to send with.
pub fn router(
    hub: Arc<Hub>,
    faults: Option<Arc<Faults>>,
    open: mpsc::Sender<()>,
    send_command: &str,
) -> Router {
    let shown = PAGE.replace(SEND, &script_string(send_command)).into();
    let router = Router::new()
        .route("/", get(page))
        .route("/ws", get(socket))
        .route("/stats", get(stats))
        .with_state(Web {
            hub,
            page: shown,
            open,
        });
    match faults {
        Some(faults) => router.route("/fault", get(fault).post(set_fault).with_state(faults)),
        None => router,
    }
}

async fn fault(State(faults): State<Arc<Faults>>) -> Response {
    json(&faults.current())
}

/// It answers when the fault is in force.
async fn set_fault(State(faults): State<Arc<Faults>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            say(&format!("shows this fault from now on: {fault:?}"));
            faults.set(fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("no fault: {error}\n")).into_response(),
    }
}

/// The text as a string of JavaScript that can't end the script that it stands in.
fn script_string(text: &str) -> String {
    serde_json::Value::from(text)
        .to_string()
        .replace('<', "\\u003c")
}

async fn page(State(web): State<Web>) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_MAY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, web.page.to_string())
}

async fn stats(State(web): State<Web>) -> Response {
    json(&web.hub.stats())
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What the query of `/ws` asks for: `room=…`, `key=…` and `accept=…`, each as often as wanted, and `ack=1`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Wishes {
    #[serde(rename = "joined")]
    rooms: Vec<String>,
    keys: Vec<String>,
    /// Operations, for goim's filter.
    #[serde(skip)]
    accepts: Vec<i32>,
    #[serde(skip)]
    ack: bool,
}

impl Wishes {
    fn parse(query: &str) -> Self {
        let mut wishes = Wishes::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "room" => wishes.rooms.push(value.into_owned()),
                "key" => wishes.keys.push(value.into_owned()),
                "accept" => wishes.accepts.extend(value.parse::<i32>()),
                "ack" => wishes.ack = value == "1",
                _ => {}
            }
        }
        wishes
    }
}

/// What a person may send later, as a text frame: `{"join":"r1"}` or `{"leave":"r1"}`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Ask {
    Join(String),
    Leave(String),
}

async fn socket(
    State(web): State<Web>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    upgrade: WebSocketUpgrade,
) -> Response {
    let wishes = Wishes::parse(query.as_deref().unwrap_or_default());
    upgrade
        .max_message_size(MAX_ASK_BYTES)
        .on_upgrade(move |socket| serve(web, peer, wishes, socket))
}

async fn serve(web: Web, peer: SocketAddr, wishes: Wishes, mut socket: WebSocket) {
    let mut seat = web.hub.connect(&wishes.rooms, &wishes.keys);
    seat.accept(&wishes.accepts);
    if let Some(close) = talk(&wishes, &mut socket, &mut seat).await {
        if close.code != close_code::AWAY {
            say(&format!("dropped {peer}: {}", close.reason));
        }
        // Out of the rooms first: what waits for it is freed while it reads the rest.
        drop(seat);
        let goodbye = async {
            socket.send(Message::Close(Some(close))).await?;
            while let Some(Ok(_)) = socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        // Whether it heard the goodbye changes nothing.
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, goodbye).await;
    }
    drop(web.open);
}

/// Writes the seat's frames and reads what the person asks for. Ends with what to say at the end, or with
/// nothing where the person has left.
async fn talk(wishes: &Wishes, socket: &mut WebSocket, seat: &mut Seat) -> Option<CloseFrame> {
    if wishes.ack {
        let ack = serde_json::to_string(wishes).ok()?;
        socket.send(Message::text(ack)).await.ok()?;
    }
    let mut frames = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            () = seat.too_slow() => return Some(too_slow(seat.limits())),
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(Ask::Join(room)) => seat.join(&room),
                    Ok(Ask::Leave(room)) => seat.leave(&room),
                    Err(_) => return Some(not_understood()),
                },
                Some(Ok(Message::Binary(_))) => return Some(not_understood()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
            },
            taken = seat.frames.recv_many(&mut frames, BATCH) => {
                if taken == 0 {
                    return Some(stopping());
                }
                let bytes = frames.iter().map(body_len).sum();
                tokio::select! {
                    biased;
                    () = seat.too_slow() => return Some(too_slow(seat.limits())),
                    written = write(socket, &mut frames) => written.ok()?,
                }
                seat.written(bytes);
            }
        }
    }
}

async fn write(socket: &mut WebSocket, frames: &mut Vec<Message>) -> Result<(), axum::Error> {
    for frame in frames.drain(..) {
        socket.feed(frame).await?;
    }
    socket.flush().await
}

fn body_len(frame: &Message) -> usize {
    match frame {
        Message::Text(text) => text.len(),
        Message::Binary(body) => body.len(),
        _ => 0,
    }
}

fn too_slow(limits: Limits) -> CloseFrame {
    let Limits { frames, bytes } = limits;
    let reason = format!("too slow: more than {frames} frames or {bytes} bytes waited");
    CloseFrame {
        code: close_code::POLICY,
        reason: reason.into(),
    }
}

fn stopping() -> CloseFrame {
    CloseFrame {
        code: close_code::AWAY,
        reason: "dev-comet stops".into(),
    }
}

fn not_understood() -> CloseFrame {
    CloseFrame {
        code: close_code::UNSUPPORTED,
        reason: r#"not understood: send {"join":"room"} or {"leave":"room"} as a text frame"#
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_rooms_and_keys_in_any_script() {
        let wishes = Wishes::parse("room=r1&room=%E8%81%8A+%2B&key=user1&ack=1&other=x&bare");
        assert_eq!(wishes.rooms, ["r1", "聊 +"]);
        assert_eq!(wishes.keys, ["user1"]);
        assert!(wishes.ack);
        assert_eq!(Wishes::parse(""), Wishes::default());
    }

    #[test]
    fn asks_are_one_field_each() {
        let ask = |text| serde_json::from_str::<Ask>(text);
        assert_eq!(ask(r#"{"join":"r1"}"#).unwrap(), Ask::Join("r1".into()));
        assert_eq!(ask(r#"{"leave":"r1"}"#).unwrap(), Ask::Leave("r1".into()));
        for wrong in ["", "join", "{}", r#"{"join":1}"#, r#"{"shout":"r1"}"#] {
            assert!(ask(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn close_reasons_fit_a_close_frame() {
        for frame in [too_slow(Limits::default()), stopping(), not_understood()] {
            assert!(frame.reason.len() <= 123, "{}", frame.reason.as_str());
        }
    }
}
