//! Over real sockets.

mod another_server;
mod rfc;
mod secure;
mod sockets;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::connection::{By, Call, Config, Finished};
use super::super::socket::Address;
use super::{Event, LinkId, Links};
use crate::comet::tls::Secured;

const PATH: &str = "/ChatRoom.Comet.Comet/PushMsg";
/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

fn config() -> Config {
    Config {
        authority: "localhost:3109".into(),
        user_agent: "job/1".into(),
        max_answer: 4 << 20,
        greeted_within: Duration::from_secs(10),
        ask_after: Duration::from_secs(5),
        answer_within: Duration::from_secs(5),
        tls: None,
    }
}

/// The links, and what has happened on them.
struct Client {
    links: Links,
    ended: BTreeMap<u64, Finished>,
    closed: Vec<(LinkId, String)>,
    tls: Option<Secured>,
}

impl Client {
    fn new() -> Self {
        Self {
            links: Links::new().expect("a poller"),
            ended: BTreeMap::new(),
            closed: Vec::new(),
            tls: None,
        }
    }

    fn open(&mut self, addresses: &[Address]) -> LinkId {
        let config = Config {
            tls: self.tls.clone(),
            ..config()
        };
        self.links.open(addresses.to_vec(), config, Instant::now())
    }

    fn call(&mut self, link: LinkId, tag: u64, body: &[u8]) {
        self.call_within(link, tag, body, PATIENCE);
    }

    fn call_within(&mut self, link: LinkId, tag: u64, body: &[u8], within: Duration) {
        let call = Call {
            tag,
            path: PATH,
            within,
        };
        let made = self.links.call(link, call, Instant::now(), |out| {
            out.extend_from_slice(body)
        });
        made.expect("the link is there");
    }

    /// One turn. Returns what ended in it, which is noted too.
    fn turn(&mut self) -> Vec<u64> {
        self.links
            .wait(Instant::now(), Some(PATIENCE))
            .expect("it can be polled");
        let mut tags = Vec::new();
        while let Some(event) = self.links.next_event() {
            match event {
                Event::Closed(link, closed) => self.closed.push((link, closed.why)),
                Event::Finished(_, finished) => {
                    let tag = finished.tag;
                    tags.push(tag);
                    assert!(
                        self.ended.insert(tag, finished).is_none(),
                        "call {tag} ended twice"
                    );
                }
            }
        }
        tags
    }

    fn until(&mut self, mut is_so: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(begin.elapsed() < PATIENCE, "it hangs: {:?}", self.ended);
            self.turn();
        }
    }

    fn until_ended(&mut self, count: usize) {
        self.until(|client| client.ended.len() >= count);
    }

    fn of(&self, tag: u64) -> (i32, By, &str) {
        let finished = &self.ended[&tag];
        (finished.code, finished.by, &finished.text)
    }
}
