//! Which letters would come straight back from a replay.

use std::time::Duration;

use crate::comet::fleet::Fleet;
use crate::consumer::decode::decode;
use crate::consumer::route::Router;
use crate::dead_letter::letter::StoredLetter;
use crate::dead_letter::whom::Whom;
use crate::message::Dialect;
use crate::message::call::Call;
use crate::message::fleet::Node;
use crate::settings::Config;

/// How long it may take to find out which Comets there are.
const FOUND_WITHIN: Duration = Duration::from_secs(5);

/// Why a letter would come straight back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComesBack {
    /// It is no `PushMsg`, or names neither a room nor users.
    Always,
    /// It is for users on a server that is none of the Comets, and that makes a dead letter.
    UnknownServer,
}

/// The Comets, where it matters which there are: what is for users on another server becomes a dead letter. `None` too where they
/// aren't known.
#[derive(Clone, Debug, Default)]
pub struct Servers(Option<Vec<Node>>);

impl Servers {
    /// As the settings say. Blocks until the Comets are found.
    ///
    /// # Errors
    /// What is wrong with a source of Comets.
    pub fn find(config: &Config) -> Result<Servers, String> {
        if config.push_unknown_server.goes_to_all(config.dialect) {
            return Ok(Servers(None));
        }
        let fleet = Fleet::new(config, FOUND_WITHIN);
        for (source, found) in fleet.findings() {
            found.map_err(|why| format!("{source}: {why}"))?;
        }
        Ok(Servers(Some(fleet.comets())))
    }

    /// Whether, and why, this letter would come straight back.
    pub fn comes_back(&self, letter: &StoredLetter) -> Option<ComesBack> {
        let Ok(mut push) = decode(letter.record.value.as_ref()) else {
            return Some(ComesBack::Always);
        };
        push.only.clear();
        // Which Comets there are makes no difference to that.
        let Ok(delivery) = Router::new(Vec::new()).route(push.clone()) else {
            return Some(ComesBack::Always);
        };
        let comets = self.0.as_ref()?;
        // What is for some Comets alone goes to these, whatever its server is.
        if letter.whom != Whom::All || !matches!(delivery.call, Call::PushMsg { .. }) {
            return None;
        }
        let router = Router::new(comets.clone()).speaking(Dialect::Goim, false);
        let routed = router.route(push);
        routed.is_err().then_some(ComesBack::UnknownServer)
    }
}

#[cfg(test)]
mod tests {
    use protobuf::Message;

    use super::*;
    use crate::dead_letter::letter::letter;
    use crate::message::proto::push::PushMsg;
    use crate::message::proto::push::push_msg::Type;

    fn judged(
        servers: &Servers,
        value: Option<Vec<u8>>,
        comet: &[(&str, &str)],
    ) -> Option<ComesBack> {
        let mut record = letter(0, (0, 0), comet);
        record.value = value.map(Into::into);
        servers.comes_back(&StoredLetter::read(record).expect("a letter"))
    }

    fn bytes(push: PushMsg) -> Option<Vec<u8>> {
        Some(push.write_to_bytes().expect("it can be written"))
    }

    #[test]
    fn what_no_job_could_deliver_is_told() {
        let judged = |value| judged(&Servers::default(), value, &[]);
        let room = PushMsg {
            type_: Type::ROOM.into(),
            room: "r1".into(),
            ..Default::default()
        };
        assert_eq!(judged(bytes(room.clone())), None);
        let replayed = PushMsg {
            only: "a:1".into(),
            ..room.clone()
        };
        assert_eq!(judged(bytes(replayed)), None, "a job with that Comet could");
        let nobody = PushMsg {
            room: String::new(),
            operation: 4,
            ..room
        };
        for value in [bytes(nobody), Some(b"hello".to_vec()), None] {
            assert_eq!(judged(value), Some(ComesBack::Always));
        }
    }

    #[test]
    fn a_server_that_is_no_comet_is_told_where_that_makes_a_letter() {
        let to = |server: &str| {
            bytes(PushMsg {
                type_: Type::PUSH.into(),
                server: server.into(),
                keys: vec!["k".into()],
                ..Default::default()
            })
        };
        let comets = Servers(Some(vec!["comet-1:3109".into()]));
        let back = Some(ComesBack::UnknownServer);
        for (servers, server, expected) in [
            (&Servers::default(), "comet-2", None),
            (&Servers::default(), "", None),
            (&comets, "comet-1", None),
            (&comets, "comet-1:3109", None),
            (&comets, "comet-2", back),
            (&comets, "", back),
        ] {
            assert_eq!(judged(servers, to(server), &[]), expected, "{server}");
        }
        let for_one = [("job.comet", "comet-3:3109")];
        assert_eq!(judged(&comets, to("comet-2"), &for_one), None);
    }
}
