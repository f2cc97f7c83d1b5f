//! Every WARN and ERROR of the sources stands in docs/TROUBLESHOOTING.md and its Chinese twin, and nothing else does.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

const BOOKS: [(&str, &str); 2] = [
    ("docs/TROUBLESHOOTING.md", "## Every WARN and ERROR"),
    ("docs/TROUBLESHOOTING.zh-CN.md", "## 每条 WARN 和 ERROR"),
];

/// What the log says with a text that is made elsewhere: the call, and where which texts are.
const MADE_ELSEWHERE: [(&str, &str, &str); 8] = [
    (
        "src/comet/location.rs",
        "the name {} was not found: {}",
        "WARN",
    ),
    (
        "src/comet/location.rs",
        "its name has {} addresses ({}), and calls go to one of them only",
        "WARN",
    ),
    (
        "src/kafka/secure/token.rs",
        "no token from {}: {why}",
        "WARN",
    ),
    (
        "src/settings/security.rs",
        "ssl-endpoint-identification-algorithm = none: who has any certificate of a trusted CA and stands between job and \
         Kafka can read and change everything",
        "WARN",
    ),
    (
        "src/kafka/membership/rebalance/find_positions.rs",
        "partitions {partitions:?} of {} can't be read yet, as nobody says where they begin: {why}",
        "WARN",
    ),
    (
        "src/service.rs",
        "Cannot serve metrics and health at {address}: {}. Set --http to another address, or off",
        "ERROR",
    ),
    ("src/service.rs", "starting a thread failed: {}", "ERROR"),
    (
        "src/main.rs",
        "Cannot take over SIGINT, SIGTERM and SIGHUP: {}",
        "ERROR",
    ),
];

/// The texts of such calls.
const FILLED_IN: [&str; 6] = [
    "{text}",
    "Comet {node}: {several}. {ONE_NAME_EACH}",
    "Comet {node}: {}; {go_on}",
    "{why}. The others are read, and these as soon as they can be",
    "{}. {}",
    "{error}",
];

/// A line that the log may have.
#[derive(Debug)]
struct Line {
    file: PathBuf,
    level: &'static str,
    text: String,
}

/// A row of a book.
struct Row {
    /// What has to be in the line, in this order.
    parts: Vec<String>,
    level: String,
}

impl Row {
    fn length(&self) -> usize {
        self.parts.iter().map(String::len).sum()
    }

    fn describes(&self, line: &Line) -> bool {
        let mut rest = line.text.as_str();
        line.level == self.level
            && self.parts.iter().all(|part| {
                let found = rest.find(part.as_str());
                if let Some(at) = found {
                    rest = &rest[at + part.len()..];
                }
                found.is_some()
            })
    }
}

#[test]
fn every_warning_and_error_is_in_the_books_and_nothing_else_is() {
    let lines = lines();
    assert!(lines.len() > 60, "{lines:#?}");
    let mut wrong = Vec::new();
    for (book, heading) in BOOKS {
        let rows = rows(book, heading);
        let mut taken = BTreeMap::new();
        for line in &lines {
            let fits = (0..rows.len()).filter(|row| rows[*row].describes(line));
            let best = fits.max_by_key(|row| rows[*row].length());
            let other = best.and_then(|best| taken.insert(best, line));
            // Two places that say the same share a row.
            if best.is_none() || other.is_some_and(|other| other.text != line.text) {
                wrong.push(format!(
                    "{book} has no row for {} of {}: {}",
                    line.level,
                    line.file.display(),
                    line.text
                ));
            }
        }
        for (n, row) in rows.iter().enumerate() {
            if !taken.contains_key(&n) {
                let parts = row.parts.join(" … ");
                wrong.push(format!(
                    "{book} has {}, which nothing says: {parts}",
                    row.level
                ));
            }
            let longest = row.parts.iter().map(String::len).max();
            if longest < Some(8) {
                wrong.push(format!("{book}: nobody can search for {:?}", row.parts));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn both_books_have_the_same_rows() {
    let [english, chinese] = BOOKS.map(|(book, heading)| {
        let rows = rows(book, heading).into_iter();
        rows.map(|row| (row.level, row.parts)).collect::<Vec<_>>()
    });
    assert_eq!(english, chinese);
}

/// The status page's conditions and fields, by what stands first in each row.
#[test]
fn both_pages_of_the_status_have_the_same_rows() {
    let [english, chinese] = ["docs/STATUS.md", "docs/STATUS.zh-CN.md"].map(|page| {
        let text = read(&root().join(page));
        let rows = text.lines().filter(|line| line.starts_with("| "));
        let firsts = rows.filter_map(|row| row.split(" | ").next());
        let is_head = |first: &&str| !["| name", "| field", "| 名称", "| 字段"].contains(first);
        firsts
            .filter(is_head)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    assert!(english.len() > 30, "{english:?}");
    assert_eq!(english, chinese);
}

#[test]
fn texts_are_taken_out_of_a_source() {
    let source = "log::warn!(comet; \"Comet {comet} \\\"is\\\" (away), \\\n        or slow\", a(\")\"));\n\
        own_line(form, Level::Error, format_args!(\"written\"))\n\
        // warn!(\"a comment\")\n\
        #[cfg(test)]\nmod tests {\n log::error!(\"a test's\") }";
    let found: Vec<_> = texts(source).collect();
    assert_eq!(
        found,
        [
            ("WARN", "Comet {comet} \"is\" (away), or slow".to_owned()),
            ("ERROR", "written".to_owned())
        ]
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn lines() -> Vec<Line> {
    let mut lines = Vec::new();
    for file in sources(&root().join("src")) {
        let file = file.strip_prefix(root()).expect("inside").to_owned();
        let is_test = file.ends_with("tests.rs") || file.iter().any(|part| part == "tests");
        if is_test || file.starts_with("src/bin") {
            continue;
        }
        for (level, text) in texts(&read(&root().join(&file))) {
            if !FILLED_IN.contains(&text.as_str()) {
                let file = file.clone();
                lines.push(Line { file, level, text });
            }
        }
    }
    for (file, text, level) in MADE_ELSEWHERE {
        let source = read(&root().join(file));
        let text = text.to_owned();
        assert!(
            joined(&source).contains(&text),
            "{file} no longer has {text:?}"
        );
        let file = file.into();
        lines.push(Line { file, level, text });
    }
    lines
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("it is there");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// A source whose long texts are on one line each, and without comments and tests.
fn joined(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next();
    let mut text = String::new();
    for line in source.unwrap_or_default().lines() {
        let line = line.trim_start();
        if line.starts_with("//") {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(begun) => text += begun,
            None => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

/// The texts that a source logs at WARN or ERROR. What the log says of itself is there by name.
fn texts(source: &str) -> impl Iterator<Item = (&'static str, String)> {
    const CALLS: [(&str, Option<&str>); 4] = [
        ("warn!(", Some("WARN")),
        ("error!(", Some("ERROR")),
        ("own_line(", None),
        ("complain(\n", Some("ERROR")),
    ];
    let source = joined(source);
    let mut found = Vec::new();
    for (call, level) in CALLS {
        for (at, _) in source.match_indices(call) {
            let (before, call) = source.split_at(at);
            let Some(text) = first_text(call) else {
                continue;
            };
            let level = level.unwrap_or(match call.contains("Level::Warn") {
                true if call.find("Level::Warn") < call.find('"') => "WARN",
                _ => "ERROR",
            });
            found.push((before.len(), level, text));
        }
    }
    found.sort();
    found
        .into_iter()
        .filter(|(_, _, text)| text.len() > 2)
        .map(|(_, level, text)| (level, text))
}

/// The first text within the call's parentheses.
fn first_text(call: &str) -> Option<String> {
    let mut depth = 0;
    let mut rest = call.chars();
    for c in rest.by_ref() {
        match c {
            '(' => depth += 1,
            ')' => {
                depth -= 1;
                if depth == 0 {
                    return None;
                }
            }
            '"' => break,
            _ => {}
        }
    }
    let mut text = String::new();
    loop {
        match rest.next()? {
            '"' => return Some(text),
            '\\' => text.extend(rest.next()),
            c => text.push(c),
        }
    }
}

/// The rows of a book's tables of lines: the first column has the line, the second its level.
fn rows(book: &str, heading: &str) -> Vec<Row> {
    let text = read(&root().join(book));
    let section = text.split(heading).nth(1);
    let section = section.unwrap_or_else(|| panic!("{book} has no section {heading}"));
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| {
        let (line, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
        let level = rest.split(' ').next()?.to_owned();
        let parts = line
            .split('…')
            .map(|part| part.trim_matches([' ', '(', ')']));
        let parts = parts.filter(|part| !part.is_empty()).map(str::to_owned);
        Some(Row {
            parts: parts.collect(),
            level,
        })
    });
    rows.collect()
}
