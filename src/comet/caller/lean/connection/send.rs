//! Calls on their way out: streams, bodies, and what they wait for (RFC 9113, sections 5.1.2, 5.2 and 6.9).

use std::time::{Duration, Instant};

use super::super::answer::PREFIX;
use super::super::flow::{Credit, Window};
use super::super::frame::{self, DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, Head, MAX_31};
use super::super::head::{self, Along, Limit};
use super::super::status;
use super::super::streams::{Key, Opened};
use super::{By, Call, Connection, HEADS, STREAM_WINDOW, State};

/// A deadline that is as good as none.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Connection {
    /// As [`Self::call_along`], with the fields alone that all calls have.
    pub fn call(&mut self, call: Call<'_>, now: Instant, write: impl FnOnce(&mut Vec<u8>)) -> Key {
        self.call_along(call, &Along::default(), now, write)
    }

    /// Makes a call; `write` appends its message. The call's bytes leave with the next output, or as soon as the peer lets them.
    pub fn call_along(
        &mut self,
        call: Call<'_>,
        along: &Along,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Key {
        if self.streams.len() == 0 {
            self.alive.begin(now);
        }
        let deadline = now + call.within.min(FAR);
        let key = self.streams.insert(call.tag, deadline);
        if !self.takes_calls() {
            let why = format!("not sent, as the connection takes no calls: {}", self.why);
            self.finish(key, status::UNAVAILABLE, why, By::Unsent);
            self.close_if_done();
            return key;
        }
        if self.first_deadline.is_none_or(|first| first > deadline) {
            self.first_deadline = Some(deadline);
        }
        if !self.queued.is_empty() || !self.may_open() {
            if let Some(stream) = self.streams.get(key) {
                stream.path.push_str(call.path);
                stream.along.copy(along);
                stream.body.extend_from_slice(&[0; PREFIX]);
                write(&mut stream.body);
                let length = stream.body.len() - PREFIX;
                set_prefix(&mut stream.body, length);
            }
            self.queued.push_back(key);
        } else if self.open(key, call.path, along, Limit::Usual(call.within)) {
            self.send_at_once(key, write);
            self.stop_if_used_up();
        }
        key
    }

    /// At once, so that no call has to find out.
    fn stop_if_used_up(&mut self) {
        if self.next_id > MAX_31 {
            self.stop("its stream ids are used up");
        }
    }

    #[cfg(test)]
    pub fn use_ids_up(&mut self) {
        self.next_id = MAX_31;
    }

    fn may_open(&self) -> bool {
        self.state == State::Open
            && !self.is_full()
            && self.streams.opened() < self.peer.max_streams as usize
            && self.next_id <= MAX_31
    }

    /// Opens a call's stream, and writes its head. Returns false where the call ended over that.
    fn open(&mut self, key: Key, path: &str, along: &Along, limit: Limit) -> bool {
        let size = self.heads.list_size(path) + along.list_size();
        let most = head::LONGEST.min(self.peer.max_header_list as usize);
        if size > most {
            let why = format!(
                "its header fields have {size} bytes, and {most} can be sent to this server"
            );
            self.finish(key, status::INTERNAL, why, By::Unsent);
            return false;
        }
        let opened = Opened {
            id: self.next_id,
            begin: self.position(),
            window: Window::new(self.peer.window),
            credit: Credit::new(STREAM_WINDOW, STREAM_WINDOW),
        };
        self.next_id += 2;
        self.streams.open(key, opened);
        let at = self.output.len();
        self.output.extend_from_slice(&[0; HEAD]);
        self.heads.write(path, limit, along, &mut self.output);
        let head = Head {
            len: self.output.len() - at - HEAD,
            kind: HEADERS,
            flags: END_HEADERS,
            stream: opened.id,
        };
        self.output[at..at + HEAD].copy_from_slice(&head.bytes());
        true
    }

    /// Writes a body right into the output, where the peer takes all of it now, in one frame.
    fn send_at_once(&mut self, key: Key, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.output.len();
        self.output.extend_from_slice(&[0; HEADS]);
        write(&mut self.output);
        let length = self.output.len() - at - HEADS;
        set_prefix(&mut self.output[at + HEAD..], length);
        let length = length + PREFIX;
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let Some(opened) = &mut stream.opened else {
            return;
        };
        let most = self.window.available().min(opened.window.available());
        if length <= most && length <= self.peer.max_frame as usize {
            opened.window.take(length);
            self.window.take(length);
            self.output[at..at + HEAD]
                .copy_from_slice(&data(length, END_STREAM, opened.id).bytes());
            return;
        }
        stream.body.extend_from_slice(&self.output[at + HEAD..]);
        self.output.truncate(at);
        self.blocked.push_back(key);
        self.may_go_on = true;
        self.send_bodies();
    }

    /// Goes on with what waited, where it may.
    pub(super) fn go_on(&mut self, now: Instant) {
        if !std::mem::take(&mut self.may_go_on) {
            return;
        }
        while self.may_open()
            && let Some(key) = self.queued.pop_front()
        {
            let Some(stream) = self.streams.get(key) else {
                continue;
            };
            let path = std::mem::take(&mut stream.path);
            let along = std::mem::take(&mut stream.along);
            let left = stream.deadline.saturating_duration_since(now);
            if left.is_zero() {
                self.overdue(key);
            } else if self.open(key, &path, &along, Limit::Left(left)) {
                self.blocked.push_back(key);
            }
        }
        self.send_bodies();
        self.stop_if_used_up();
    }

    /// Sends of each body a frame in turn, until nothing may be sent.
    fn send_bodies(&mut self) {
        let mut goes_on = true;
        while std::mem::take(&mut goes_on) {
            for _ in 0..self.blocked.len() {
                if self.window.available() == 0 || self.is_full() {
                    return;
                }
                let Some(key) = self.blocked.pop_front() else {
                    return;
                };
                let (sent, is_done) = self.send_part(key);
                goes_on |= sent;
                if !is_done {
                    self.blocked.push_back(key);
                }
            }
        }
    }

    /// Sends a frame of a body. Returns whether it could, and whether nothing is left.
    fn send_part(&mut self, key: Key) -> (bool, bool) {
        let Some(stream) = self.streams.get(key) else {
            return (false, true);
        };
        let unsent = &stream.body[stream.body_sent..];
        let Some(opened) = &mut stream.opened else {
            return (false, true);
        };
        let most = self.window.available().min(opened.window.available());
        let length = most.min(unsent.len()).min(self.peer.max_frame as usize);
        if length == 0 {
            return (false, unsent.is_empty());
        }
        let is_last = length == unsent.len();
        let flags = if is_last { END_STREAM } else { 0 };
        frame::write(&mut self.output, DATA, flags, opened.id, &unsent[..length]);
        opened.window.take(length);
        self.window.take(length);
        self.flood.useful();
        stream.body_sent += length;
        if is_last {
            stream.clear_body();
        }
        (true, is_last)
    }
}

/// A message of 4 GiB is none that anybody takes: the server sees that the length is wrong.
fn set_prefix(bytes: &mut [u8], length: usize) {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    bytes[1..PREFIX].copy_from_slice(&length.to_be_bytes());
}

fn data(len: usize, flags: u8, stream: u32) -> Head {
    Head {
        len,
        kind: DATA,
        flags,
        stream,
    }
}
