//! Where the socket is, on both sides: the job's, which takes the place, and that of `job ctl`, which finds it.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::base::limits::explained;

/// The socket's name in the runtime folder. A second job there has its process id in the name.
const NAME: &str = "job.sock";
/// job's folder in a user's runtime folder.
const FOLDER: &str = "chatroom-job";
/// Where the systemd unit has its socket. Whoever runs `job ctl` may not have the unit's environment.
const OF_UNIT: &str = "/run/chatroom-job/job.sock";

/// Reads a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// A socket that this process listens on. Its file goes away with it.
#[derive(Debug)]
pub struct Place {
    pub path: PathBuf,
    /// The file's device and inode: another's file in its place stays.
    file: [u64; 2],
}

/// Why a place can't be had.
#[derive(Debug)]
pub enum Trouble {
    /// A process listens there.
    Taken,
    Failed(String),
}

impl Place {
    /// Takes the place at `path`. A socket on which nobody listens any more is replaced.
    ///
    /// # Errors
    /// A process listens there, or the system refuses it.
    pub fn take(path: &Path) -> Result<(Self, UnixListener), Trouble> {
        let failed = |what: &str, error: io::Error| Trouble::Failed(told(what, path, &error));
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        // Two that start at once must not replace each other's sockets. Where the folder can't be locked that is unlikely still.
        let lock = File::open(folder.unwrap_or(Path::new("."))).ok();
        let _ = lock.as_ref().map(File::lock);
        match path.symlink_metadata() {
            Ok(there) if there.file_type().is_socket() => {
                if listens(path).map_err(|error| failed("asking who listens at", error))? {
                    return Err(Trouble::Taken);
                }
            }
            Ok(_) => {
                return Err(Trouble::Failed(format!(
                    "{} is there, and is no socket",
                    path.display()
                )));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("looking at", error)),
        }
        // Nobody connects before the mode is right.
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let _ = std::fs::remove_file(&beside);
        let made = UnixListener::bind(&beside).map_err(|error| failed("making", error))?;
        let moved = std::fs::set_permissions(&beside, Permissions::from_mode(0o600))
            .and_then(|()| made.set_nonblocking(true))
            .and_then(|()| beside.symlink_metadata())
            .and_then(|file| std::fs::rename(&beside, path).map(|()| file));
        match moved {
            Ok(file) => {
                let (path, file) = (path.to_owned(), identity(&file));
                Ok((Self { path, file }, made))
            }
            Err(error) => {
                let _ = std::fs::remove_file(&beside);
                Err(failed("making", error))
            }
        }
    }

    /// Takes the place in the runtime folder; where another job has it, one beside it.
    ///
    /// # Errors
    /// There is no such folder that is safe, or the system refuses the socket.
    pub fn take_default(variables: Variables<'_>) -> Result<(Self, UnixListener), String> {
        let folder = folder(variables);
        folder.make()?;
        sweep(&folder.path);
        let name = format!("job-{}.sock", std::process::id());
        let taken = match Self::take(&folder.path.join(NAME)) {
            Err(Trouble::Taken) => Self::take(&folder.path.join(name)),
            taken => taken,
        };
        taken.map_err(|trouble| match trouble {
            Trouble::Taken => format!("all its names in {} are taken", folder.path.display()),
            Trouble::Failed(why) => why,
        })
    }

    /// Whether another job has the name that is looked for first.
    pub fn is_second(&self) -> bool {
        let name = self.path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name != NAME && is_name(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let there = self.path.symlink_metadata();
        if there.is_ok_and(|file| identity(&file) == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &Metadata) -> [u64; 2] {
    [file.dev(), file.ino()]
}

fn told(what: &str, path: &Path, error: &io::Error) -> String {
    format!("{what} {}: {}", path.display(), explained(error))
}

/// Whether a process listens at a socket.
fn listens(path: &Path) -> io::Result<bool> {
    match UnixStream::connect(path) {
        Ok(_) => Ok(true),
        Err(error)
            if [ErrorKind::ConnectionRefused, ErrorKind::NotFound].contains(&error.kind()) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A folder for sockets.
struct Folder {
    path: PathBuf,
    /// Whether it is made here, and has to be this user's alone.
    is_own: bool,
}

fn folder(variables: Variables<'_>) -> Folder {
    let named = |name| variables(name).filter(|value| !value.is_empty());
    if let Some(folders) = named("RUNTIME_DIRECTORY") {
        // systemd names several with colons.
        let folders = folders.to_string_lossy();
        let first = folders.split(':').next().unwrap_or_default();
        return Folder {
            path: first.into(),
            is_own: false,
        };
    }
    let path = match named("XDG_RUNTIME_DIR") {
        Some(folder) => PathBuf::from(folder).join(FOLDER),
        None => PathBuf::from(format!("/tmp/{FOLDER}-{}", geteuid())),
    };
    Folder { path, is_own: true }
}

impl Folder {
    /// Makes it where it isn't there.
    ///
    /// # Errors
    /// It can't be made, or others may write to it.
    fn make(&self) -> Result<(), String> {
        if !self.is_own {
            return Ok(());
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(told("making the folder", &self.path, &error))
            }
            _ => self.check(),
        }
    }

    /// Checks that nobody else can put a socket there: in /tmp anybody may have made it first.
    fn check(&self) -> Result<(), String> {
        if !self.is_own {
            return Ok(());
        }
        let found = self.path.symlink_metadata();
        let found = found.map_err(|error| told("looking at", &self.path, &error))?;
        let shown = self.path.display();
        if !found.is_dir() {
            Err(format!("{shown} is no folder"))
        } else if found.uid() != geteuid().as_raw() {
            Err(format!(
                "the folder {shown} belongs to user {}",
                found.uid()
            ))
        } else if found.mode() & 0o077 != 0 {
            Err(format!(
                "the folder {shown} is open to others (mode {:o}): chmod 700 {shown}",
                found.mode() & 0o777
            ))
        } else {
            Ok(())
        }
    }
}

/// Whether a socket in the runtime folder is a job's.
fn is_name(name: &str) -> bool {
    let number = name
        .strip_prefix("job-")
        .and_then(|name| name.strip_suffix(".sock"));
    name == NAME || number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The jobs' sockets in a folder.
fn sockets(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let jobs = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_name));
    let mut paths: Vec<_> = jobs.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Removes what killed jobs left there under names that no job takes again.
fn sweep(folder: &Path) {
    for path in sockets(folder) {
        let is_dead = || listens(&path).is_ok_and(|listens| !listens);
        if !path.ends_with(NAME) && is_dead() {
            let _ = std::fs::remove_file(&path);
        }
    }
}

/// Finds the one job that listens where jobs do when nobody names a place.
///
/// # Errors
/// There is none, or more than one; the folder isn't safe.
pub fn find(variables: Variables<'_>) -> Result<PathBuf, String> {
    find_in(&folder(variables), Path::new(OF_UNIT))
}

fn find_in(folder: &Folder, of_unit: &Path) -> Result<PathBuf, String> {
    let (shown, name) = (folder.path.display(), "name its socket with --control PATH");
    let mut found = Vec::new();
    if folder.path.exists() {
        folder.check()?;
        found = sockets(&folder.path);
    }
    if of_unit.exists() && !found.iter().any(|path| path == of_unit) {
        found.push(of_unit.to_owned());
    }
    // One that may not be asked is there.
    found.retain(|path| listens(path).unwrap_or(true));
    match &found[..] {
        [one] => Ok(one.clone()),
        [] => Err(format!(
            "no job of this user listens in {shown}. Where one runs, its log says where (job ctl reaches this process at \
             ...): {name}"
        )),
        several => {
            let paths = several.iter().map(|path| path.display().to_string());
            Err(format!(
                "more than one job listens ({}): {name}",
                paths.collect::<Vec<_>>().join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests;
