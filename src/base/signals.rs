//! SIGINT, SIGTERM and SIGHUP ask the service to stop; a second one ends it at once.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction,
};

/// Exit code after a second signal: that of SIGINT in shells. ctrlc doesn't tell which signal came.
const EXIT_AT_ONCE: i32 = 130;

/// Handles the signals. The receiver gets one message at the first; the second ends the process with exit code 130,
/// without finishing or committing what is in flight.
///
/// A SIGHUP that was ignored at the start stays ignored, as `nohup` asks for. Otherwise it counts, so that closing the
/// terminal is a clean stop.
///
/// Call it once, before other threads start.
///
/// # Errors
/// The system refuses a handler.
pub fn stop_on_signals() -> io::Result<Receiver<()>> {
    let (stop, stopped) = bounded(1);
    // ctrlc takes SIGHUP over whatever it was. While it is blocked none can come through its handler, and
    // none is lost: one that arrives now waits.
    let hangup = SigSet::from(Signal::SIGHUP);
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&hangup), None)?;
    let was_ignored = matches!(set_hangup(SigHandler::SigDfl)?, SigHandler::SigIgn);
    ctrlc::set_handler(on_signal(stop)).map_err(io::Error::other)?;
    if was_ignored {
        // This also drops one that waits.
        set_hangup(SigHandler::SigIgn)?;
    }
    pthread_sigmask(SigmaskHow::SIG_UNBLOCK, Some(&hangup), None)?;
    Ok(stopped)
}

/// Runs on ctrlc's thread at each signal. It must never block, or the second signal would do nothing: so it waits only
/// briefly for the log, whose reader may be blocked.
fn on_signal(stop: Sender<()>) -> impl FnMut() + Send + 'static {
    let mut stopping = false;
    move || {
        if stopping {
            say("A second signal: ending at once; what is in flight will be sent again");
            exit(EXIT_AT_ONCE);
        }
        stopping = true;
        say("Stopping: finishing what is in flight (a second signal ends at once)");
        let _ = stop.try_send(());
        // A closing terminal sends SIGHUP more than once: that shall not cut the stop short.
        let _ = set_hangup(SigHandler::SigIgn);
    }
}

/// Ends the process while its threads still work, once the log is written.
pub fn exit(code: i32) -> ! {
    log::logger().flush();
    // SAFETY: _exit only ends the process. `exit` would first run the destructors of gRPC's C++ under the
    // threads that still use it, or wait for calls that hang.
    unsafe { nix::libc::_exit(code) }
}

/// Logs, and waits at most a moment until it is written.
fn say(text: &'static str) {
    let (done, said) = bounded::<()>(0);
    let logger = std::thread::Builder::new().spawn(move || {
        log::info!("{text}");
        drop(done);
    });
    if logger.is_ok() {
        let _ = said.recv_timeout(Duration::from_millis(200));
    }
}

/// Sets SIGHUP's action. Returns the one before.
fn set_hangup(handler: SigHandler) -> io::Result<SigHandler> {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: only the default and "ignore" are set here; neither runs code of this process.
    let before = unsafe { sigaction(Signal::SIGHUP, &action) }?;
    Ok(before.handler())
}
