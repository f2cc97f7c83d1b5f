//! One Comet: its connection, and when the next attempt to make one may begin.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::lean::{Address, Closed, Config, LinkId, Links};
use super::question::Question;
use crate::base::backoff::Backoff;
use crate::comet::connecting::{
    CONNECT_WITHIN, LONGEST_ANSWER, RECONNECT_FIRST, RECONNECT_MOST, SIGN_OF_LIFE_AFTER,
    SIGN_OF_LIFE_WITHIN,
};
use crate::comet::location::Location;
use crate::comet::metadata::Metadata;
use crate::comet::quiet::Quiet;
use crate::comet::tls::Tls;

/// How often to look whether the Comet is elsewhere, while calls wait for a connection to where it was.
const LOOK_WHILE_CONNECTING: Duration = Duration::from_millis(250);

pub struct Peer {
    pub location: Arc<Location>,
    tls: Option<Arc<Tls>>,
    /// Of the addresses that the connection is for.
    version: u64,
    /// What goes along with each call, and which version of it the connection has; `None` for an unknown one.
    metadata: Option<Arc<Metadata>>,
    sends: Option<u64>,
    /// The connection that new calls take.
    link: Option<Connected>,
    backoff: Backoff,
    /// When it was looked last whether a connection in the making still leads to where the Comet is.
    looked: Option<Instant>,
    /// The last attempt failed: none begins before this, and why.
    failed: Option<(Instant, String)>,
    pub quiet: Quiet,
    /// Whether the connection is alive, while that is asked.
    pub question: Option<Question>,
}

#[derive(Clone, Copy)]
struct Connected {
    id: LinkId,
    since: Instant,
}

impl Peer {
    pub fn new(
        location: Arc<Location>,
        metadata: Option<Arc<Metadata>>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        Self {
            version: location.version(),
            location,
            tls,
            metadata,
            sends: None,
            link: None,
            backoff: Backoff::new(RECONNECT_FIRST, RECONNECT_MOST),
            looked: None,
            failed: None,
            quiet: Quiet::new(fastrand::f64()),
            question: None,
        }
    }

    /// The connection that a call takes now. It begins to be made where there is none.
    ///
    /// # Errors
    /// There is none for now: why.
    pub fn link(&mut self, links: &mut Links, now: Instant) -> Result<LinkId, String> {
        if self.location.version() != self.version {
            self.moved(links);
        }
        if let Some(link) = self.link {
            match links.see(link.id) {
                Some(connection) if connection.takes_calls() => {
                    self.bring_up_to_date(link.id, links);
                    return Ok(link.id);
                }
                // That it is over is about to be heard: until then there is no other.
                Some(connection) if connection.is_closed() => {
                    return Err(connection.why().to_owned());
                }
                _ => self.lost(links),
            }
        }
        if let Some((_, why)) = self.failed.as_ref().filter(|(until, _)| *until > now) {
            return Err(why.clone());
        }
        let id = self.open(links, now)?;
        self.link = Some(Connected { id, since: now });
        log::debug!(
            comet = self.location.node().name;
            "Comet {}: a new connection",
            self.location.node()
        );
        Ok(id)
    }

    /// Has a connection's calls send what is to go along with them now.
    fn bring_up_to_date(&mut self, id: LinkId, links: &mut Links) {
        if let Some(metadata) = &self.metadata {
            let version = Some(metadata.version());
            if self.sends != version {
                self.sends = version;
                let fields = metadata.fields();
                links.with(id, |connection| connection.send_along(&fields));
            }
        }
    }

    /// Begins to make another connection.
    ///
    /// # Errors
    /// There is nowhere to connect to, or TLS can't begin: why.
    pub fn open(&mut self, links: &mut Links, now: Instant) -> Result<LinkId, String> {
        let location = &self.location;
        let addresses: Vec<_> = match location.path() {
            Some(path) => vec![Address::Unix(path.into())],
            None => location.addresses().into_iter().map(Address::Tcp).collect(),
        };
        if addresses.is_empty() {
            return Err(location.not_found());
        }
        let config = config(location, self.tls.as_deref())?;
        let id = links.open(addresses, config, now);
        self.sends = None;
        self.bring_up_to_date(id, links);
        // Which connection the next calls take is open.
        self.sends = None;
        Ok(id)
    }

    /// The connection that is there.
    pub fn current(&self) -> Option<LinkId> {
        self.link.map(|link| link.id)
    }

    /// The Comet is elsewhere. Calls under way stay on the old connection.
    fn moved(&mut self, links: &mut Links) {
        self.version = self.location.version();
        links.retire(self.current());
        self.lost(links);
        self.failed = None;
        self.backoff.reset();
    }

    /// When to look after it, though nobody uses it.
    pub fn look_at(&self, links: &Links) -> Option<Instant> {
        match self.connecting(links) {
            Some(of) => Some(self.looked.max(Some(of.since))? + LOOK_WHILE_CONNECTING),
            None => self.quiet.look_at(),
        }
    }

    /// Hands back the calls that wait for a connection to where the Comet was: packets may be dropped there.
    pub fn look_after(&mut self, links: &mut Links, now: Instant) {
        if let Some(of) = self.connecting(links) {
            self.looked = Some(now);
            if self.location.version() != self.version {
                links.give_up(of.id, "the Comet is at another address now".into());
                self.moved(links);
            }
        }
    }

    /// The connection that new calls take, while it is being made.
    fn connecting(&self, links: &Links) -> Option<Connected> {
        let is_new = |of: &Connected| {
            let connection = links.see(of.id);
            connection.is_some_and(|one| !one.is_greeted() && !one.is_closed())
        };
        self.link.filter(is_new)
    }

    /// Nobody calls the Comet here any more. Calls under way stay on its connection.
    pub fn retire(mut self, links: &mut Links) {
        links.retire(self.current());
        self.lost(links);
    }

    /// It takes no calls any more, or not for new ones.
    fn lost(&mut self, links: &mut Links) {
        self.link = None;
        self.quiet.lost();
        links.retire(self.question.take().and_then(|question| question.other));
    }

    /// New calls take another connection, which works.
    pub fn replace(&mut self, id: LinkId, now: Instant) {
        self.link = Some(Connected { id, since: now });
        self.sends = None;
        self.quiet.lost();
    }

    /// The Comet answered over this connection.
    pub fn heard(&mut self, link: LinkId, links: &mut Links, now: Instant) {
        if self.current() == Some(link) {
            self.quiet.heard(now);
            // It is alive, so whatever was asked about that is answered.
            links.retire(self.question.take().and_then(|question| question.other));
        }
    }

    /// A connection is over.
    pub fn closed(&mut self, link: LinkId, closed: &Closed, links: &mut Links, now: Instant) {
        if let Some(question) = &mut self.question {
            question.other.take_if(|other| *other == link);
        }
        let Some(of) = self.link.filter(|of| of.id == link) else {
            return;
        };
        self.lost(links);
        self.location.failed();
        if closed.was_greeted {
            self.failed = None;
            self.backoff.reset();
        } else {
            let until = (of.since + self.backoff.wait()).max(now);
            self.failed = Some((until, closed.why.clone()));
        }
    }
}

/// How a connection is made and kept: as a channel of gRPC's library is.
///
/// # Errors
/// No certificate can have the Comet's name.
fn config(location: &Location, tls: Option<&Tls>) -> Result<Config, String> {
    // As gRPC's library has it: whoever ends TLS may choose by this name.
    let (authority, tls) = match (location.path(), tls) {
        (Some(_), _) => ("localhost", None),
        (None, None) => (location.address(), None),
        (None, Some(tls)) => {
            let authority = tls.server_name().unwrap_or(location.address());
            (authority, Some(tls.secured(location.host())?))
        }
    };
    Ok(Config {
        authority: authority.to_owned(),
        user_agent: concat!("job/", env!("CARGO_PKG_VERSION")).to_owned(),
        max_answer: LONGEST_ANSWER,
        greeted_within: CONNECT_WITHIN,
        ask_after: SIGN_OF_LIFE_AFTER,
        answer_within: SIGN_OF_LIFE_WITHIN,
        tls,
    })
}
