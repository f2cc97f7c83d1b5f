//! `job …`, as the documentation has it, through the parser that people's commands go through.

use super::*;

#[path = "../../../../tests/deploy/blocks.rs"]
mod blocks;

/// What stands for a value in the documentation: a sample of it.
const SAMPLES: [(&str, &str); 12] = [
    ("HOST:PORT", "127.0.0.1:9093"),
    ("PARTITION[:OFFSET[-OFFSET]]", "0:5-9"),
    ("PARTITION:OFFSET", "0:5"),
    ("PARTITION", "0"),
    ("OFFSET", "57"),
    ("PLACE", "0@17"),
    ("TOPIC", "my-topic"),
    ("TEXT", "refused"),
    ("LEVEL", "debug"),
    ("FOLDER", "man"),
    ("PATH", "/run/job.sock"),
    ("N", "4"),
];

fn sample(word: &str) -> String {
    let bare = word.trim_matches(['<', '>']);
    let sample = SAMPLES.iter().find(|(name, _)| *name == bare);
    sample.map_or(word, |(_, sample)| sample).into()
}

/// What the parser says against it.
fn complaint(words: &[String]) -> Option<String> {
    let words = words.iter().map(|word| sample(word));
    let error = command().try_get_matches_from(words).err()?;
    // Asked for, and printed.
    let shows = [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion];
    (!shows.contains(&error.kind())).then(|| error.to_string())
}

#[test]
fn each_command_of_a_block_is_one_of_jobs() {
    let pages = blocks::pages();
    let commands = pages.iter().flat_map(|page| blocks::commands(page));
    let ours: Vec<_> = commands.filter(|line| line.program() == "job").collect();
    assert!(ours.len() > 30, "{}", ours.len());
    let wrong = ours.iter().filter_map(|line| {
        let complaint = complaint(&line.words)?;
        Some(format!("{}\n{complaint}", line.place()))
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lines of the log that begin like a command.
const LINES: [&str; 4] = [
    "job ctl, uid",
    "job ctl reaches",
    "job ctl can't",
    "job ctl of uid",
];

/// What is named in running text: `job ctl skip`, without what it is for.
#[test]
fn each_command_of_the_text_is_one_of_jobs() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in blocks::pages() {
        let text = blocks::text(&page);
        for (line, number) in text.lines().zip(1..) {
            for code in line.split('`').skip(1).step_by(2) {
                let Some(command) = code.strip_prefix("job ") else {
                    continue;
                };
                if LINES.iter().any(|line| code.starts_with(line)) {
                    continue;
                }
                seen += 1;
                let words = command.split(['…', '|']).next().unwrap_or_default();
                let Some(complaint) = unknown(&words.split(' ').collect::<Vec<_>>()) else {
                    continue;
                };
                wrong.push(format!("{page}:{number}: `{code}`: {complaint}"));
            }
        }
    }
    assert!(seen > 150, "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The subcommand or flag that there isn't. What a text leaves out isn't asked for.
fn unknown(words: &[&str]) -> Option<String> {
    let mut at = command();
    at.build();
    for word in words.iter().filter(|word| !word.is_empty()) {
        if let Some(flag) = word.strip_prefix("--") {
            let name = flag.split('=').next().unwrap_or_default();
            let is_there = at.get_arguments().any(|one| one.get_long() == Some(name));
            if !is_there {
                return Some(format!("no flag --{name}"));
            }
        } else if at.has_subcommands() && at.find_subcommand(word).is_none() {
            return Some(format!("no command {word}"));
        } else if let Some(next) = at.find_subcommand(word) {
            at = next.clone();
        }
    }
    None
}
