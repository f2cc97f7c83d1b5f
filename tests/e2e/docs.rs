//! The commands of the documentation, run as they stand there against a Kafka, a Comet and a job of the test's.
//!
//! tests/deploy and the command line's own tests look at those that aren't run here.

use std::path::Path;

use grpcio::RpcStatusCode;
use krafka::Record;

use crate::support::comet::{Answer, Comet};
use crate::support::command::{self, Ended};
use crate::support::http::Pages;
use crate::support::kafka::{Version, shared};
use crate::support::messages::{numbered, to_room};
use crate::support::socket::Socket;
use crate::support::topic::Topic;
use crate::support::{await_until, is};

#[expect(dead_code, reason = "the list of all pages is for other tests")]
#[path = "../deploy/blocks.rs"]
mod blocks;
use blocks::Line;

/// The pages with commands that can be run as they stand. Of TLS and SASL the tests in `secured` have them.
const PAGES: [&str; 5] = [
    "README.md",
    "docs/FIRST-STEPS.md",
    "docs/OPERATION.md",
    "docs/MIGRATION.md",
    "docs/STATUS.md",
];

/// The message that `job ctl skip 0 57` is for.
const HELD_UP: i64 = 57;

fn commands() -> Vec<Line> {
    PAGES
        .iter()
        .flat_map(|page| blocks::commands(page))
        .collect()
}

/// What takes part, in the place of what the documentation names.
struct Scene {
    topic: Topic<'static>,
    comet: Comet,
    socket: Socket,
}

impl Scene {
    /// The words with the test's own names.
    fn own(&self, words: &[String]) -> Vec<String> {
        let names = [
            ("localhost:9092", self.topic.kafka.address()),
            ("my-topic", self.topic.name.clone()),
            ("my_consumer_group", self.topic.group.clone()),
        ];
        let own = words.iter().map(|word| {
            let replaced = |word: String, (from, to): &(&str, String)| word.replace(from, to);
            names.iter().fold(word.clone(), replaced)
        });
        own.collect()
    }

    fn job(&self, words: &[&str], http: &str) -> Ended {
        let variables = [
            ("JOB_BROKERS", self.topic.kafka.address()),
            ("JOB_TOPIC", self.topic.name.clone()),
            ("JOB_GROUP", self.topic.group.clone()),
            ("JOB_COMET", self.comet.address()),
            ("JOB_CONTROL", self.socket.flag()),
            ("JOB_HTTP", http.to_owned()),
        ];
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (*name, Path::new(value)))
            .collect();
        command::job_with(&variables, words)
    }

    /// Runs those of Kafka's tools that are asked for.
    fn tools(&self, which: impl Fn(&[String]) -> bool) -> usize {
        let mut run = 0;
        for line in commands() {
            let program = line.program().to_owned();
            let tool = program.strip_suffix(".sh").unwrap_or_default();
            if !tool.starts_with("kafka-") || !which(&line.words) {
                continue;
            }
            let mut words = self.own(&line.words[1..]);
            // The script that starts the tool says where Kafka is.
            if let Some(at) = words.iter().position(|word| word == "--bootstrap-server") {
                words.drain(at..=at + 1);
            }
            // It would wait for more.
            if tool == "kafka-console-consumer" {
                words.extend(["--max-messages", "1"].map(String::from));
            }
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = self.topic.kafka.tool(tool, &words);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}\n{said}", line.place());
            run += 1;
        }
        run
    }
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|one| one == word)
}

#[test]
fn what_the_documentation_says_can_be_typed() {
    let scene = Scene {
        topic: Topic::missing(shared(Version::V3_9_1)),
        comet: Comet::start(),
        socket: Socket::new(),
    };
    let (topic, comet) = (&scene.topic, &scene.comet);
    let makes = |words: &[String]| has(words, "--create") || has(words, "--list");
    assert!(scene.tools(makes) >= 3);

    // What `job dead-letter show 0@0` shows, and a message that holds up its room for job ctl skip.
    topic
        .kafka
        .produce([Record::new(&*topic.name, "hello room")]);
    topic.produce((1..HELD_UP as usize).map(|n| numbered("room", n)));
    topic.produce([to_room("other", "bad")]);
    comet.answer(|call| match call.text() == "bad" {
        true => Answer::Status(RpcStatusCode::UNAVAILABLE),
        false => Answer::Ok,
    });
    let job = topic.job(&[comet]).flag("--control", &scene.socket.flag());
    let mut job = job.flag("--http", "127.0.0.1:0").log_level("INFO").start();
    let pages = Pages::of(&mut job);
    topic.await_dead_letters(1);
    comet.await_delivered(HELD_UP as usize - 1);
    job.await_line(&["WARN", "UNAVAILABLE"]);

    let (mut run, mut asked) = (0, 0);
    for line in commands() {
        let words = scene.own(&line.words[1..]);
        match line.program() {
            // What an installation has isn't here.
            "job" if words.iter().any(|word| word.starts_with("/etc/")) => {}
            // The service itself runs already.
            "job" if words.first().is_some_and(|word| !word.starts_with("--")) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let ended = scene.job(&words, pages.address());
                let said = format!("{}\n{}{}", line.place(), ended.out, ended.err);
                assert_eq!(ended.code, Some(0), "{said}");
                run += 1;
            }
            "curl" => {
                let url = words.last().expect("an address");
                let (_, path) = url.split_once("9093").unwrap_or_else(|| panic!("{url}"));
                let (code, text) = pages.get(path);
                assert_eq!(code, 200, "{}\n{text}", line.place());
                asked += 1;
            }
            _ => {}
        }
    }
    assert!(run >= 13 && asked >= 2, "{run} and {asked}");
    // Named in the text.
    for words in [
        &["config"][..],
        &["config", "--example"],
        &["config", "--json"],
        &["status", "--json"],
        &["ctl", "journal"],
        &["ctl", "resume"],
        &["ctl", "log-level", "INFO"],
        &["dead-letter", "list", "--all"],
        &["--help"],
        &["--version"],
    ] {
        let ended = scene.job(words, pages.address());
        assert_eq!(ended.code, Some(0), "{words:?}\n{}{}", ended.out, ended.err);
    }
    for page in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(pages.get(page).0, 200, "{page}");
    }
    topic.await_no_lag();

    let describes = |words: &[String]| has(words, "--describe");
    assert!(scene.tools(describes) >= 2);
    job.stop();
    await_until("a group without members", || {
        is(topic.kafka.members(&topic.group).len(), 0)
    });
    let after = |words: &[String]| has(words, "--reset-offsets") || has(words, "--from-beginning");
    assert!(scene.tools(after) >= 4);
}
