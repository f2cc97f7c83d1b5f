//! The files that people install: they agree with each other and with the binary.

#[path = "deploy/blocks.rs"]
mod blocks;
#[path = "deploy/commands.rs"]
mod commands;
#[path = "deploy/dashboard.rs"]
mod dashboard;
#[path = "deploy/environment.rs"]
mod environment;
#[path = "deploy/links.rs"]
mod links;
#[path = "deploy/units.rs"]
mod units;

use std::path::PathBuf;

/// A file of the project.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
