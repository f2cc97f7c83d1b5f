//! A file that lists Comets: read at the start, and again when it is another one.

use std::fs::{self, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::labels::{self, switch};
use crate::base::text::one_line;
use crate::comet::own::{self, Owns};
use crate::message::fleet::Node;
use crate::settings::UNIX;
use crate::settings::fleet::{comet_name, distinct, node};

/// A list of thousands of Comets is far shorter.
const LONGEST: u64 = 4 << 20;

/// Tells one content of a file from the next, as far as that can be seen without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// A file that is looked at now and then.
pub struct Watched {
    path: PathBuf,
    /// Of the file that was read last. `None` where it couldn't be.
    stamp: Option<Stamp>,
}

impl Watched {
    pub fn new(path: PathBuf) -> Self {
        Self { path, stamp: None }
    }

    /// The Comets that the file lists, if it is another one than before. What can't be read is tried again each time.
    /// What they have of their own is kept in `owns`.
    ///
    /// # Errors
    /// It can't be read, or is no list of Comets: what is wrong, and where.
    pub fn look(&mut self, owns: &mut Owns) -> Option<Result<Vec<Node>, String>> {
        let now = fs::metadata(&self.path).ok();
        if self.stamp.is_some() && now.as_ref().map(Stamp::of) == self.stamp {
            return None;
        }
        self.stamp = None;
        let read = read(&self.path, owns);
        Some(read.map(|(stamp, nodes)| {
            self.stamp = Some(stamp);
            nodes
        }))
    }
}

fn read(path: &Path, owns: &mut Owns) -> Result<(Stamp, Vec<Node>), String> {
    let failed = |error: std::io::Error| error.to_string();
    // A pipe would hold up whoever opens it until somebody writes.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    // Of what is read, not of what stands at that path by now.
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err("it is no regular file".into());
    }
    if about.len() > LONGEST {
        return Err(format!("it has more than {} MiB", LONGEST >> 20));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    list(&text, owns).map(|nodes| (Stamp::of(&about), nodes))
}

/// Reads a list: groups as Prometheus' file_sd has them, or Comets as `--comet` names them.
fn list(text: &str, owns: &mut Owns) -> Result<Vec<Node>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| match text.trim() {
        "" => "it is empty".to_owned(),
        _ => format!("it is no JSON: {error}"),
    })?;
    let Value::Array(entries) = value else {
        return Err("it is no list: write [ … ]".into());
    };
    let (mut nodes, mut may_be_empty) = (Vec::new(), false);
    for (n, entry) in (1..).zip(&entries) {
        let read = match entry {
            Value::String(text) => node(text).map(|node| nodes.push(node)),
            Value::Object(_) => group(entry, &mut nodes, owns).map(|empty| may_be_empty |= empty),
            _ => Err("it is neither a group of targets nor a text".into()),
        };
        read.map_err(|error| format!("entry {n}: {error}"))?;
    }
    distinct(&nodes)?;
    match nodes.is_empty() && !may_be_empty {
        false => Ok(nodes),
        true => Err(
            "it lists no Comet. If there is none, write [{\"targets\": [], \"labels\": {\"empty\": true}}]".into(),
        ),
    }
}

/// Reads a group. Returns whether it says that there are no Comets.
fn group(group: &Value, nodes: &mut Vec<Node>, owns: &mut Owns) -> Result<bool, String> {
    let targets = group.get("targets").and_then(Value::as_array);
    let targets = targets.ok_or("it has no list of targets")?;
    let none = serde_json::Map::new();
    let labels = match group.get("labels") {
        None | Some(Value::Null) => &none,
        Some(labels) => labels.as_object().ok_or("its labels are no object")?,
    };
    let name = match labels.get("name") {
        None => None,
        Some(name) => {
            let name = name.as_str().ok_or("the label name is no text")?;
            Some(comet_name(name)?)
        }
    };
    if name.is_some() && targets.len() > 1 {
        return Err(format!(
            "the name {} is for {} targets: give each target a group of its own",
            name.unwrap_or_default(),
            targets.len()
        ));
    }
    let is_on = |label| switch(labels, label, ["true", "false"]).map(Option::unwrap_or_default);
    let drains = is_on("drain")?;
    let own = labels::read(labels).and_then(|labels| owns.of(labels));
    let own = own.map_err(|why| {
        let first = targets.first().and_then(Value::as_str);
        let whose = name.as_deref().or(first).unwrap_or("no Comet");
        format!("{}: {why}", one_line(whose))
    })?;
    for target in targets {
        let target = target.as_str().ok_or("a target is no text")?;
        let node = node(target)?;
        let node = Node {
            name: name.clone().unwrap_or(node.name),
            drains,
            own: own.clone(),
            ..node
        };
        if node.address.starts_with(UNIX) && own::tls_settings_of(&node).is_some() {
            return Err(format!(
                "{node} is at a Unix socket, over which job speaks plainly: leave TLS out of its labels"
            ));
        }
        nodes.push(node);
    }
    is_on("empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<Node>, String> {
        super::list(text, &mut Owns::new(None))
    }

    fn named(name: &str, address: &str) -> Node {
        Node {
            name: name.into(),
            ..address.into()
        }
    }

    #[test]
    fn lists_of_comets() {
        let drains = |node| Node {
            drains: true,
            ..node
        };
        for (text, nodes) in [
            (
                r#"[{"targets": ["10.0.0.1:50051"], "labels": {"name": "comet1", "env": "prod"}},
                    {"targets": ["10.0.0.2:50051"], "labels": {"name": "comet2", "drain": true}},
                    {"targets": ["10.0.0.3:1", "[::1]:2"]}]"#,
                vec![
                    named("comet1", "10.0.0.1:50051"),
                    drains(named("comet2", "10.0.0.2:50051")),
                    "10.0.0.3:1".into(),
                    "[::1]:2".into(),
                ],
            ),
            (
                r#"["comet1=10.0.0.1:1", "b:2", {"targets": ["c:3"], "labels": {"drain": "false"}}]"#,
                vec![named("comet1", "10.0.0.1:1"), "b:2".into(), "c:3".into()],
            ),
            (r#"[{"targets": [], "labels": {"empty": "true"}}]"#, vec![]),
        ] {
            assert_eq!(list(text), Ok(nodes), "{text}");
        }
    }

    #[test]
    fn a_broken_list_says_what_is_wrong_where() {
        for (text, says) in [
            ("", "it is empty"),
            (
                "[",
                "it is no JSON: EOF while parsing a list at line 1 column 1",
            ),
            ("{}", "it is no list"),
            ("[]", "it lists no Comet. If there is none, write"),
            (r#"[{"targets": []}]"#, "it lists no Comet"),
            (r#"["a:1", 7]"#, "entry 2: it is neither a group"),
            (
                r#"["a:1", "b"]"#,
                "entry 2: 'b' has no port: write host:port",
            ),
            (
                r#"[{"target": ["a:1"]}]"#,
                "entry 1: it has no list of targets",
            ),
            (r#"[{"targets": [1]}]"#, "entry 1: a target is no text"),
            (
                r#"[{"targets": ["a:1", "b:1"], "labels": {"name": "x"}}]"#,
                "entry 1: the name x is for 2 targets: give each target a group of its own",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"drain": 1}}]"#,
                "entry 1: the label drain is 1: write true or false",
            ),
            (
                r#"["z:1", {"targets": ["a:1"], "labels": {"name": "x", "tls": "yes"}}]"#,
                "entry 2: x: the label tls is \"yes\": write on or off",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"ca": 1}}]"#,
                "entry 1: a:1: the label ca is no text",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"ca": ""}}]"#,
                "entry 1: a:1: the label ca is empty",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"tls": true, "server-name": "a", "server_name": "b"}}]"#,
                "entry 1: a:1: the label server-name is there twice",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"tls": true, "ca": "/nowhere/ca.pem"}}]"#,
                "entry 1: a:1: the label ca /nowhere/ca.pem",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"metadata": {"x": 1}}}]"#,
                "entry 1: a:1: the label metadata is neither a text nor a table",
            ),
            (
                r#"[{"targets": ["a:1"], "labels": {"metadata": {"x-a": "secret\u00e4"}}}]"#,
                "entry 1: a:1: the label metadata: x-a: its value has more than",
            ),
            (
                r#"[{"targets": ["unix:/a"], "labels": {"tls": "on"}}]"#,
                "entry 1: unix:/a is at a Unix socket, over which job speaks plainly",
            ),
            (r#"["a:1", "A:1"]"#, "'A:1' is listed twice"),
            (r#"["x=a:1", "x=b:1"]"#, "have the same name"),
            (r#"["dns:///a:1"]"#, "entry 1: 'dns:///a:1' has a scheme"),
        ] {
            let error = list(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn comets_of_a_group_have_what_its_labels_say() {
        let mut owns = Owns::new(None);
        let text = r#"[{"targets": ["a:1", "b:1"], "labels": {"metadata": {"x-a": "s,1", "x-b": "2"}}},
            {"targets": ["c:1"], "labels": {"metadata": "x-a=s\\,1,x-b=2"}}, "d:1",
            {"targets": ["e:1"], "labels": {"tls": "off"}}]"#;
        let nodes = super::list(text, &mut owns).expect("right");
        let goes_along = |node: &Node| {
            let metadata = own::metadata_of(node, None)?;
            let fields = metadata.fields();
            let all: Vec<_> = fields.iter().map(|one| one.value.clone()).collect();
            Some(all.join(" "))
        };
        let own: Vec<_> = nodes.iter().map(goes_along).collect();
        let both = Some("s,1 2".to_owned());
        assert_eq!(own, [both.clone(), both.clone(), both, None, None]);
        assert!(nodes[0].own == nodes[1].own && nodes[0].own == nodes[2].own);
        // It is the same list, though it was read again.
        assert_eq!(super::list(text, &mut owns), Ok(nodes.clone()));
        let debug = format!("{nodes:?}");
        assert!(!debug.contains("s,1"), "{debug}");
    }

    /// As whoever reads while somebody writes may see it.
    #[test]
    fn half_a_list_is_no_list() {
        let whole = r#"[{"targets": ["10.0.0.1:50051"], "labels": {"name": "comet1"}}, "b:1"]"#;
        assert!(list(whole).is_ok());
        for end in 0..whole.len() {
            assert!(list(&whole[..end]).is_err(), "{}", &whole[..end]);
        }
    }

    #[test]
    fn a_pipe_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("comets.json");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let found = Watched::new(path).look(&mut Owns::new(None));
        assert_eq!(found, Some(Err("it is no regular file".into())));
    }

    #[test]
    fn a_file_is_read_again_when_it_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("comets.json");
        let mut watched = Watched::new(path.clone());
        let mut owns = Owns::new(None);
        assert!(
            watched
                .look(&mut owns)
                .unwrap()
                .unwrap_err()
                .contains("No such file")
        );
        fs::write(&path, r#"["a:1"]"#).unwrap();
        assert_eq!(watched.look(&mut owns), Some(Ok(vec!["a:1".into()])));
        assert_eq!(watched.look(&mut owns), None);
        // Another one is put in its place.
        let next = folder.path().join("next");
        fs::write(&next, r#"["b:1"]"#).unwrap();
        fs::rename(&next, &path).unwrap();
        assert_eq!(watched.look(&mut owns), Some(Ok(vec!["b:1".into()])));
        fs::write(&path, "[").unwrap();
        assert!(watched.look(&mut owns).unwrap().is_err());
        assert!(
            watched.look(&mut owns).unwrap().is_err(),
            "it is looked at again"
        );
        fs::remove_file(&path).unwrap();
        assert!(
            watched
                .look(&mut owns)
                .unwrap()
                .unwrap_err()
                .contains("No such file")
        );
        fs::write(&path, r#"["b:1", "c:1"]"#).unwrap();
        assert_eq!(
            watched.look(&mut owns),
            Some(Ok(vec!["b:1".into(), "c:1".into()]))
        );
    }
}
