//! The commands of the documentation, but for job's own: the command line's tests have those.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::blocks::{self, Line};
use super::{file, read};

/// Programs that aren't the project's: what they do is theirs. Each is in the documentation somewhere.
const OTHERS: [&str; 13] = [
    "apt-get",
    "cargo",
    "curl",
    "docker",
    "echo",
    "install",
    "journalctl",
    "kubectl",
    "mv",
    "rm",
    "systemctl",
    "umask",
    "useradd",
];

/// Scripts of Kafka that scripts/kafka has in other words: they come with Kafka, in its folder.
const OF_KAFKA: [&str; 3] = [
    "zookeeper-server-start.sh",
    "kafka-server-start.sh",
    "kafka-storage.sh",
];

fn all() -> Vec<Line> {
    let pages = blocks::pages();
    pages
        .iter()
        .flat_map(|page| blocks::commands(page))
        .collect()
}

/// The flags in a command.
fn flags(line: &Line) -> impl Iterator<Item = &str> {
    let words = line.words.iter().skip(1);
    words
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split('=').next().unwrap_or(word))
}

#[test]
fn each_program_is_known() {
    let (mut unknown, all) = (Vec::new(), all());
    assert!(all.len() > 120, "{}", all.len());
    for line in &all {
        let program = line.program();
        let is_known = match program {
            "job" | "dev-comet" => true,
            script if script.starts_with("scripts/") => true,
            tool if OF_KAFKA.contains(&tool) => true,
            tool if tool.starts_with("kafka-") && tool.ends_with(".sh") => {
                has_tool(tool.trim_end_matches(".sh"))
            }
            other => OTHERS.contains(&other),
        };
        if !is_known {
            unknown.push(line.place());
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
    let unused = OTHERS
        .iter()
        .filter(|other| !all.iter().any(|line| line.program() == **other));
    let unused: Vec<_> = unused.collect();
    assert!(unused.is_empty(), "no command of {unused:?} is left");
}

/// Whether scripts/kafka knows the class of a tool.
fn has_tool(tool: &str) -> bool {
    read("scripts/kafka").contains(&format!("\n  {tool}) candidates="))
}

/// What a script's flags are read from: itself, or the program that it starts.
fn source(script: &str) -> String {
    let started = match script {
        "scripts/torture" => &["tests/torture/settings.rs"][..],
        "scripts/bench" => &["tests/bench/benchmark.rs"],
        "scripts/kafka" => &["scripts/kafka-broker.sh"],
        _ => &[],
    };
    let more = started.iter().map(|path| read(path));
    read(script) + &more.collect::<String>()
}

#[test]
fn each_script_is_there_and_knows_its_flags() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for line in all() {
        let script = line.program();
        if !script.starts_with("scripts/") {
            continue;
        }
        seen += 1;
        let mode = std::fs::metadata(file(script)).map(|found| found.permissions().mode());
        if !mode.is_ok_and(|mode| mode & 0o111 != 0) {
            wrong.push(format!("{}: it can't be run", line.place()));
            continue;
        }
        let source = source(script);
        // A tool's own flags are Kafka's.
        if line.words.get(1).is_some_and(|word| word == "tool") {
            if !line.words.get(3).is_some_and(|tool| has_tool(tool)) {
                wrong.push(format!("{}: no such tool", line.place()));
            }
            continue;
        }
        // What is named is named as a flag, or as the field of a command line.
        for flag in flags(&line) {
            let field = format!("{}:", flag.trim_start_matches('-').replace('-', "_"));
            if !source.contains(flag) && !source.contains(&field) {
                wrong.push(format!("{}: no {flag}", line.place()));
            }
        }
    }
    assert!(seen > 30, "{seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn dev_comet_takes_each_of_its_commands() {
    let mut seen = 0;
    for line in all().iter().filter(|line| line.program() == "dev-comet") {
        seen += 1;
        // With --help it reads the rest, and starts nothing.
        let output = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
            .args(&line.words[1..])
            .arg("--help")
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{said}", line.place());
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn both_languages_have_the_same_commands() {
    let words = |page: &str| -> Vec<String> {
        let lines = blocks::commands(page);
        lines.iter().map(|line| line.words.join(" ")).collect()
    };
    let pages = blocks::pages();
    let chinese: Vec<_> = pages
        .iter()
        .filter(|page| page.contains(".zh-CN."))
        .collect();
    assert!(chinese.len() > 8, "{chinese:?}");
    for page in chinese {
        assert_eq!(words(&page.replace(".zh-CN", "")), words(page), "{page}");
    }
}

#[test]
fn a_command_stands_in_a_block_that_says_so() {
    for page in blocks::pages() {
        for block in blocks::blocks(&blocks::text(&page)) {
            if !block.language.is_empty() {
                continue;
            }
            for (number, line) in &block.lines {
                let first = line.split_whitespace().next().unwrap_or_default();
                let programs = ["job", "dev-comet", "curl"];
                let is_command = programs.contains(&first)
                    || ["bin/", "scripts/"]
                        .iter()
                        .any(|folder| first.starts_with(folder));
                assert!(
                    !is_command,
                    "{page}:{number}: {line}: the block is no `bash`"
                );
            }
        }
    }
}

#[test]
fn a_line_is_taken_apart_as_a_shell_does() {
    let split = |line: &str| -> Vec<String> {
        let commands = blocks::split(line).into_iter();
        commands.map(|words| words.join("|")).collect()
    };
    assert_eq!(split("job send 'a  b' \"c\" # to all"), ["job|send|a  b|c"]);
    assert_eq!(split("(umask 077; echo x > file)"), ["umask|077", "echo|x"]);
    assert_eq!(split("nohup ./job >> job.log 2>&1 &"), ["nohup|./job"]);
    assert_eq!(split("a --x=1 && b | c"), ["a|--x=1", "b", "c"]);
}
