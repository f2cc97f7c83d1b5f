//! What a gRPC status means for the message and for the Comet that gave it.

use super::code::RpcStatusCode;
use crate::message::{Answer, Sense, Status};

/// Two questions decide: is it this message, or is it this Comet?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Finished there: the Comet took it, or has nobody whom it is for.
    Finished,
    /// The Comet is down, restarting or unreachable. It says nothing about the message.
    Down,
    /// It is no Comet, or doesn't know us: a wrong setting. Like `Down`, with a line that says what to check.
    Misconfigured,
    /// It may be the message or the Comet.
    Unclear,
    /// The Comet refuses this message, and will again.
    Refused,
}

/// The verdict on a call that came back so.
pub fn verdict_on(answer: &Answer) -> Verdict {
    match answer {
        Ok(()) => Verdict::Finished,
        Err(status) => verdict_on_status(status),
    }
}

pub fn verdict_on_status(status: &Status) -> Verdict {
    match status.sense {
        Sense::Code => verdict(status.code),
        Sense::Refused => Verdict::Refused,
        // Trying again would hold up who takes messages in time.
        Sense::Dropped => Verdict::Finished,
    }
}

/// The verdict on a call that came back with `code`.
pub fn verdict(code: i32) -> Verdict {
    match RpcStatusCode::from(code) {
        RpcStatusCode::OK | RpcStatusCode::NOT_FOUND => Verdict::Finished,
        RpcStatusCode::UNAVAILABLE => Verdict::Down,
        RpcStatusCode::UNIMPLEMENTED
        | RpcStatusCode::UNAUTHENTICATED
        | RpcStatusCode::PERMISSION_DENIED => Verdict::Misconfigured,
        RpcStatusCode::INVALID_ARGUMENT
        | RpcStatusCode::FAILED_PRECONDITION
        | RpcStatusCode::OUT_OF_RANGE
        | RpcStatusCode::DATA_LOSS
        | RpcStatusCode::ALREADY_EXISTS => Verdict::Refused,
        // DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNKNOWN, CANCELLED, and any code to come.
        _ => Verdict::Unclear,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sense_goes_before_the_code() {
        let said = |sense| {
            let status = Status::new(2, "");
            verdict_on(&Err(Status { sense, ..status }))
        };
        assert_eq!(verdict_on(&Ok(())), Verdict::Finished);
        assert_eq!(said(Sense::Code), Verdict::Unclear);
        assert_eq!(said(Sense::Refused), Verdict::Refused);
        assert_eq!(said(Sense::Dropped), Verdict::Finished);
    }

    #[test]
    fn every_status_has_its_row() {
        let rows = [
            (Verdict::Finished, vec![0, 5]),
            (Verdict::Down, vec![14]),
            (Verdict::Misconfigured, vec![7, 12, 16]),
            (Verdict::Refused, vec![3, 6, 9, 11, 15]),
            (Verdict::Unclear, vec![1, 2, 4, 8, 10, 13, 99]),
        ];
        for (expected, codes) in rows {
            for code in codes {
                assert_eq!(verdict(code), expected, "status {code}");
            }
        }
    }
}
