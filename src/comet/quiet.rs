//! Connections on which nothing came for a while: when one is to be looked after, and whether it still carries anything.
//!
//! A firewall that forgot a connection tells nobody, and neither does a machine that lost its power. gRPC's own sign
//! of life takes 7 s, and asking for it more often makes servers close the connection.

use std::time::{Duration, Instant};

use crate::base::trial;

/// A connection on which nothing came for so long isn't trusted with a call: whether it still carries anything is asked
/// along with it.
pub const NOT_TRUSTED_AFTER: Duration = Duration::from_secs(2);
/// How long the answer may take.
pub const SIGN_WITHIN: Duration = Duration::from_secs(1);
/// A connection that isn't used is asked after about so long, before a message has to find out. Less than the idle time
/// of the firewalls that forget soonest, some minutes.
const LOOKED_AFTER: Duration = Duration::from_secs(60);
const _: () = assert!(
    // The shortest that is drawn.
    LOOKED_AFTER.as_millis() * 3 / 4 > NOT_TRUSTED_AFTER.as_millis(),
    "a connection that is looked after would still be trusted, and not be asked"
);

/// One connection, as its user knows it.
#[derive(Debug)]
pub struct Quiet {
    /// When something came over it last; `None` where nothing did, and where it broke.
    heard: Option<Instant>,
    asked: Option<Instant>,
    look_after: Duration,
}

impl Quiet {
    /// One over which nothing came yet. `share`, from 0 to 1, is where its time lies in a range: so that not all
    /// connections are looked after at once.
    pub fn new(share: f64) -> Self {
        let about = trial::limit("look-after-connection", LOOKED_AFTER);
        Self {
            heard: None,
            asked: None,
            look_after: about.mul_f64(0.75 + share / 2.0),
        }
    }

    /// Something came over it.
    pub fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
    }

    /// It was found alive by a question of that time.
    pub fn alive(&mut self, at: Instant) {
        // Not where it broke since.
        self.heard = self.heard.map(|heard| heard.max(at));
    }

    /// It broke, or another takes its place.
    pub fn lost(&mut self) {
        self.heard = None;
        self.asked = None;
    }

    /// For how long nothing came, where that is so long that it isn't to be trusted. One over which nothing came ever is:
    /// whether it can be made at all is seen soon, and a Comet that hangs wouldn't fare better with another.
    pub fn untrusted(&self, now: Instant) -> Option<Duration> {
        let quiet = now.saturating_duration_since(self.heard?);
        (quiet >= NOT_TRUSTED_AFTER).then_some(quiet)
    }

    /// When to look after it, though nobody uses it.
    pub fn look_at(&self) -> Option<Instant> {
        let heard = self.heard?;
        Some(self.asked.map_or(heard, |asked| asked.max(heard)) + self.look_after)
    }

    /// It is asked now.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_was_used_and_is_quiet_is_asked() {
        let start = Instant::now();
        let mut quiet = Quiet::new(0.5);
        assert_eq!(quiet.untrusted(start + LOOKED_AFTER), None);
        assert_eq!(quiet.look_at(), None);
        quiet.heard(start);
        assert_eq!(quiet.untrusted(start + NOT_TRUSTED_AFTER / 2), None);
        assert_eq!(
            quiet.untrusted(start + NOT_TRUSTED_AFTER),
            Some(NOT_TRUSTED_AFTER)
        );
        assert_eq!(quiet.look_at(), Some(start + LOOKED_AFTER));
        // Once asked, it isn't asked again at once, whatever comes of it.
        quiet.asked(start + LOOKED_AFTER);
        assert_eq!(quiet.look_at(), Some(start + LOOKED_AFTER * 2));
        quiet.alive(start + LOOKED_AFTER);
        assert_eq!(quiet.untrusted(start + LOOKED_AFTER), None);
        quiet.lost();
        quiet.alive(start + LOOKED_AFTER);
        assert_eq!(quiet.untrusted(start + LOOKED_AFTER * 3), None);
        assert_eq!(quiet.look_at(), None);
    }

    #[test]
    fn connections_are_looked_after_one_by_one() {
        for (share, seconds) in [(0.0, 45), (0.5, 60), (1.0, 75)] {
            assert_eq!(Quiet::new(share).look_after, Duration::from_secs(seconds));
        }
    }
}
