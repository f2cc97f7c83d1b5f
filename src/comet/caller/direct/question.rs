//! Whether a quiet connection still carries anything (see `comet::quiet`).
//!
//! The question is a call behind the one that woke the doubt. Where nothing comes over the connection in time, a new one is asked: a
//! slow Comet, or one that was halted, is as silent there. Where the new one answers, the old one is dead. It has to answer twice:
//! that gives a late answer on the old one the time to arrive first.
//!
//! Something that comes is no sign of life where nothing leaves: a peer that takes no calls may send PINGs for ever.

use std::time::{Duration, Instant};

use super::super::lean::{By, LinkId};
use super::{DEADLINE_EXCEEDED, Direct, Made, Purpose};
use crate::comet::connecting::COMPARED_WITHIN;
use crate::comet::dialect;
use crate::comet::quiet::SIGN_WITHIN;
use crate::message::{Answer, CometId};

/// A question under way.
pub struct Question {
    at: Instant,
    /// For how long nothing had come.
    quiet: Duration,
    /// The connection that it is about, and the one that it is compared with.
    link: LinkId,
    pub other: Option<LinkId>,
}

impl Direct {
    /// Asks whether the connection is alive, where it was quiet for too long to be trusted.
    pub(super) fn ask_if_quiet(&mut self, comet: CometId, now: Instant) {
        let Some(peer) = self.peers.get_mut(comet) else {
            return;
        };
        let (None, Some(link)) = (&peer.question, peer.current()) else {
            return;
        };
        let Some(quiet) = peer.quiet.untrusted(now) else {
            return;
        };
        peer.question = Some(Question {
            at: now,
            quiet,
            link,
            other: None,
        });
        self.ask(comet, link, Purpose::Question, SIGN_WITHIN, now);
    }

    fn ask(
        &mut self,
        comet: CometId,
        link: LinkId,
        purpose: Purpose,
        within: Duration,
        at: Instant,
    ) {
        let made = Made { comet, purpose, at };
        self.send(
            link,
            made,
            (dialect::path_of_rooms(self.manner.dialect), within),
            |_| (),
        );
    }

    /// The question came back.
    pub(super) fn asked(
        &mut self,
        comet: CometId,
        link: LinkId,
        by: By,
        answer: &Answer,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(comet) else {
            return;
        };
        let Some(question) = peer.question.take_if(|question| question.link == link) else {
            return;
        };
        if by != By::Server {
            peer.location.failed();
        }
        if !hangs(answer) {
            // It broke, and whatever is in flight with it.
            return;
        }
        if self.links.carries(link, question.at) {
            peer.quiet.alive(question.at);
            return;
        }
        let Ok(other) = peer.open(&mut self.links, now) else {
            return;
        };
        peer.question = Some(Question {
            other: Some(other),
            ..question
        });
        self.ask(comet, other, Purpose::Compared, COMPARED_WITHIN, now);
    }

    /// An answer came over the other connection, the first one or the second, or none.
    pub(super) fn compared(
        &mut self,
        comet: CometId,
        other: LinkId,
        (by, answer): (By, &Answer),
        is_first: bool,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get_mut(comet) else {
            return;
        };
        let is_this = |question: &mut Question| question.other == Some(other);
        let Some(question) = peer.question.take_if(is_this) else {
            return;
        };
        if self.links.carries(question.link, question.at) {
            peer.quiet.alive(question.at);
            return self.links.retire(Some(other));
        }
        if hangs(answer) {
            // It is the Comet.
            peer.quiet.lost();
            return self.links.retire(Some(other));
        }
        if is_first && by == By::Server {
            peer.question = Some(question);
            self.ask(comet, other, Purpose::Again, COMPARED_WITHIN, now);
            return;
        }
        let (quiet, within) = (question.quiet.as_secs_f64(), SIGN_WITHIN.as_secs());
        let (is_so, why) = match self.links.heard(question.link) > Some(question.at) {
            false => (
                format!(
                    "nothing came over a connection for {quiet:.0} s, nor an answer within {within} s"
                ),
                "nothing came",
            ),
            true => (
                format!("no call leaves over a connection whose last answer came {quiet:.0} s ago"),
                "no call left",
            ),
        };
        log::info!(
            comet = peer.location.node().name;
            "Comet {}: {is_so}: taken for dead, the next call goes over a new one",
            peer.location.node(),
        );
        peer.replace(other, now);
        self.links.give_up(
            question.link,
            format!(
                "the connection was quiet, and {why} over it within {within} s: taken for dead"
            ),
        );
    }
}

/// Whether nothing came back.
fn hangs(answer: &Answer) -> bool {
    let status = answer.as_ref().err();
    status.is_some_and(|status| status.code == DEADLINE_EXCEEDED)
}
