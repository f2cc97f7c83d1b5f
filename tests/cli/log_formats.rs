//! The forms of the log, and which of its lines there are.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{PATIENCE, Started, folder, service, wait_until};

/// Would be a line of the log by itself, in red.
const ODD: &str = "group\n20261123 06:49:37.468688Z 1 ERROR forged - file.rs:1\x1b[31m\u{202e}";

#[test]
fn json_is_an_object_a_line_whatever_the_settings_say() {
    let folder = folder();
    let mut command = service(folder.path());
    command.env("JOB_GROUP", ODD).args(["--log-format", "json"]);
    let job = Started::new(&mut command);
    let lines = job.wait_for("Trying again until it works");
    let objects = lines.iter().map(|line| {
        assert!(!line.contains(['\x1b', '\u{202e}']), "{line}");
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    let objects: Vec<_> = objects.collect();
    for object in &objects {
        for field in ["time", "level", "message", "module", "file"] {
            assert!(object[field].is_string(), "{field}: {object}");
        }
        assert!(
            object["thread"].is_u64() && object["line"].is_u64(),
            "{object}"
        );
    }
    let said = |words: &str| {
        let found = objects.iter().find(|object| {
            let message = object["message"].as_str().unwrap_or_default();
            message.contains(words)
        });
        found.unwrap_or_else(|| panic!("no {words} in {lines:#?}"))
    };
    assert_eq!(said(" starts")["level"], "INFO");
    assert!(
        said("group = group\\n2026")["message"]
            .as_str()
            .is_some_and(|text| text.contains("forged - file.rs:1\\u{1b}[31m\\u{202e} (JOB_GROUP)"))
    );
    let failed = said("Failed to initialize Kafka consumer");
    assert_eq!(failed["level"], "ERROR");
    let cause = failed["cause"].as_str();
    assert!(
        cause.is_some_and(|cause| cause.contains("127.0.0.1:1")),
        "{failed}"
    );
}

#[test]
fn without_a_journal_each_line_has_its_priority() {
    let folder = folder();
    let mut command = service(folder.path());
    command.env("JOB_LOG_FORMAT", "journal");
    let job = Started::new(&mut command);
    let lines = job.wait_for("Trying again until it works");
    for line in &lines {
        assert!(line.starts_with(['<']), "{line}");
        let priority = if line.contains(" ERROR ") {
            "<3>20"
        } else {
            "<6>20"
        };
        assert!(line.starts_with(priority), "{line}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.contains("nobody listens at /run/systemd/journal/socket"))
    );
}

#[test]
fn auto_is_for_the_journal_only_where_standard_output_leads_there() {
    let folder = folder();
    for (is_journals, begins) in [(true, "<6>20"), (false, "20")] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let stat = nix::sys::stat::fstat(&writer).expect("it is open");
        let other = u64::from(!is_journals);
        let stream = format!("{}:{}", stat.st_dev, stat.st_ino + other);
        let mut command = service(folder.path());
        command
            .env("JOURNAL_STREAM", stream)
            .args(["--log-format", "auto"])
            .stdout(writer)
            .stderr(Stdio::null());
        let child = command.spawn().expect("starts");
        // It has the pipe's end too.
        drop(command);
        let _job = Started {
            child,
            lines: channel().1,
        };
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(reader), &mut line)
            .expect("reads");
        assert!(line.starts_with(begins), "{line}");
    }
}

/// The field's value in what journald gets.
fn field(record: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(record).into_owned();
    let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    text.lines().find_map(value)
}

#[test]
fn journald_gets_each_record_with_its_fields() {
    let folder = folder();
    let journal = folder.path().join("journal");
    std::fs::create_dir(&journal).expect("a folder can be made");
    let socket = UnixDatagram::bind(journal.join("socket")).expect("it can be bound");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("it has a limit");
    let service = service(folder.path());
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(
            "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
             mount --bind \"$0\" /run/systemd/journal && exec \"$@\"",
        )
        .arg(&journal)
        .arg(service.get_program())
        .args(service.get_args())
        .args(["--log-format", "journal"])
        .args(["--http", "off", "--control", "off"])
        .env("JOB_GROUP", ODD)
        .current_dir(folder.path());
    let mut job = Started::new(&mut command);
    let mut buffer = vec![0; 1 << 18];
    let mut records = Vec::new();
    let is_last = |record: &Vec<u8>| {
        let message = field(record, "MESSAGE").unwrap_or_default();
        message.contains("Trying again until it works")
    };
    while !records.last().is_some_and(is_last) {
        let length = socket.recv(&mut buffer).expect("a record comes");
        records.push(buffer[..length].to_vec());
    }
    let last = records.pop().expect("it came");
    assert_eq!(field(&last, "PRIORITY").as_deref(), Some("3"));
    assert_eq!(field(&last, "SYSLOG_IDENTIFIER").as_deref(), Some("job"));
    assert_eq!(field(&last, "CODE_FILE").as_deref(), Some("retry.rs"));
    assert!(
        field(&last, "CAUSE").is_some_and(|cause| cause.contains("127.0.0.1:1")),
        "{}",
        String::from_utf8_lossy(&last)
    );
    for record in &records {
        let text = String::from_utf8_lossy(record);
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
        assert_eq!(field(record, "PRIORITY").as_deref(), Some("6"), "{text}");
    }
    // journald restarts.
    drop(socket);
    std::fs::remove_file(journal.join("socket")).expect("it was there");
    job.signal(Signal::SIGTERM);
    assert_eq!(job.wait().code(), Some(0));
    assert!(job.lines.recv_timeout(Duration::ZERO).is_err());
}

/// systemd's own, on machines that have it.
const JOURNALD: &str = "/usr/lib/systemd/systemd-journald";

#[test]
fn the_real_journal_keeps_the_fields() {
    if !std::path::Path::new(JOURNALD).exists() {
        println!("not tried: there is no {JOURNALD}");
        return;
    }
    let folder = folder();
    let service = service(folder.path());
    let mut command = Command::new("unshare");
    // A journald of the test's own: it writes to /run, which is the test's too.
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c"])
        .arg(format!(
            "mount -t tmpfs none /run && mount -t tmpfs none /var/log && mkdir -p /run/systemd/journal && \
             echo 0123456789abcdef0123456789abcdef > /run/id && mount --bind /run/id /etc/machine-id && \
             {{ {JOURNALD} 2> /dev/null & }} && until [ -S /run/systemd/journal/socket ]; do sleep 0.1; done && \
             \"$0\" \"$@\" --log-format journal & \
             until journalctl -D /run/log/journal CODE_FILE=retry.rs PRIORITY=3 -o json -n 1 --no-pager | grep CAUSE; \
             do sleep 0.1; done"
        ))
        .arg(service.get_program())
        .args(service.get_args())
        .current_dir(folder.path());
    let job = Started::new(&mut command);
    let lines = job.wait_for("CAUSE");
    let record: Value = serde_json::from_str(&lines[0]).expect("it is JSON");
    assert_eq!(record["SYSLOG_IDENTIFIER"], "job");
    let message = record["MESSAGE"].as_str();
    assert!(
        message.is_some_and(|message| message.starts_with("Failed to initialize Kafka consumer")),
        "{record}"
    );
}

#[test]
fn levels_by_module_hold_unless_there_is_one_for_all() {
    let folder = folder();
    let mut command = service(folder.path());
    command.env("RUST_LOG", "warn,job=info");
    let job = Started::new(&mut command);
    let lines = job.wait_for("Trying again until it works");
    assert!(lines.iter().any(|line| line.contains(" starts, process ")));
    // All but what src/main.rs says is the library's.
    let others = lines
        .iter()
        .filter(|line| line.contains(" INFO ") && !line.contains(" - main.rs:"));
    assert_eq!(others.count(), 0, "{lines:#?}");

    let mut command = service(folder.path());
    command
        .env("RUST_LOG", "error")
        .env("MUDUO_LOG_LEVEL", "DEBUG");
    let job = Started::new(&mut command);
    job.wait_for("DEBUG MUDUO_LOG_LEVEL=DEBUG is set, so RUST_LOG is not used");
}

#[test]
fn a_full_disk_is_said_and_so_is_what_it_cost() {
    let folder = folder();
    let service = service(folder.path());
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=64k none /mnt && exec \"$0\" \"$@\" > /mnt/log")
        .arg(service.get_program())
        .args(service.get_args())
        .args(["--http", "127.0.0.1:0"])
        .env("MUDUO_LOG_LEVEL", "DEBUG")
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut job = Started {
        child: command.spawn().expect("starts"),
        lines: channel().1,
    };
    // The disk as the job sees it.
    let disk = format!("/proc/{}/root/mnt", job.child.id());
    let log = || std::fs::read_to_string(format!("{disk}/log")).unwrap_or_default();
    let mut page = String::new();
    wait_until("it says where its page is", || {
        let log = log();
        let address = log.split("health at http://").nth(1);
        let address = address.and_then(|rest| rest.split('/').next());
        page = address.unwrap_or_default().to_owned();
        !page.is_empty()
    });
    let filler = format!("{disk}/filler");
    assert!(std::fs::write(&filler, [0; 65_536]).is_err(), "it is full");
    let said = super::log_output::said_of_the_log(&mut job);
    assert!(
        said.contains("standard output failed: No space left on device")
            && said.contains("Make room"),
        "{said}"
    );
    let mut status = Value::Null;
    wait_until("the status says it", || {
        status = get(&page, "/status.json");
        let conditions = status["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|condition| condition["name"] == "Log not written")
    });
    assert!(
        status["log"]["why"]
            .as_str()
            .is_some_and(|why| why.contains("No space left on device")),
        "{status}"
    );
    assert!(status["log"]["dropped"].as_u64() > Some(0), "{status}");

    std::fs::remove_file(&filler).expect("it is there");
    wait_until("the log says what it lacks", || {
        let log = log();
        log.contains(" ERROR writing the log failed for ")
            && log.contains(" dropped. Delivery went on")
    });
    wait_until("the status says nothing of it", || {
        get(&page, "/status.json")["log"]["why"].is_null()
    });
}

fn get(address: &str, path: &str) -> Value {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}
