//! How calls end, and connections (RFC 9113, sections 5.4, 6.4 and 6.8).

use std::borrow::Cow;
use std::time::Instant;

use super::super::frame::{self, Code, Fault, GOAWAY, RST_STREAM};
use super::super::status;
use super::super::streams::Key;
use super::{By, Connection, Finished, State};

impl Connection {
    /// Ends a call; none where it ended before.
    pub(super) fn finish(
        &mut self,
        key: Key,
        code: i32,
        text: impl Into<Cow<'static, str>>,
        by: By,
    ) {
        let ended = self.streams.remove(key, |stream| {
            let finished = Finished {
                tag: stream.tag,
                code,
                text: text.into(),
                body: match code {
                    status::OK => stream.answer.take_message(),
                    _ => Vec::new(),
                },
                by,
            };
            (finished, !stream.unsent().is_empty())
        });
        if let Some((finished, waited)) = ended {
            self.stale += usize::from(waited);
            if self.stale > 32 + (self.queued.len() + self.blocked.len()) / 2 {
                self.drop_stale();
            }
            self.finished.push_back(finished);
            self.flood.useful();
            // A queued call may take its stream.
            self.may_go_on |= !self.queued.is_empty();
        }
    }

    /// Ends a call that the server is to leave off.
    pub(super) fn reset(
        &mut self,
        key: Key,
        reset: Code,
        code: i32,
        text: impl Into<Cow<'static, str>>,
    ) {
        let id = self.streams.get(key).and_then(|stream| stream.id());
        self.finish(key, code, text, By::Client);
        if let Some(id) = id {
            self.write_reset(id, reset);
        }
    }

    pub(super) fn write_reset(&mut self, id: u32, code: Code) {
        frame::write(&mut self.output, RST_STREAM, 0, id, &code.0.to_be_bytes());
    }

    /// Ends a call whose answer isn't awaited any longer. Nothing happens where it ended before.
    pub fn cancel(&mut self, key: Key, now: Instant) {
        if !self.streams.is_live(key) {
            return;
        }
        let text = "cancelled";
        if self.is_open(key) {
            self.reset(key, Code::CANCEL, status::CANCELLED, text);
        } else {
            self.finish(key, status::CANCELLED, text, By::Unsent);
        }
        self.go_on(now);
        self.close_if_done();
    }

    /// Ends a call whose deadline has passed.
    pub(super) fn overdue(&mut self, key: Key) {
        if self.is_open(key) {
            let text = "no answer within its deadline";
            self.reset(key, Code::CANCEL, status::DEADLINE_EXCEEDED, text);
        } else {
            let text = match self.state {
                State::Greeting => "its deadline passed before the connection was made",
                _ if self.is_full() => "its deadline passed before the server took what was sent",
                _ => "its deadline passed before the server had a stream for it",
            };
            self.finish(key, status::DEADLINE_EXCEEDED, text, By::Unsent);
        }
    }

    fn is_open(&mut self, key: Key) -> bool {
        self.streams
            .get(key)
            .is_some_and(|stream| stream.opened.is_some())
    }

    /// Forgets keys of calls that ended while they waited.
    fn drop_stale(&mut self) {
        self.stale = 0;
        let streams = &self.streams;
        self.queued.retain(|key| streams.is_live(*key));
        self.blocked.retain(|key| streams.is_live(*key));
    }

    /// Takes no new calls, and closes when those that were made have ended. Those without a stream end now.
    pub fn retire(&mut self) {
        self.stop("this side closes it");
        self.close_if_done();
    }

    /// Hands back what has no stream, and takes nothing more.
    pub(super) fn stop(&mut self, why: impl Into<Cow<'static, str>>) {
        if self.takes_calls() {
            self.state = State::Retiring;
            self.why = why.into();
        }
        let text = format!("not sent, as the connection takes no calls: {}", self.why);
        for key in std::mem::take(&mut self.queued) {
            self.finish(key, status::UNAVAILABLE, text.clone(), By::Unsent);
        }
    }

    /// The peer takes nothing of streams above `last` (6.8).
    pub(super) fn hand_back(&mut self, last: u32) {
        let text = format!(
            "not taken, as the server closes the connection: {}",
            self.why
        );
        for key in self
            .streams
            .keys(|stream| stream.id().is_some_and(|id| id > last))
        {
            self.finish(key, status::UNAVAILABLE, text.clone(), By::Unsent);
        }
    }

    /// Closes a connection that takes no calls and has none.
    pub(super) fn close_if_done(&mut self) {
        if self.state == State::Retiring && self.streams.len() == 0 {
            self.say_goodbye(Code::NO_ERROR, "");
        }
    }

    /// The peer broke the rules: tells it so, and closes.
    pub(super) fn fail(&mut self, fault: Fault) {
        if self.state == State::Closed {
            return;
        }
        // What is in the output leaves with the goodbye.
        let left_until = self.position();
        self.say_goodbye(fault.code, fault.what);
        let why = format!("what answers there sent {} ({})", fault.what, fault.code);
        self.end_all(why.into(), By::GivenUp, left_until);
    }

    /// The connection is gone; `why` says how.
    pub fn lost(&mut self, why: impl Into<Cow<'static, str>>) {
        let by = match self.goodbye {
            Some(Code::NO_ERROR) => By::Stopped,
            _ => By::Lost,
        };
        self.over(why.into(), by);
    }

    /// Takes the connection for dead; `why` says on which grounds. What has not left doesn't leave.
    pub fn give_up(&mut self, why: impl Into<Cow<'static, str>>) {
        self.over(why.into(), By::GivenUp);
    }

    fn over(&mut self, why: Cow<'static, str>, by: By) {
        if self.state != State::Closed {
            self.state = State::Closed;
            let left_until = self.left_until();
            // What ends as unsent must not leave after all.
            self.output.truncate(self.sent);
            self.end_all(why, by, left_until);
        }
    }

    /// Nothing of the peer's streams is ever taken: it has none.
    fn say_goodbye(&mut self, code: Code, what: &str) {
        let mut payload = [0; 8];
        payload[4..].copy_from_slice(&code.0.to_be_bytes());
        let payload = [&payload, what.as_bytes()].concat();
        frame::write(&mut self.output, GOAWAY, 0, 0, &payload);
        self.state = State::Closed;
    }

    /// Ends all calls. What is sent before `left_until` has left, or will.
    fn end_all(&mut self, why: Cow<'static, str>, by: By, left_until: u64) {
        // What the peer said before tells more.
        if self.why.is_empty() {
            self.why = why;
        } else {
            self.why = format!("{}; then {why}", self.why).into();
        }
        let (lost, unsent) = (
            self.why.to_string(),
            format!("not sent, as the connection ended: {}", self.why),
        );
        for key in self.streams.keys(|_| true) {
            let opened = self.streams.get(key).and_then(|stream| stream.opened);
            if opened.is_some_and(|opened| opened.begin < left_until) {
                self.finish(key, status::UNAVAILABLE, lost.clone(), by);
            } else {
                self.finish(key, status::UNAVAILABLE, unsent.clone(), By::Unsent);
            }
        }
        self.queued.clear();
        self.blocked.clear();
        self.partial = Vec::new();
        self.block.bytes = Vec::new();
    }
}
