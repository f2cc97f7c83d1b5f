//! The file from which all jobs know which Comets there are.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// How a Comet stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Here,
    Drains,
    Out,
}

pub struct Fleet {
    path: PathBuf,
    comets: Vec<(SocketAddr, Listed)>,
}

impl Fleet {
    /// Writes the file: all of them are there.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn new(folder: &Path, comets: &[SocketAddr]) -> Result<Self, String> {
        let comets = comets.iter().map(|at| (*at, Listed::Here)).collect();
        let path = folder.join("comets.json");
        let fleet = Self { path, comets };
        fleet.write()?;
        Ok(fleet)
    }

    /// For `--comet`.
    pub fn flag(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// # Errors
    /// The file can't be written.
    pub fn set(&mut self, comet: usize, listed: Listed) -> Result<(), String> {
        self.comets[comet].1 = listed;
        self.write()
    }

    /// Nobody reads half of it.
    fn write(&self) -> Result<(), String> {
        let next = self.path.with_extension("next");
        fs::write(&next, self.text())
            .and_then(|()| fs::rename(&next, &self.path))
            .map_err(|e| format!("cannot write {}: {e}", self.path.display()))
    }

    fn text(&self) -> String {
        let group = |(at, listed): &(SocketAddr, Listed)| match listed {
            Listed::Here => Some(json!({"targets": [at.to_string()]})),
            Listed::Drains => Some(json!({"targets": [at.to_string()], "labels": {"drain": true}})),
            Listed::Out => None,
        };
        let may_be_empty = json!({"targets": [], "labels": {"empty": true}});
        let groups = self.comets.iter().filter_map(group);
        Value::from_iter(groups.chain([may_be_empty])).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_those_that_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let comets = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut fleet = Fleet::new(folder.path(), &comets).unwrap();
        fleet.set(0, Listed::Drains).unwrap();
        fleet.set(1, Listed::Out).unwrap();
        let path = folder.path().join("comets.json");
        assert_eq!(fleet.flag(), format!("file://{}", path.display()));
        let read: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let expected = json!([
            {"targets": ["127.0.0.1:1"], "labels": {"drain": true}},
            {"targets": ["127.0.0.1:3"]},
            {"targets": [], "labels": {"empty": true}},
        ]);
        assert_eq!(read, expected);
    }
}
