//! What is known of one name, and when it is looked up. Knows no clock, thread or resolver.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::lookup::{Family, NotFound};

/// Between two lookups of a name whose Comet fails.
const AGAIN: Duration = Duration::from_secs(1);
/// A name is looked up for so long after its Comet failed last. Longer than a call takes that tries it anew.
const TROUBLED_FOR: Duration = Duration::from_secs(10);
/// An answer waits so long for the other family's: one with addresses, and one without.
const TOGETHER: Duration = Duration::from_millis(100);
const IN_VAIN: Duration = Duration::from_secs(1);
/// Lookups of one family that may be under way at once. More than one: each asks again only after 5 s, and that may be too
/// late where the name server was away when it asked first.
const UNDER_WAY: usize = 3;

/// A lookup to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookup {
    pub family: Family,
    /// Later ones have higher numbers.
    pub number: u64,
}

/// What lookups came to.
#[derive(Debug, PartialEq, Eq)]
pub enum News {
    /// The name has other addresses than before: these.
    Moved(Vec<IpAddr>),
    /// It isn't found, or no longer.
    Missing(String),
}

#[derive(Debug)]
pub struct Inquiry {
    /// Looked up again and again until then.
    until: Option<Instant>,
    /// Looked up each time that so much has passed, whatever happens.
    refresh: Option<Duration>,
    /// The next round of a name that is looked up again and again, and when the last one began.
    next: Instant,
    last: Option<Instant>,
    rounds: u64,
    v4: Known,
    v6: Known,
    /// When what came is made known, if something came.
    settle_at: Option<Instant>,
    addresses: Vec<IpAddr>,
    missing: Option<String>,
}

/// What is known of one family.
#[derive(Debug, Default)]
struct Known {
    under_way: usize,
    /// The number of the latest lookup that was answered.
    answered: u64,
    addresses: Vec<IpAddr>,
    failure: Option<NotFound>,
}

impl Inquiry {
    /// Of a name that is to be looked up at once.
    pub fn new(now: Instant) -> Self {
        Self {
            until: Some(now + TROUBLED_FOR),
            refresh: None,
            next: now,
            last: None,
            rounds: 0,
            v4: Known::default(),
            v6: Known::default(),
            settle_at: None,
            addresses: Vec::new(),
            missing: None,
        }
    }

    /// Of one that is looked up again each time that `refresh` has passed.
    pub fn refreshed(now: Instant, refresh: Duration) -> Self {
        Self {
            refresh: Some(refresh),
            ..Self::new(now)
        }
    }

    /// Its Comet failed: it may be elsewhere by now.
    pub fn failed(&mut self, now: Instant) {
        self.until = Some(now + TROUBLED_FOR);
    }

    /// The lookups to start, if it is time for a round. Families of which too many are under way aren't in it.
    pub fn round(&mut self, now: Instant) -> Option<Vec<Lookup>> {
        self.next_round().filter(|at| *at <= now)?;
        self.next = now + AGAIN;
        self.last = Some(now);
        self.rounds += 1;
        let mut due = Vec::new();
        for family in [Family::V4, Family::V6] {
            let number = self.rounds;
            let known = self.known(family);
            if known.under_way < UNDER_WAY {
                known.under_way += 1;
                due.push(Lookup { family, number });
            }
        }
        Some(due)
    }

    /// A lookup came back.
    pub fn answered(
        &mut self,
        Lookup { family, number }: Lookup,
        answer: Result<Vec<IpAddr>, NotFound>,
        now: Instant,
    ) {
        let rounds = self.rounds;
        let known = self.known(family);
        known.under_way -= 1;
        if number <= known.answered {
            return;
        }
        known.answered = number;
        match answer {
            Ok(addresses) => {
                known.addresses = addresses;
                known.failure = None;
            }
            Err(failure) => {
                if failure.certain {
                    known.addresses.clear();
                }
                known.failure = Some(failure);
            }
        }
        let at = match self.v4.answered == rounds && self.v6.answered == rounds {
            true => now,
            false if self.known_addresses().is_empty() => now + IN_VAIN,
            false => now + TOGETHER,
        };
        self.settle_at = self.settle_at.into_iter().chain([at]).min();
    }

    /// What is new, where it is time to say so.
    pub fn settle(&mut self, now: Instant) -> Option<News> {
        self.settle_at.take_if(|at| *at <= now)?;
        let addresses = self.known_addresses();
        if addresses.is_empty() {
            // What was known before stays in use: it is better than nothing.
            let why = match &self.v4.failure {
                Some(failure) => failure.said.clone(),
                None => "no answer so far".to_owned(),
            };
            let is_news = self.missing.as_ref() != Some(&why);
            self.missing = Some(why.clone());
            return is_news.then_some(News::Missing(why));
        }
        self.missing = None;
        if addresses == self.addresses {
            return None;
        }
        // If the Comet isn't there either, it will be said to have failed again.
        self.until = None;
        self.addresses = addresses.clone();
        Some(News::Moved(addresses))
    }

    /// Whether anything came so far: addresses, or why there are none.
    pub fn is_settled(&self) -> bool {
        !self.addresses.is_empty() || self.missing.is_some()
    }

    /// When something is to be done, though nothing comes until then.
    pub fn wake_at(&self) -> Option<Instant> {
        self.next_round().into_iter().chain(self.settle_at).min()
    }

    fn next_round(&self) -> Option<Instant> {
        let troubled = self.until.filter(|until| *until >= self.next);
        let refreshed = self.last.zip(self.refresh);
        let refreshed = refreshed.map(|(last, refresh)| last + refresh);
        troubled
            .map(|_| self.next)
            .into_iter()
            .chain(refreshed)
            .min()
    }

    /// IPv4 first: so it doesn't matter for the first one whether the answer about IPv6 is late.
    fn known_addresses(&self) -> Vec<IpAddr> {
        [&self.v4.addresses[..], &self.v6.addresses[..]].concat()
    }

    fn known(&mut self, family: Family) -> &mut Known {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

#[cfg(test)]
mod tests;
