//! What the Comets are called, and which of them are in the fleet.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::message::fleet::{Change, Node};
use crate::message::{ByComet, CometId};

/// Names stay when a Comet is gone, since a dead letter or a line of the log may name it later: some bytes each.
#[derive(Debug, Default)]
pub struct Roster(RwLock<All>);

#[derive(Debug, Default)]
struct All {
    names: ByComet<Arc<str>>,
    /// In the order of their ids.
    here: Vec<CometId>,
}

impl Roster {
    /// Ids are from 0 on, in the order of `comets`.
    pub fn new(comets: &[Node]) -> Self {
        let roster = Self::default();
        for (id, node) in (0..).map(CometId).zip(comets) {
            roster.apply(&Change::Join(id, node.clone()));
        }
        roster
    }

    pub fn apply(&self, change: &Change) {
        let mut all = self.write();
        match change {
            Change::Join(comet, node) => {
                all.names.insert(*comet, node.name.as_str().into());
                all.here.push(*comet);
                all.here.sort_unstable();
            }
            Change::Become(comet, node) => all.names.insert(*comet, node.name.as_str().into()),
            // It is here until nothing of it is under way.
            Change::Leave(_) => {}
        }
    }

    /// Nothing is under way any more to a Comet that left.
    pub fn forget(&self, comet: CometId) {
        self.write().here.retain(|here| *here != comet);
    }

    /// The Comets of the fleet, and those that are leaving it, with their names.
    pub fn all(&self) -> Vec<(CometId, Arc<str>)> {
        let all = self.read();
        let named = |comet: &CometId| Some((*comet, all.names.get(*comet)?.clone()));
        all.here.iter().filter_map(named).collect()
    }

    /// The name of any Comet that ever was in the fleet.
    pub fn name(&self, comet: CometId) -> Arc<str> {
        let name = self.read().names.get(comet).cloned();
        name.unwrap_or_else(|| "?".into())
    }

    /// Nothing under this lock can be left half done.
    fn read(&self) -> RwLockReadGuard<'_, All> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, All> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comet_that_left_keeps_its_name() {
        let roster = Roster::new(&["a:1".into(), "b:1".into()]);
        let renamed = Node {
            name: "c".into(),
            ..Node::from("b:1")
        };
        roster.apply(&Change::Become(CometId(1), renamed));
        roster.apply(&Change::Join(CometId(5), "d:1".into()));
        roster.apply(&Change::Leave(CometId(0)));
        assert_eq!(roster.all().len(), 3, "a:1 may have something under way");
        roster.forget(CometId(0));
        let all = roster.all();
        let names: Vec<_> = all.iter().map(|(id, name)| (id.0, &**name)).collect();
        assert_eq!(names, [(1, "c"), (5, "d:1")]);
        assert_eq!(&*roster.name(CometId(0)), "a:1");
        assert_eq!(&*roster.name(CometId(9)), "?");
    }
}
