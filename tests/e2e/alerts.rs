//! The alerts and the dashboard of deploy/, with a real Prometheus that watches a real job in trouble.
//!
//! `deploy/alerts.test.yml` has each alert once, in Prometheus' own tests: `promtool test rules`.

use std::time::Duration;

use grpcio::RpcStatusCode;
use serde_json::Value;

use crate::support::comet::{Answer, Comet};
use crate::support::http::Pages;
use crate::support::job::{Job, JobCommand};
use crate::support::kafka::{Version, shared};
use crate::support::messages::over_rooms;
use crate::support::prometheus::{Prometheus, deploy};
use crate::support::socket::Socket;
use crate::support::topic::Topic;
use crate::support::{await_until, free_port, is};

fn topic(partitions: i32) -> Topic<'static> {
    Topic::new(shared(Version::V3_9_1), partitions)
}

fn start(command: JobCommand) -> (Job, Prometheus) {
    let command = command.flag("--http", "127.0.0.1:0").log_level("INFO");
    let mut job = command
        .fault("lag-every=return(300);detach-after=return(2500);letter-count-every=return(300)")
        .start();
    let pages = Pages::of(&mut job);
    let prometheus = Prometheus::watching(pages.address());
    (job, prometheus)
}

#[test]
fn dead_letters_are_an_alert_and_the_dashboard_shows_what_flows() {
    let topic = topic(2);
    let comet = Comet::start();
    comet.has_rooms((0..10).map(|n| format!("room-{n}")));
    let command = topic.job(&[&comet]).flag("--fetch", "modern");
    let (mut job, prometheus) = start(command.flag("--fan-out", "rooms"));
    topic.produce(over_rooms(10, 0, 100));
    comet.await_delivered(100);
    assert_eq!(prometheus.firing(), Vec::<String>::new());
    comet.answer(|call| match call.text().starts_with("room-3/") {
        true => Answer::Status(RpcStatusCode::INVALID_ARGUMENT),
        false => Answer::Ok,
    });
    let mut next = 100;
    prometheus.await_alert("MessagesBecameDeadLetters", "reason=\"refused\"", || {
        topic.produce(over_rooms(10, next, 10));
        next += 10;
    });
    // Nobody decides on them.
    let letters = format!("topic=\"{}\"", topic.dead_letter_topic());
    prometheus.await_alert("DeadLettersAwaitDecision", &letters, || {});

    let dashboard: Value = serde_json::from_str(&deploy("grafana-dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let mut queries = 0;
    for target in targets.flatten() {
        let expression = target["expr"].as_str().expect("an expression");
        let asked = [
            ("$__rate_interval", "10s"),
            ("$instance", ".*"),
            ("$comet", ".*"),
        ];
        let asked = asked
            .into_iter()
            .fold(expression.to_owned(), |text, (name, value)| {
                text.replace(name, value)
            });
        // These are there only where a Comet caught up or dropped something, or a call was tried again.
        let mut seldom = [
            "job_caught_up_total",
            "job_dropped_total",
            "job_retries_total",
        ]
        .into_iter();
        let may_be_empty = seldom.any(|name| asked.contains(name));
        await_until(&asked, || {
            topic.produce(over_rooms(10, next, 10));
            next += 10;
            match prometheus
                .query(&asked)
                .expect("it can be asked")
                .is_empty()
            {
                true if !may_be_empty => Err("it gives nothing".to_owned()),
                _ => Ok(()),
            }
        });
        queries += 1;
    }
    assert!(queries > 40, "{queries}");
    job.stop();
    prometheus.await_alert("JobIsDown", "", || {});
}

#[test]
fn a_comet_that_is_out_is_an_alert() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let (mut job, prometheus) = start(topic.job(&[&comets[0], &comets[1]]));
    topic.produce(over_rooms(10, 0, 20));
    comets[1].await_delivered(20);
    comets[1].stop();
    let mut next = 20;
    let out = format!("comet=\"{}\"", comets[1].address());
    prometheus.await_alert("CometIsAway", &out, || {
        // Something must be on its way for it to be missed.
        topic.produce(over_rooms(10, next, 10));
        next += 10;
    });
    job.kill();
}

#[test]
fn calls_that_fail_at_a_comet_that_takes_others_are_an_alert() {
    let topic = topic(2);
    let comets = [Comet::start(), Comet::start()];
    let (mut job, prometheus) = start(topic.job(&[&comets[0], &comets[1]]));
    comets[1].fail_each(3);
    let mut next = 0;
    let failing = format!("comet=\"{}\"", comets[1].address());
    prometheus.await_alert("CallsFail", &failing, || {
        topic.produce(over_rooms(10, next, 10));
        next += 10;
    });
    assert!(!prometheus.firing().contains(&"CometIsAway".to_owned()));
    job.stop();
}

#[test]
fn a_lag_that_grows_is_an_alert_and_so_is_a_full_job() {
    let topic = topic(1);
    let comet = Comet::start();
    comet.answer(|_| Answer::Hang);
    // The classic fetcher, which knows no timestamps.
    topic.produce_old(over_rooms(5, 0, 50), Duration::from_secs(600));
    let command = topic.job(&[&comet]).flag("--hold-messages", "10");
    let (mut job, prometheus) = start(command.flag("--fetch", "classic"));
    for alert in [
        "HeldAtTheCap",
        "JobFallsBehind",
        "LagGrows",
        "NothingIsDelivered",
    ] {
        prometheus.await_alert(alert, "", || {});
    }
    job.kill();
}

#[test]
fn a_job_that_stays_paused_is_an_alert_until_it_goes_on() {
    let topic = topic(1);
    let (comet, socket) = (Comet::start(), Socket::new());
    let (mut job, prometheus) = start(topic.job(&[&comet]).flag("--control", &socket.flag()));
    topic.produce(over_rooms(1, 0, 1));
    comet.await_delivered(1);
    socket.ctl(&["pause"]).well();
    prometheus.await_alert("JobStaysPaused", "", || {});
    socket.ctl(&["resume"]).well();
    await_until("no alert", || is(prometheus.firing(), Vec::<String>::new()));
    job.kill();
}

#[test]
fn a_job_that_is_no_member_is_an_alert() {
    let job = JobCommand::new().flag("--brokers", &format!("127.0.0.1:{}", free_port()));
    let (mut job, prometheus) = start(job.flag("--comet", "127.0.0.1:1"));
    prometheus.await_alert("JobIsNoMember", "", || {});
    prometheus.await_alert("JobHasNoPartitions", "", || {});
    job.kill();
}
