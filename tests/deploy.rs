//! The files that people install: they agree with each other and with the binary.

#[path = "deploy/blocks.rs"]
mod blocks;
#[path = "deploy/booted.rs"]
mod booted;
#[path = "deploy/commands.rs"]
mod commands;
#[path = "deploy/containers.rs"]
mod containers;
#[path = "deploy/dashboard.rs"]
mod dashboard;
#[path = "deploy/environment.rs"]
mod environment;
#[path = "deploy/image.rs"]
mod image;
#[path = "deploy/links.rs"]
mod links;
#[path = "deploy/package.rs"]
mod package;
#[path = "deploy/root.rs"]
mod root;
#[path = "deploy/units.rs"]
mod units;

use std::io::Write;
use std::path::PathBuf;

/// A file of the project.
fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Says what a test couldn't try on this machine, past the test runner, which shows only what failed.
fn skipped(what: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {what}");
}
