//! Settings that are wrong: each is named, with where it stands.

use super::{folder, job, refused};

// A job without gRPC's library has one answer to both.
const NO_UNIX_SOCKETS: &str = if cfg!(feature = "grpcio") {
    "caller = grpcio calls Comets over plain TCP only, and a Comet is at a Unix socket: set caller = auto or lean"
} else {
    NO_LIBRARY
};
const NO_TLS: &str = if cfg!(feature = "grpcio") {
    "and comet-tls is on: set caller = auto or lean"
} else {
    NO_LIBRARY
};
const NO_LIBRARY: &str = "caller = grpcio needs gRPC's library, which this job was built without (cargo's feature grpcio)";

#[test]
fn a_wrong_flag_is_named() {
    let folder = folder();
    for (args, says) in [
        (
            &["--threads", "65"][..],
            "invalid value '65' for '--threads <N>': not a whole number from 1 to 64",
        ),
        (
            &["run", "--window", "x"],
            "invalid value 'x' for '--window <N>'",
        ),
        (
            &["--brokers", "localhost"],
            "'localhost' has no port: write host:port",
        ),
        (&["check", "--comet", "a:1,a:1"], "'a:1' is listed twice"),
        (
            &["--comet", "unix:comet.sock"],
            "the socket's whole path is wanted, as unix:/run/comet.sock",
        ),
        (
            &["--caller", "grpcio", "--comet", "a:1,unix:/run/c"],
            NO_UNIX_SOCKETS,
        ),
        (
            &["check", "--caller", "grpcio", "--comet-tls", "on"],
            NO_TLS,
        ),
        (
            &["--comet-ca", "ca.pem"],
            "comet-ca needs TLS to the Comets: set comet-tls = on",
        ),
        (
            &["--comet-tls", "on", "--comet", "unix:/run/c"],
            "comet-tls = on is of no use: job speaks plainly over Unix sockets",
        ),
        (
            &["--comet-tls", "on", "--comet-ca", "nowhere.pem"],
            "comet-ca nowhere.pem: it can't be read: No such file",
        ),
        (
            &["--call-timeout", "soon"],
            "write a whole number with ms, s, m or h",
        ),
        (
            &["--fetch", "best"],
            "[possible values: auto, classic, modern]",
        ),
        (
            &["--broker", "a:1"],
            "a similar argument exists: '--brokers'",
        ),
        (&["deliver"], "unrecognized subcommand 'deliver'"),
        (
            &["send", "hello"],
            "<--room <ROOM>|--key <KEY>|--broadcast>",
        ),
        (
            &["send", "--room", "r1", "--broadcast", "hello"],
            "cannot be used with",
        ),
        (&["send", "--room", "r1"], "<TEXT>..."),
        (
            &["--config", "nowhere.toml"],
            "--config names nowhere.toml, which is not there",
        ),
    ] {
        let text = refused(job(folder.path()).args(args));
        assert!(text.contains(says), "{args:?}: {text}");
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let folder = folder();
    for (name, value, says) in [
        (
            "JOB_THREADS",
            "many",
            "error: environment variable JOB_THREADS=many: not a whole number from 1 to 64",
        ),
        (
            "JOB_COMET",
            "[::1]",
            "error: environment variable JOB_COMET=[::1]: '[::1]' has no port",
        ),
        (
            "JOB_HOLD_BYTES",
            "64MB",
            "error: environment variable JOB_HOLD_BYTES=64MB: not a size",
        ),
        (
            "JOB_CONFIG",
            "nowhere.toml",
            "error: JOB_CONFIG names nowhere.toml, which is not there",
        ),
    ] {
        for command in [&["run"][..], &["check"], &["send", "--room", "r1", "hello"]] {
            let text = refused(job(folder.path()).args(command).env(name, value));
            assert!(text.starts_with(says), "{text}");
        }
    }
}

#[test]
fn a_wrong_file_is_named_with_the_line() {
    let folder = folder();
    let written =
        |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).expect("writes");
    for (text, says) in [
        (
            &b"# settings\ntopic = 'chat'\nbroker = 'a:1'\n"[..],
            "3: unknown key 'broker'; did you mean 'brokers'?",
        ),
        (
            b"\nthreads = 0",
            "2: threads = 0: not a whole number from 1 to 64",
        ),
        (
            b"comet = [\n  'a:1',\n  'b',\n]",
            "1: comet = a:1,b: 'b' has no port",
        ),
        (
            b"topic = 'a b'",
            "1: topic = a b: a topic's name has letters",
        ),
        (b"\n\ntopic = \n", "3: "),
        (b"topic = 'chat'\n# \xff\n", "2: not UTF-8 text"),
    ] {
        written("job.toml", text);
        let error = refused(&mut job(folder.path()));
        assert!(
            error.starts_with(&format!("error: job.toml:{says}")),
            "{error}"
        );
    }
    written("job.toml", b"");
    written("other.toml", b"window = -1");
    let says = "error: other.toml:1: window = -1: not a whole number from 1 to 4096, or auto";
    for command in [
        job(folder.path()).args(["--config", "other.toml"]),
        job(folder.path()).env("JOB_CONFIG", "other.toml"),
    ] {
        let error = refused(command);
        assert!(error.starts_with(says), "{error}");
    }
}
