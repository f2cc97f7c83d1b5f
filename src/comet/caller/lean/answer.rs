//! What comes back for one call: a head, one message, trailers (gRPC over HTTP/2, "Responses"; RFC 9113, section 8.1).

use std::borrow::Cow;

use super::field::Fields;
use super::frame::Code;
use super::status;

/// The flag "compressed" and the length in front of a message.
pub const PREFIX: usize = 5;
/// Memory that an answer leaves to the next one.
const KEPT: usize = 4 << 10;

pub const NO_MESSAGE: &str = "OK without a message: what answers there is no Comet, or something in between drops its answers";

/// How a call ended, by its answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub text: Cow<'static, str>,
}

/// An answer that can't be read to its end. The stream is reset with `reset`.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken {
    pub reset: Code,
    pub code: i32,
    pub text: Cow<'static, str>,
}

/// As much of an answer as has come.
#[derive(Debug, Default)]
pub struct Answer {
    has_head: bool,
    http_status: u16,
    is_grpc: bool,
    /// What the head says of the call; trailers say it better.
    early: Option<Outcome>,
    prefix: [u8; PREFIX],
    prefix_read: usize,
    /// Bytes of the message that are still to come.
    left: usize,
    messages: u32,
    message: Vec<u8>,
    /// What is wrong with the messages: told where the status is OK.
    wrong: Option<&'static str>,
}

impl Answer {
    /// Forgets all, but keeps the memory.
    pub fn clear(&mut self) {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        message.shrink_to(KEPT);
        *self = Self {
            message,
            ..Self::default()
        };
    }

    /// The message; empty where there is none.
    pub fn take_message(&mut self) -> Vec<u8> {
        match self.message.is_empty() {
            true => Vec::new(),
            false => std::mem::take(&mut self.message),
        }
    }

    /// Takes a block of fields. Returns how the call ended, once it did.
    pub fn fields(&mut self, fields: Fields, ends: bool) -> Result<Option<Outcome>, Broken> {
        if let Some(what) = fields.malformed {
            return Err(malformed(what));
        }
        if self.has_head {
            return match (fields.http_status, ends) {
                (None, true) => Ok(Some(self.outcome(fields.outcome()))),
                (None, false) => Err(malformed("trailers that don't end the answer")),
                (Some(_), _) => Err(malformed("trailers with :status")),
            };
        }
        match fields.http_status {
            None => Err(malformed("an answer without :status")),
            // Information that precedes the answer (8.1). There is no 101 in HTTP/2 (8.6).
            Some(101) => Err(malformed("an answer with status 101")),
            Some(100..=199) if ends => Err(malformed("an answer of information alone")),
            Some(100..=199) => Ok(None),
            Some(http_status) => {
                self.has_head = true;
                (self.http_status, self.is_grpc) = (http_status, fields.is_grpc);
                let outcome = fields.outcome();
                if ends {
                    return Ok(Some(self.outcome(outcome)));
                }
                self.early = outcome;
                Ok(None)
            }
        }
    }

    /// Takes a part of the body. Returns how the call ended, where it ended without trailers. A message may have `most` bytes.
    pub fn data(&mut self, data: &[u8], ends: bool, most: u32) -> Result<Option<Outcome>, Broken> {
        if !self.has_head {
            return Err(malformed("an answer whose body comes before its head"));
        }
        // Else it is the page of some proxy.
        if self.is_grpc {
            self.gather(data, most)?;
        }
        if !ends {
            return Ok(None);
        }
        let early = self.early.take();
        Ok(Some(self.outcome(early)))
    }

    fn gather(&mut self, mut data: &[u8], most: u32) -> Result<(), Broken> {
        while !data.is_empty() {
            if self.left > 0 {
                let (part, rest) = data.split_at(self.left.min(data.len()));
                if self.messages == 1 {
                    self.message.extend_from_slice(part);
                }
                self.left -= part.len();
                data = rest;
                continue;
            }
            let (part, rest) = data.split_at(data.len().min(PREFIX - self.prefix_read));
            self.prefix[self.prefix_read..self.prefix_read + part.len()].copy_from_slice(part);
            self.prefix_read += part.len();
            data = rest;
            if self.prefix_read == PREFIX {
                self.begin_message(most)?;
            }
        }
        Ok(())
    }

    fn begin_message(&mut self, most: u32) -> Result<(), Broken> {
        let [flag, length @ ..] = self.prefix;
        let length = u32::from_be_bytes(length);
        if length > most {
            return Err(Broken {
                reset: Code::CANCEL,
                code: status::RESOURCE_EXHAUSTED,
                text: format!("an answer of {length} bytes, more than the {most} that may be")
                    .into(),
            });
        }
        self.prefix_read = 0;
        self.left = length as usize;
        self.messages = self.messages.saturating_add(1);
        if flag != 0 {
            self.wrong = Some("a compressed answer, which nobody asked for");
        } else if self.messages > 1 {
            self.wrong = Some("more than one message in the answer to a unary call");
        }
        Ok(())
    }

    /// How the call ended, by what was said of it.
    fn outcome(&self, said: Option<Outcome>) -> Outcome {
        match said {
            Some(Outcome {
                code: status::OK, ..
            }) => self.of_messages(),
            Some(outcome) => outcome,
            None if self.http_status != 200 => Outcome {
                code: status::of_http(self.http_status),
                text: format!("HTTP status {} without a grpc-status", self.http_status).into(),
            },
            None if !self.is_grpc => Outcome {
                code: status::UNKNOWN,
                text: "what answers there speaks HTTP/2, but not gRPC".into(),
            },
            None => Outcome {
                code: status::UNKNOWN,
                text: "an answer that ended without a grpc-status".into(),
            },
        }
    }

    /// Whether what OK was said to is an answer.
    fn of_messages(&self) -> Outcome {
        let is_cut = self.left > 0 || self.prefix_read > 0;
        let (code, text) = match self.wrong {
            Some(wrong) => (status::INTERNAL, wrong),
            None if is_cut => (status::INTERNAL, "OK with a message that is cut"),
            None if self.messages == 0 => (status::UNKNOWN, NO_MESSAGE),
            None => (status::OK, ""),
        };
        Outcome {
            code,
            text: text.into(),
        }
    }
}

impl Fields {
    fn outcome(self) -> Option<Outcome> {
        Some(Outcome {
            code: self.status?,
            text: self.message.into(),
        })
    }
}

fn malformed(what: &'static str) -> Broken {
    Broken {
        reset: Code::PROTOCOL_ERROR,
        code: status::INTERNAL,
        text: what.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What came of it, with the message.
    type Ended = Result<Option<(i32, String, Vec<u8>)>, (i32, Code)>;

    enum Part {
        Fields(Option<u16>, bool, Option<i32>, &'static str),
        Data(Vec<u8>),
    }
    use Part::{Data, Fields as Head};

    /// The last part ends the stream.
    fn ended(parts: Vec<Part>) -> Ended {
        let mut answer = Answer::default();
        let last = parts.len() - 1;
        for (at, part) in parts.into_iter().enumerate() {
            let ends = at == last;
            let outcome = match part {
                Data(data) => answer.data(&data, ends, 1000),
                Head(http_status, is_grpc, status, message) => {
                    let fields = Fields {
                        http_status,
                        is_grpc,
                        status,
                        message: message.into(),
                        malformed: None,
                    };
                    answer.fields(fields, ends)
                }
            };
            match outcome.map_err(|broken| (broken.code, broken.reset))? {
                None => assert!(!ends, "it has to end"),
                Some(outcome) => {
                    assert!(ends, "ended early");
                    let text = outcome.text.into_owned();
                    return Ok(Some((outcome.code, text, answer.take_message())));
                }
            }
        }
        Ok(None)
    }

    fn head() -> Part {
        Head(Some(200), true, None, "")
    }

    fn trailers(status: i32) -> Part {
        Head(None, false, Some(status), "said")
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn code(parts: Vec<Part>) -> i32 {
        match ended(parts) {
            Ok(ended) => ended.expect("it ended").0,
            Err((code, _)) => code,
        }
    }

    #[test]
    fn a_message_is_gathered_however_it_is_cut() {
        let whole = message(b"hello");
        for cut in 0..=whole.len() {
            let (a, b) = whole.split_at(cut);
            let parts = vec![head(), Data(a.into()), Data(b.into()), trailers(0)];
            assert_eq!(
                ended(parts),
                Ok(Some((0, String::new(), b"hello".to_vec())))
            );
        }
        assert_eq!(
            code(vec![head(), Data(message(b"")), trailers(0)]),
            status::OK
        );
    }

    #[test]
    fn the_status_of_the_trailers_counts_whatever_came_before() {
        assert_eq!(code(vec![head(), trailers(5)]), 5);
        assert_eq!(code(vec![head(), Data(message(b"x")), trailers(9)]), 9);
        assert_eq!(code(vec![head(), Data(vec![0, 0]), trailers(9)]), 9);
        assert_eq!(code(vec![Head(Some(503), false, None, ""), trailers(9)]), 9);
        let alone = vec![Head(Some(200), true, Some(3), "said")];
        assert_eq!(ended(alone), Ok(Some((3, "said".into(), vec![]))));
        let early = vec![Head(Some(200), true, Some(3), "said"), Data(vec![])];
        assert_eq!(ended(early), Ok(Some((3, "said".into(), vec![]))));
    }

    #[test]
    fn ok_needs_one_whole_message() {
        let two = [message(b"a"), message(b"b")].concat();
        let compressed = vec![1, 0, 0, 0, 1, 7];
        let cut = vec![0, 0, 0, 0, 2, 7];
        for (parts, expected) in [
            (vec![Head(Some(200), true, Some(0), "")], status::UNKNOWN),
            (vec![head(), trailers(0)], status::UNKNOWN),
            (vec![head(), Data(two), trailers(0)], status::INTERNAL),
            (
                vec![head(), Data(compressed), trailers(0)],
                status::INTERNAL,
            ),
            (vec![head(), Data(cut), trailers(0)], status::INTERNAL),
            (
                vec![head(), Data(vec![0; 3]), trailers(0)],
                status::INTERNAL,
            ),
            (vec![head(), Data(message(b""))], status::UNKNOWN),
            (vec![head(), Head(None, false, None, "")], status::UNKNOWN),
        ] {
            assert_eq!(code(parts), expected);
        }
    }

    #[test]
    fn an_answer_of_http_alone_has_its_status() {
        let page = || Data(b"<html>Bad Gateway</html>".to_vec());
        for (http_status, expected) in [(502, 14), (401, 16), (404, 12), (500, 2), (200, 2)] {
            let head = || Head(Some(http_status), false, None, "");
            assert_eq!(code(vec![head(), page()]), expected);
            assert_eq!(code(vec![head()]), expected);
        }
    }

    #[test]
    fn information_precedes_the_answer_and_is_none() {
        let info = |status| Head(Some(status), false, None, "");
        let parts = vec![
            info(100),
            info(103),
            head(),
            Data(message(b"")),
            trailers(0),
        ];
        assert_eq!(code(parts), status::OK);
        assert_eq!(ended(vec![info(103)]), Err((13, Code::PROTOCOL_ERROR)));
        assert_eq!(
            ended(vec![info(101), head()]),
            Err((13, Code::PROTOCOL_ERROR))
        );
    }

    #[test]
    fn what_has_no_order_is_malformed() {
        let malformed = Err((status::INTERNAL, Code::PROTOCOL_ERROR));
        assert_eq!(ended(vec![Data(message(b""))]), malformed);
        assert_eq!(ended(vec![trailers(0)]), malformed);
        assert_eq!(ended(vec![head(), head()]), malformed);
        assert_eq!(ended(vec![head(), trailers(0), trailers(0)]), malformed);
    }

    #[test]
    fn a_message_that_is_too_long_ends_the_call_before_it_came() {
        let too_long = [&[0, 0, 0, 3, 0xe9], &b"x"[..]].concat();
        let ended = ended(vec![head(), Data(too_long), trailers(0)]);
        assert_eq!(ended, Err((status::RESOURCE_EXHAUSTED, Code::CANCEL)));
    }
}
