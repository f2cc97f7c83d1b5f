//! A registry of bilibili's discovery: which Comets are registered under an appid.
//!
//! `fetch` says who is there; `poll` holds the answer back until that changes, for 30 s at most. They take turns: so a change is heard of
//! at once, and one that a poll missed within half a minute.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use form_urlencoded::Serializer;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::registered::{Registered, nodes};
use crate::base::limits;
use crate::base::text::one_line;
use crate::message::fleet::Node;
use crate::settings::fleet::Registry;

/// How long a registry may take to say who is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// And to say that nothing changed, with its own 30 s.
const POLLS_WITHIN: Duration = Duration::from_secs(40);
/// Of an answer, in bytes.
const LONGEST: usize = 4 << 20;
/// It isn't asked more often than that, whatever it answers.
const LEAST: Duration = Duration::from_secs(1);

/// The registry's codes.
const NOT_MODIFIED: i64 = -304;
const NOT_FOUND: i64 = -404;

/// A thread that asks, for as long as this is kept.
pub struct Asking {
    _wanted: Arc<()>,
}

impl Asking {
    /// Asks at once, and whenever something may have changed; `refresh` after a failure. `listed` hears of each answer, and returns
    /// whether anybody still listens.
    pub fn start(
        registry: Registry,
        refresh: Duration,
        listed: impl Fn(Result<Vec<Node>, String>) -> bool + Send + Clone + 'static,
    ) -> Self {
        let wanted = Arc::new(());
        let asker = Asker {
            registry,
            client: client_name(),
            refresh,
            wanted: Arc::downgrade(&wanted),
        };
        let tell = listed.clone();
        let runs = thread::Builder::new()
            .name("discovery".into())
            .spawn(move || asker.run(&tell));
        if let Err(error) = runs {
            let why = limits::explained(&error);
            listed(Err(format!("starting a thread failed: {why}")));
        }
        Self { _wanted: wanted }
    }
}

/// A registry knows one poll for each client name: two clients of one name would end each other's.
fn client_name() -> String {
    let host = nix::unistd::gethostname().ok();
    let host = host.and_then(|host| host.into_string().ok());
    let host = host.unwrap_or_else(|| "job".to_owned());
    format!("{host}-job-{}", std::process::id())
}

struct Asker {
    registry: Registry,
    client: String,
    refresh: Duration,
    wanted: Weak<()>,
}

/// What came of a question.
enum Answer {
    Listed(Registered),
    NotModified,
    /// The registry has no such call.
    NoCall,
}

impl Asker {
    fn run(self, listed: &impl Fn(Result<Vec<Node>, String>) -> bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                listed(Err(limits::explained(&error).to_string()));
                return;
            }
        };
        let mut said = Vec::new();
        let mut has_poll = true;
        while self.wanted.strong_count() > 0 {
            let begun = Instant::now();
            let fetched = runtime.block_on(self.ask("fetch", None, ANSWERS_WITHIN));
            let since = match fetched {
                Ok(Answer::Listed(registered)) => {
                    let since = registered.latest_timestamp;
                    if !self.tell(registered, &mut said, listed) {
                        return;
                    }
                    Some(since)
                }
                Ok(Answer::NotModified | Answer::NoCall) => {
                    let why = "it has no /discovery/fetch: is it a discovery server?";
                    if !listed(Err(why.into())) {
                        return;
                    }
                    None
                }
                Err(why) => {
                    if !listed(Err(why)) {
                        return;
                    }
                    None
                }
            };
            let Some(since) = since.filter(|_| has_poll) else {
                thread::sleep(self.refresh);
                continue;
            };
            match runtime.block_on(self.ask("poll", Some(since), POLLS_WITHIN)) {
                Ok(Answer::Listed(registered)) => {
                    if !self.tell(registered, &mut said, listed) {
                        return;
                    }
                }
                Ok(Answer::NotModified) => {}
                Ok(Answer::NoCall) => has_poll = false,
                // The next fetch says what is wrong, if it still is.
                Err(_) => {}
            }
            // It, or what stands in front of it, may hold nothing back.
            let least = self.refresh.min(LEAST);
            thread::sleep(least.saturating_sub(begun.elapsed()));
        }
    }

    fn tell(
        &self,
        registered: Registered,
        said: &mut Vec<(String, String)>,
        listed: &impl Fn(Result<Vec<Node>, String>) -> bool,
    ) -> bool {
        let (nodes, wrong) = nodes(registered);
        for (hostname, why) in &wrong {
            if !said
                .iter()
                .any(|(of, before)| (of, before) == (hostname, why))
            {
                let registry = &self.registry;
                log::warn!("{registry}: what is registered as {hostname} gets nothing: {why}");
            }
        }
        *said = wrong;
        listed(match nodes.is_empty() {
            // A registry that was just started knows nobody.
            true => Err("it lists no Comet".into()),
            false => Ok(nodes),
        })
    }

    /// # Errors
    /// No answer came that says who is there: why.
    async fn ask(
        &self,
        call: &str,
        since: Option<i64>,
        within: Duration,
    ) -> Result<Answer, String> {
        let path = self.path(call, since);
        let asking = timeout(within, get(&self.registry.address, &path));
        let answered = asking
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())));
        match answered? {
            (200, body) => read(&body),
            (404 | 405, _) => Ok(Answer::NoCall),
            (status, _) => Err(format!("HTTP status {status}")),
        }
    }

    fn path(&self, call: &str, since: Option<i64>) -> String {
        let Registry { app, env, zone, .. } = &self.registry;
        let mut query = Serializer::new(String::new());
        query.append_pair("appid", app).append_pair("env", env);
        if let Some(zone) = zone {
            query.append_pair("zone", zone);
        }
        match since {
            // 1: those that take requests.
            None => query.append_pair("status", "1"),
            Some(since) => query
                .append_pair("hostname", &self.client)
                .append_pair("latest_timestamp", &since.to_string()),
        };
        format!("/discovery/{call}?{}", query.finish())
    }
}

fn read(body: &[u8]) -> Result<Answer, String> {
    #[derive(Deserialize)]
    struct Said {
        code: i64,
        #[serde(default)]
        message: Value,
        #[serde(default)]
        data: Value,
    }
    let other = |error| format!("its answer is not that of a discovery server: {error}");
    // bilibili's 1.0.1 answers a poll twice when nothing changed, and wraps what did change in an answer once more.
    let mut answers = serde_json::Deserializer::from_slice(body).into_iter::<Said>();
    let Some(said) = answers.next() else {
        return Err(other("it is empty".to_owned()));
    };
    let mut said = said.map_err(|error| other(error.to_string()))?;
    if let Some(wrapped) = said.data.get_mut("data") {
        said.data = wrapped.take();
    }
    match said.code {
        0 => serde_json::from_value(said.data)
            .map(Answer::Listed)
            .map_err(|error| other(error.to_string())),
        NOT_MODIFIED => Ok(Answer::NotModified),
        NOT_FOUND => Err("it knows nobody of this appid, env and zone (code -404)".into()),
        code => Err(format!(
            "it answered with code {code} {}",
            one_line(said.message.as_str().unwrap_or_default())
        )),
    }
}

/// The status and the body that come back.
async fn get(address: &str, path: &str) -> Result<(u16, Bytes), String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
    let request = Request::get(path)
        .header(HOST, address)
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let no_http = |error: String| format!("no answer in HTTP ({error})");
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(|error| no_http(error.to_string()))?;
    // It ends with the answer. What fails there fails here too.
    let driven = tokio::spawn(async { drop(connection.await) });
    let answered = async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| no_http(error.to_string()))?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| match error.is::<LengthLimitError>() {
            true => format!("its answer has more than {} MiB", LONGEST >> 20),
            false => no_http(error.to_string()),
        })?;
        Ok((status, body.to_bytes()))
    };
    let answered = answered.await;
    driven.abort();
    answered
}

#[cfg(test)]
mod tests;
