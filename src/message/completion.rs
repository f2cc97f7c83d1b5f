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
    /// Whether it was too old. The log counts these; it says others one by one.
    pub too_old: bool,
}

impl<T: Into<String>> From<T> for Box<Reason> {
    fn from(text: T) -> Self {
        Self::new(Reason {
            text: text.into(),
            ..Reason::default()
        })
    }
}

impl Completion {
    /// Whether the message is no longer held with this.
    pub fn is_end(&self) -> bool {
        !matches!(self, Self::Lacks { .. } | Self::CameBack { .. })
    }
}
