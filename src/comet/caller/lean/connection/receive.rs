//! What the peer sends, frame by frame (RFC 9113, section 6).

use std::time::Instant;

use super::super::answer::Broken;
use super::super::field::Fields;
use super::super::frame::{
    self, ACK, CONTINUATION, Code, DATA, END_HEADERS, END_STREAM, Fault, GOAWAY, HEAD, HEADERS,
    Head, MAX_FRAME, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    WITH_PRIORITY,
};
use super::super::status;
use super::super::streams::Key;
use super::{By, Connection, LONGEST_BLOCK, State};
use crate::base::text::escape_first;

/// CONTINUATION frames of one header block.
const MOST_FRAMES: u32 = 256;
/// Acknowledgements that wait because the peer takes none.
const MOST_ACKS: u32 = 5_000;

impl Connection {
    /// Takes what was read from the socket.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        if self.state == State::Closed || bytes.is_empty() {
            return;
        }
        self.alive.heard(now);
        if let Err(fault) = self.bytes(bytes, now) {
            self.fail(fault);
        }
        self.go_on(now);
        self.close_if_done();
    }

    fn bytes(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), Fault> {
        if !self.partial.is_empty() {
            let mut partial = std::mem::take(&mut self.partial);
            let taken = self.complete(&mut partial, &mut bytes, now);
            self.partial = partial;
            if !taken? {
                return Ok(());
            }
        }
        while let Some(head) = self.head(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(HEAD + head.len) else {
                break;
            };
            self.frame(head, &frame[HEAD..], now)?;
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }

    /// Completes the frame whose begin came before, and takes it. Returns whether it is complete.
    fn complete(
        &mut self,
        partial: &mut Vec<u8>,
        bytes: &mut &[u8],
        now: Instant,
    ) -> Result<bool, Fault> {
        let mut wanted = HEAD;
        loop {
            let missing = wanted.saturating_sub(partial.len()).min(bytes.len());
            let (more, rest) = bytes.split_at(missing);
            partial.extend_from_slice(more);
            *bytes = rest;
            if partial.len() < wanted {
                return Ok(false);
            }
            let Some(head) = self.head(partial)? else {
                return Ok(false);
            };
            if partial.len() == HEAD + head.len {
                let taken = self.frame(head, &partial[HEAD..], now);
                partial.clear();
                return taken.map(|()| true);
            }
            wanted = HEAD + head.len;
        }
    }

    /// The head of the next frame, where there is all of it.
    fn head(&self, bytes: &[u8]) -> Result<Option<Head>, Fault> {
        let Some(head) = bytes.first_chunk().map(Head::parse) else {
            return Ok(None);
        };
        if self.state == State::Greeting
            && (head.kind != SETTINGS || head.stream != 0 || head.has(ACK))
        {
            let what = match bytes.starts_with(b"HTTP/1") {
                true => "HTTP/1 instead of HTTP/2",
                false => "something that isn't HTTP/2",
            };
            return Err(Fault::protocol(what));
        }
        if head.len > MAX_FRAME {
            return Err(Fault::size("a frame that is too long"));
        }
        Ok(Some(head))
    }

    fn frame(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        let is_of_block = head.kind == CONTINUATION && head.stream == self.block.stream;
        if self.block.stream != 0 && !is_of_block {
            return Err(Fault::protocol("a frame in the middle of a header block"));
        }
        match head.kind {
            DATA => self.data(head, payload, now),
            HEADERS => self.headers(head, payload, now),
            CONTINUATION => self.continuation(head, payload, now),
            RST_STREAM => self.rst_stream(head, payload, now),
            SETTINGS => self.settings(head, payload, now),
            PUSH_PROMISE => Err(Fault::protocol("a push, which it was told not to")),
            PING => self.ping(head, payload, now),
            GOAWAY => self.goaway(head, payload, now),
            WINDOW_UPDATE => self.window_update(head, payload, now),
            PRIORITY if head.stream == 0 => Err(Fault::protocol("PRIORITY without a stream")),
            PRIORITY if payload.len() != 5 => Err(Fault::size("PRIORITY of a wrong length")),
            // Types that nobody knows are ignored (5.5).
            _ => self.count(now),
        }
    }

    /// Counts a frame that no call needs.
    fn count(&mut self, now: Instant) -> Result<(), Fault> {
        match self.flood.count(now) {
            true => Ok(()),
            false => Err(Fault::calm("too many frames that no call needs")),
        }
    }

    /// The call of a stream that was opened; `None` where it ended (5.1).
    fn stream(&mut self, id: u32) -> Result<Option<Key>, Fault> {
        if id.is_multiple_of(2) || id >= self.next_id {
            return Err(Fault::protocol("a frame of a stream that nobody opened"));
        }
        Ok(self.streams.find(id).map(|(key, _)| key))
    }

    fn data(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        let key = self.stream(head.stream)?;
        // Padding counts too, and what comes for a call that ended (6.9.1).
        if !self.credit.take(payload.len()) {
            return Err(Fault::flow("more data than the connection's window"));
        }
        if let Some(more) = self.credit.due() {
            frame::write(&mut self.output, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
        let data =
            frame::unpadded(head, payload).ok_or(Fault::protocol("more padding than payload"))?;
        let ends = head.has(END_STREAM);
        if key.is_none() || data.is_empty() && !ends {
            self.count(now)?;
        }
        self.alive.served();
        let Some((key, stream)) = self.streams.find(head.stream) else {
            return Ok(());
        };
        if let Some(opened) = &mut stream.opened {
            if !opened.credit.take(payload.len()) {
                let text = "an answer with more data than its window";
                self.reset(key, Code::FLOW_CONTROL_ERROR, status::INTERNAL, text);
                return Ok(());
            }
            if let (false, Some(more)) = (ends, opened.credit.due()) {
                frame::write(
                    &mut self.output,
                    WINDOW_UPDATE,
                    0,
                    opened.id,
                    &more.to_be_bytes(),
                );
            }
        }
        let outcome = stream.answer.data(data, ends, self.config.max_answer);
        self.outcome(key, outcome);
        Ok(())
    }

    fn headers(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        self.stream(head.stream)?;
        let mut block =
            frame::unpadded(head, payload).ok_or(Fault::protocol("more padding than payload"))?;
        if head.has(WITH_PRIORITY) {
            block = block.get(5..).ok_or(match payload.len() > 5 {
                true => Fault::protocol("more padding than payload"),
                false => Fault::size("HEADERS without the priority that they say"),
            })?;
        }
        let ends = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.block(head.stream, block, ends, now);
        }
        self.block.stream = head.stream;
        self.block.ends = ends;
        self.block.frames = 0;
        self.block.bytes.clear();
        self.block.bytes.extend_from_slice(block);
        Ok(())
    }

    fn continuation(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        if self.block.stream == 0 {
            return Err(Fault::protocol("CONTINUATION without HEADERS"));
        }
        self.block.frames += 1;
        if self.block.frames > MOST_FRAMES || self.block.bytes.len() + payload.len() > LONGEST_BLOCK
        {
            return Err(Fault::calm("a header block that is too long"));
        }
        self.block.bytes.extend_from_slice(payload);
        if !head.has(END_HEADERS) {
            return Ok(());
        }
        self.block.stream = 0;
        let bytes = std::mem::take(&mut self.block.bytes);
        let ends = self.block.ends;
        self.block(head.stream, &bytes, ends, now)
    }

    /// A whole header block. It is read also where nobody waits for it: it may change the table (4.3).
    fn block(&mut self, id: u32, block: &[u8], ends: bool, now: Instant) -> Result<(), Fault> {
        let fields = Fields::read(&mut self.decoder, block)?;
        self.alive.served();
        let Some((key, stream)) = self.streams.find(id) else {
            return self.count(now);
        };
        match stream.answer.fields(fields, ends) {
            // Information, or a head: a call may have any number of the first.
            Ok(None) => self.count(now),
            outcome => {
                self.outcome(key, outcome);
                Ok(())
            }
        }
    }

    /// Ends a call where its answer ended.
    fn outcome(
        &mut self,
        key: Key,
        outcome: Result<Option<super::super::answer::Outcome>, Broken>,
    ) {
        match outcome {
            Ok(None) => {}
            Ok(Some(outcome)) => {
                let unsent = self
                    .streams
                    .get(key)
                    .filter(|stream| !stream.unsent().is_empty());
                let id = unsent.and_then(|stream| stream.id());
                self.finish(key, outcome.code, outcome.text, By::Server);
                // Answered before all of the request was sent (8.1): the rest isn't.
                if let Some(id) = id {
                    self.write_reset(id, Code::CANCEL);
                }
            }
            Err(broken) => self.reset(key, broken.reset, broken.code, broken.text),
        }
    }

    fn rst_stream(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        let key = self.stream(head.stream)?;
        let code = frame::code(payload).ok_or(Fault::size("RST_STREAM of a wrong length"))?;
        let Some(key) = key else {
            return self.count(now);
        };
        let is_overdue = self
            .streams
            .get(key)
            .is_some_and(|stream| stream.deadline <= now);
        if code == Code::REFUSED_STREAM {
            let text = "refused before anything was done for it (REFUSED_STREAM)";
            self.finish(key, status::UNAVAILABLE, text, By::Unsent);
        } else if code == Code::CANCEL && is_overdue {
            self.overdue(key);
        } else {
            let text = format!("the server reset its stream ({code})");
            self.finish(key, status::of_reset(code), text, By::Server);
        }
        Ok(())
    }

    fn settings(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("SETTINGS of a stream"));
        }
        self.count(now)?;
        if head.has(ACK) {
            return match payload {
                [] => Ok(()),
                _ => Err(Fault::size(
                    "an acknowledgement of SETTINGS with something in it",
                )),
            };
        }
        let window = i64::from(self.peer.window);
        self.peer.apply(payload)?;
        let more = i64::from(self.peer.window) - window;
        if more != 0 {
            for (_, stream) in self.streams.iter() {
                if stream
                    .opened
                    .as_mut()
                    .is_some_and(|opened| !opened.window.grow(more))
                {
                    return Err(Fault::flow(
                        "an INITIAL_WINDOW_SIZE with which a window is too large",
                    ));
                }
            }
        }
        let table = self.peer.header_table;
        self.heads.resize(table.min(self.peer.header_table_least));
        self.heads.resize(table);
        self.is_greeted = true;
        if self.state == State::Greeting {
            self.state = State::Open;
        }
        self.may_go_on = true;
        self.acknowledge(SETTINGS, &[])
    }

    fn ping(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("PING of a stream"));
        }
        if payload.len() != 8 {
            return Err(Fault::size("PING of a wrong length"));
        }
        self.count(now)?;
        match head.has(ACK) {
            true => Ok(()),
            false => self.acknowledge(PING, payload),
        }
    }

    fn acknowledge(&mut self, kind: u8, payload: &[u8]) -> Result<(), Fault> {
        self.acks += 1;
        if self.acks > MOST_ACKS {
            return Err(Fault::calm("frames to acknowledge, while it takes nothing"));
        }
        frame::write(&mut self.output, kind, ACK, 0, payload);
        Ok(())
    }

    fn goaway(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Fault::protocol("GOAWAY of a stream"));
        }
        let (Some(last), Some(code)) = (
            frame::number(payload),
            payload.get(4..8).and_then(frame::code),
        ) else {
            return Err(Fault::size("GOAWAY of a wrong length"));
        };
        self.count(now)?;
        let said = escape_first(&payload[8..], 200);
        let why = match said.is_empty() {
            true => format!("the server said goodbye ({code})"),
            false => format!("the server said goodbye ({code}: {said})"),
        };
        self.goodbye = Some(code);
        self.stop(why);
        self.hand_back(last);
        Ok(())
    }

    fn window_update(&mut self, head: Head, payload: &[u8], now: Instant) -> Result<(), Fault> {
        let more = match payload.len() {
            4 => i64::from(frame::number(payload).unwrap_or(0)),
            _ => return Err(Fault::size("WINDOW_UPDATE of a wrong length")),
        };
        self.count(now)?;
        self.may_go_on |= !self.blocked.is_empty();
        if head.stream == 0 {
            return match more > 0 && self.window.grow(more) {
                true => Ok(()),
                false if more == 0 => Err(Fault::protocol("WINDOW_UPDATE by nothing")),
                false => Err(Fault::flow("a window that is too large")),
            };
        }
        let Some(key) = self.stream(head.stream)? else {
            return Ok(());
        };
        let grown = |stream: &mut super::super::streams::Stream| {
            let opened = stream.opened.as_mut();
            opened.is_none_or(|opened| opened.window.grow(more))
        };
        if more == 0 {
            let text = "the server sent WINDOW_UPDATE by nothing";
            self.reset(key, Code::PROTOCOL_ERROR, status::INTERNAL, text);
        } else if !self.streams.get(key).is_none_or(grown) {
            let text = "the server made its window too large";
            self.reset(key, Code::FLOW_CONTROL_ERROR, status::INTERNAL, text);
        }
        Ok(())
    }
}
