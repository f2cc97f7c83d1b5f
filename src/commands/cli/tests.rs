mod docs;

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::commands::dead_letter::Sources;
use crate::dead_letter::letter::Place;
use crate::message::{Dialect, Topics};
use crate::settings::{
    AutoOffsetReset, Caller, CatchUp, Coalesce, Config, FanOut, Fetch, GroupProtocol, Http,
    Isolation, LogFormat, LogMessages, Metadata, Pause, Security, Socket, TooOld, UnknownServer,
    Window,
};

#[test]
fn the_description_is_sound() {
    command().debug_assert();
}

/// Reads a command line in the environment of these variables.
fn read_with(variables: &[(&str, &str)], args: &[&str]) -> Result<Invocation, clap::Error> {
    let environment = load::Environment {
        variables: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        folder: PathBuf::from("/nonexistent"),
    };
    read(args.iter().map(std::ffi::OsString::from), &environment)
}

#[test]
fn who_asks_a_running_job_needs_one_setting() {
    // Its password comes as a credential, which systemd gives the service alone.
    let service = [
        ("JOB_SECURITY_PROTOCOL", "SASL_SSL"),
        ("JOB_SASL_MECHANISM", "PLAIN"),
        ("JOB_SASL_USERNAME", "me"),
        ("JOB_HTTP", "127.0.0.1:80"),
        ("JOB_CONTROL", "/a.sock"),
    ];
    match read_with(&service, &["job", "ctl", "reload"]) {
        Ok(Invocation::Ctl(loaded, _)) => {
            assert_eq!(loaded.config.control, Socket::At("/a.sock".into()));
        }
        other => panic!("{other:?}"),
    }
    match read_with(&service, &["job", "status"]) {
        Ok(Invocation::Status(loaded, _)) => {
            assert_eq!(loaded.config.http.address.as_deref(), Some("127.0.0.1:80"));
        }
        other => panic!("{other:?}"),
    }
    assert!(read_with(&service, &["job", "run"]).is_err());
    let wrong = [("JOB_HTTP", "nowhere")];
    assert!(read_with(&wrong, &["job", "status"]).is_err());
}

#[test]
fn a_subcommand_of_a_subcommand_loads_the_settings() {
    let args = [
        "job",
        "dead-letter",
        "list",
        "--topic",
        "chat",
        "--from",
        "3:7",
        "--limit",
        "5",
    ];
    let variables = [("JOB_BROKERS", "kafka:1"), ("JOB_TOPIC", "other")];
    let Ok(Invocation::DeadLetter(loaded, DeadLetter::List(list))) = read_with(&variables, &args)
    else {
        panic!("it is not read");
    };
    assert_eq!(loaded.config.brokers, ["kafka:1"]);
    assert_eq!(loaded.config.topics.first(), "chat");
    assert_eq!(list.limit, Some(5));
    let sources = Sources::parse("3:7").expect("sources");
    assert_eq!(list.selection().sources, Some(sources));
}

#[test]
fn a_replay_or_a_discard_says_which_letters_it_is_for() {
    for name in ["replay", "discard"] {
        says_which_letters(name);
    }
}

fn says_which_letters(name: &str) {
    let replay = |args: &[&str]| {
        let args = [&["job", "dead-letter", name], args].concat();
        match read_with(&[], &args) {
            Ok(Invocation::DeadLetter(_, DeadLetter::Replay(args))) if name == "replay" => Ok(args),
            Ok(Invocation::DeadLetter(_, DeadLetter::Discard(args))) if name == "discard" => {
                Ok(args)
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    let named = replay(&["0@17", "2@3", "--dry-run"]).map(|args| args.selection().places);
    let places = ["0@17", "2@3"].map(|text| Place::parse(text).expect("a place"));
    assert_eq!(named.as_deref(), Ok(&places[..]));
    assert!(replay(&["--all", "--dry-run"]).is_ok_and(|args| args.all && args.dry_run));
    let both = replay(&["--reason", "refused", "--from", "3"]).map(|args| args.selection());
    assert!(both.is_ok_and(|both| both.reason.is_some() && both.sources.is_some()));
    for wrong in [
        &[][..],
        &["--all", "--reason", "x"],
        &["--all", "0@17"],
        &["0@17", "--from", "3"],
        &["17"],
        &["--from", "x"],
        &["--dry-run"],
    ] {
        assert!(replay(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let Ok(Invocation::Run(loaded)) = read_with(&[], &["job"]) else {
        panic!("`job` alone is `job run`");
    };
    let expected = Config {
        brokers: vec!["localhost:9092".into()],
        security: Security::default(),
        client_id: "job".into(),
        client_rack: None,
        topics: Topics::new(["my-topic".to_owned()]),
        group: "my_consumer_group".into(),
        auto_offset_reset: AutoOffsetReset::Earliest,
        group_instance_id: None,
        group_protocol: GroupProtocol::Classic,
        session_timeout: Duration::from_secs(10),
        comet: vec!["localhost:50051".into()],
        comet_metadata: Metadata::default(),
        fan_out: FanOut::All,
        record_metadata: false,
        comet_refresh: Duration::from_secs(5),
        comet_tls: None,
        threads: 4,
        window: Window::Auto,
        caller: Caller::Auto,
        dialect: Dialect::Chatroom,
        push_unknown_server: UnknownServer::Auto,
        cork_calls: true,
        fetch: Fetch::Auto,
        isolation: Isolation::ReadCommitted,
        coalesce: Coalesce::Off,
        coalesce_max: 20,
        coalesce_bytes: 65_536,
        coalesce_pause: Pause::Auto,
        call_timeout: Duration::from_secs(5),
        shutdown_timeout: Duration::from_secs(8),
        hold_messages: 4_000,
        hold_bytes: 32 << 20,
        catch_up: CatchUp::Within(Duration::from_secs(300)),
        max_age: None,
        max_age_action: TooOld::Skip,
        log_messages: LogMessages::On,
        log_format: LogFormat::Muduo,
        http: Http {
            address: Some("127.0.0.1:9093".into()),
            is_asked_for: false,
        },
        control: Socket::Auto,
    };
    assert_eq!(loaded.config, expected);
}

#[test]
fn a_file_that_a_setting_names_has_to_be_there_at_the_start() {
    for command in [
        &["job"][..],
        &["job", "check"],
        &["job", "dead-letter", "list"],
    ] {
        let flags = [
            "--security-protocol=SSL",
            "--ssl-ca-location=/nonexistent/ca.pem",
        ];
        let error = read_with(&[], &[command, &flags].concat()).expect_err("there is no file");
        assert!(
            error
                .to_string()
                .contains("ssl-ca-location /nonexistent/ca.pem"),
            "{error}"
        );
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn a_stop_has_time_for_a_call_in_flight_and_for_leaving_the_group() {
    let Ok(Invocation::Run(loaded)) = read_with(&[], &["job"]) else {
        panic!("`job` alone is `job run`");
    };
    let Config {
        call_timeout,
        shutdown_timeout,
        ..
    } = loaded.config;
    assert!(call_timeout + crate::group::LEAVING <= shutdown_timeout);
    // Docker's, after which it kills.
    assert!(shutdown_timeout < Duration::from_secs(10));
}

#[test]
fn the_status_is_asked_for_where_the_settings_say() {
    let asked = |args: &[&str]| match read_with(&[("JOB_HTTP", "a:1")], args) {
        Ok(Invocation::Status(loaded, args)) => {
            let address = loaded.config.http.address.expect("an address");
            (address, args.json, args.watch)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(&["job", "status"]), ("a:1".into(), false, false));
    let args = ["job", "status", "--json", "--watch", "--http", "b:2"];
    assert_eq!(asked(&args), ("b:2".into(), true, true));
    let refused = read_with(&[], &["job", "status", "--http", "nonsense"]);
    let error = refused.expect_err("no address").to_string();
    assert!(error.contains("nonsense"), "{error}");
}

#[test]
fn a_job_is_told_what_the_words_say() {
    let told = |args: &[&str]| match read_with(&[("JOB_CONTROL", "/a.sock")], args) {
        Ok(Invocation::Ctl(loaded, args)) => {
            (loaded.config.control, args.request.to_string(), args.json)
        }
        other => panic!("{other:?}"),
    };
    let at = |path: &str| Socket::At(path.into());
    let pause = ["job", "ctl", "pause"];
    assert_eq!(told(&pause), (at("/a.sock"), "pause".into(), false));
    let skip = "job ctl skip rooms 3 12 --json --control /b.sock".split(' ');
    let skip: Vec<_> = skip.collect();
    let text = "skip rooms 3 12".into();
    assert_eq!(told(&skip), (at("/b.sock"), text, true));
    let level = ["job", "ctl", "log-level", "warning"];
    assert_eq!(told(&level).1, "log-level WARN");
    for wrong in [
        &["job", "ctl"][..],
        &["job", "ctl", "stop"],
        &["job", "ctl", "log-level", "loud"],
        &["job", "ctl", "skip", "3"],
        &["job", "ctl", "skip", "3", "x"],
        &["job", "ctl", "pause", "--threads", "3"],
    ] {
        assert!(read_with(&[], wrong).is_err(), "{wrong:?}");
    }
}
