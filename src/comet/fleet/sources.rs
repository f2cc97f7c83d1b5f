//! The sources that `--comet` lists: each is looked at in its own way, and what is wrong with one is said once.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::Told;
use super::discovery::Asking;
use super::dns::{Dns, Found};
use super::file::Watched;
use super::tracker::Tracker;
use crate::base::limits;
use crate::base::text::counted;
use crate::comet::inquiry::Lookup;
use crate::comet::lookup::{Family, NotFound};
use crate::comet::own::{self, Owns};
use crate::message::fleet::Node;
use crate::settings::fleet::Source;
use crate::settings::{CometTls, UNIX};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks a name up. Blocks for as long as that takes.
pub type Resolve = Arc<dyn Fn(&str, Family) -> Result<Vec<IpAddr>, NotFound> + Send + Sync>;

/// A source's place among those of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId {
    /// Counts how often the sources were replaced.
    age: u64,
    place: usize,
}

/// How sources are asked.
#[derive(Clone)]
pub struct Ways {
    /// How often names and registries are asked again.
    pub refresh: Duration,
    pub resolve: Resolve,
    /// Whether Comets at Unix sockets can be called, and those with TLS.
    pub is_lean: bool,
    /// What TLS has for all Comets.
    pub tls: Option<CometTls>,
    /// Answers go there.
    pub own: Sender<Told>,
}

pub struct Sources {
    listings: Vec<Listing>,
    age: u64,
    ways: Ways,
    owns: Owns,
}

/// A source, and what is wrong with it now.
struct Listing {
    source: Source,
    look: Look,
    trouble: Option<String>,
    /// Whether it ever listed Comets.
    has_listed: bool,
    /// Whether anything was heard of it.
    is_settled: bool,
}

enum Look {
    /// It lists itself.
    Fixed,
    File {
        file: Watched,
        next: Instant,
    },
    Dns(Box<Dns>),
    /// A thread asks, for as long as this is here.
    Discovery {
        _asking: Asking,
    },
}

impl Sources {
    pub fn new(ways: Ways) -> Self {
        Self {
            listings: Vec::new(),
            age: 0,
            owns: Owns::new(ways.tls.clone()),
            ways,
        }
    }

    /// Others count from now on. What one lists that was there before goes on to count until it says otherwise.
    pub fn replace(&mut self, sources: Vec<Source>, tracker: &mut Tracker, now: Instant) {
        let before = std::mem::take(&mut self.listings);
        let listed: Vec<_> = before
            .iter()
            .enumerate()
            .map(|(place, listing)| {
                let lingering = tracker.lingering(place).to_vec();
                (&listing.source, tracker.listed(place).to_vec(), lingering)
            })
            .collect();
        self.age += 1;
        tracker.sources(sources.len());
        for (place, source) in sources.into_iter().enumerate() {
            let known = listed.iter().find(|(was, ..)| **was == source);
            if let Some((_, nodes, lingering)) = known {
                tracker.lists(place, nodes.clone());
                tracker.lingers(place, lingering.clone());
            }
            let id = SourceId {
                age: self.age,
                place,
            };
            let look = self.begin(&source, id, now);
            if let Source::Node(node) = &source {
                tracker.lists(place, vec![node.clone()]);
            }
            self.listings.push(Listing {
                is_settled: matches!(look, Look::Fixed),
                has_listed: matches!(look, Look::Fixed) || known.is_some(),
                source,
                look,
                trouble: None,
            });
        }
    }

    fn begin(&self, source: &Source, id: SourceId, now: Instant) -> Look {
        match source {
            Source::Node(_) => Look::Fixed,
            Source::File(path) => Look::File {
                file: Watched::new(path.clone()),
                next: now,
            },
            Source::Dns { host, port } => {
                let refresh = self.ways.refresh;
                Look::Dns(Box::new(Dns::new(host.clone(), *port, refresh, now)))
            }
            Source::Discovery(registry) => {
                let own = self.ways.own.clone();
                let listed = move |answer| own.send(Told::Listed(id, answer)).is_ok();
                Look::Discovery {
                    _asking: Asking::start(registry.clone(), self.ways.refresh, listed),
                }
            }
        }
    }

    /// Looks at what is due, and tells the tracker what is listed.
    pub fn look(&mut self, tracker: &mut Tracker, now: Instant) {
        let mut are_files_due = false;
        for (place, listing) in self.listings.iter_mut().enumerate() {
            let found = match &mut listing.look {
                Look::File { file, next } if *next <= now => {
                    *next = now + LOOK;
                    are_files_due = true;
                    file.look(&mut self.owns)
                }
                Look::Dns(dns) => {
                    let id = SourceId {
                        age: self.age,
                        place,
                    };
                    for lookup in dns.round(now).unwrap_or_default() {
                        look_up(dns.host(), (id, lookup), &self.ways);
                    }
                    dns.settle(now).map(|found| match found {
                        Found::Nodes(nodes) => Ok(nodes),
                        Found::Missing(why) => Err(format!("the name was not found: {why}")),
                    })
                }
                Look::Fixed | Look::File { .. } | Look::Discovery { .. } => None,
            };
            if let Some(found) = found {
                let is_lean = self.ways.is_lean;
                listing.heard(
                    found.and_then(|nodes| callable(nodes, is_lean)),
                    place,
                    tracker,
                );
            }
        }
        if are_files_due {
            self.owns.look(tracker.all_listed());
        }
    }

    /// A lookup came back.
    pub fn found(
        &mut self,
        source: SourceId,
        lookup: Lookup,
        answer: Result<Vec<IpAddr>, NotFound>,
        now: Instant,
    ) {
        if let Some((_, listing)) = self.get(source)
            && let Look::Dns(dns) = &mut listing.look
        {
            dns.answered(lookup, answer, now);
        }
    }

    /// A registry answered, or didn't.
    pub fn listed(
        &mut self,
        source: SourceId,
        answer: Result<Vec<Node>, String>,
        tracker: &mut Tracker,
    ) {
        if let Some((place, listing)) = self.get(source) {
            listing.heard(answer, place, tracker);
        }
    }

    /// This Comet failed: names of which it is one are looked up again, and one that drains since it is listed no more is gone.
    pub fn failed(&mut self, node: &Node, tracker: &mut Tracker, now: Instant) {
        for (place, listing) in self.listings.iter_mut().enumerate() {
            // Another source may name it otherwise.
            let is_it = |one: &Node| one.address.eq_ignore_ascii_case(&node.address);
            if !tracker.known(place).iter().any(is_it) {
                continue;
            }
            if let Look::Dns(dns) = &mut listing.look {
                dns.failed(now);
            }
            let mut left = tracker.lingering(place).to_vec();
            left.retain(|one| !is_it(one));
            tracker.lingers(place, left);
        }
    }

    fn get(&mut self, source: SourceId) -> Option<(usize, &mut Listing)> {
        if source.age != self.age {
            return None;
        }
        let listing = self.listings.get_mut(source.place)?;
        Some((source.place, listing))
    }

    /// Names and registries are asked again each time that this has passed, those that are asked from now on.
    pub fn refresh_each(&mut self, refresh: Duration) {
        self.ways.refresh = refresh;
    }

    /// Whether these are the ones that count.
    pub fn are(&self, sources: &[Source]) -> bool {
        let ours = self.listings.iter().map(|listing| &listing.source);
        ours.eq(sources)
    }

    /// Whether each has said which Comets there are.
    pub fn have_listed(&self) -> bool {
        self.listings.iter().all(|listing| listing.has_listed)
    }

    pub fn are_settled(&self) -> bool {
        self.listings.iter().all(|listing| listing.is_settled)
    }

    /// Whether nothing of them can change.
    pub fn are_fixed(&self) -> bool {
        let is_fixed = |listing: &Listing| matches!(listing.look, Look::Fixed);
        self.listings.iter().all(is_fixed)
    }

    /// When to look again, if nothing is heard until then.
    pub fn wake_at(&self) -> Option<Instant> {
        let times = self.listings.iter().filter_map(|one| match &one.look {
            Look::File { next, .. } => Some(*next),
            Look::Dns(dns) => dns.wake_at(),
            Look::Fixed | Look::Discovery { .. } => None,
        });
        times.min()
    }

    /// What was found out about each: how many Comets it lists, or what is wrong with it.
    pub fn findings(&self, tracker: &Tracker) -> Vec<(Source, Result<usize, String>)> {
        let found = |(place, listing): (usize, &Listing)| {
            let count = tracker.known(place).len();
            let unheard = (!listing.is_settled).then(|| "no answer so far".to_owned());
            let trouble = listing.trouble.clone().or(unheard);
            (listing.source.clone(), trouble.map_or(Ok(count), Err))
        };
        self.listings.iter().enumerate().map(found).collect()
    }
}

impl Listing {
    /// Notes what the source lists. What is wrong with it changes nothing, and is said once.
    fn heard(&mut self, found: Result<Vec<Node>, String>, place: usize, tracker: &mut Tracker) {
        let source = &self.source;
        // Who starts says it.
        let is_said = std::mem::replace(&mut self.is_settled, true);
        match found {
            Ok(nodes) => {
                if self.trouble.take().is_some() {
                    let comets = counted(nodes.len() as u64, "Comet");
                    log::info!("{source} is well again: it lists {comets}");
                }
                self.has_listed = true;
                let lingering = self.lingering(&nodes, tracker.known(place));
                tracker.lists(place, nodes);
                tracker.lingers(place, lingering);
            }
            Err(why) => {
                if is_said && self.trouble.as_ref() != Some(&why) {
                    let known = counted(tracker.known(place).len() as u64, "Comet");
                    log::warn!(cause = why; "{source}: {why}; going on with the {known} that it listed before");
                }
                self.trouble = Some(why);
            }
        }
    }
}

/// What a file says is so. A name or a registry that lists a Comet no more may say that it takes nobody new, as in its last minutes, or is
/// wrong about it: people may still be there.
impl Listing {
    /// What is listed no more, and wasn't said to have failed. Of a name it is of the same kind as what is listed: addresses of the
    /// other kind are taken for the same Comets, and would bring each message a second time.
    fn lingering(&self, nodes: &[Node], before: Vec<Node>) -> Vec<Node> {
        let is_name = match self.look {
            Look::Dns(_) => true,
            Look::Discovery { .. } => false,
            Look::Fixed | Look::File { .. } => return Vec::new(),
        };
        let is_v6 = |node: &Node| node.address.starts_with('[');
        let may_linger = |was: &Node| {
            let is_gone = |node: &Node| node.address != was.address && node.name != was.name;
            let is_of_its_kind = |node: &Node| !is_name || is_v6(node) == is_v6(was);
            nodes
                .iter()
                .all(|node| is_gone(node) && is_of_its_kind(node))
        };
        before.into_iter().filter(may_linger).collect()
    }
}

/// # Errors
/// One of them can't be called.
fn callable(nodes: Vec<Node>, is_lean: bool) -> Result<Vec<Node>, String> {
    let needs_lean = |node: &Node| match own::tls_settings_of(node) {
        Some(_) => Some("TLS needs"),
        None => node
            .address
            .starts_with(UNIX)
            .then_some("Unix sockets need"),
    };
    if is_lean {
        return Ok(nodes);
    }
    let needing = |node| Some((node, needs_lean(node)?));
    match nodes.iter().find_map(needing) {
        Some((node, what)) => Err(format!("it lists {node}, and {what} caller = lean")),
        None => Ok(nodes),
    }
}

/// Asks on a thread of its own: an answer may take minutes.
fn look_up(host: &str, (source, lookup): (SourceId, Lookup), ways: &Ways) {
    let (resolve, own, host) = (ways.resolve.clone(), ways.own.clone(), host.to_owned());
    let asking = move || {
        let answer = resolve(&host, lookup.family);
        let _ = own.send(Told::Found(source, lookup, answer));
    };
    let started = thread::Builder::new().name("lookup".into()).spawn(asking);
    if let Err(error) = started {
        let said = format!("starting a thread failed: {}", limits::explained(&error));
        let answer = Err(NotFound {
            said,
            certain: false,
        });
        let _ = ways.own.send(Told::Found(source, lookup, answer));
    }
}
