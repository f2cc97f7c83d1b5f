//! `job ctl`: steers a running job over a Unix socket.
//!
//! A thread of its own takes the commands, one at a time, and tells the threads that they are about, over the channels on which
//! those are told everything else. It decides nothing about messages.

mod desk;
mod journal;
pub mod place;
mod reload;
pub mod request;
mod serve;

use std::io;
use std::os::unix::net::UnixListener;
use std::thread;

use crate::settings::Socket;
pub use desk::{Desk, Wires};
pub use journal::line as journal_line;
use place::{Place, Trouble};
pub use reload::{ReadAgain, Reload};

/// What the thread has open at most: the socket, its connections, and those of its runtime.
pub const FILES: usize = serve::CONNECTIONS + 5;

/// Takes the place where this process listens. `None`: nowhere. A default place that can't be had is only warned about.
///
/// # Errors
/// The place can't be had that somebody asked for.
pub fn listen(at: &Socket) -> Result<Option<(Place, UnixListener)>, String> {
    let taken = match at {
        Socket::Off => return Ok(None),
        Socket::At(path) => Place::take(path).map_err(|trouble| {
            let why = match trouble {
                Trouble::Taken => format!("another process listens at {}", path.display()),
                Trouble::Failed(why) => why,
            };
            format!("Cannot take commands of job ctl: {why}. Set --control to another path, or off")
        })?,
        Socket::Auto => match Place::take_default(&|name| std::env::var_os(name)) {
            Ok(taken) => taken,
            Err(why) => {
                log::warn!(
                    "job ctl can't reach this process: {why}. Name a path with --control, or switch it off"
                );
                return Ok(None);
            }
        },
    };
    let path = taken.0.path.display();
    match taken.0.is_second() {
        true => log::info!(
            "job ctl reaches this process at {path}: another job has the default name there"
        ),
        false => log::info!("job ctl reaches this process at {path}"),
    }
    Ok(Some(taken))
}

/// Starts the thread.
///
/// # Errors
/// The system refuses a thread or the runtime's files.
pub fn spawn(listener: UnixListener, desk: Desk) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let guard = runtime.enter();
    let listener = tokio::net::UnixListener::from_std(listener)?;
    drop(guard);
    thread::Builder::new()
        .name("control".into())
        .spawn(move || runtime.block_on(serve::serve(listener, desk)))
        .map(drop)
}
