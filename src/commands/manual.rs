//! `job manual`: the manual pages and the shells' completions, out of the description of the command line.

use std::fs;
use std::path::Path;

use clap_complete::Shell;

use super::cli;

/// Writes `man1/*.1` and `completions/*` into the folder.
///
/// # Errors
/// A file can't be written: the error names the folder.
pub fn write(folder: &Path) -> Result<(), String> {
    let (pages, completions) = (folder.join("man1"), folder.join("completions"));
    write_to(&pages, &completions)
        .map_err(|error| format!("cannot write into {}: {error}", folder.display()))
}

fn write_to(pages: &Path, completions: &Path) -> std::io::Result<()> {
    fs::create_dir_all(pages)?;
    fs::create_dir_all(completions)?;
    clap_mangen::generate_to(cli::command(), pages)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut cli::command(), "job", completions)?;
    }
    Ok(())
}
