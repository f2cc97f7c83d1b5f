//! The Comets, and how each stands.

use std::time::{Duration, Instant};

use super::fleet::Leaving;
use crate::figures::{CometAccount, Standing};
use crate::message::fleet::Node;
use crate::message::{ByComet, CometId};

/// Limits of the wait after a return in which the Comet took nothing.
pub(super) const WAIT_FIRST: Duration = Duration::from_secs(1);
pub(super) const WAIT_MOST: Duration = Duration::from_secs(10);

/// The Comets of the fleet, and those that left it and have something in flight.
pub(super) struct Comets(pub ByComet<Comet>);

pub(super) struct Comet {
    pub node: Node,
    /// Where it left, what of it isn't over yet.
    pub leaving: Option<Leaving>,
    pub state: State,
    /// Since when it is behind, until it has caught up.
    pub away: Option<Away>,
    /// The wait before its next return, if it takes nothing in this one.
    pub wait: Duration,
    /// What was too old to be sent to it, and wasn't said yet.
    pub skipped: u64,
    /// How often it caught up.
    pub caught_up: u64,
}

#[derive(Clone, Copy)]
pub(super) enum Away {
    Since(Instant),
    /// It was behind in a partition before that was ours.
    Unknown,
}

pub(super) enum State {
    Attached,
    Detached {
        since: Instant,
        /// Workers that have not confirmed.
        workers: usize,
        /// It doesn't return before this.
        not_before: Instant,
    },
    /// It answers, and gets what it missed.
    Returning {
        since: Instant,
        /// What it took of that.
        messages: u64,
        /// Whether partitions where it was behind are another's by now.
        elsewhere: bool,
    },
}

impl Comet {
    fn new(node: Node) -> Self {
        Self {
            node,
            leaving: None,
            state: State::Attached,
            away: None,
            wait: WAIT_FIRST,
            skipped: 0,
            caught_up: 0,
        }
    }
}

impl Comets {
    /// With ids from 0 on.
    pub fn new(nodes: Vec<Node>) -> Self {
        let comets: Vec<_> = nodes.into_iter().map(Comet::new).collect();
        Self(comets.into())
    }

    pub fn join(&mut self, comet: CometId, node: Node) {
        self.0.insert(comet, Comet::new(node));
    }

    /// A Comet, though it may be leaving.
    pub fn any(&mut self, comet: CometId) -> Option<&mut Comet> {
        self.0.get_mut(comet)
    }

    pub fn forget(&mut self, comet: CometId) {
        self.0.remove(comet);
    }

    /// A Comet of the fleet.
    pub fn member(&self, comet: CometId) -> Option<&Comet> {
        self.0.get(comet).filter(|of| of.leaving.is_none())
    }

    pub fn member_mut(&mut self, comet: CometId) -> Option<&mut Comet> {
        self.0.get_mut(comet).filter(|of| of.leaving.is_none())
    }

    pub fn members(&self) -> impl Iterator<Item = (CometId, &Comet)> {
        self.0.iter().filter(|(_, of)| of.leaving.is_none())
    }

    /// What the log and offset maps call a Comet.
    pub fn name(&self, comet: CometId) -> String {
        let of = self.0.get(comet);
        of.map_or_else(|| "?".into(), |of| of.node.name.clone())
    }

    /// The Comet of the fleet that is meant by a name.
    pub fn called(&self, name: &str) -> Option<CometId> {
        let mut members = self.members();
        members
            .find(|(_, of)| of.node.is_called(name))
            .map(|(comet, _)| comet)
    }

    /// How each stands, but for what it misses.
    pub fn accounts(&self) -> ByComet<CometAccount> {
        let account = |comet: &Comet| CometAccount {
            standing: match comet.state {
                State::Attached => Standing::Attached,
                State::Detached { .. } => Standing::Detached,
                State::Returning { .. } => Standing::CatchingUp,
            },
            missed: 0,
            caught_up: comet.caught_up,
        };
        let all = self.0.iter();
        all.map(|(comet, of)| (comet, account(of))).collect()
    }

    /// The Comets that are detached.
    pub fn detached(&self) -> impl Iterator<Item = CometId> {
        let is_detached = |of: &Comet| matches!(of.state, State::Detached { .. });
        let all = self.members().filter(move |(_, of)| is_detached(of));
        all.map(|(comet, _)| comet)
    }
}
