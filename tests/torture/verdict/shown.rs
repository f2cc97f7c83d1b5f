//! On the status page: what is broken stands there under its name.
//!
//! A campaign's faults are mostly short, and a busy machine makes job notice them late. So only what is certain is a violation: the
//! fault went on for long after it had to be known, job's page answered all the time, and job itself knew that the
//! Comet is away, or that many calls fail there. Of all others is said how many were shown.

mod signs;

use std::collections::BTreeMap;

use super::{Evidence, Finding, context};
use crate::streams::comet_host;
use crate::timeline::{Micros, SECOND, Scope, Window};
use crate::watch::{Look, Page};
use signs::{Sign, sign};

/// So many looks in a row, a second or longer from one to the next, have to miss a fault that job must know of.
const MISSED: usize = 6;
/// A look that was under way at the repair, or the one after it.
const STILL: Micros = 2 * SECOND;
/// What was broken shortly before may still be felt.
const FELT: Micros = 10 * SECOND;

/// What was found about one kind of fault.
#[derive(Default)]
struct Kind {
    shown: usize,
    /// It stood there before, because of something else.
    already: usize,
    /// It was broken for too short a time, or job didn't notice, or couldn't.
    not_shown: usize,
    /// Not on a page on which it had to be.
    missing: usize,
    none: usize,
    why_none: &'static str,
    /// How long it took at most, where it was shown.
    latest: Micros,
}

enum Found {
    /// So long after it began.
    Shown(Micros),
    Already,
    /// Names of what was there instead.
    NotShown(String),
}

/// The promise, and a line for each kind of fault.
pub fn judge(evidence: &Evidence<'_>) -> (Finding, Vec<String>) {
    let mut finding = Finding::default();
    let mut kinds: BTreeMap<&'static str, Kind> = BTreeMap::new();
    let mut certain = 0;
    let slots = evidence.looks.iter().map(|look| look.slot + 1).max();
    for window in &evidence.timeline.windows {
        let Some(fault) = &window.fault else { continue };
        let kind = kinds.entry(fault.name()).or_default();
        let sign = sign(fault);
        if let Sign::Nothing(why) = sign {
            kind.none += 1;
            kind.why_none = why;
            continue;
        }
        let mut first = None;
        let (mut is_missing, mut is_there_already) = (false, false);
        for slot in (0..slots.unwrap_or_default()).filter(|slot| is_at(window, *slot)) {
            let is_certain = is_certain(evidence, window, slot, sign);
            certain += usize::from(is_certain);
            match look(evidence, window, slot, sign) {
                Found::Shown(after) => {
                    first = Some(first.map_or(after, |first: Micros| first.min(after)));
                }
                Found::Already => is_there_already = true,
                Found::NotShown(_) if !is_certain => {}
                Found::NotShown(instead) => {
                    is_missing = true;
                    finding.violations.push(format!(
                        "{}: {} was not on the page of job {slot} until {}, which had {instead}{}",
                        evidence.timeline.at(window.from),
                        window.what,
                        evidence.timeline.at(window.to),
                        context(evidence, window.from, window.to),
                    ));
                }
            }
        }
        match first {
            Some(after) => {
                kind.shown += 1;
                kind.latest = kind.latest.max(after);
            }
            None if is_missing => {}
            None if is_there_already => kind.already += 1,
            None => kind.not_shown += 1,
        }
        kind.missing += usize::from(is_missing);
    }
    let shown: usize = kinds.values().map(|kind| kind.shown).sum();
    let due = kinds
        .values()
        .map(|kind| kind.shown + kind.not_shown + kind.missing);
    let due: usize = due.sum();
    finding.figures = format!(
        "{shown} of {due} faults shown; {certain} times one lasted so long that a page had to show it"
    );
    let lines = kinds.iter().map(|(name, kind)| kind.line(name)).collect();
    (finding, lines)
}

impl Kind {
    fn line(&self, name: &str) -> String {
        let mut said = Vec::new();
        if self.shown > 0 {
            said.push(format!(
                "{} shown, after {:.1} s at most",
                self.shown,
                self.latest as f64 / SECOND as f64
            ));
        }
        if self.already > 0 {
            said.push(format!("{} shown from before", self.already));
        }
        if self.not_shown > 0 {
            said.push(format!(
                "{} not shown (nobody can say that it had to be)",
                self.not_shown
            ));
        }
        if self.missing > 0 {
            said.push(format!("{} MISSING", self.missing));
        }
        if self.none > 0 {
            said.push(format!("{} not to be shown: {}", self.none, self.why_none));
        }
        format!("{name:<18}  {}", said.join("; "))
    }
}

/// Whether a job is touched.
fn is_at(window: &Window, slot: usize) -> bool {
    window.touches(|scope| match scope {
        Scope::CometOf { slot: of, .. } | Scope::KafkaOf { slot: of } => of == slot,
        _ => true,
    })
}

fn comet_of(window: &Window) -> Option<String> {
    window.scopes.iter().find_map(|scope| match *scope {
        Scope::Comet(comet) | Scope::CometOf { comet, .. } => {
            Some(format!("{}:", comet_host(comet)))
        }
        _ => None,
    })
}

impl Sign {
    /// Whether a page has it. `before`: the same job's page when the fault began.
    fn is_on(self, page: &Page, window: &Window, before: Option<&Page>) -> bool {
        let mut conditions = page.conditions.iter();
        match self {
            Sign::Comet(names, _) => comet_of(window).is_some_and(|host| {
                conditions.any(|(name, what)| names.contains(&&name[..]) && what.contains(&host))
            }),
            Sign::Kafka(names, _) => conditions.any(|(name, _)| names.contains(&&name[..])),
            Sign::Letters => before.is_some_and(|before| {
                page.process == before.process && page.letters > before.letters
            }),
            Sign::Nothing(_) => false,
        }
    }

    /// When it has to be there.
    fn within(self) -> Option<Micros> {
        match self {
            Sign::Comet(_, within) | Sign::Kafka(_, within) => Some(within),
            Sign::Letters | Sign::Nothing(_) => None,
        }
    }
}

fn looks<'a>(
    evidence: &'a Evidence<'_>,
    slot: usize,
    from: Micros,
    to: Micros,
) -> impl Iterator<Item = &'a Look> {
    let all = evidence.looks.iter();
    all.filter(move |look| look.slot == slot && (from..=to).contains(&look.at))
}

fn look(evidence: &Evidence<'_>, window: &Window, slot: usize, sign: Sign) -> Found {
    let earlier = looks(
        evidence,
        slot,
        window.from.saturating_sub(FELT),
        window.from,
    );
    let before = earlier.filter_map(|look| look.page.as_ref()).last();
    if sign != Sign::Letters && before.is_some_and(|page| sign.is_on(page, window, None)) {
        return Found::Already;
    }
    // Letters come when the record is read.
    let still = match sign {
        Sign::Letters => FELT,
        _ => STILL,
    };
    let shown = looks(evidence, slot, window.from, window.to.saturating_add(still)).find(|look| {
        let page = look.page.as_ref();
        page.is_some_and(|page| sign.is_on(page, window, before))
    });
    if let Some(shown) = shown {
        return Found::Shown(shown.at - window.from);
    }
    let last = looks(evidence, slot, window.from, window.to).last();
    let names = last.and_then(|look| Some(look.page.as_ref()?.names()));
    Found::NotShown(format!("{:?}", names.unwrap_or_default()))
}

/// Whether the page of this job had to show it, as far as can be said from outside.
fn is_certain(evidence: &Evidence<'_>, window: &Window, slot: usize, sign: Sign) -> bool {
    let Some(within) = sign.within() else {
        return false;
    };
    let (from, to) = (window.from, window.to.min(evidence.quiet));
    let others = evidence.timeline.windows.iter();
    let mut others = others.filter(|other| !std::ptr::eq(*other, window));
    let hides = |scope| match scope {
        // Without Kafka there is nothing to send, and while the group shares out its partitions there may be nothing.
        Scope::Kafka | Scope::Broker => true,
        Scope::KafkaOf { slot: of }
        | Scope::Killed { slot: of }
        | Scope::Stopped { slot: of }
        | Scope::Started { slot: of } => of == slot,
        Scope::Comet(_)
        | Scope::CometOf { .. }
        | Scope::Out(_)
        | Scope::Added(_)
        | Scope::Open(_)
        | Scope::Nothing => false,
    };
    if others.any(|other| other.overlaps(from.saturating_sub(FELT), to) && other.touches(hides)) {
        return false;
    }
    // The same process was there before, and answered each time.
    let since = looks(evidence, slot, from.saturating_sub(FELT), to);
    let Some(pages) = since
        .map(|look| Some((look.at, look.page.as_ref()?)))
        .collect::<Option<Vec<_>>>()
    else {
        return false;
    };
    let Some(&(first, page)) = pages.first() else {
        return false;
    };
    let host = comet_of(window);
    let knows = |page: &Page| match &host {
        Some(host) => page.failing.iter().any(|address| address.contains(host)),
        None => true,
    };
    let late = pages.iter().filter(|(at, _)| *at >= from + within);
    first <= from
        && pages
            .iter()
            .all(|(_, one)| one.process == page.process && one.has_partitions)
        && late.clone().count() >= MISSED
        && late.clone().all(|(_, page)| knows(page))
}
