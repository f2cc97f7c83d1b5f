//! Comets that are called in ways of their own, as the file that lists them says, and how that changes while messages flow.

use std::fs;
use std::path::{Path, PathBuf};

use grpcio::RpcStatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates::{Authority, Made, put};
use crate::support::comet::{Answer, Comet};
use crate::support::command::{self, complains};
use crate::support::front::{Front, Manner};
use crate::support::gaps::rate;
use crate::support::http::Pages;
use crate::support::job::JobCommand;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{assert_each_once_in_order, over_rooms};
use crate::support::stream::{Mixed, Stream};
use crate::support::tls_server::{self, Manners};
use crate::support::topic::Topic;

const ROOMS: usize = 17;

/// A folder with a list of Comets, and with what that names.
struct Files(TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a folder can be made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// There is no moment with half of it.
    fn write(&self, name: &str, text: &str) {
        let new = self.path("new");
        fs::write(&new, text).expect("it can be written");
        fs::rename(new, self.path(name)).expect("it can be renamed");
    }

    fn list(&self, groups: &Value) {
        self.write("comets.json", &groups.to_string());
    }

    fn flag(&self) -> String {
        format!("file://{}", self.path("comets.json").display())
    }
}

fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

fn each_comet_gets_its_own_metadata(caller: &str) {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comets = [(); 3].map(|()| Comet::start());
    let right = [
        &["Bearer one-unseen", "Bearer one-unseen-more"][..],
        &["Bearer two-unseen", "Bearer two-unseen-more"],
        &["Bearer all-unseen"],
    ];
    for (comet, right) in comets.iter().zip(right) {
        comet.answer(move |call| match call.metadata("authorization")[..] {
            [one] if right.iter().any(|right| right.as_bytes() == one) => Answer::Ok,
            _ => Answer::Status(RpcStatusCode::UNAUTHENTICATED),
        });
    }
    let files = Files::new();
    let list = |second: &str| {
        json!([
            {"targets": [comets[0].address()], "labels": {
                "name": "one", "metadata": {"authorization": file(&files.path("token"))}}},
            {"targets": [comets[1].address()], "labels": {
                "name": "two", "metadata": format!("authorization={second},x-two=2")}},
            format!("three={}", comets[2].address()),
        ])
    };
    files.write("token", "Bearer one-unseen\n");
    files.list(&list("Bearer two-unseen"));
    let of_all = [
        "--comet-metadata",
        "authorization=Bearer all-unseen,x-all=1",
    ];
    let mut job = topic
        .configure_for(JobCommand::new(), &files.flag())
        .flag("--caller", caller)
        .flag(of_all[0], of_all[1])
        .flag("--http", "127.0.0.1:0")
        .log_level("INFO")
        .start();
    let pages = Pages::of(&mut job);
    let mixed = Mixed::new(&[&comets[0], &comets[1], &comets[2]]);
    let stream = Stream::start(&topic, mixed, rate());
    for comet in &comets {
        comet.await_delivered(rate());
    }

    files.list(&list("Bearer two-unseen-more"));
    job.await_line(&["Comet two (", "is called with other metadata from now on"]);
    stream.await_up_to_now(&comets[1]);
    files.write("token", "Bearer one-unseen-more\n");
    job.await_line(&["Comet one: calls have a new value from now on: authorization"]);
    stream.await_up_to_now(&comets[0]);
    // What is broken changes nothing, in the list as in a file that it names.
    files.list(&list("Bearer two-unseen\u{e4}"));
    let known = "going on with the 3 Comets that it listed before";
    let broken = "entry 2: two: the label metadata: authorization: its value has more than";
    job.await_line(&["WARN", &files.flag(), broken, known]);
    fs::remove_file(files.path("token")).expect("it is there");
    job.await_line(&[
        "WARN",
        "Comet one: the label metadata: authorization: ",
        "No such file or directory",
        "Calls go on with what was read before",
    ]);
    for comet in &comets {
        stream.await_up_to_now(comet);
    }
    files.write("token", "Bearer one-unseen\n");
    files.list(&list("Bearer two-unseen"));
    job.await_line(&["is well again: it lists 3 Comets"]);
    let written = stream.stop();
    for comet in &comets {
        comet.await_delivered(written.due(comet));
    }
    topic.await_no_lag();

    let said = command::check(&topic, &files.flag(), &of_all).well();
    let shown = pages.get("/status.json").1 + &said;
    job.stop();
    let log = job.log().join("\n");
    for text in [&log, &shown] {
        assert!(text.contains("two") && !text.contains("unseen"), "{text}");
    }
    for (n, comet) in comets.iter().enumerate() {
        let again = written.assert_all_in_order(comet);
        assert_eq!(again, 0, "messages were sent again");
        let calls = comet.delivered();
        let have = |name: &str| calls.iter().filter(|c| c.metadata(name).len() == 1).count();
        let expected = [(0, 0), (0, calls.len()), (calls.len(), 0)];
        assert_eq!((have("x-all"), have("x-two")), expected[n]);
        for right in right[n] {
            let with = |call: &&crate::support::comet::Call| {
                call.metadata("authorization") == [right.as_bytes()]
            };
            assert!(calls.iter().any(|call| with(&call)), "{right}");
        }
    }
    assert_eq!(topic.dead_letters(), 0);

    // One that has another token isn't let in.
    files.list(&list("Bearer wrong"));
    let said = complains(command::check(&topic, &files.flag(), &of_all), 1);
    assert!(
        said.contains("✗ Comet two (") && said.contains("the label metadata in the list"),
        "{said}"
    );
}

#[test]
fn each_comet_gets_its_own_metadata_through_grpcs_library() {
    each_comet_gets_its_own_metadata("grpcio");
}

#[test]
fn each_comet_gets_its_own_metadata_through_the_lean_caller() {
    each_comet_gets_its_own_metadata("lean");
}

fn secured(own: &Made, authority: &Authority) -> Manner {
    let manners = Manners {
        clients_of: Some(authority),
        ..Manners::default()
    };
    Manner::Tls(tls_server::config(own, &manners))
}

/// One without TLS, and two whose certificates are from different CAs, one of them with another name than its address.
#[test]
fn each_comet_has_its_own_tls() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comets = [(); 3].map(|()| Comet::start());
    let authorities = [(); 2].map(|()| Authority::create());
    let servers = [
        authorities[0].certificate("server", "DNS:localhost,IP:127.0.0.1", 20),
        authorities[1].certificate("server", "DNS:one.internal,DNS:two.internal", 20),
    ];
    let mine = [0, 1].map(|n| authorities[n].certificate("job", "DNS:job", 30));
    let fronts =
        [0, 1].map(|n| Front::start(secured(&servers[n], &authorities[n]), comets[n + 1].port()));
    let files = Files::new();
    let ca = files.path("ca.pem");
    put(&authorities[1].pem(), &ca);
    let list = |server_name: &str| {
        let own = |n: usize, ca: &Path| json!({"name": format!("tls{n}"), "tls": "on", "ca": ca, "certificate": mine[n].certificate, "key": mine[n].key});
        let (first, mut second) = (own(0, &authorities[0].pem()), own(1, &ca));
        second["server-name"] = server_name.into();
        json!([
            format!("plain={}", comets[0].address()),
            {"targets": [fronts[0].address], "labels": first},
            {"targets": [fronts[1].address], "labels": second},
        ])
    };
    files.list(&list("one.internal"));
    let command = |caller: &str| {
        topic
            .configure_for(JobCommand::new(), &files.flag())
            .flag("--caller", caller)
            .log_level("INFO")
    };
    let mut job = command("grpcio").start();
    job.await_line(&["it lists tls0 (", "and TLS needs caller = lean"]);
    job.stop();

    let mut job = command("lean").start();
    topic.produce(over_rooms(ROOMS, 0, 1_000));
    for comet in &comets {
        comet.await_delivered(500);
    }
    files.list(&list("two.internal"));
    topic.produce(over_rooms(ROOMS, 1_000, 1_000));
    job.await_line(&["Comet tls1 (", "is called with other TLS from now on"]);
    topic.produce(over_rooms(ROOMS, 2_000, 1_000));
    put(&authorities[0].pem(), &ca);
    job.await_line(&["Comet tls1: the files of its TLS have changed and were read again"]);
    fs::write(&ca, "nothing").expect("it can be written");
    job.await_line(&[
        "WARN",
        "Comet tls1: the files of its TLS have changed and can't be used",
        "the label ca ",
    ]);
    put(&authorities[1].pem(), &ca);
    job.await_line(&["Comet tls1: the files of its TLS have changed and were read again"]);
    topic.produce(over_rooms(ROOMS, 3_000, 1_000));
    for comet in &comets {
        comet.await_delivered(4_000);
    }
    topic.await_no_lag();
    job.stop();
    for comet in &comets {
        assert_each_once_in_order(&comet.delivered(), ROOMS, 4_000);
    }
    assert_eq!(topic.dead_letters(), 0);

    let lean = ["--caller", "lean"];
    let said = command::check(&topic, &files.flag(), &lean).well();
    let own = format!("the label certificate {}", mine[1].certificate.display());
    assert_eq!(said.matches("answers over TLS").count(), 2, "{said}");
    assert!(said.contains(&own), "{said}");
    files.list(&list("other.internal"));
    let said = complains(command::check(&topic, &files.flag(), &lean), 1);
    assert!(
        said.contains("is for one.internal, two.internal, not for other.internal")
            && said.contains("set the label server-name"),
        "{said}"
    );
}
