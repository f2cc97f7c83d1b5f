//! Whether the Comets answer, called as the service calls them, and how long certificates are still valid.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use jiff::{SignedDuration, Timestamp};

use super::Report;
use crate::base::limits;
use crate::base::text::counted;
use crate::comet::caller::Callers;
use crate::comet::fleet::Fleet;
use crate::comet::own;
use crate::comet::tls::{self, Certificate};
use crate::comet::{self, Directory, Location, Manner, RpcStatusCode};
use crate::message::{Answer, ByComet, CometId, Dialect, Status};
use crate::settings::fleet::Source;
use crate::settings::{CometTls, Config};

/// How long a Comet may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// A certificate that ends sooner is warned about.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// The question to each Comet, on its way.
pub struct Comets {
    /// What says which Comets there are, and how many it lists.
    sources: Vec<(Source, Result<usize, String>)>,
    locations: ByComet<Arc<Location>>,
    tls: Option<CometTls>,
    dialect: Dialect,
    answers: Receiver<(CometId, Answer, Option<Certificate>)>,
    _callers: Callers,
}

impl Comets {
    /// Asks all of them at once.
    pub fn ask(config: &Config) -> Result<Comets, String> {
        let no_thread = |error| format!("cannot start a thread: {}", limits::explained(&error));
        let callers = Callers::of_settings(config, 1)?;
        let fleet = Fleet::new(config, DEADLINE);
        let comets = fleet.comets();
        let directory = Directory::new(&comets, DEADLINE, fleet.wire()).map_err(no_thread)?;
        let locations = directory.locations();
        let manner = Manner {
            dialect: config.dialect,
            deadline: DEADLINE,
        };
        let (to, answers) = unbounded();
        let answered =
            move |comet, answer, certificate| drop(to.send((comet, answer, certificate)));
        let asked = callers.ask_each(&locations, manner, answered);
        asked.map_err(no_thread)?;
        Ok(Comets {
            sources: fleet.findings(),
            locations,
            tls: config.comet_tls.clone(),
            dialect: config.dialect,
            answers,
            _callers: callers,
        })
    }

    pub fn report<W: Write>(self, report: &mut Report<W>) {
        let now = Timestamp::now();
        // Several Comets may have the same one of their own.
        let of_nodes = self.locations.values().map(|location| location.node());
        let mut told: Vec<&CometTls> = Vec::new();
        for tls in self
            .tls
            .iter()
            .chain(of_nodes.filter_map(own::tls_settings_of))
        {
            if told.iter().all(|other| other.client != tls.client) {
                told.push(tls);
                own_certificate(tls, now, report);
            }
        }
        for (source, found) in &self.sources {
            of_source(source, found, report);
        }
        // Each call has its deadline, so that all answers come.
        let mut answers: Vec<_> = self.answers.iter().take(self.locations.len()).collect();
        answers.sort_by_key(|(comet, ..)| *comet);
        for (comet, answer, certificate) in answers {
            let Some(location) = self.locations.get(comet) else {
                continue;
            };
            let what = format!("Comet {}", location.node());
            match answer {
                Ok(()) => answers_as(&what, certificate, now, report),
                Err(status) => {
                    report.bad(&what, comet::said(&status), advice(&status, self.dialect));
                }
            }
            if let Some(several) = location.several() {
                report.uncertain(&what, several, comet::ONE_NAME_EACH);
            }
        }
    }
}

fn of_source<W: Write>(source: &Source, found: &Result<usize, String>, report: &mut Report<W>) {
    let to_do = match source {
        Source::Node(_) => return,
        Source::File(_) => "Write the file, or take it out of comet (--comet, JOB_COMET)",
        Source::Dns { .. } => {
            "Is the name right, and are its Comets there? Job asks again until they are"
        }
        Source::Discovery(_) => {
            "Are address, appid, env and zone right, and are Comets registered? Job asks again until they are"
        }
    };
    match found {
        Ok(count) => report.good(source, counted(*count as u64, "Comet")),
        Err(why) => report.bad(source, why, to_do),
    }
}

fn answers_as<W: Write>(
    what: &str,
    certificate: Option<Certificate>,
    now: Timestamp,
    report: &mut Report<W>,
) {
    let Some(certificate) = certificate else {
        return report.good(what, "answers");
    };
    match certificate.expires {
        None => report.good(what, "answers over TLS"),
        Some(at) => {
            let until = until(at, now);
            report.good(
                what,
                format_args!("answers over TLS; its certificate is valid {until}"),
            );
            if ends_soon(at, now) {
                let found = format!("its certificate is valid {until} only");
                report.uncertain(
                    what,
                    found,
                    "Renew it: job calls no Comet whose certificate has expired",
                );
            }
        }
    }
}

/// Who we are to the Comets.
fn own_certificate<W: Write>(tls: &CometTls, now: Timestamp, report: &mut Report<W>) {
    let (Some((file, _)), Ok(Some(at))) = (&tls.client, tls::own_expires(tls)) else {
        return;
    };
    let what = format!("{} {}", tls.wording.of("certificate"), file.display());
    let until = until(at, now);
    if at <= now {
        report.bad(
            what,
            format_args!("it has expired ({at})"),
            "Renew it: Comets don't let job in with it",
        );
    } else if ends_soon(at, now) {
        report.uncertain(
            what,
            format_args!("it is valid {until} only"),
            "Renew it before",
        );
    } else {
        report.good(what, format_args!("it is valid {until}"));
    }
}

fn ends_soon(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now) < ENDS_SOON
}

fn until(at: Timestamp, now: Timestamp) -> String {
    let days = at.duration_since(now).as_hours() / 24;
    let days = counted(u64::try_from(days).unwrap_or_default(), "day");
    format!("until {at} ({days})")
}

const CHECK_ADDRESS: &str =
    "Is the Comet running there, and nothing else? Check comet (--comet, JOB_COMET)";

/// For a name that this machine can't find.
const CHECK_NAME: &str = "Check the name in comet (--comet, JOB_COMET): getent ahosts NAME says what this machine finds. While job \
     runs, a name that appears later is found by itself";

/// What to do about a Comet that answered so.
fn advice(status: &Status, dialect: Dialect) -> &'static str {
    match RpcStatusCode::from(status.code) {
        RpcStatusCode::UNAVAILABLE if status.text.contains("TLS") => {
            "Check comet-tls, comet-ca, comet-certificate and comet-key, or the labels tls, ca, certificate and key in the list, and what \
             serves TLS at that address"
        }
        RpcStatusCode::UNAVAILABLE if status.text.contains("was not found") => CHECK_NAME,
        RpcStatusCode::UNAVAILABLE => CHECK_ADDRESS,
        RpcStatusCode::DEADLINE_EXCEEDED => {
            "Nothing came back in 3 seconds: the Comet is stuck, or what listens there is something else"
        }
        RpcStatusCode::UNIMPLEMENTED => match dialect {
            Dialect::Chatroom => {
                "Something else listens there: a gRPC server that doesn't know ChatRoom.Comet.Comet. Check comet \
                 (--comet, JOB_COMET). Where it is goim's Comet, set dialect = goim"
            }
            Dialect::Goim => {
                "Something else listens there: a gRPC server that doesn't know goim.comet.Comet. Check comet (--comet, \
                 JOB_COMET) and dialect (--dialect, JOB_DIALECT)"
            }
        },
        RpcStatusCode::UNAUTHENTICATED | RpcStatusCode::PERMISSION_DENIED => {
            "The Comet doesn't let us in. Check what goes along with calls: comet-metadata (--comet-metadata, JOB_COMET_METADATA), or the label metadata in the list"
        }
        _ => "The Comet fails: check its log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_within_two_weeks_ends_soon() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let at = |hours| now + SignedDuration::from_hours(hours);
        for (hours, soon, days) in [
            (-5, true, "0 days"),
            (25, true, "1 day)"),
            (14 * 24 - 1, true, "13 days"),
            (14 * 24, false, "14 days"),
        ] {
            assert_eq!(ends_soon(at(hours), now), soon, "{hours}");
            let until = until(at(hours), now);
            assert!(until.contains(days), "{until}");
        }
    }
}
