//! A fleet that changes while messages flow: nothing is lost where a Comet stays, and order holds everywhere.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::await_until;
use crate::support::comet::{Answer, Call, Comet};
use crate::support::command::{self, Ended};
use crate::support::dns::Dns;
use crate::support::gaps::{RATE, rate, tell_gap};
use crate::support::http::Pages;
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Kafka, Version, on_each_kafka, shared};
use crate::support::messages::{arrived, assert_each_once_in_order, assert_in_order, over_rooms};
use crate::support::socket::Socket;
use crate::support::stream::{Mixed, Stream, to_user};
use crate::support::topic::Topic;

on_each_kafka!(comets_join_and_leave_under_load);

const ROOMS: usize = 17;
/// A file that lists Comets.
struct List {
    folder: TempDir,
}

impl List {
    fn of(comets: &[(&str, &Comet)]) -> List {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let list = List { folder };
        list.write(comets);
        list
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("comets.json")
    }

    /// For `--comet`.
    fn flag(&self) -> String {
        format!("file://{}", self.path().display())
    }

    fn write(&self, comets: &[(&str, &Comet)]) {
        let groups = comets.iter().map(|(name, comet)| group(name, comet, false));
        self.put(&Value::Array(groups.collect()));
    }

    fn put(&self, groups: &Value) {
        put(&self.path(), &groups.to_string());
    }
}

fn group(name: &str, comet: &Comet, drain: bool) -> Value {
    json!({"targets": [comet.address()], "labels": {"name": name, "drain": drain}})
}

fn put(path: &Path, text: &str) {
    let next = path.with_extension("next");
    fs::write(&next, text).expect("it can be written");
    fs::rename(next, path).expect("it can be renamed");
}

/// Each message in the log is much to write where many come.
fn configure(topic: &Topic<'_>, comets: &str) -> JobCommand {
    let command = topic.configure_for(JobCommand::new(), comets);
    let messages = if rate() > RATE { "off" } else { "on" };
    command.flag("--log-messages", messages).log_level("INFO")
}

fn start(topic: &Topic<'_>, comets: &str) -> Job {
    configure(topic, comets).start()
}

/// Panics unless each room's messages came without a gap and once each, from some number on to some number.
#[track_caller]
fn assert_a_stretch(calls: &[Call]) {
    for (room, numbers) in arrived(&rooms(calls)) {
        let follow = numbers.windows(2).all(|two| two[1] == two[0] + 1);
        assert!(follow, "{room}: {numbers:?}");
    }
}

fn rooms(calls: &[Call]) -> Vec<Call> {
    let all = calls.iter().filter(|call| !call.room.is_empty());
    all.cloned().collect()
}

/// From two to six and back to two. The two that stay get all, and what is for their users.
fn comets_join_and_leave_under_load(kafka: &'static Kafka) {
    let topic = Topic::new(kafka, 4);
    let comets: [Comet; 6] = std::array::from_fn(|_| Comet::start());
    let names: Vec<String> = (1..=6).map(|n| format!("comet{n}")).collect();
    let named: Vec<(&str, &Comet)> = names.iter().map(String::as_str).zip(&comets).collect();
    let list = List::of(&named[..2]);
    let mut job = configure(&topic, &list.flag())
        .flag("--http", "127.0.0.1:0")
        .start();
    let pages = Pages::of(&mut job);
    let mixed = Mixed::new(&[&comets[0], &comets[1]]);
    let stream = Stream::start(&topic, mixed, rate());
    comets[1].await_delivered(rate());
    for count in 3..=6 {
        list.write(&named[..count]);
        comets[count - 1].await_delivered(rate());
        job.await_line(&[&format!("Comet comet{count} ("), "joined the fleet"]);
    }
    let calls = |name: &str| {
        pages
            .metrics()
            .sum("job_calls_total", &[&format!("comet=\"{name}\"")])
    };
    assert!(calls("comet6") > 0.0);
    for count in (2..=5).rev() {
        let left = &names[count];
        list.write(&named[..count]);
        job.await_line(&[&format!("Comet {left} ("), "left the fleet"]);
        pages.await_metrics("a Comet's series that end", |now| {
            now.count("job_comet_state", &[&format!("comet=\"{left}\"")]) == 0
        });
        // The Comet is still there: nothing more comes to it.
        let count_then = comets[count].count();
        stream.await_up_to_now(&comets[0]);
        assert_eq!(comets[count].count(), count_then, "{left}");
    }
    let written = stream.stop();
    for comet in &comets[..2] {
        comet.await_delivered(written.due(comet));
    }
    topic.await_no_lag();
    job.stop();
    for comet in &comets[..2] {
        assert_eq!(
            written.assert_all_in_order(comet),
            0,
            "messages were sent again"
        );
        tell_gap(
            "scaled from 2 to 6 and back, a Comet that stays",
            &comet.delivered(),
        );
    }
    for comet in &comets[2..] {
        comet.assert_no_overlaps();
        assert_a_stretch(&comet.delivered());
    }
    assert_eq!(topic.dead_letters(), 0);
}

/// Each of three Comets drains, ends, and comes back under its name at another address.
#[test]
fn a_rolling_restart_loses_nothing() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let old: [Comet; 3] = std::array::from_fn(|_| Comet::start());
    let new: [Comet; 3] = std::array::from_fn(|_| Comet::not_started());
    let names = ["comet1", "comet2", "comet3"];
    let at = |restarted: usize| {
        let comet = |n: usize| if n < restarted { &new[n] } else { &old[n] };
        (0..3).map(|n| (names[n], comet(n))).collect::<Vec<_>>()
    };
    let list = List::of(&at(0));
    let mut job = start(&topic, &list.flag());
    let stream = Stream::start(&topic, Mixed::new(&[]), rate());
    old[0].await_delivered(rate());
    for n in 0..3 {
        let mut groups: Vec<Value> = at(n)
            .iter()
            .map(|(name, comet)| group(name, comet, false))
            .collect();
        groups[n] = group(names[n], &old[n], true);
        list.put(&Value::Array(groups));
        job.await_line(&[&format!("Comet {} (", names[n]), "drains"]);
        old[n].stop();
        job.await_line(&[&format!(
            "Comet {} takes nothing while others deliver",
            names[n]
        )]);
        new[n].start_again();
        list.write(&at(n + 1));
        job.await_line(&[&format!(
            "Comet {} is at {} now",
            names[n],
            new[n].address()
        )]);
        job.await_line(&[&format!("Comet {} has caught up", names[n])]);
    }
    let written = stream.stop();
    await_until("all of it", || {
        let lag = topic.lag();
        if lag == 0 {
            Ok(())
        } else {
            Err(lag.to_string())
        }
    });
    job.stop();
    for n in 0..3 {
        let all = [old[n].delivered(), new[n].delivered()].concat();
        let all = rooms(&all);
        // Broadcasts have no room.
        let due = written.due(&old[n]);
        let repeats = assert_in_order(&all, ROOMS, due - due / (ROOMS + 1));
        new[n].assert_no_overlaps();
        tell_gap(
            &format!("a rolling restart, Comet {n}, {repeats} repeats"),
            &all,
        );
    }
    assert_eq!(topic.dead_letters(), 0);
}

/// Two Comets change their names; what is for a user at one of them goes to that one by its name at the time.
#[test]
fn a_comet_that_is_renamed_loses_nothing() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comets = [(); 2].map(|()| Comet::start());
    let list = List::of(&[("a", &comets[0]), ("b", &comets[1])]);
    let mut job = start(&topic, &list.flag());
    let stream = Stream::start(&topic, Mixed::new(&[]), rate());
    comets[0].await_delivered(rate());
    list.write(&[("b", &comets[0]), ("c", &comets[1])]);
    job.await_line(&["Comet a (", "is called b ("]);
    job.await_line(&["Comet b (", "is called c ("]);
    topic.produce([to_user("u", "b".into(), 0), to_user("v", "c".into(), 0)]);
    stream.await_up_to_now(&comets[0]);
    let written = stream.stop();
    topic.await_no_lag();
    job.stop();
    for (comet, user) in comets.iter().zip(["u", "v"]) {
        let (rest, users): (Vec<Call>, Vec<Call>) = comet
            .delivered()
            .into_iter()
            .partition(|call| call.keys.is_empty());
        let users: Vec<_> = users.iter().map(|call| call.keys[0].as_str()).collect();
        assert_eq!(users, [user]);
        let due = written.due(comet);
        assert_each_once_in_order(&rooms(&rest), ROOMS, due - due / (ROOMS + 1));
        comet.assert_no_overlaps();
        tell_gap("renamed", &rest);
    }
    assert_eq!(topic.dead_letters(), 0);
}

/// One that drains gets what is for its users and its rooms, until it is gone. Nobody waits for it when it fails.
#[test]
fn one_that_drains_gets_everything_and_holds_nobody_up() {
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let comets = [(); 2].map(|()| Comet::start());
    let list = List::of(&[("stays", &comets[0]), ("drains", &comets[1])]);
    let mut job = start(&topic, &list.flag());
    topic.produce(over_rooms(ROOMS, 0, 50));
    comets[1].await_delivered(50);
    let draining = [("stays", false), ("drains", true)];
    let groups = draining.iter().zip(&comets);
    let groups = groups.map(|((name, drain), comet)| group(name, comet, *drain));
    list.put(&Value::from_iter(groups));
    job.await_line(&["Comet drains (", "drains: it gets messages"]);
    topic.produce(over_rooms(ROOMS, 50, 50));
    topic.produce([to_user("u", "drains".into(), 0)]);
    comets[0].await_delivered(100);
    comets[1].await_delivered(101);
    // It takes calls and answers none: the other gets everything meanwhile.
    comets[1].answer(|_| Answer::Hang);
    topic.produce(over_rooms(ROOMS, 100, 200));
    comets[0].await_delivered(300);
    job.await_line(&["Comet drains takes nothing while others deliver"]);
    topic.produce([to_user("u", "drains".into(), 1)]);
    comets[1].answer(|_| Answer::Ok);
    comets[1].await_delivered(302);
    job.await_line(&["Comet drains has caught up"]);
    list.write(&[("stays", &comets[0])]);
    job.await_line(&["Comet drains (", "left the fleet"]);
    topic.await_no_lag();
    job.stop();
    let (rest, users): (Vec<Call>, Vec<Call>) = comets[1]
        .delivered()
        .into_iter()
        .partition(|call| call.keys.is_empty());
    let users: Vec<_> = users.iter().map(Call::text).collect();
    assert_eq!(users, ["u/0", "u/1"]);
    assert_in_order(&rest, ROOMS, 300);
    assert_each_once_in_order(&comets[0].delivered(), ROOMS, 300);
    assert_eq!(topic.dead_letters(), 0);
}

/// What is wrong with a file is said, and changes nothing; and a job doesn't start with it.
#[test]
fn a_broken_file_changes_nothing() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comet = Comet::start();
    let list = List::of(&[("comet1", &comet)]);
    let mut job = start(&topic, &list.flag());
    topic.produce(over_rooms(ROOMS, 0, 100));
    comet.await_delivered(100);
    put(&list.path(), "[{\"targets\": [\"a\"]}]");
    job.await_line(&[&format!(
        "{}: entry 1: 'a' has no port: write host:port; going on with the 1 Comet",
        list.flag()
    )]);
    fs::remove_file(list.path()).expect("it is there");
    job.await_line(&["No such file or directory", "going on with the 1 Comet"]);
    topic.produce(over_rooms(ROOMS, 100, 100));
    comet.await_delivered(200);
    let arguments = ["run", "--control", "off", "--http", "off", "--comet"];
    let flag = list.flag();
    let refused = command::job(&[&arguments[..], &[flag.as_str()]].concat());
    assert!(
        refused.err.contains("No such file or directory"),
        "{}",
        refused.err
    );
    list.write(&[("comet1", &comet)]);
    job.await_line(&["is well again: it lists 1 Comet"]);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comet.calls(), ROOMS, 200);
}

/// Each address of a name is a Comet. One that is gone from the name has people for a while.
#[test]
fn each_address_of_a_name_gets_everything() {
    const NAME: &str = "comets.test";
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let Some(dns) = Dns::start() else { return };
    let topic = Topic::new(shared(Version::V3_9_1), 4);
    let here = Comet::start();
    let there = here.same_port_on(THERE);
    there.start_again();
    dns.set(NAME, &[HERE]);
    dns.drop_questions_about_ipv6();
    let name = format!("dns:///{NAME}:{}", here.port());
    let mut job = topic
        .configure_for(JobCommand::with_names_from(&dns), &name)
        .flag("--comet-refresh", "500ms")
        .log_level("INFO")
        .start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    here.await_delivered(100);
    dns.set(NAME, &[HERE, THERE]);
    job.await_line(&[&format!("Comet {} joined the fleet", there.address())]);
    topic.produce(over_rooms(ROOMS, 100, 100));
    there.await_delivered(100);
    // Nobody new is sent there, or nothing is known of the name at all.
    dns.set(NAME, &[THERE]);
    job.await_line(&[&format!("Comet {} drains", here.address())]);
    dns.remove(NAME);
    job.await_line(&[
        &name,
        "the name was not found",
        "going on with the 2 Comets",
    ]);
    topic.produce(over_rooms(ROOMS, 200, 100));
    here.await_delivered(300);
    there.await_delivered(200);
    here.stop();
    topic.produce(over_rooms(ROOMS, 300, 100));
    job.await_line(&[&format!("Comet {} left the fleet", here.address())]);
    there.await_delivered(300);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&here.delivered(), ROOMS, 300);
    assert_a_stretch(&there.delivered());

    dns.set(NAME, &[THERE]);
    let mut check = dns.command(env!("CARGO_BIN_EXE_job"));
    check.args(["check", "--brokers", &topic.kafka.address()]);
    check.args(["--topic", &topic.name, "--comet", &name]);
    let report = Ended::from(check.output().expect("job starts")).well();
    assert!(report.contains(&format!("✓ {name}: 1 Comet\n")), "{report}");
    assert!(
        report.contains(&format!("✓ Comet {}: answers\n", there.address())),
        "{report}"
    );
}

/// The list in the settings changes with a reload.
#[test]
fn a_reload_changes_the_fleet() {
    let topic = Topic::new(shared(Version::V3_9_1), 1);
    let comets = [(); 2].map(|()| Comet::start());
    let (folder, socket) = (tempfile::tempdir().expect("a folder"), Socket::new());
    let settings = folder.path().join("job.toml");
    let write =
        |comet: &str| fs::write(&settings, format!("comet = '{comet}'\n")).expect("written");
    write(&format!("one={}", comets[0].address()));
    let config = settings.display().to_string();
    let mut job = JobCommand::new()
        .flag("--config", &config)
        .flag("--brokers", &topic.kafka.address())
        .flag("--topic", &topic.name)
        .flag("--group", &topic.group)
        .flag("--control", &socket.flag())
        .log_level("INFO")
        .start();
    topic.produce(over_rooms(ROOMS, 0, 100));
    comets[0].await_delivered(100);
    write(&format!(
        "one={},two={}",
        comets[0].address(),
        comets[1].address()
    ));
    let said = socket.ctl(&["reload"]).well();
    assert!(said.starts_with("applied: comet\n"), "{said}");
    job.await_line(&["Comet two (", "joined the fleet"]);
    topic.produce(over_rooms(ROOMS, 100, 100));
    comets[1].await_delivered(100);
    // A file that isn't there empties nothing.
    write("file:///nowhere/comets.json");
    let said = socket.ctl(&["reload"]).failed();
    assert!(
        said.contains("nothing is applied") && said.contains("No such file"),
        "{said}"
    );
    topic.produce(over_rooms(ROOMS, 200, 100));
    comets[0].await_delivered(300);
    topic.await_no_lag();
    job.stop();
    assert_each_once_in_order(&comets[0].calls(), ROOMS, 300);
    assert_a_stretch(&comets[1].calls());
}
