//! The example loads, and the docs' tables say of each setting what its description says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::settings::load::file;
use crate::settings::load::parser::Parser;

/// Reads a file's text as job does, each key and value by itself.
fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("job.toml"), text).expect("writes");
    let found = file::read(Path::new("job.toml"), folder.path(), &Parser::new())?;
    Ok(found.into_iter().collect())
}

#[test]
fn the_example_sets_nothing_as_it_is() {
    assert_eq!(read(&example()), Ok(BTreeMap::new()));
}

#[test]
fn each_line_of_the_example_can_be_taken_in() {
    let example = example();
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let all: Vec<&str> = example
        .lines()
        .filter(is_setting)
        .map(|line| &line[1..])
        .collect();
    let read = read(&all.join("\n")).expect("all its values are valid");
    let described = described();
    assert_eq!(read.len(), described.len());
    for setting in described {
        if let Some(default) = setting.default {
            assert_eq!(read[&setting.key], default, "{}", setting.key);
        }
    }
}

#[test]
fn what_toml_would_misread_is_escaped() {
    assert_eq!(string("a\"b\\c\u{7}"), "\"a\\\"b\\\\c\\u0007\"");
    let topic = described()
        .into_iter()
        .find(|one| one.key == "topic")
        .expect("it is there");
    assert_eq!(topic.line("a, b"), "topic = [\"a\", \"b\"]");
    for (value, written) in [
        ("8", "8"),
        ("08", "\"08\""),
        ("+8", "\"+8\""),
        ("0x10", "\"0x10\""),
    ] {
        assert_eq!(
            described()[0].clone_as("threads").line(value),
            format!("threads = {written}")
        );
    }
}

/// A table of the docs, and the words for a setting without a default.
struct Table {
    path: &'static str,
    heading: &'static str,
}

const TABLES: [Table; 2] = [
    Table {
        path: "docs/CONFIGURATION.md",
        heading: "| flag, key | variable | default | meaning |",
    },
    Table {
        path: "docs/CONFIGURATION.zh-CN.md",
        heading: "| 参数、键 | 环境变量 | 默认值 | 含义 |",
    },
];

/// The rows of a table, each as its cells.
fn rows(table: &Table) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(table.path);
    let text = fs::read_to_string(path).expect("it is there");
    let lines = text
        .lines()
        .skip_while(|line| *line != table.heading)
        .skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

#[test]
fn the_tables_of_the_docs_name_each_setting_its_variable_and_its_default() {
    for table in TABLES {
        let rows = rows(&table);
        let mut wrong = Vec::new();
        let mut expected = vec!["config".to_owned()];
        expected.extend(described().into_iter().map(|setting| setting.key));
        let key = |row: &Vec<String>| row[0].split('`').nth(1).unwrap_or_default().to_owned();
        let mut keys: Vec<String> = rows.iter().map(key).collect();
        keys.sort_unstable();
        expected.sort_unstable();
        for setting in described() {
            let Some(row) = rows.iter().find(|row| key(row) == setting.key) else {
                wrong.push(format!(
                    "no row for {}: | `{0}` | `{}` | {} | {} |",
                    setting.key,
                    setting.variable,
                    cell(&setting),
                    setting.help
                ));
                continue;
            };
            let default_is_right = match setting.default {
                Some(_) => row[2] == cell(&setting),
                // Words for what holds then.
                None => !row[2].is_empty() && !row[2].contains('`'),
            };
            if row[1] != format!("`{}`", setting.variable) || !default_is_right || row[3].is_empty()
            {
                wrong.push(format!(
                    "{}: | {} | {} |, and not {}",
                    setting.key,
                    format_args!("`{}`", setting.variable),
                    cell(&setting),
                    row[1..3].join(" | ")
                ));
            }
        }
        if wrong.is_empty() && keys != expected {
            wrong.push(format!("a row too many: {keys:?}\nand not {expected:?}"));
        }
        assert!(wrong.is_empty(), "{}:\n{}", table.path, wrong.join("\n"));
    }
}

fn cell(setting: &Described) -> String {
    match &setting.default {
        Some(default) => format!("`{default}`"),
        None => "none".into(),
    }
}

impl Described {
    fn clone_as(&self, key: &str) -> Described {
        Described {
            key: key.into(),
            placeholder: "N".into(),
            ..self.clone()
        }
    }
}
