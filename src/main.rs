//! `job`: see `cli` for what it can be asked for.

use std::io::Write;
use std::process::ExitCode;

use chatroom_job::cli::{self, Invocation};
use chatroom_job::layers::Loaded;
use chatroom_job::{check, dead_letter, logging, run, send, signals};

/// For gRPC's C++ too, whose calls allocate most: the crate's `override` feature puts it in malloc's place.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long mimalloc keeps free pages before it gives them back. Messages are made in one thread and freed in others,
/// so pages empty where nobody fills them again: at its default of a second they are twice what is in use.
const KEEP_FREE_PAGES_MS: std::ffi::c_long = 100;

fn main() -> ExitCode {
    spare_memory();
    // Does nothing but in the tests, which inject faults by name.
    let _faults = fail::FailScenario::setup();
    match cli::invocation() {
        Invocation::Run(loaded) => signals::exit(service(loaded)),
        Invocation::Send(loaded, args) => {
            logging::init_for_command();
            command(send::send(&loaded.config, &args, &mut std::io::stdout()).map(|()| true))
        }
        Invocation::Check(loaded) => {
            logging::init_for_command();
            command(check::check(&loaded))
        }
        Invocation::DeadLetter(loaded, asked) => command(dead_letter::run(
            &loaded.config,
            &asked,
            &mut std::io::stdout(),
        )),
    }
}

fn spare_memory() {
    // Pages of 2 MiB for a heap that is mostly small and short-lived objects: several times the memory, no gain.
    let _ = nix::sys::prctl::set_thp_disable(true);
    // The bindings leave `mi_option_purge_delay` out; in mimalloc.h it stands before this one.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;
    // SAFETY: options may be set while there is one thread.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEEP_FREE_PAGES_MS) };
}

/// Ends a command: 0 where all went well, else 1.
fn command(ended: Result<bool, String>) -> ExitCode {
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the service until it is asked to stop: 0, or 1 where it met what can't heal.
fn service(loaded: Loaded) -> i32 {
    // Before the log, which starts gRPC: signals want to be first.
    let stop = signals::stop_on_signals();
    logging::init();
    log::info!(
        "job {} starts, process {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    for line in loaded.lines() {
        log::info!("{line}");
    }
    let ended = match stop {
        Ok(stop) => run::run(loaded.config, stop),
        Err(error) => Err(format!(
            "Cannot take over SIGINT, SIGTERM and SIGHUP: {error}"
        )),
    };
    match ended {
        Ok(()) => 0,
        Err(error) => {
            log::error!("{error}");
            1
        }
    }
}
