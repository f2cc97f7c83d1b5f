//! What became of a message.

use super::{CometId, RecordId};

/// A message that its holder is done with.
#[derive(Debug, PartialEq)]
pub struct Settled {
    pub record: RecordId,
    pub bytes: usize,
    pub completion: Completion,
}

#[derive(Debug, PartialEq)]
pub enum Completion {
    /// Each Comet that should have it took it, but for those of which [`Self::Lacks`] was said before.
    Delivered,
    /// It can't be delivered: the reason, for the dead letter. `at`: it was read again for this Comet, and the others are done
    /// with it.
    Undeliverable {
        why: Box<Reason>,
        at: Option<CometId>,
    },
    /// It was too old when its turn came, at one Comet at least, and isn't sent there. `at`: as above.
    TooOld { at: Option<CometId> },
    /// Given back unsent: its partition goes to another owner.
    Released,
    /// This Comet doesn't get it now: it is behind. `in_flight`: a call with it may still come back; [`Self::CameBack`] tells.
    Lacks { comet: CometId, in_flight: bool },
    /// The call that was in flight when the Comet was detached came back.
    CameBack { comet: CometId, took: bool },
    /// It was read again for this Comet, which took it, or it was given back.
    Again { comet: CometId, took: bool },
}

/// Why a message can't be delivered. It is boxed where it travels: few messages have one.
#[derive(Debug, Default, PartialEq)]
pub struct Reason {
    pub text: String,
    /// The Comets that did not take the message. Empty: it was sent to none.
    pub comets: Vec<CometId>,
    pub cause: Cause,
}

impl Reason {
    /// Nobody got it because of this.
    pub fn new(cause: Cause, text: String) -> Box<Self> {
        Box::new(Self {
            text,
            comets: Vec::new(),
            cause,
        })
    }
}

/// For tests that ask for no cause.
#[cfg(test)]
impl From<&str> for Box<Reason> {
    fn from(text: &str) -> Self {
        Reason::new(Cause::default(), text.into())
    }
}

/// What made a message undeliverable, in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// It is no `PushMsg`.
    Undecodable,
    /// It names nobody.
    Unroutable,
    /// Kafka's record can't be read.
    Unreadable,
    /// A Comet refused it.
    #[default]
    Refused,
    /// It failed at a Comet that took others.
    Failed,
    /// The connection to a Comet broke each time that it was tried.
    Crashes,
    /// It was too old when its turn came. The log counts these; it says others one by one.
    TooOld,
    /// An operator skipped it.
    Skipped,
    /// It was for one Comet alone, which left the fleet.
    CometLeft,
}

impl Cause {
    pub const ALL: [Cause; 9] = [
        Cause::Undecodable,
        Cause::Unroutable,
        Cause::Unreadable,
        Cause::Refused,
        Cause::Failed,
        Cause::Crashes,
        Cause::TooOld,
        Cause::Skipped,
        Cause::CometLeft,
    ];

    /// The cause of this name.
    pub fn named(name: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Its name for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Undecodable => "undecodable",
            Cause::Unroutable => "unroutable",
            Cause::Unreadable => "unreadable",
            Cause::Refused => "refused",
            Cause::Failed => "failed",
            Cause::Crashes => "crashes",
            Cause::TooOld => "too_old",
            Cause::Skipped => "skipped",
            Cause::CometLeft => "comet_left",
        }
    }
}

impl Completion {
    /// Whether the message is no longer held with this.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Lacks { .. } | Self::CameBack { .. })
    }
}
