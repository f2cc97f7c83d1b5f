//! How much is held, to be weighed against a cap.

use std::ops::{AddAssign, SubAssign};

/// Messages and bytes that are held: read, and not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub messages: usize,
    pub bytes: usize,
}

impl Held {
    /// Whether it reaches one of the `caps`.
    pub fn reaches(self, caps: Held) -> bool {
        self.messages >= caps.messages || self.bytes >= caps.bytes
    }

    /// One of so many equal parts, and one message and byte at least.
    pub fn part(self, parts: usize) -> Held {
        Held {
            messages: (self.messages / parts).max(1),
            bytes: (self.bytes / parts).max(1),
        }
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, more: Held) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Held {
    fn sub_assign(&mut self, less: Held) {
        self.messages -= less.messages;
        self.bytes -= less.bytes;
    }
}
