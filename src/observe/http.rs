//! Serves metrics, health and the status page over HTTP, on one thread of its own that delivery never waits for.
//!
//! Nothing of a request counts but its method, its path and the header Accept. What a client can use up is limited: connections,
//! time, and the size of a request. So the worst that it can do is to keep others from looking.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::health::{Pulse, is_ready};
use super::metrics::{Form, Metrics, Source};
use super::status::history::{EVERY, History};
use super::status::{self, Status};
use crate::base::{trial, wall};

/// More wait until one of these is done.
const CONNECTIONS: usize = 16;

/// What it has open at most.
pub const FILES: usize = CONNECTIONS + 6;

/// Limits a connection, which serves one request: Prometheus asks each few seconds at most.
const WITHIN: Duration = Duration::from_secs(10);
/// Limits the time until the request is there.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);

/// Limits a request's first line with its headers, in bytes and in number.
const REQUEST_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;

/// How often it is looked since when something is so.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Wait after the system refused a connection, as it does where files run out.
const REFUSED: Duration = Duration::from_millis(500);

/// A Comet is asked no more often, however often somebody asks whether job is ready.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The first who wants the status waits this long for the Comets' answers, and looks for them this often.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
const LOOK_FOR_ANSWERS: Duration = Duration::from_millis(20);
const _: () = assert!(
    REQUEST_WITHIN.as_millis() + ANSWERS_WITHIN.as_millis() < WITHIN.as_millis(),
    "no time would be left for the answer"
);

const INDEX: &str = "/             the status page\n/status.json  the same as data\n/metrics      for Prometheus\n\
    /healthz      whether job's threads go on\n/readyz       whether messages can flow\n";

/// The status page, by its paths.
const PAGES: [(&str, &str, &str); 3] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("page/status.html"),
    ),
    (
        "/status.js",
        "text/javascript; charset=utf-8",
        include_str!("page/status.js"),
    ),
    (
        "/status.css",
        "text/css; charset=utf-8",
        include_str!("page/status.css"),
    ),
];

/// The page takes nothing from elsewhere, runs no script but its own, and is shown in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served.
pub struct Served {
    pub source: Source,
    /// Which threads go on: another thread looks.
    pub pulse: Arc<Mutex<Pulse>>,
    /// Asks the Comets whether they answer, while none has: a topic where nothing comes says nothing about them.
    pub ask: Box<dyn FnMut() + Send>,
}

/// Takes the address.
///
/// # Errors
/// The system's, such as that another program has it.
pub fn bind(address: &str) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Starts the thread that serves there.
///
/// # Errors
/// The system refuses a thread or the runtime's files.
pub fn spawn(listener: TcpListener, served: Served) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    drop(guard);
    thread::Builder::new()
        .name("http".into())
        .spawn(move || runtime.block_on(serve(listener, served)))
        .map(drop)
}

struct Site {
    source: Source,
    metrics: Metrics,
    pulse: Arc<Mutex<Pulse>>,
    history: Mutex<History>,
    ask: Mutex<Asking>,
}

struct Asking {
    ask: Box<dyn FnMut() + Send>,
    last: Option<Instant>,
}

async fn serve(listener: tokio::net::TcpListener, served: Served) {
    let Served { source, pulse, ask } = served;
    let site = Arc::new(Site {
        metrics: Metrics::new(source.clone()),
        source,
        pulse,
        history: Mutex::new(History::new(std::time::Instant::now())),
        ask: Mutex::new(Asking { ask, last: None }),
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut looks = interval(LOOK_EVERY);
    // After a halt of the whole process no look is made up for.
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples = interval(trial::limit("status-every", EVERY));
    samples.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            _ = looks.tick() => {
                lock(&site.history).look(&site.source.figures, std::time::Instant::now());
            }
            _ = samples.tick() => {
                let now = std::time::Instant::now();
                let at = wall::millis().unsigned_abs();
                lock(&site.history).sample(&site.source.figures, now, at);
            }
            (connection, place) = accepted => match connection {
                Ok((stream, _)) => {
                    let site = site.clone();
                    tokio::spawn(async move {
                        // A client that is too slow is cut off. What else goes wrong is its own matter.
                        let _ = timeout(WITHIN, site.answer_to(stream)).await;
                        drop(place);
                    });
                }
                Err(_) => tokio::time::sleep(REFUSED).await,
            },
        }
    }
}

impl Site {
    async fn answer_to(&self, stream: TcpStream) {
        let mut server = http1::Builder::new();
        server
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_WITHIN)
            .max_buf_size(REQUEST_BYTES)
            .max_headers(HEADERS)
            .keep_alive(false);
        let answer = service_fn(|request: Request<Incoming>| async move {
            if request.uri().path() == "/status.json" {
                self.await_answers().await;
            }
            Ok::<_, Infallible>(self.answer(
                request.method(),
                request.uri().path(),
                request.headers().get(ACCEPT),
            ))
        });
        let _ = server.serve_connection(TokioIo::new(stream), answer).await;
    }

    fn answer(&self, method: &Method, path: &str, accept: Option<&HeaderValue>) -> Response<Body> {
        if ![Method::GET, Method::HEAD].contains(method) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".into());
            let allowed = HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
        match path {
            "/metrics" => {
                let accept = accept.and_then(|accept| accept.to_str().ok());
                let form = Form::accepted(accept.unwrap_or_default());
                let mut page = text(StatusCode::OK, self.metrics.page(form));
                let kind = HeaderValue::from_static(form.content_type());
                page.headers_mut().insert(CONTENT_TYPE, kind);
                page
            }
            "/healthz" => verdict("well", lock(&self.pulse).is_healthy(&self.source.figures)),
            "/readyz" => {
                self.ask_comets();
                verdict("ready", is_ready(&self.source.figures))
            }
            "/status.json" => {
                // Numbers and text can always be written.
                let text = serde_json::to_string(&self.status()).unwrap_or_default();
                page("application/json", text)
            }
            _ => match PAGES.iter().find(|(at, ..)| *at == path) {
                Some((_, kind, text)) => page(kind, (*text).to_owned()),
                None => text(
                    StatusCode::NOT_FOUND,
                    format!("nothing is here, but:\n{INDEX}"),
                ),
            },
        }
    }

    fn status(&self) -> Status {
        let (mut history, pulse) = (lock(&self.history), lock(&self.pulse));
        let now = std::time::Instant::now();
        history.look(&self.source.figures, now);
        status::status(&self.source, &history, &pulse, now)
    }

    /// Asks the Comets if none has answered yet, and gives them a moment where nobody has asked before: else the first
    /// status would say that they don't answer.
    async fn await_answers(&self) {
        let is_first = lock(&self.ask).last.is_none();
        self.ask_comets();
        let until = Instant::now() + ANSWERS_WITHIN;
        while is_first && !self.source.figures.has_answer() && Instant::now() < until {
            tokio::time::sleep(LOOK_FOR_ANSWERS).await;
        }
    }

    /// Asks the Comets if none has answered yet. The next who asks hears of their answers.
    fn ask_comets(&self) {
        let mut asking = lock(&self.ask);
        let is_fresh = asking.last.is_some_and(|last| last.elapsed() < ASK_AGAIN);
        if !is_fresh && !self.source.figures.has_answer() {
            asking.last = Some(Instant::now());
            (asking.ask)();
        }
    }
}

fn verdict(good: &str, found: Result<(), String>) -> Response<Body> {
    match found {
        Ok(()) => text(StatusCode::OK, format!("{good}\n")),
        Err(wrong) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{wrong}\n")),
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// A part of the status page.
fn page(kind: &'static str, content: String) -> Response<Body> {
    let mut response = text(StatusCode::OK, content);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let policy = HeaderValue::from_static(POLICY);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    let referrer = HeaderValue::from_static("no-referrer");
    headers.insert(REFERRER_POLICY, referrer);
    response
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is done under the lock that could be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where it serves, for the log: the port may be any.
pub fn address_of(listener: &TcpListener) -> Option<SocketAddr> {
    listener.local_addr().ok()
}

#[cfg(test)]
mod tests;
