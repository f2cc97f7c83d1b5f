//! The service.

use crossbeam_channel::Receiver;

use crate::config::Config;

/// Runs until `stop` gets a message.
pub fn run(_config: Config, stop: Receiver<()>) -> Result<(), String> {
    log::info!("Running");
    let _ = stop.recv();
    log::info!("Stopped");
    Ok(())
}
