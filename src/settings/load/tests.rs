//! All sources together.

mod hidden;

use super::*;
use crate::base::metadata::Source;
use crate::message::{Dialect, Topics};
use crate::settings::security::{
    self, ClientCertificate, Identification, Mechanism, Password, Sasl, Tls, TokenEndpoint,
};
use crate::settings::{
    AutoOffsetReset, Caller, CatchUp, Coalesce, CometTls, FanOut, Fetch, GroupProtocol, Http,
    Isolation, LogFormat, LogMessages, Metadata, Pause, Security, Socket, TooOld, UnknownServer,
    Window,
};
use std::time::Duration;

/// Loads from flags, variables and a file's text, as `job run` would.
fn load_all(
    flags: &[&str],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    if let Some(text) = file {
        std::fs::write(folder.path().join(DEFAULT_FILE), text).expect("a written file");
    }
    let variables = variables
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let matches = Parser::new()
        .parse(flags.iter().map(OsString::from))
        .map_err(|error| error.to_string())?;
    load(
        &matches,
        &Environment {
            variables,
            folder: folder.path().to_owned(),
        },
    )
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "topic = 'file'\ngroup = 'file'\nwindow = 7\n";
    let variables = [
        ("JOB_TOPIC", "variable"),
        ("JOB_GROUP", "variable"),
        ("JOB_THREADS", ""),
    ];
    let loaded = load_all(&["--topic=flag"], &variables, Some(file)).expect("loads");
    assert_eq!(loaded.config.topics.first(), "flag");
    assert_eq!(loaded.config.group, "variable");
    assert_eq!(loaded.config.window, Window::Calls(7));
    assert_eq!(loaded.config.threads, 4);
    let lines: Vec<_> = loaded.lines().collect();
    for line in [
        "brokers = localhost:9092 (default)",
        "topic = flag (--topic)",
        "group = variable (JOB_GROUP)",
        "group-instance-id = none (default)",
        "window = 7 (job.toml)",
    ] {
        assert!(
            lines.iter().any(|l| l == line),
            "{line} is not in {lines:#?}"
        );
    }
}

#[test]
fn every_setting_can_stand_in_the_file_and_in_the_environment() {
    let file = "brokers = ['a:1', 'b:2']\nsecurity-protocol = 'sasl_ssl'\nssl-ca-location = 'ca.pem'\n\
        ssl-certificate-location = 'c.pem'\nssl-key-location = 'c.key'\nssl-key-password-file = 'kp'\n\
        ssl-endpoint-identification-algorithm = 'none'\nsasl-mechanism = 'scram-sha-256'\nsasl-username = 'u'\n\
        sasl-password-file = 'p'\nclient-id = 'n'\nclient-rack = 'r'\ntopic = 't'\ngroup = 'g'\nauto-offset-reset = 'by_duration:1h'\ngroup-instance-id = 'i'\n\
        group-protocol = 'consumer'\nsession-timeout = '6s'\ncomet = 'c:1,[::1]:2'\ncomet-refresh = '7s'\ndialect = 'goim'\npush-unknown-server = 'all'\ncomet-tls = 'on'\n\
        comet-ca = 'comet-ca.pem'\ncomet-certificate = 'cc.pem'\ncomet-key = 'cc.key'\ncomet-server-name = 'comet.internal'\ncomet-metadata = { authorization = 'file:/t', x-env = 'a,b' }\nrecord-metadata = 'on'\nfan-out = 'rooms'\nthreads = 1\nwindow = 0x10\ncaller = 'lean'\ncork-calls = 'off'\nfetch = 'modern'\n\
        isolation-level = 'read_uncommitted'\n\
        coalesce = 'json'\ncoalesce-max = 100\ncoalesce-bytes = '1MiB'\ncoalesce-pause = '1s'\n\
        call-timeout = '500ms'\nshutdown-timeout = 0\nhold-messages = 10_000\nhold-bytes = '64KiB'\ncatch-up = '7m'\nmax-age = '2h'\nmax-age-action = 'dead-letter'\nlog-messages = 'sample:100'\nlog-format = 'json'\nhttp = '0.0.0.0:80'\ncontrol = '/run/j.sock'\n";
    let expected = Config {
        brokers: vec!["a:1".into(), "b:2".into()],
        security: Security {
            tls: Some(Tls {
                ca: Some("ca.pem".into()),
                client: Some(ClientCertificate {
                    certificate: "c.pem".into(),
                    key: "c.key".into(),
                    key_password: Some("kp".into()),
                }),
                identification: Identification::None,
            }),
            sasl: Some(Sasl {
                mechanism: Mechanism::ScramSha256,
                username: "u".into(),
                password: Password::File("p".into()),
                endpoint: None,
            }),
        },
        client_id: "n".into(),
        client_rack: Some("r".into()),
        topics: Topics::new(["t".to_owned()]),
        group: "g".into(),
        auto_offset_reset: AutoOffsetReset::ByDuration(Duration::from_secs(3_600)),
        group_instance_id: Some("i".into()),
        group_protocol: GroupProtocol::Consumer,
        session_timeout: Duration::from_secs(6),
        comet: vec!["c:1".into(), "[::1]:2".into()],
        comet_refresh: Duration::from_secs(7),
        dialect: Dialect::Goim,
        push_unknown_server: UnknownServer::All,
        comet_tls: Some(CometTls {
            ca: Some("comet-ca.pem".into()),
            client: Some(("cc.pem".into(), "cc.key".into())),
            server_name: Some("comet.internal".into()),
            ..CometTls::default()
        }),
        fan_out: FanOut::Rooms,
        record_metadata: true,
        comet_metadata: Metadata(vec![
            ("authorization".into(), Source::File("/t".into())),
            ("x-env".into(), Source::Given("a,b".into())),
        ]),
        threads: 1,
        window: Window::Calls(16),
        caller: Caller::Lean,
        cork_calls: false,
        fetch: Fetch::Modern,
        isolation: Isolation::ReadUncommitted,
        coalesce: Coalesce::Json,
        coalesce_max: 100,
        coalesce_bytes: 1 << 20,
        coalesce_pause: Pause::Of(Duration::from_secs(1)),
        call_timeout: Duration::from_millis(500),
        shutdown_timeout: Duration::ZERO,
        hold_messages: 10_000,
        hold_bytes: 65_536,
        catch_up: CatchUp::Within(Duration::from_secs(420)),
        max_age: Some(Duration::from_secs(7_200)),
        max_age_action: TooOld::DeadLetter,
        log_messages: LogMessages::Sample(100),
        log_format: LogFormat::Json,
        http: Http {
            address: Some("0.0.0.0:80".into()),
            is_asked_for: true,
        },
        control: Socket::At("/run/j.sock".into()),
    };
    assert_eq!(
        load_all(&[], &[], Some(file)).expect("loads").config,
        expected
    );
    let variables = [
        ("JOB_BROKERS", "a:1,b:2"),
        ("JOB_SECURITY_PROTOCOL", "SASL_SSL"),
        ("JOB_SSL_CA_LOCATION", "ca.pem"),
        ("JOB_SSL_CERTIFICATE_LOCATION", "c.pem"),
        ("JOB_SSL_KEY_LOCATION", "c.key"),
        ("JOB_SSL_KEY_PASSWORD_FILE", "kp"),
        ("JOB_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "NONE"),
        ("JOB_SASL_MECHANISM", "SCRAM-SHA-256"),
        ("JOB_SASL_USERNAME", "u"),
        ("JOB_SASL_PASSWORD_FILE", "p"),
        ("JOB_CLIENT_ID", "n"),
        ("JOB_CLIENT_RACK", "r"),
        ("JOB_TOPIC", "t"),
        ("JOB_GROUP", "g"),
        ("JOB_AUTO_OFFSET_RESET", "by_duration:PT1H"),
        ("JOB_GROUP_INSTANCE_ID", "i"),
        ("JOB_GROUP_PROTOCOL", "consumer"),
        ("JOB_SESSION_TIMEOUT", "6s"),
        ("JOB_COMET", "c:1, [::1]:2"),
        ("JOB_DIALECT", "goim"),
        ("JOB_PUSH_UNKNOWN_SERVER", "all"),
        ("JOB_COMET_REFRESH", "7s"),
        ("JOB_COMET_TLS", "on"),
        ("JOB_COMET_CA", "comet-ca.pem"),
        ("JOB_COMET_CERTIFICATE", "cc.pem"),
        ("JOB_COMET_KEY", "cc.key"),
        ("JOB_COMET_SERVER_NAME", "comet.internal"),
        ("JOB_FAN_OUT", "rooms"),
        ("JOB_RECORD_METADATA", "on"),
        ("JOB_COMET_METADATA", r"authorization=file:/t, x-env=a\,b"),
        ("JOB_THREADS", "1"),
        ("JOB_WINDOW", "16"),
        ("JOB_CALLER", "lean"),
        ("JOB_CORK_CALLS", "off"),
        ("JOB_FETCH", "modern"),
        ("JOB_ISOLATION_LEVEL", "read_uncommitted"),
        ("JOB_COALESCE", "json"),
        ("JOB_COALESCE_MAX", "100"),
        ("JOB_COALESCE_BYTES", "1048576"),
        ("JOB_COALESCE_PAUSE", "1s"),
        ("JOB_CALL_TIMEOUT", "500ms"),
        ("JOB_SHUTDOWN_TIMEOUT", "0"),
        ("JOB_HOLD_MESSAGES", "10000"),
        ("JOB_HOLD_BYTES", "65536"),
        ("JOB_CATCH_UP", "7m"),
        ("JOB_MAX_AGE", "2h"),
        ("JOB_MAX_AGE_ACTION", "dead-letter"),
        ("JOB_LOG_MESSAGES", "sample:100"),
        ("JOB_LOG_FORMAT", "json"),
        ("JOB_HTTP", "0.0.0.0:80"),
        ("JOB_CONTROL", "/run/j.sock"),
    ];
    // Those of OAUTHBEARER go with no other mechanism.
    assert_eq!(variables.len() + OAUTH.len(), Parser::new().keys.len());
    assert_eq!(
        load_all(&[], &variables, None).expect("loads").config,
        expected
    );
}

/// Without the mechanism, which each of them needs.
const OAUTH: [(&str, &str); 4] = [
    (
        "sasl-oauthbearer-token-endpoint-url",
        "https://id.example/token",
    ),
    ("sasl-oauthbearer-client-id", "c"),
    ("sasl-oauthbearer-client-secret-file", "s"),
    ("sasl-oauthbearer-scope", "a b"),
];

#[test]
fn those_of_oauthbearer_can_stand_in_the_file_and_in_the_environment() {
    let listener = [
        ("security-protocol", "sasl_ssl"),
        ("sasl-mechanism", "oauthbearer"),
    ];
    let settings = [&listener[..], &OAUTH].concat();
    let file: String = settings
        .iter()
        .map(|(key, value)| format!("{key} = '{value}'\n"))
        .collect();
    let variables: Vec<_> = settings
        .iter()
        .map(|(key, value)| (variable_name(key), *value))
        .collect();
    let variables: Vec<_> = variables
        .iter()
        .map(|(key, value)| (&key[..], *value))
        .collect();
    let expected = Sasl {
        mechanism: Mechanism::OauthBearer,
        username: "c".into(),
        password: Password::File("s".into()),
        endpoint: Some(TokenEndpoint {
            url: security::url("https://id.example/token").expect("right"),
            scope: Some("a b".into()),
        }),
    };
    for (variables, file) in [(&variables[..], None), (&[], Some(&file[..]))] {
        let loaded = load_all(&[], variables, file).expect("loads");
        assert_eq!(loaded.config.security.sasl, Some(expected.clone()));
    }
    let variable = ("JOB_SASL_OAUTHBEARER_CLIENT_SECRET", "hush\n");
    let rest = variables
        .iter()
        .filter(|(name, _)| !name.ends_with("_FILE"));
    let variables: Vec<_> = rest.copied().chain([variable]).collect();
    let loaded = load_all(&[], &variables, None).expect("loads");
    let sasl = loaded.config.security.sasl.clone().expect("SASL");
    assert_eq!(sasl.password, Password::Variable(Secret::new("hush")));
    let lines: Vec<_> = loaded.lines().collect();
    let hidden = "sasl-oauthbearer-client-secret = (hidden) (JOB_SASL_OAUTHBEARER_CLIENT_SECRET)";
    assert!(lines.iter().any(|line| line == hidden), "{lines:#?}");
    assert!(!lines.concat().contains("hush"), "{lines:#?}");
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (file, says) in [
        (
            "\nbroker = 'a:1'",
            "job.toml:2: unknown key 'broker'; did you mean 'brokers'?",
        ),
        (
            "hold_bytes = 1",
            "job.toml:1: unknown key 'hold_bytes'; did you mean 'hold-bytes'?",
        ),
        (
            "colour = 1",
            "job.toml:1: unknown key 'colour'; the keys are brokers, topic,",
        ),
        (
            "config = 'x'",
            "job.toml:1: unknown key 'config': one file cannot name another",
        ),
        (
            "\n[kafka]\nbrokers = 'a:1'",
            "job.toml:2: unknown key 'kafka': settings stand outside of [sections]",
        ),
        (
            "\n\nthreads = 65",
            "job.toml:3: threads = 65: not a whole number from 1 to 64",
        ),
        (
            "fetch = 'x'",
            "job.toml:1: fetch = x: must be one of auto, classic, modern",
        ),
        (
            "coalesce = 'yes'",
            "job.toml:1: coalesce = yes: must be one of off, json, goim",
        ),
        (
            "coalesce-max = 1",
            "job.toml:1: coalesce-max = 1: not a whole number from 2 to 1000",
        ),
        (
            "call-timeout = 5",
            "job.toml:1: call-timeout = 5: a time needs its unit: write 5s for seconds, or 5ms",
        ),
        (
            "comet = ['a:1，b:1']",
            "job.toml:1: comet = a:1，b:1: 'a:1，b:1' has '，' (U+FF0C): write a comma (',') instead",
        ),
        (
            "coalesce-bytes = '4MiB'",
            "job.toml:1: coalesce-bytes = 4MiB: more than 3MiB: ",
        ),
        (
            "catch-up = 5",
            "job.toml:1: catch-up = 5: a time needs its unit: write 5s for seconds, or 5ms, or all, or off",
        ),
        ("fetch = ''", "job.toml:1: fetch = : "),
        (
            "topic = ''",
            "job.toml:1: topic = : the name of a topic is missing",
        ),
        (
            "brokers = []",
            "job.toml:1: brokers = : an address is missing",
        ),
        (
            "brokers = [1]",
            "job.toml:1: brokers must be a string, a number or a list of strings, not a",
        ),
        ("topic = 'a'\ntopic = 'b'", "job.toml:2: duplicate key"),
        ("topic = ", "job.toml:1: "),
    ] {
        let error = load_all(&[], &[], Some(file)).expect_err(file);
        assert!(error.starts_with(says), "{file}: {error}");
    }
    let error =
        load_all(&["--threads=2"], &[("JOB_THREADS", "many")], None).expect_err("a bad variable");
    assert_eq!(
        error,
        "environment variable JOB_THREADS=many: not a whole number from 1 to 64"
    );
    let error = load_all(&[], &[("JOB_CONFIG", "other.toml")], None).expect_err("no such file");
    assert_eq!(error, "JOB_CONFIG names other.toml, which is not there");
}

#[test]
fn a_variable_that_is_nearly_a_setting_is_an_error() {
    let error = load_all(&[], &[("JOB_COMETS", "a:1")], None).expect_err("a slip");
    assert_eq!(
        error,
        "environment variable JOB_COMETS is no setting; did you mean JOB_COMET? Otherwise unset it for job"
    );
    let variables = [("JOB_NAME", "nightly"), ("JOB_COMETS", "")];
    let loaded = load_all(&[], &variables, None).expect("an empty one counts as not set");
    assert_eq!(
        loaded.lines().last().as_deref(),
        Some("ignored, as no settings of job: JOB_NAME")
    );
}

#[test]
fn settings_that_do_not_go_together_are_named() {
    let error =
        load_all(&["--fetch", "classic", "--max-age", "1h"], &[], None).expect_err("an error");
    assert!(
        error.contains("max-age") && error.contains("fetch = classic"),
        "{error}"
    );
    load_all(&["--fetch", "classic", "--max-age", "off"], &[], None).expect("off needs no times");
    let ssl = ["--fetch", "classic", "--security-protocol", "ssl"];
    let error = load_all(&ssl, &[], None).expect_err("an error");
    assert!(
        error.contains("fetch = classic") && error.contains("security-protocol = SSL"),
        "{error}"
    );
    let error = load_all(&["--fetch", "classic", "--client-rack", "a"], &[], None);
    assert!(error.is_err_and(|error| error.contains("client-rack")));
}

#[test]
fn grpcs_library_can_be_asked_for_where_job_has_it() {
    let loaded = load_all(&["--caller", "grpcio"], &[], None);
    assert_eq!(loaded.is_ok(), cfg!(feature = "grpcio"));
    if let Err(error) = loaded {
        assert!(error.contains("was built without"), "{error}");
        assert!(error.contains("caller = auto or lean"), "{error}");
    }
    let auto = load_all(&[], &[], None).expect("the defaults are right");
    assert_eq!(auto.config.needs_lean().is_none(), cfg!(feature = "grpcio"));
}

#[test]
fn the_password_comes_from_the_environment_and_is_shown_nowhere() {
    let flags = [
        "--security-protocol=sasl_plaintext",
        "--sasl-mechanism=plain",
        "--sasl-username=job",
    ];
    let variables = [("JOB_SASL_PASSWORD", "hush\n")];
    let loaded = load_all(&flags, &variables, None).expect("it is complete");
    let sasl = loaded.config.security.sasl.clone().expect("SASL");
    assert_eq!(sasl.password, Password::Variable(Secret::new("hush")));
    let lines: Vec<_> = loaded.lines().collect();
    assert!(lines.contains(&"sasl-password = (hidden) (JOB_SASL_PASSWORD)".to_owned()));
    let shown = format!("{loaded:?} {lines:?}");
    assert!(!shown.contains("hush"), "{shown}");

    for (flags, file) in [
        (&["--sasl-password=hush"][..], None),
        (&[], Some("sasl-password = 'hush'")),
    ] {
        let error = load_all(flags, &[], file).expect_err("there is no such setting");
        assert!(
            error.contains("sasl-password-file") && !error.contains("hush"),
            "{error}"
        );
    }
    let error = load_all(&[], &variables, None).expect_err("nobody asks for it");
    assert!(
        error.contains("JOB_SASL_PASSWORD needs SASL") && !error.contains("hush"),
        "{error}"
    );
}
