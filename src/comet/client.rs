//! One worker's channel to one Comet.

mod asked;
mod channel;
mod headers;

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use grpcio::{ClientUnaryReceiver, Environment, RpcStatus, RpcStatusCode};

use super::connecting::COMPARED_WITHIN;
use super::dialect::{Manner, understood};
use super::location::Location;
use super::metadata::Metadata;
use super::quiet::{Quiet, SIGN_WITHIN};
use super::request;
use super::verdict::{Verdict, verdict, verdict_on, verdict_on_status};
use crate::base::panics;
use crate::message::call::Call;
use crate::message::proto::comet::{RoomsReply, RoomsReq};
use crate::message::{Answer, Dialect, Status};
use asked::{Asked, Sign};
use channel::connect;
use headers::{Headers, options};

const NO_MESSAGE: &str = "OK without a message: what answers there is no Comet, or something in between drops its answers";

/// A channel of its own: channels to one address would otherwise share a connection.
pub struct Client {
    environment: Arc<Environment>,
    location: Arc<Location>,
    manner: Manner,
    headers: Headers,
    /// `None` while no address is known.
    channel: Option<grpcio::Client>,
    /// Of the addresses that the channel is for.
    version: u64,
    connection: Quiet,
    /// The question that may be under way.
    question: Option<Question>,
}

/// A question whether a connection is alive.
#[derive(Clone)]
struct Question {
    asked: Arc<Asked>,
    /// Another channel, which works where that one doesn't.
    other: Arc<Mutex<Option<grpcio::Client>>>,
}

impl Client {
    /// Connects in the background, at the first call. `metadata` goes along with each call.
    pub fn new(
        environment: Arc<Environment>,
        location: Arc<Location>,
        manner: Manner,
        metadata: Option<Arc<Metadata>>,
    ) -> Self {
        let mut client = Self {
            environment,
            location,
            manner,
            headers: Headers::new(metadata),
            channel: None,
            version: 0,
            connection: Quiet::new(fastrand::f64()),
            question: None,
        };
        client.open_channel();
        client
    }

    /// Where the Comet is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Starts a call that tells these names and values `along`. Its deadline is the usual one, doubled `doublings` times. `done` gets the answer, on a gRPC thread: it
    /// must be quick. Where the Comet's name isn't found, `done` hears that at once.
    pub fn call(
        &mut self,
        call: &Call,
        (doublings, along): (u32, &[(&str, &str)]),
        now: Instant,
        done: impl FnOnce(Answer) + Send + 'static,
    ) {
        self.bring_up_to_date();
        let Some(channel) = &self.channel else {
            return done(Err(self.not_found()));
        };
        let method = request::method_of(self.manner.dialect, call);
        let within = self.manner.deadline.saturating_mul(1 << doublings);
        let started = channel.unary_call_async(method, call, self.headers.options(within, along));
        // The question goes behind the call: it is to delay nothing.
        if let Some(question) = self.ask_if_quiet(channel, now) {
            self.question = Some(question);
        }
        let dialect = self.manner.dialect;
        let done = move |answer| done(understood(dialect, answer));
        match &self.question {
            None => start(channel, started, done),
            Some(question) => start_doubtful(channel, started, question.asked.clone(), done),
        }
    }

    /// Asks whether the Comet is there, with the one call that sends nobody anything.
    pub fn probe(&mut self, done: impl FnOnce(Answer) + Send + 'static) {
        self.bring_up_to_date();
        match &self.channel {
            Some(channel) => {
                let asked = rooms(channel, self.manner, self.headers.now());
                start(channel, asked, done);
            }
            None => done(Err(self.not_found())),
        }
    }

    /// Asks for the Comet's rooms. `done` gets a `RoomsReply` as it came.
    pub fn rooms(&mut self, done: impl FnOnce(Result<Vec<u8>, Status>) + Send + 'static) {
        self.bring_up_to_date();
        let Some(channel) = &self.channel else {
            return done(Err(self.not_found()));
        };
        let method = request::unread_rooms(self.manner.dialect);
        let options = options(self.manner.deadline, self.headers.now());
        match channel.unary_call_async(method, &RoomsReq::new(), options) {
            Ok(mut receiver) => channel.spawn(async move {
                let received = received(&mut receiver).await;
                done(received.map_err(status));
            }),
            Err(error) => done(Err(status(error))),
        }
    }

    /// As [`Self::probe`], by a client that ends with the answer. One that ended before it is connected would end its calls.
    pub fn probe_once(mut self, done: impl FnOnce(Answer) + Send + 'static) {
        let kept = self.channel.clone();
        self.probe(move |answer| {
            done(answer);
            drop(kept);
        });
    }

    /// Notes what an answer says about the connection.
    pub fn heard(&mut self, answer: &Answer, now: Instant) {
        match answer {
            Ok(()) => self.connection.heard(now),
            Err(status) => match verdict_on_status(status) {
                Verdict::Finished | Verdict::Refused => self.connection.heard(now),
                Verdict::Down => {
                    self.connection.lost();
                    self.location.failed();
                }
                // Another may have got its address.
                Verdict::Misconfigured | Verdict::Unclear => self.location.failed(),
            },
        }
    }

    /// When [`Self::look_after`] is due, though nothing happens until then. May be too early.
    pub fn look_at(&self) -> Option<Instant> {
        self.connection.look_at()
    }

    /// Asks whether the connection is alive, if it wasn't used for long.
    pub fn look_after(&mut self, now: Instant) {
        if self.look_at().is_none_or(|at| at > now) {
            return;
        }
        self.bring_up_to_date();
        if let Some(channel) = &self.channel
            && let Some(question) = self.ask_if_quiet(channel, now)
        {
            self.question = Some(question);
        }
        self.connection.asked(now);
    }

    /// Makes another channel where the Comet is elsewhere, or the connection is dead. Calls in flight stay on the old one.
    fn bring_up_to_date(&mut self) {
        self.headers.bring_up_to_date();
        if self.location.version() != self.version {
            self.open_channel();
        }
        // Mostly there is no question.
        let Some(question) = &self.question else {
            return;
        };
        let at = question.asked.at;
        match question.asked.sign() {
            Sign::Awaited => return,
            Sign::Seen => self.connection.alive(at),
            Sign::Broke | Sign::Hangs => self.connection.lost(),
            Sign::Missed => {
                self.connection.lost();
                self.channel = lock(&question.other).take().or(self.channel.take());
            }
        }
        self.question = None;
    }

    fn open_channel(&mut self) {
        self.version = self.location.version();
        self.connection.lost();
        self.question = None;
        self.channel = connect(&self.environment, &self.location);
        log::debug!(
            comet = self.location.node().name;
            "Comet {}: a new channel, which connects with the next call",
            self.location.node()
        );
    }

    /// Asks whether the connection is alive, where it was quiet for too long to be trusted. Returns None where it wasn't, or
    /// where a question is under way.
    fn ask_if_quiet(&self, channel: &grpcio::Client, now: Instant) -> Option<Question> {
        if self.question.is_some() {
            return None;
        }
        let quiet = self.connection.untrusted(now)?;
        let question = Question {
            asked: Asked::new(now),
            other: Arc::default(),
        };
        let (asked, environment) = (question.clone(), self.environment.clone());
        let dialect = self.manner.dialect;
        let (location, headers) = (self.location.clone(), self.headers.now().cloned());
        start(
            channel,
            rooms(channel, within(dialect, SIGN_WITHIN), self.headers.now()),
            move |answer| match answer.map_err(|status| status.code.into()) {
                Err(RpcStatusCode::DEADLINE_EXCEEDED) => {
                    compare(asked, (&environment, location), (dialect, headers), quiet);
                }
                Err(RpcStatusCode::UNAVAILABLE) => {
                    asked.asked.settle(Sign::Broke);
                    location.failed();
                }
                Ok(()) | Err(_) => {
                    asked.asked.settle(Sign::Seen);
                }
            },
        );
        Some(question)
    }

    fn not_found(&self) -> Status {
        unavailable(self.location.not_found())
    }
}

/// No answer came over a quiet connection, so a new one is asked. A slow Comet, or one that was halted, is as silent there.
/// Where the new one answers, the old one is dead. It has to answer twice: that gives a late answer on the old one the time
/// to arrive first.
fn compare(
    question: Question,
    (environment, location): (&Arc<Environment>, Arc<Location>),
    (dialect, headers): (Dialect, Option<grpcio::Metadata>),
    quiet: Duration,
) {
    location.failed();
    if question.asked.sign() != Sign::Awaited {
        return;
    }
    let Some(other) = connect(environment, &location) else {
        question.asked.settle(Sign::Broke);
        return;
    };
    let second = other.clone();
    let manner = within(dialect, COMPARED_WITHIN);
    start(
        &other,
        rooms(&other, manner, headers.as_ref()),
        move |first| {
            let again = second.clone();
            start(
                &second,
                rooms(&second, manner, headers.as_ref()),
                move |answer| {
                    let hangs = |answer: &Answer| {
                        let code = answer.as_ref().map_err(|status| status.code.into());
                        code == Err(RpcStatusCode::DEADLINE_EXCEEDED)
                    };
                    if hangs(&first) || hangs(&answer) {
                        question.asked.settle(Sign::Hangs);
                        return;
                    }
                    *lock(&question.other) = Some(again);
                    if question.asked.settle(Sign::Missed) {
                        log::info!(
                            comet = location.node().name;
                            "Comet {}: nothing came over a connection for {:.0} s, nor an answer within {} s: taken for dead, the next \
                             call goes over a new one",
                            location.node(),
                            quiet.as_secs_f64(),
                            SIGN_WITHIN.as_secs()
                        );
                    }
                },
            );
        },
    );
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is done under the lock that could be left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Started<T> = grpcio::Result<ClientUnaryReceiver<T>>;

fn rooms(
    channel: &grpcio::Client,
    manner: Manner,
    headers: Option<&grpcio::Metadata>,
) -> Started<RoomsReply> {
    let method = request::rooms(manner.dialect);
    channel.unary_call_async(method, &RoomsReq::new(), options(manner.deadline, headers))
}

fn within(dialect: Dialect, deadline: Duration) -> Manner {
    Manner { dialect, deadline }
}

fn start<T: Send + Unpin + 'static>(
    channel: &grpcio::Client,
    started: Started<T>,
    done: impl FnOnce(Answer) + Send + 'static,
) {
    match started {
        Ok(mut receiver) => {
            channel.spawn(async move { done(answer(received(&mut receiver).await.map(drop))) })
        }
        Err(error) => done(answer(Err(error))),
    }
}

/// As `start`, over a connection that may be dead: if it is, the call ends as one over a connection that broke.
fn start_doubtful<T: Send + Unpin + 'static>(
    channel: &grpcio::Client,
    started: Started<T>,
    asked: Arc<Asked>,
    done: impl FnOnce(Answer) + Send + 'static,
) {
    let mut receiver = match started {
        Ok(receiver) => receiver,
        Err(error) => return done(answer(Err(error))),
    };
    channel.spawn(async move {
        tokio::select! {
            biased;
            result = received(&mut receiver) => {
                let answer = answer(result.map(drop));
                if came_from_comet(&answer) {
                    asked.settle(Sign::Seen);
                }
                done(answer);
            }
            () = asked.missed() => {
                receiver.cancel();
                let said = format!(
                    "the connection was quiet, and nothing came over it within {} s: taken for dead",
                    SIGN_WITHIN.as_secs()
                );
                done(Err(unavailable(said)));
            }
        }
    });
}

/// Whether an answer can only be the Comet's own.
fn came_from_comet(answer: &Answer) -> bool {
    matches!(verdict_on(answer), Verdict::Finished | Verdict::Refused)
}

/// What comes of a call. grpcio panics where it ends OK without a message, as any server can have it.
async fn received<T: Unpin>(receiver: &mut ClientUnaryReceiver<T>) -> grpcio::Result<T> {
    let no_message = || RpcStatus::with_message(RpcStatusCode::UNKNOWN, NO_MESSAGE.into());
    std::future::poll_fn(|cx| {
        panics::caught(|| Pin::new(&mut *receiver).poll(cx))
            .unwrap_or_else(|| Poll::Ready(Err(grpcio::Error::RpcFailure(no_message()))))
    })
    .await
}

fn answer(result: grpcio::Result<()>) -> Answer {
    result.map_err(status)
}

fn status(error: grpcio::Error) -> Status {
    match error {
        grpcio::Error::RpcFailure(status) | grpcio::Error::RpcFinished(Some(status)) => {
            by_its_words(status.code().into(), status.message())
        }
        // The answer can't be read, or the call couldn't be made: neither says that it wasn't taken.
        other => Status::new(RpcStatusCode::UNKNOWN.into(), other.to_string()),
    }
}

/// What gRPC's core 1.56 says of a call. Its words alone tell whether the connection broke after the call was written to it: a Comet
/// that can't be reached, and one that says UNAVAILABLE itself, have the same code.
fn by_its_words(code: i32, text: &str) -> Status {
    let is_of_connection = text == "Socket closed" || text.starts_with("recvmsg:");
    Status {
        broke: is_of_connection && verdict(code) == Verdict::Down,
        ..Status::new(code, text)
    }
}

fn unavailable(text: String) -> Status {
    Status::new(RpcStatusCode::UNAVAILABLE.into(), text)
}

#[cfg(test)]
mod tests;
