//! How job says that it stands: `/status.json`, `job status`, and the page in a real browser.

mod conditions;

use std::time::Duration;

use chatroom_job::observe::status::Status;
use grpcio::RpcStatusCode;

use crate::support::browser::Browser;
use crate::support::comet::{Answer, Comet};
use crate::support::http::Pages;
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::messages::over_rooms;
use crate::support::topic::Topic;
use crate::support::{await_until, command, free_port};

fn topic(partitions: i32) -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), partitions)
}

/// A job whose series has a point each 300 ms.
fn watched(topic: &Topic<'_>, comets: &[&Comet]) -> JobCommand {
    let job = topic.job(comets).flag("--http", "127.0.0.1:0");
    let job = job.flag("--fetch", "modern").log_level("INFO");
    job.fault("status-every=return(300);detach-after=return(2500)")
}

fn start(command: JobCommand) -> (Job, Pages) {
    let mut job = command.start();
    let pages = Pages::of(&mut job);
    (job, pages)
}

fn status(pages: &Pages) -> Status {
    let (code, text) = pages.get("/status.json");
    assert_eq!(code, 200, "{text}");
    serde_json::from_str(&text).expect("a status")
}

fn await_status(pages: &Pages, what: &str, mut is_so: impl FnMut(&Status) -> bool) -> Status {
    await_until(what, || {
        let status = status(pages);
        match is_so(&status) {
            true => Ok(status),
            false => Err(format!("{status:#?}")),
        }
    })
}

fn has(status: &Status, condition: &str) -> bool {
    let mut all = status.conditions.iter();
    all.any(|one| one.name == condition)
}

#[test]
fn times_are_known_without_timestamps_too() {
    let topic = topic(1);
    let comet = Comet::start();
    let (mut job, pages) = start(
        topic
            .job(&[&comet])
            .flag("--http", "127.0.0.1:0")
            .flag("--fetch", "classic")
            .log_level("INFO"),
    );
    let mut sent = 0;
    let flows = await_status(&pages, "times since the records were read", |status| {
        topic.produce(over_rooms(20, sent, 20));
        sent += 20;
        status.delivery.p99_ms.is_some()
    });
    assert!(flows.delivery.since_read, "{flows:#?}");
    let numbers = pages.metrics();
    let count = |name: &str| numbers.sum(name, &[]);
    assert!(count("job_read_to_answer_seconds_count") > 0.0);
    assert_eq!(count("job_delivery_latency_seconds_count"), 0.0);
    job.stop();
}

#[test]
fn what_flows_is_in_the_series() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    let mut sent = 0;
    let flows = await_status(&pages, "a point with messages", |status| {
        topic.produce(over_rooms(20, sent, 20));
        sent += 20;
        let mut points = status.series.iter().map(|point| &point.delivery);
        points.any(|point| point.messages_per_second > 0.0 && point.p99_ms > point.p50_ms)
            && status.partitions.iter().all(|one| one.committed > Some(0))
            && status.kafka.members.is_some()
    });
    assert_eq!(flows.topic, topic.name);
    assert!(flows.ready.ok && flows.healthy.ok, "{flows:#?}");
    assert_eq!(flows.partitions.len(), 2);
    let delivery = &flows.delivery;
    let flow = [delivery.messages_per_second, delivery.read_per_second];
    assert!(flow.iter().all(|rate| *rate > 0.0), "{flows:#?}");
    let size = (flows.kafka.members, flows.kafka.partitions);
    assert_eq!(size, (Some(1), Some(2)));
    for (comet, shown) in comets.iter().zip(&flows.comets) {
        assert_eq!((&shown.address, &shown.state[..]), (&comet.address(), "up"));
        assert!(
            shown.calls_per_second > 0.0 && shown.p99_ms.is_some(),
            "{shown:?}"
        );
    }
    let calls = flows.workers.iter().map(|one| one.calls_per_second);
    assert!(calls.sum::<f64>() > 0.0, "{flows:#?}");
    comets[0].await_delivered(sent);
    await_status(&pages, "nothing in the way", |status| {
        status.conditions.is_empty()
    });

    let shown = command::job(&["status", "--http", pages.address()]).well();
    assert!(shown.contains(&format!("topic {}", topic.name)), "{shown}");
    assert!(shown.contains("\nhealthy, ready\n"), "{shown}");
    assert!(shown.contains("Nothing stands in the way"), "{shown}");
    let json = command::job(&["status", "--json", "--http", pages.address()]).well();
    let json: Status = serde_json::from_str(&json).expect("a status");
    assert_eq!((json.topic, json.process), (flows.topic, flows.process));
    job.stop();
}

#[test]
fn a_quiet_job_says_at_once_that_it_is_ready() {
    let topic = topic(1);
    let comet = Comet::start();
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    pages.await_metrics("its partition", |now| {
        now.sum("job_assigned_partitions", &[]) == 1.0
    });
    // Nobody has asked the Comet before.
    let quiet = status(&pages);
    assert!(quiet.ready.ok, "{quiet:#?}");
    assert_eq!(quiet.conditions, []);
    job.stop();
}

#[test]
fn a_comet_that_is_out_is_a_condition_until_it_is_back() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    topic.produce(over_rooms(10, 0, 20));
    comets[1].await_delivered(20);
    comets[1].stop();
    let mut next = 20;
    let out = await_status(&pages, "a Comet that is detached", |status| {
        // Something must be on its way for it to be missed.
        topic.produce(over_rooms(10, next, 10));
        next += 10;
        has(status, "Comet detached") && status.comets[1].missed > 0
    });
    let condition = &out.conditions[0];
    assert!(condition.what.contains(&comets[1].address()), "{out:#?}");
    assert!(!condition.what.contains(&comets[0].address()), "{out:#?}");
    assert_eq!(out.comets[1].state, "detached");
    let said = out.last_errors.iter();
    let mut said = said.filter(|line| line.text.contains(&comets[1].address()));
    assert!(said.next().is_some(), "{out:#?}");
    // It tells; whether that is a failure, is for the reader to say.
    let shown = command::job(&["status", "--http", pages.address()]).well();
    assert!(shown.contains("URGENT: Comet detached\n"), "{shown}");
    assert!(shown.contains("\n  Do: Start it again"), "{shown}");

    comets[1].start_again();
    await_status(&pages, "that it is back", |status| {
        status.conditions.is_empty()
    });
    job.stop();
}

#[test]
fn a_kafka_that_is_away_is_a_condition() {
    let address = format!("127.0.0.1:{}", free_port());
    let job = JobCommand::new().args(&["--brokers", &address, "--comet", "127.0.0.1:1"]);
    let job = job.flag("--http", "127.0.0.1:0").log_level("INFO");
    let (mut job, pages) = start(job);
    let out = await_status(&pages, "what Kafka's client says", |status| {
        let mut errors = status.last_errors.iter();
        errors.any(|line| line.text.contains(&address))
    });
    assert!(!out.ready.ok && out.healthy.ok, "{out:#?}");
    assert_eq!(out.conditions[0].name, "No Comet has answered");
    assert!(has(&out, "Joining the group"), "{out:#?}");
    let long = await_status(&pages, "that this is no start any more", |status| {
        has(status, "Not a member of the group")
    });
    assert_eq!(long.conditions[0].name, "Not a member of the group");
    job.kill();
}

#[test]
fn a_dead_letter_that_can_not_be_written_is_a_condition() {
    let topic = topic(1);
    let letters = topic.dead_letter_topic();
    topic.kafka.create_limited_topic(&letters, 1, 100);
    let comet = Comet::start();
    comet.answer(|_| Answer::Status(RpcStatusCode::INVALID_ARGUMENT));
    let (mut job, pages) = start(watched(&topic, &[&comet]));
    topic.produce(over_rooms(1, 0, 1));
    let waits = await_status(&pages, "a dead letter that waits", |status| {
        has(status, "Dead letters can't be written")
    });
    assert!(waits.conditions[0].what.contains(&letters), "{waits:#?}");
    topic.kafka.set(&letters, "max.message.bytes", "1000000");
    let written = await_status(&pages, "that it is written", |status| {
        !has(status, "Dead letters can't be written")
    });
    assert_eq!(
        (written.dead_letters.written, written.dead_letters.waiting),
        (1, 0)
    );
    job.stop();
}

#[test]
fn where_no_job_is_the_command_says_where_it_asked() {
    let address = format!("127.0.0.1:{}", free_port());
    let error = command::job(&["status", "--http", &address]).failed();
    assert!(error.contains(&address), "{error}");
    assert!(error.contains("nothing listens there"), "{error}");
    assert!(error.contains("--http HOST:PORT"), "{error}");
}

#[test]
fn the_page_shows_it_and_takes_nothing_for_html() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let (mut job, pages) = start(watched(&topic, &[&comets[0], &comets[1]]));
    let evil = "<img src=x onerror=\"document.body.id='taken'\">";
    comets[0].answer(move |call| match call.text() {
        text if text == "room-3/3" => Answer::Said(RpcStatusCode::INVALID_ARGUMENT, evil.into()),
        _ => Answer::OkAfter(Duration::from_millis(20)),
    });
    let mut browser = Browser::start();
    browser.look(1280, 900, false);
    browser.open(&format!("http://{}/", pages.address()));
    let text = |words: &str| format!("document.body.innerText.includes({words:?})");
    browser.await_true("that all is well", &text("Nothing stands in the way"));
    let mut sent = 0;
    await_status(&pages, "some points", |status| {
        topic.produce(over_rooms(10, sent, 20));
        sent += 20;
        status.series.len() > 8 && status.delivery.p99_ms.is_some()
    });
    browser.await_true(
        "a curve",
        "!!document.querySelector('#throughput path.line')",
    );
    browser.await_true("each Comet", &text(&comets[1].address()));
    browser.await_true("what the Comet said", &text("<img src=x"));
    assert_eq!(
        browser.eval("document.body.id + document.images.length"),
        "0"
    );

    comets[1].stop();
    await_status(&pages, "a Comet that is out", |status| {
        topic.produce(over_rooms(10, sent, 10));
        sent += 10;
        has(status, "Comet detached")
    });
    browser.await_true(
        "the condition, in the part that is read out",
        "document.querySelector('[aria-live] li').innerText.includes('Comet detached')",
    );
    // For whoever wants to see it: light, dark, and on a phone.
    let shots = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("status");
    for (name, width, height, dark) in [
        ("light", 1280, 1900, false),
        ("dark", 1280, 1000, true),
        ("phone", 390, 844, false),
    ] {
        browser.look(width, height, dark);
        browser.await_true(
            "that it fits in its width",
            "document.documentElement.scrollWidth <= innerWidth",
        );
        browser.screenshot(&shots.join(format!("{name}.png")));
    }
    job.kill();
    browser.await_true("that job is gone", &text("job does not answer"));
}
