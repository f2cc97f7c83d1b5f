use log::Record;
use log::kv::Value;

use super::*;

/// Everything that may forge a line or a field, and more than anybody reads.
fn odd() -> String {
    let rest = "x".repeat(10_000);
    format!("a\r\n\x1b[31mPRIORITY=0\u{2028}\u{202e}\0\"\\{rest}")
}

fn written(form: Form, target: &str, text: &str, fields: &[(&str, Value<'_>)]) -> Vec<u8> {
    let mut record = Record::builder();
    record
        .target(target)
        .level(Level::Warn)
        .file(Some("src/group/file.rs"))
        .line(Some(88))
        .key_values(&fields);
    let args = format_args!("{text}");
    let record = record.args(args).build();
    let at = "2026-11-23T06:49:37.468688999Z".parse().expect("a time");
    form.bytes(&Entry {
        at,
        thread: 23680,
        ..Entry::now(&record)
    })
}

fn text(form: Form, target: &str, text: &str, fields: &[(&str, Value<'_>)]) -> String {
    String::from_utf8(written(form, target, text, fields)).expect("text")
}

const OWN: &str = "chatroom_job::group";

#[test]
fn the_line_is_muduos() {
    let fields = [("partition", Value::from(1))];
    assert_eq!(
        text(Form::Muduo, OWN, "text", &fields),
        "20261123 06:49:37.468688Z 23680 WARN  text - file.rs:88\n"
    );
}

#[test]
fn records_of_others_stay_on_one_line() {
    for (target, shown) in [
        (OWN, "a\nb"),
        ("krafka::client", "a\\nb"),
        ("jobber", "a\\nb"),
    ] {
        let line = text(Form::Muduo, target, "a\nb", &[]);
        assert!(line.contains(&format!("WARN  {shown} - ")), "{line}");
    }
}

#[test]
fn json_is_one_line_with_the_fields() {
    let fields = [
        ("partition", Value::from(1)),
        ("comet", Value::from("a:1")),
        ("latency_ms", Value::from(0.5)),
        ("offset", Value::null()),
    ];
    assert_eq!(
        text(Form::Json, OWN, "a\nb", &fields),
        concat!(
            r#"{"time":"2026-11-23T06:49:37.468688Z","level":"WARN","thread":23680,"message":"a\nb","partition":1,"#,
            r#""comet":"a:1","latency_ms":0.5,"module":"chatroom_job::group","file":"file.rs","line":88}"#,
            "\n"
        )
    );
}

#[test]
fn journald_gets_fields_and_a_priority() {
    let fields = [("partition", Value::from(1)), ("_no", Value::from(2))];
    let expected = [
        &b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"[..],
        b"PRIORITY=4\nSYSLOG_IDENTIFIER=job\nTID=23680\nCODE_FILE=file.rs\nCODE_LINE=88\nMODULE=chatroom_job::group\n",
        b"PARTITION=1\n\n",
    ];
    assert_eq!(
        written(Form::Journal, OWN, "a\nb", &fields),
        expected.concat()
    );
}

#[test]
fn each_line_has_its_priority() {
    assert_eq!(
        text(Form::Prefixed, OWN, "a\nb", &[]),
        "<4>20261123 06:49:37.468688Z 23680 WARN  a\n<4>b - file.rs:88\n"
    );
    let levels = [
        Level::Error,
        Level::Warn,
        Level::Info,
        Level::Debug,
        Level::Trace,
    ];
    assert_eq!(levels.map(priority), [3, 4, 6, 7, 7]);
}

#[test]
fn nothing_from_outside_forges_a_line_or_a_field_or_is_long() {
    let odd = odd();
    let fields = [("room", Value::from(odd.as_str()))];
    for form in [Form::Muduo, Form::Json, Form::Journal, Form::Prefixed] {
        let written = text(form, "krafka::client", &odd, &fields);
        assert_eq!(form.count(written.as_bytes()), 1, "{form:?}");
        let lines = written.lines().filter(|line| !line.is_empty());
        let lines = lines.collect::<Vec<_>>();
        assert_eq!(lines.len(), if form == Form::Journal { 8 } else { 1 });
        for line in lines {
            assert!(line.len() < 2_500, "{form:?}: {}", line.len());
            assert!(!line.contains(char::is_control), "{form:?}: {line}");
            assert!(!line.contains(['\u{2028}', '\u{202e}']), "{form:?}: {line}");
            assert!(!line.starts_with("PRIORITY=0"), "{form:?}: {line}");
        }
        if form == Form::Json {
            let object: serde_json::Value = serde_json::from_str(&written).expect("it is JSON");
            let room = object["room"].as_str().expect("a text");
            assert!(room.starts_with("a\\r\\n\\u{1b}[31mPRIORITY=0"), "{room}");
            assert!(room.ends_with("first 1024 shown)"), "{room}");
        }
    }
}

#[test]
fn the_journal_counts_records_and_the_others_lines() {
    for (form, count) in [(Form::Muduo, 4), (Form::Json, 2), (Form::Journal, 2)] {
        let once = written(form, OWN, "a\nb", &[]);
        assert_eq!(form.count(&once.repeat(2)), count);
    }
}
