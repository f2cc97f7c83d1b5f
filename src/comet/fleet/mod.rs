//! Which Comets there are: what `--comet` lists, looked at again and again, and what that changes.
//!
//! One thread asks the sources and has the [`Tracker`] compare. Each change goes to the [`Directory`] first, where who calls finds the
//! Comet, and then to the group, which hands it on. What can't be read or found changes nothing.

mod discovery;
mod dns;
mod file;
mod labels;
mod registered;
mod sources;
mod tracker;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::Directory;
use super::caller::{self, Kind};
use super::inquiry::Lookup;
use super::lookup::{self, NotFound};
use super::own::{self, Owns};
use crate::base::limits;
use crate::base::text::counted;
use crate::message::fleet::{Change, Node};
use crate::message::{CometId, group};
use crate::settings::Config;
use crate::settings::fleet::Source;
use file::Watched;
use sources::{SourceId, Sources, Ways};
use tracker::{Changes, Tracker, Wrong};

/// What the fleet's thread is told.
pub enum Told {
    /// Nothing is under way any more to a Comet that left.
    Gone(CometId),
    /// A call to this Comet failed.
    Failed(CometId),
    /// A lookup for a source came back.
    Found(SourceId, Lookup, Result<Vec<IpAddr>, NotFound>),
    /// A registry answered, or didn't: why.
    Listed(SourceId, Result<Vec<Node>, String>),
    /// Other sources count from now on, and are asked again each time that this has passed.
    Settings(Vec<Source>, Duration),
}

/// The fleet, and where it comes from.
pub struct Fleet {
    tracker: Tracker,
    sources: Sources,
    /// Whether nothing changes until each source has said which Comets there are: they were replaced.
    waits: bool,
    own: Sender<Told>,
    heard: Receiver<Told>,
}

impl Fleet {
    /// The fleet of these settings. Blocks until something was heard of each source, or `within` is over.
    pub fn new(config: &Config, within: Duration) -> Self {
        let (own, heard) = unbounded();
        let ways = Ways {
            refresh: config.comet_refresh,
            resolve: Arc::new(lookup::addresses),
            is_lean: caller::kind(config).0 == Kind::Lean,
            tls: config.comet_tls.clone(),
            own,
        };
        Self::with(config.comet.clone(), ways, heard, within)
    }

    fn with(listed: Vec<Source>, ways: Ways, heard: Receiver<Told>, within: Duration) -> Self {
        let own = ways.own.clone();
        let mut fleet = Self {
            tracker: Tracker::default(),
            sources: Sources::new(ways),
            waits: false,
            own,
            heard,
        };
        let begun = Instant::now();
        fleet.sources.replace(listed, &mut fleet.tracker, begun);
        loop {
            let now = Instant::now();
            fleet.sources.look(&mut fleet.tracker, now);
            let end = begun + within;
            if fleet.sources.are_settled() || now >= end {
                break;
            }
            let until = fleet.sources.wake_at().map_or(end, |at| at.min(end));
            if let Ok(told) = fleet.heard.recv_deadline(until) {
                fleet.take(told, Instant::now());
            }
        }
        let Changes { wrong, .. } = fleet.tracker.look();
        wrong.iter().for_each(say_wrong);
        fleet
    }

    /// The Comets at first, with ids from 0 on.
    pub fn comets(&self) -> Vec<Node> {
        self.tracker.members().values().cloned().collect()
    }

    /// What was found out about each source: how many Comets it lists, or what is wrong with it.
    pub fn findings(&self) -> Vec<(Source, Result<usize, String>)> {
        self.sources.findings(&self.tracker)
    }

    /// How the thread is told.
    pub fn wire(&self) -> Sender<Told> {
        self.own.clone()
    }

    /// Goes on with that on a thread of its own, and tells the group what changes.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn spawn(
        mut self,
        directory: Arc<Directory>,
        group: Sender<group::Event>,
    ) -> io::Result<()> {
        self.say_first();
        let work = move || {
            loop {
                self.sources.look(&mut self.tracker, Instant::now());
                self.waits &= !self.sources.have_listed();
                let Changes { changes, wrong } = match self.waits {
                    true => Changes::default(),
                    false => self.tracker.look(),
                };
                wrong.iter().for_each(say_wrong);
                let had_some = !changes.is_empty();
                for change in changes {
                    if !apply(change, &directory, &group) {
                        return;
                    }
                }
                if had_some && self.tracker.members().is_empty() {
                    log::warn!(
                        "the fleet has no Comet any more: nothing is read until there is one"
                    );
                }
                let told = match self.sources.wake_at() {
                    Some(at) => self.heard.recv_deadline(at).ok(),
                    None => self.heard.recv().ok(),
                };
                match told {
                    Some(Told::Gone(comet)) => directory.forget(comet),
                    // The next failure is told, too.
                    Some(Told::Failed(comet)) => directory.await_failure(comet),
                    _ => {}
                }
                if let Some(told) = told {
                    self.take(told, Instant::now());
                }
            }
        };
        thread::Builder::new().name("fleet".into()).spawn(work)?;
        Ok(())
    }

    fn take(&mut self, told: Told, now: Instant) {
        match told {
            Told::Gone(comet) => self.tracker.forget(comet),
            Told::Failed(comet) => {
                if let Some(node) = self.tracker.members().get(comet) {
                    let node = node.clone();
                    self.sources.failed(&node, &mut self.tracker, now);
                }
            }
            Told::Found(source, lookup, answer) => self.sources.found(source, lookup, answer, now),
            Told::Listed(source, answer) => self.sources.listed(source, answer, &mut self.tracker),
            Told::Settings(listed, refresh) => {
                self.sources.refresh_each(refresh);
                if !self.sources.are(&listed) {
                    self.sources.replace(listed, &mut self.tracker, now);
                    self.waits = true;
                }
            }
        }
    }

    /// Says what the fleet is, where it can change.
    fn say_first(&self) {
        if self.sources.are_fixed() {
            return;
        }
        for (source, found) in self.findings() {
            if let Err(why) = found {
                log::warn!(cause = why; "{source}: {why}; looking again");
            }
        }
        let comets = self.comets();
        if comets.is_empty() {
            log::warn!("no Comet is known so far: nothing is read until there is one");
            return;
        }
        let names: Vec<_> = comets.iter().map(Node::to_string).collect();
        let count = counted(comets.len() as u64, "Comet");
        log::info!("the fleet has {count}: {}", names.join(", "));
    }
}

/// Reads the files that list Comets.
///
/// # Errors
/// One can't be read, or lists no Comets: what is wrong with it, and what to do.
pub fn check_files(config: &Config) -> Result<(), String> {
    let mut owns = Owns::new(config.comet_tls.clone());
    for source in &config.comet {
        if let Source::File(path) = source {
            Watched::new(path.clone()).look(&mut owns).unwrap_or(Ok(Vec::new())).map_err(|why| {
                format!("{source}: {why}. Write that file, or take it out of comet (--comet, JOB_COMET)")
            })?;
        }
    }
    Ok(())
}

/// Does one change, and says so. Returns false where the group is gone.
fn apply(change: Change, directory: &Directory, group: &Sender<group::Event>) -> bool {
    let before = match &change {
        Change::Join(..) => None,
        Change::Become(comet, _) | Change::Leave(comet) => directory.get(*comet),
    };
    let before = before.map(|known| known.location.node().clone());
    if let Err(error) = directory.apply(&change) {
        let why = limits::explained(&error);
        log::error!("the fleet can't change, since starting a thread failed: {why}");
        return true;
    }
    if let (Change::Become(_, node), Some(before)) = (&change, &before)
        && let Some(what) = own::changed(before, node)
    {
        log::info!(comet = node.name; "Comet {node} is called with other {what} from now on");
    }
    say(&change, before);
    group.send(group::Event::Fleet(change)).is_ok()
}

fn say_wrong(wrong: &Wrong) {
    match wrong {
        Wrong::SameName(one, other) => log::warn!(
            comet = other.name; "Comets {one} and {other} have the same name, and the second one gets nothing: give each its own"
        ),
        Wrong::TwoNames(node, name) => log::warn!(
            comet = node.name; "Comet {node} is listed as {name}, too, and isn't known by that name: give it one name"
        ),
    }
}

fn say(change: &Change, before: Option<Node>) {
    match (change, before) {
        (Change::Join(_, node), _) => log::info!(
            comet = node.name; "Comet {node} joined the fleet: it gets what is read from now on"
        ),
        (Change::Leave(_), Some(node)) => log::info!(
            comet = node.name; "Comet {node} left the fleet: what is under way to it is finished, and it gets nothing more"
        ),
        (Change::Become(_, node), Some(before)) if before.name != node.name => {
            log::info!(comet = node.name; "Comet {before} is called {node} now");
        }
        (Change::Become(_, node), Some(before)) if before.address != node.address => {
            let (name, now, was) = (&node.name, &node.address, &before.address);
            log::info!(comet = name; "Comet {name} is at {now} now, no longer at {was}");
        }
        (Change::Become(_, node), Some(before)) if before.drains == node.drains => {}
        (Change::Become(_, node), Some(_)) if node.drains => log::info!(
            comet = node.name; "Comet {node} drains: it gets messages, and nobody waits for it if it fails"
        ),
        (Change::Become(_, node), Some(_)) => {
            log::info!(comet = node.name; "Comet {node} drains no longer");
        }
        (Change::Leave(_) | Change::Become(..), None) => {}
    }
}

#[cfg(test)]
mod tests;
