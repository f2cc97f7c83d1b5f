//! Who may use whom: the table of rooms in docs/ARCHITECTURE.md, held against what the sources name.
//!
//! A room is a folder or file right under src/, or a program under src/bin/. The column "may use" lists the rooms, and
//! after the word "crates" the libraries that no other room may name. Tests inside of the sources may use more.

#[path = "layers/names.rs"]
mod names;
#[path = "layers/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use names::names;
use table::{Room, circle, rooms};

const TABLE: &str = "docs/ARCHITECTURE.md";

#[test]
fn no_room_uses_what_the_table_does_not_allow() {
    let rooms = rooms(&read(&root().join(TABLE)));
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in sources(&root().join("src")) {
        let path = file.strip_prefix(root()).expect("inside").to_owned();
        let Some((room, module)) = place(&path) else {
            continue;
        };
        seen.insert(room.clone());
        wrong.extend(violations(&rooms, &path, &room, &module, &read(&file)));
    }
    let listed = rooms.iter().map(|room| room.name.clone()).collect();
    let missing: Vec<_> = seen.symmetric_difference(&listed).collect();
    assert!(
        missing.is_empty(),
        "{TABLE} and src/ don't have the same rooms: {missing:?}"
    );
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// A file that is longer, in lines, has more than one idea. Split it by them.
const LONGEST_FILE: usize = 440;

#[test]
fn no_file_is_too_long() {
    let files = ["src", "tests"].map(|folder| rust_files(&root().join(folder)));
    let long: Vec<String> = files
        .iter()
        .flatten()
        .map(|file| (read(file).lines().count(), file))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(
        long.is_empty(),
        "more than {LONGEST_FILE} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn the_table_has_no_circle() {
    let rooms = rooms(&read(&root().join(TABLE)));
    assert!(rooms.len() > 10, "the table isn't found: {rooms:?}");
    assert_eq!(circle(&rooms), None);
}

/// What a file names against the table, a line for each.
fn violations(
    rooms: &[Room],
    path: &Path,
    room: &str,
    module: &[String],
    source: &str,
) -> Vec<String> {
    let guarded: BTreeSet<&str> = rooms.iter().flat_map(Room::crates).collect();
    let own = rooms.iter().find(|own| own.name == room);
    let mut wrong = Vec::new();
    for name in names(source, module) {
        let is_crate = !name.in_crate;
        if is_crate && !guarded.contains(name.first.as_str()) || !is_crate && name.first == room {
            continue;
        }
        let allowed = own.is_some_and(|own| match is_crate {
            true => own.crates().any(|allowed| allowed == name.first),
            false => own.uses().any(|allowed| allowed == name.first),
        });
        if !allowed {
            let what = if is_crate { "the crate" } else { "the room" };
            wrong.push(format!(
                "{}:{}: {room} names {what} {}, which the table in {TABLE} doesn't allow",
                path.display(),
                name.line,
                name.first
            ));
        }
    }
    wrong.dedup();
    wrong
}

/// A source's room, and its module's path in the library (empty in a program, where `crate` is the program itself).
fn place(path: &Path) -> Option<(String, Vec<String>)> {
    let text = path.with_extension("");
    let parts: Vec<_> = text.iter().skip(1).map(|part| part.to_str()).collect();
    let mut parts: Vec<String> = parts.into_iter().flatten().map(String::from).collect();
    match parts.first()?.as_str() {
        "lib" => None,
        "main" => Some(("main".into(), Vec::new())),
        "bin" => Some((format!("bin/{}", parts.get(1)?), Vec::new())),
        room => {
            let room = room.to_owned();
            parts.pop_if(|last| last == "mod");
            Some((room, parts))
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All sources but those of tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let of_tests = |file: &Path| {
        let inside = file.strip_prefix(folder).expect("inside");
        inside.ends_with("tests.rs") || inside.iter().any(|part| part == "tests")
    };
    let mut files = rust_files(folder);
    files.retain(|file| !of_tests(file));
    files
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

const MADE_UP: &str = "
Some text.

| room | owns | may use | must not know |
|---|---|---|---|
| `group` | accounts | `message` | Kafka |
| `kafka` | clients | `message`; crates `krafka`, `kafka` | the service |
| `message` | words | | anybody |

| `worker` | stands in another table | `group` | |
";

fn wrong(path: &str, source: &str) -> Vec<String> {
    let (room, module) = place(Path::new(path)).expect("a room");
    violations(&rooms(MADE_UP), Path::new(path), &room, &module, source)
}

#[test]
fn a_forbidden_edge_is_named_with_its_file_and_line() {
    assert_eq!(
        wrong(
            "src/group/look.rs",
            "use crate::message::Slot;\n\nfn f() { crate::kafka::fetch::go(); }\n"
        ),
        [
            "src/group/look.rs:3: group names the room kafka, which the table in docs/ARCHITECTURE.md doesn't allow"
        ]
    );
    let in_a_list = "use crate::{\n    message,\n    kafka::fetch::{self, Batch},\n};";
    assert!(wrong("src/group/mod.rs", in_a_list)[0].contains("src/group/mod.rs:3: "));
    assert_eq!(wrong("src/message/mod.rs", "use super::group;").len(), 1);
    assert_eq!(wrong("src/message/ids.rs", "use super::group;").len(), 0);
    assert_eq!(
        wrong(
            "src/message/a/b.rs",
            "type A = super::super::super::kafka::A;"
        )
        .len(),
        1
    );
    assert_eq!(wrong("src/main.rs", "use chatroom_job::group;").len(), 1);
    assert_eq!(
        wrong(
            "src/bin/x/main.rs",
            "use chatroom_job::{group, kafka as k};"
        )
        .len(),
        2
    );
}

#[test]
fn a_library_is_named_in_its_room_alone() {
    let uses = "use krafka::Kafka;\nfn f(e: &kafka::Error) {}\nuse ::kafka::client;\n";
    assert!(wrong("src/kafka/fetch/classic.rs", uses).is_empty());
    let found = wrong("src/group/mod.rs", uses);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].contains("mod.rs:2: group names the crate kafka"));
    // The room of that name, not the crate.
    let room = "use crate::kafka::{self, Trouble};\nfn f() { kafka::connect(); }";
    let found = wrong("src/group/mod.rs", room);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn words_in_comments_texts_and_tests_do_not_count() {
    let source = "
        //! [`crate::kafka`]
        /* crate::kafka /* use krafka::A; */ */
        const A: &str = \"crate::kafka \\\" crate::kafka\";
        const B: &str = r#\"use krafka::A; \" crate::kafka\"#;
        const C: (char, &'static str) = ('\"', \"krafka::a\");
        #[cfg(test)]
        use crate::kafka;
        #[cfg(test)]
        #[allow(unused)]
        mod tests { use crate::kafka; fn f() { if true { krafka::a() } } }
        mod krafkas;
        fn f() { self.kafka::<u8>(); }
    ";
    assert_eq!(wrong("src/group/mod.rs", source), Vec::<String>::new());
    // What stands behind a test is looked at again.
    assert_eq!(
        wrong(
            "src/group/mod.rs",
            "#[cfg(test)]\nmod tests;\nuse crate::kafka;"
        )
        .len(),
        1
    );
}

#[test]
fn a_circle_in_the_table_is_found() {
    assert_eq!(circle(&rooms(MADE_UP)), None);
    let round = MADE_UP.replace("| words | |", "| words | `group` |");
    let circle = circle(&rooms(&round)).expect("a circle");
    assert!(
        circle.contains("group") && circle.contains("message"),
        "{circle}"
    );
}
