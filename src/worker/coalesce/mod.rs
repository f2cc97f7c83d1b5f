//! Several messages of one room in one call: which may go together, and the body that carries them.
//!
//! A message goes together with others only where it is proven that people get the same: the messages themselves
//! pass through byte for byte, in their order. Every other one goes alone, as it is.

mod json;

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

use super::key_queue::Pace;
use crate::message::call::{Call, Frame};
use crate::message::{Dialect, goim};
use crate::settings::Coalesce;

/// Merges the messages that wait for a room into one call.
#[derive(Clone, Debug)]
pub struct Coalescer {
    form: Form,
    /// Messages in a call, at most.
    messages: usize,
    /// Bytes of a merged body, at most.
    bytes: usize,
    /// Between two calls of a room.
    pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    /// `all`: the Comets are goim's own, where a message that goes alone is a frame, too.
    Goim {
        all: bool,
    },
}

/// What a message's body is found to be when it is first asked for.
#[derive(Debug, Default)]
pub struct Shape(Cell<Finding>);

#[derive(Clone, Copy, Debug, Default)]
enum Finding {
    #[default]
    NotLookedAt,
    /// It can't be merged.
    Alone,
    /// This part of it is what a merged body takes.
    Part { start: usize, end: usize },
}

impl Shape {
    fn part(&self, find: impl FnOnce() -> Option<Range<usize>>) -> Option<Range<usize>> {
        if let Finding::NotLookedAt = self.0.get() {
            self.0.set(match find() {
                Some(Range { start, end }) => Finding::Part { start, end },
                None => Finding::Alone,
            });
        }
        match self.0.get() {
            Finding::Part { start, end } => Some(start..end),
            Finding::NotLookedAt | Finding::Alone => None,
        }
    }
}

/// A message to a room, taken apart.
struct Piece<'a> {
    room: &'a str,
    frame: &'a Frame,
    part: Range<usize>,
}

impl Coalescer {
    /// For Comets of that kind. `None` where messages aren't to be merged.
    pub fn new(form: Coalesce, dialect: Dialect, messages: usize, bytes: usize) -> Option<Self> {
        let form = match form {
            Coalesce::Off => return None,
            Coalesce::Json => Form::Json,
            Coalesce::Goim => Form::Goim {
                all: dialect == Dialect::Goim,
            },
        };
        Some(Self {
            form,
            messages,
            bytes,
            pause: Duration::ZERO,
        })
    }

    /// Leaves so much time between two calls of a room; less where the second one has as many messages as it may.
    pub fn pausing(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// The pace of the calls that follow this one.
    pub fn pace_of(&self, call: &Call) -> Option<Pace> {
        let is_paced = !self.pause.is_zero() && matches!(call, Call::BroadcastRoom { .. });
        is_paced.then_some(Pace {
            pause: self.pause,
            full: self.messages,
        })
    }

    /// Merges the first of `waiting` with as many of those behind it as may go along: how many go, and their call.
    /// `None` where the first one goes alone.
    pub fn merge<'a>(
        &self,
        waiting: impl IntoIterator<Item = (&'a Call, &'a Shape)>,
    ) -> Option<(usize, Call)> {
        let mut waiting = waiting
            .into_iter()
            .take(self.messages)
            .map_while(|(call, shape)| self.piece(call, shape));
        let first = waiting.next()?;
        let mut size = self.form.size_of_one(&first);
        let mut pieces = Vec::with_capacity(self.messages.min(64));
        pieces.push(first);
        for piece in waiting {
            size += self.form.size_of_next(&piece);
            if size > self.bytes || !self.form.go_together(&pieces[0], &piece) {
                break;
            }
            pieces.push(piece);
        }
        (pieces.len() > 1).then(|| {
            let call = Call::BroadcastRoom {
                room: pieces[0].room.to_owned(),
                frame: self.form.join(&pieces),
            };
            (pieces.len(), call)
        })
    }

    fn piece<'a>(&self, call: &'a Call, shape: &Shape) -> Option<Piece<'a>> {
        let Call::BroadcastRoom { room, frame } = call else {
            return None;
        };
        let part = shape.part(|| match self.form {
            Form::Json => json::messages(&frame.body),
            Form::Goim { all } => may_be_framed(frame, all).then_some(0..frame.body.len()),
        })?;
        Some(Piece { room, frame, part })
    }
}

impl Form {
    /// Bytes of a merged body that has one message.
    fn size_of_one(self, piece: &Piece<'_>) -> usize {
        match self {
            Form::Json => piece.frame.body.len(),
            Form::Goim { .. } => goim::size(&piece.frame.body),
        }
    }

    /// Bytes that one more message adds.
    fn size_of_next(self, piece: &Piece<'_>) -> usize {
        match self {
            Form::Json => ",".len() + piece.part.len(),
            Form::Goim { .. } => goim::size(&piece.frame.body),
        }
    }

    /// Whether the two make the same call but for their messages. Different rooms may share a KeyQueue.
    fn go_together(self, a: &Piece<'_>, b: &Piece<'_>) -> bool {
        let alike = match self {
            Form::Json => {
                a.frame.op == b.frame.op
                    && a.frame.body[..a.part.start] == b.frame.body[..b.part.start]
            }
            // Each frame has an operation of its own. A Comet that isn't goim's may look at it.
            Form::Goim { all } => all || a.frame.op == b.frame.op,
        };
        alike && a.room == b.room
    }

    fn join(self, pieces: &[Piece<'_>]) -> Frame {
        let mut size = 0;
        for (n, piece) in pieces.iter().enumerate() {
            size += match n {
                0 => self.size_of_one(piece),
                _ => self.size_of_next(piece),
            };
        }
        let mut body = Vec::with_capacity(size);
        match self {
            Form::Json => json::join(
                pieces
                    .iter()
                    .map(|piece| (&*piece.frame.body, piece.part.clone())),
                &mut body,
            ),
            Form::Goim { .. } => {
                for piece in pieces {
                    goim::write(piece.frame, &mut body);
                }
            }
        }
        debug_assert_eq!(body.len(), size);
        Frame {
            op: match self {
                Form::Json => pieces[0].frame.op,
                Form::Goim { .. } => goim::OP_RAW,
            },
            body: body.into(),
            is_framed: self != Form::Json,
        }
    }
}

/// Whether people get the same when this is put into a frame. What is raw already is not one message but whole frames.
fn may_be_framed(frame: &Frame, all: bool) -> bool {
    (all || frame.op != goim::OP_RAW) && i32::try_from(goim::size(&frame.body)).is_ok()
}

#[cfg(test)]
mod tests;
