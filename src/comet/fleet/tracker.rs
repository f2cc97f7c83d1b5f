//! Who is in the fleet, as its sources say, and what that changes. Knows no clock, thread or file.

use crate::message::fleet::{Change, Node};
use crate::message::{ByComet, CometId};

/// The fleet, and what each of its sources lists.
#[derive(Default)]
pub struct Tracker {
    /// How many ids were given.
    ids: u32,
    members: ByComet<Node>,
    /// Comets that left and have something under way.
    leaving: ByComet<Node>,
    /// What is listed now, by source.
    listed: Vec<Vec<Node>>,
    /// What was listed before, and may still have people.
    lingering: Vec<Vec<Node>>,
    /// What is wrong with names, and was said.
    said: Vec<Wrong>,
}

/// What is to be done, and said.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    pub changes: Vec<Change>,
    /// What is wrong with what is listed, for the log.
    pub wrong: Vec<Wrong>,
}

/// What is wrong with the names of Comets.
#[derive(Clone, Debug, PartialEq)]
pub enum Wrong {
    /// The second one isn't in the fleet.
    SameName(Node, Node),
    /// Another source calls it so.
    TwoNames(Node, String),
}

impl Tracker {
    /// There are so many sources from now on, which list nothing before they are heard.
    pub fn sources(&mut self, count: usize) {
        self.listed = vec![Vec::new(); count];
        self.lingering = vec![Vec::new(); count];
    }

    /// What a source lists now.
    pub fn listed(&self, source: usize) -> &[Node] {
        self.listed.get(source).map_or(&[], Vec::as_slice)
    }

    /// What it listed before, and may still have people.
    pub fn lingering(&self, source: usize) -> &[Node] {
        self.lingering.get(source).map_or(&[], Vec::as_slice)
    }

    /// What all sources list.
    pub fn all_listed(&self) -> impl Iterator<Item = &Node> + Clone {
        self.listed.iter().flatten()
    }

    /// Whatever is known of a source.
    pub fn known(&self, source: usize) -> Vec<Node> {
        [self.listed(source), self.lingering(source)].concat()
    }

    /// A source lists these Comets. Nothing changes before [`Self::look`].
    pub fn lists(&mut self, source: usize, nodes: Vec<Node>) {
        if let Some(listed) = self.listed.get_mut(source) {
            *listed = nodes;
        }
    }

    /// These drain, unless a source lists them: people may still be there.
    pub fn lingers(&mut self, source: usize, nodes: Vec<Node>) {
        if let Some(lingering) = self.lingering.get_mut(source) {
            *lingering = nodes;
        }
    }

    /// Nothing is under way any more to a Comet that left.
    pub fn forget(&mut self, comet: CometId) {
        self.leaving.remove(comet);
    }

    /// The Comets of the fleet.
    pub fn members(&self) -> &ByComet<Node> {
        &self.members
    }

    /// Makes the fleet what is listed, and returns what changes with that.
    ///
    /// A Comet is the same one if it has the same address, or else the same name: it was renamed, or it moved. One that comes back
    /// while calls are under way to what it was before has to wait until they are over: it would get what follows them first.
    pub fn look(&mut self) -> Changes {
        let mut all = Changes::default();
        let mut wanted = self.wanted(&mut all.wrong);
        let mut changes: Vec<(CometId, Node)> = Vec::new();
        let mut left: Vec<(CometId, Node)> = self
            .members
            .iter()
            .map(|(comet, node)| (comet, node.clone()))
            .collect();
        let same_address =
            |one: &Node, other: &Node| one.address.eq_ignore_ascii_case(&other.address);
        let same_name = |one: &Node, other: &Node| one.name.eq_ignore_ascii_case(&other.name);
        for is_same in [same_address, same_name] {
            wanted.retain(|node| {
                let Some(place) = left.iter().position(|(_, was)| is_same(was, node)) else {
                    return true;
                };
                let (comet, was) = left.remove(place);
                if was != *node {
                    changes.push((comet, node.clone()));
                }
                false
            });
        }
        for (comet, node) in left {
            self.members.remove(comet);
            self.leaving.insert(comet, node);
            all.changes.push(Change::Leave(comet));
        }
        for (comet, node) in changes {
            self.members.insert(comet, node.clone());
            all.changes.push(Change::Become(comet, node));
        }
        for node in wanted {
            let is_other = |gone: &Node| same_address(gone, &node) || same_name(gone, &node);
            if self.leaving.values().any(is_other) {
                continue;
            }
            let comet = CometId(self.ids);
            self.ids += 1;
            self.members.insert(comet, node.clone());
            all.changes.push(Change::Join(comet, node));
        }
        all
    }

    /// All that is listed, each Comet once.
    fn wanted(&mut self, wrong: &mut Vec<Wrong>) -> Vec<Node> {
        let mut now = Vec::new();
        let mut wanted: Vec<Node> = Vec::new();
        for node in self.merged(&mut now) {
            match wanted.iter().find(|other| other.is_called(&node.name)) {
                None => wanted.push(node),
                Some(other) => now.push(Wrong::SameName(other.clone(), node)),
            }
        }
        let is_new = |one: &&Wrong| !self.said.contains(one);
        wrong.extend(now.iter().filter(is_new).cloned());
        self.said = now;
        wanted
    }

    /// All Comets that are listed, each address once. Where several sources list one, it gets the first name that isn't its address
    /// and the first settings of its own, and it drains if any of them says so.
    fn merged(&self, wrong: &mut Vec<Wrong>) -> Vec<Node> {
        let mut all: Vec<Node> = Vec::new();
        let listed = self.listed.iter().flatten().map(|node| (node, false));
        let lingering = self.lingering.iter().flatten().map(|node| (node, true));
        for (node, lingers) in listed.chain(lingering) {
            let known = all
                .iter_mut()
                .find(|one| one.address.eq_ignore_ascii_case(&node.address));
            let Some(known) = known else {
                all.push(Node {
                    drains: node.drains || lingers,
                    ..node.clone()
                });
                continue;
            };
            known.drains |= node.drains && !lingers;
            known.own = known.own.take().or_else(|| node.own.clone());
            if !known.has_own_name() {
                known.name = node.name.clone();
            } else if !lingers && node.has_own_name() && !known.is_called(&node.name) {
                wrong.push(Wrong::TwoNames(known.clone(), node.name.clone()));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, address: &str) -> Node {
        Node {
            name: name.into(),
            ..address.into()
        }
    }

    fn listing(nodes: &[(&str, &str)]) -> Tracker {
        let mut tracker = Tracker::default();
        tracker.sources(2);
        list(&mut tracker, nodes);
        tracker
    }

    fn list(tracker: &mut Tracker, nodes: &[(&str, &str)]) -> Vec<Change> {
        let nodes = nodes.iter().map(|(name, address)| node(name, address));
        tracker.lists(0, nodes.collect());
        tracker.look().changes
    }

    fn join(id: u32, name: &str, address: &str) -> Change {
        Change::Join(CometId(id), node(name, address))
    }

    fn becomes(id: u32, name: &str, address: &str) -> Change {
        Change::Become(CometId(id), node(name, address))
    }

    #[test]
    fn comets_join_and_leave_and_no_id_is_used_again() {
        let mut tracker = listing(&[("a", "1:1"), ("b", "2:1")]);
        let changes = list(&mut tracker, &[("b", "2:1"), ("c", "3:1")]);
        assert_eq!(changes, [Change::Leave(CometId(0)), join(2, "c", "3:1")]);
        tracker.forget(CometId(0));
        let changes = list(&mut tracker, &[("a", "1:1"), ("b", "2:1"), ("c", "3:1")]);
        assert_eq!(changes, [join(3, "a", "1:1")]);
        let again = [("a", "1:1"), ("b", "2:1"), ("c", "3:1")];
        assert_eq!(list(&mut tracker, &again), []);
    }

    #[test]
    fn one_of_the_same_address_or_name_is_the_same_one() {
        let mut tracker = listing(&[("a", "1:1"), ("b", "2:1")]);
        let changes = list(&mut tracker, &[("x", "1:1"), ("b", "9:1")]);
        assert_eq!(changes, [becomes(0, "x", "1:1"), becomes(1, "b", "9:1")]);
        // They swap their names, or their places.
        let changes = list(&mut tracker, &[("b", "1:1"), ("x", "9:1")]);
        assert_eq!(changes, [becomes(0, "b", "1:1"), becomes(1, "x", "9:1")]);
    }

    #[test]
    fn one_that_comes_back_waits_for_what_is_under_way() {
        let mut tracker = listing(&[("a", "1:1"), ("b", "2:1")]);
        assert_eq!(
            list(&mut tracker, &[("b", "2:1")]),
            [Change::Leave(CometId(0))]
        );
        for back in [("a", "1:1"), ("a", "7:1"), ("z", "1:1")] {
            assert_eq!(list(&mut tracker, &[("b", "2:1"), back]), []);
        }
        tracker.forget(CometId(0));
        assert_eq!(tracker.look().changes, [join(2, "z", "1:1")]);
    }

    #[test]
    fn a_comet_in_two_sources_is_one_and_two_of_one_name_are_said_once() {
        let mut tracker = listing(&[("a", "1:1")]);
        tracker.lists(1, vec![node("1:1", "1:1"), node("A", "2:1")]);
        let all = tracker.look();
        assert_eq!(all.changes, []);
        assert_eq!(
            all.wrong,
            [Wrong::SameName(node("a", "1:1"), node("A", "2:1"))]
        );
        assert_eq!(tracker.look(), Changes::default());
        // It is said again where it comes again.
        tracker.lists(1, Vec::new());
        tracker.look();
        tracker.lists(1, vec![node("A", "2:1")]);
        assert_eq!(tracker.look().wrong.len(), 1);
    }

    #[test]
    fn what_several_sources_say_of_a_comet_is_put_together() {
        let drains = |node| Node {
            drains: true,
            ..node
        };
        let mut tracker = listing(&[("1:1", "1:1"), ("2:1", "2:1"), ("3:1", "3:1")]);
        // A name by which messages are for it, and that it is about to go.
        tracker.lists(1, vec![node("a", "1:1"), drains(node("2:1", "2:1"))]);
        let changes = [
            becomes(0, "a", "1:1"),
            Change::Become(CometId(1), drains(node("2:1", "2:1"))),
        ];
        assert_eq!(
            tracker.look(),
            Changes {
                changes: changes.into(),
                wrong: Vec::new()
            }
        );
        // One that a source lists no more drains, if no other one lists it. It keeps its name.
        tracker.lists(1, Vec::new());
        tracker.lingers(1, vec![node("a", "1:1"), node("4:1", "4:1")]);
        let changes = [
            becomes(1, "2:1", "2:1"),
            Change::Join(CometId(3), drains(node("4:1", "4:1"))),
        ];
        assert_eq!(tracker.look().changes, changes);
    }

    #[test]
    fn a_second_name_of_a_comet_is_said_once() {
        let mut tracker = listing(&[("a", "1:1")]);
        tracker.lists(1, vec![node("b", "1:1")]);
        let all = tracker.look();
        assert_eq!(all.changes, []);
        assert_eq!(all.wrong, [Wrong::TwoNames(node("a", "1:1"), "b".into())]);
        assert_eq!(tracker.look(), Changes::default());
    }

    #[test]
    fn one_that_drains_is_the_same_one() {
        let mut tracker = listing(&[("a", "1:1")]);
        let drains = Node {
            drains: true,
            ..node("a", "1:1")
        };
        tracker.lists(0, vec![drains.clone()]);
        assert_eq!(tracker.look().changes, [Change::Become(CometId(0), drains)]);
    }
}
