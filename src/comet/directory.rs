//! The Comets that are called: where each is, and what was said of its failures. All that call it have that in common.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::fleet::Told;
use super::names::Names;
use super::{FailureLog, Location};
use crate::message::fleet::{Change, Node};
use crate::message::{ByComet, CometId};

pub struct Directory {
    names: Names,
    /// Hears of failures: an address may be one of a name that has others by now.
    fleet: Sender<Told>,
    known: Mutex<ByComet<Known>>,
}

/// What is known of a Comet.
#[derive(Clone)]
pub struct Known {
    pub location: Arc<Location>,
    pub failures: Arc<FailureLog>,
}

impl Directory {
    /// With these Comets, their ids from 0 on. `fleet` hears of failures. Blocks until each name among their addresses was looked up, or until `timeout` is over.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(comets: &[Node], timeout: Duration, fleet: Sender<Told>) -> io::Result<Self> {
        let directory = Self {
            names: Names::default(),
            fleet,
            known: Mutex::default(),
        };
        let fleet = directory.fleet.clone();
        let failed = move |comet| drop(fleet.send(Told::Failed(comet)));
        let locations = directory.names.find(comets, timeout, failed)?;
        let known = locations.into_iter().map(|location| Known {
            location,
            failures: Arc::default(),
        });
        *directory.locked() = ByComet::from(known.collect::<Vec<_>>());
        Ok(directory)
    }

    /// Notes a change before anybody else hears of it. A Comet that leaves is called for as long as something is under way:
    /// [`Self::forget`] ends that.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn apply(&self, change: &Change) -> io::Result<()> {
        let (Change::Join(comet, node) | Change::Become(comet, node)) = change else {
            return Ok(());
        };
        let before = self.get(*comet);
        let location = match &before {
            // Who drains stays where it is.
            Some(known) if is_same(known.location.node(), node) => known.location.clone(),
            _ => {
                let (fleet, comet) = (self.fleet.clone(), *comet);
                let failed = move || drop(fleet.send(Told::Failed(comet)));
                let known = before.as_ref().map(|known| &*known.location);
                let known = known.filter(|was| was.address() == node.address);
                self.names.add(node.clone(), known, failed)?
            }
        };
        let known = Known {
            location,
            failures: before.map_or_else(Arc::default, |known| known.failures),
        };
        self.locked().insert(*comet, known);
        Ok(())
    }

    /// Has the fleet hear of the next failure of a Comet at an address.
    pub fn await_failure(&self, comet: CometId) {
        if let Some(known) = self.get(comet) {
            known.location.lookup_begins();
        }
    }

    pub fn forget(&self, comet: CometId) {
        self.locked().remove(comet);
    }

    pub fn get(&self, comet: CometId) -> Option<Known> {
        self.locked().get(comet).cloned()
    }

    pub fn locations(&self) -> ByComet<Arc<Location>> {
        let known = self.locked();
        let all = known.iter();
        all.map(|(comet, known)| (comet, known.location.clone()))
            .collect()
    }

    fn locked(&self) -> MutexGuard<'_, ByComet<Known>> {
        // A panic ends the process.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(one: &Node, other: &Node) -> bool {
    (&one.name, &one.address, &one.own) == (&other.name, &other.address, &other.own)
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::unbounded;

    use super::*;

    #[test]
    fn a_comet_is_where_the_last_change_says_until_it_is_forgotten() {
        let directory =
            Directory::new(&["10.0.0.1:1".into()], Duration::ZERO, unbounded().0).unwrap();
        let (old, new) = (CometId(0), CometId(7));
        let at = |comet| {
            let known = directory.get(comet)?;
            known.location.target()
        };
        directory
            .apply(&Change::Join(new, "10.0.0.2:2".into()))
            .unwrap();
        assert_eq!(at(new).as_deref(), Some("ipv4:10.0.0.2:2"));
        let before = directory.get(new).unwrap();
        let drains = Node {
            drains: true,
            ..Node::from("10.0.0.2:2")
        };
        directory.apply(&Change::Become(new, drains)).unwrap();
        let after = directory.get(new).unwrap();
        assert!(Arc::ptr_eq(&before.location, &after.location));
        let moved = Node {
            name: "10.0.0.2:2".into(),
            ..Node::from("10.0.0.3:3")
        };
        directory.apply(&Change::Become(new, moved)).unwrap();
        assert_eq!(at(new).as_deref(), Some("ipv4:10.0.0.3:3"));
        let after = directory.get(new).unwrap();
        assert!(Arc::ptr_eq(&before.failures, &after.failures));
        directory.apply(&Change::Leave(old)).unwrap();
        assert!(at(old).is_some());
        directory.forget(old);
        assert!(at(old).is_none() && directory.locations().len() == 1);
    }
}
