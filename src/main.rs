//! `job`: see `cli` for what it can be asked for.

#[cfg(feature = "jemalloc")]
mod alloc;

use std::io::Write;
use std::process::ExitCode;

use chatroom_job::base::{limits, signals};
use chatroom_job::commands::cli::{self, Invocation};
use chatroom_job::commands::{check, config, ctl, dead_letter, manual, send, status};
use chatroom_job::observe::logging::{self, Format};
use chatroom_job::settings::LogFormat;
use chatroom_job::settings::load::Loaded;
use chatroom_job::{comet, service};

fn main() -> ExitCode {
    // Pages of 2 MiB for a heap that is mostly small and short-lived objects: several times the memory, no gain.
    let _ = nix::sys::prctl::set_thp_disable(true);
    limits::raise_open_files();
    // Does nothing but in the tests, which inject faults by name.
    let _faults = fail::FailScenario::setup();
    let invocation = cli::invocation();
    let files = match &invocation {
        Invocation::Run(loaded) | Invocation::Check(loaded) => service::open_files(&loaded.config),
        Invocation::Send(..)
        | Invocation::Config(..)
        | Invocation::Manual(..)
        | Invocation::Status(..)
        | Invocation::Ctl(..)
        | Invocation::DeadLetter(..) => limits::OF_A_COMMAND,
    };
    if let Err(error) = limits::enough_open_files(files) {
        return command(Err(error));
    }
    match invocation {
        Invocation::Run(loaded) => signals::exit(service(loaded)),
        Invocation::Send(loaded, args) => {
            logging::init_for_command(comet::redirect_log);
            command(send::send(&loaded.config, &args, &mut std::io::stdout()).map(|()| true))
        }
        Invocation::Check(loaded) => {
            logging::init_for_command(comet::redirect_log);
            command(check::check(&loaded))
        }
        Invocation::Config(form) => {
            command(config::config(&form, &mut std::io::stdout()).map(|()| true))
        }
        Invocation::Manual(folder) => command(manual::write(&folder).map(|()| true)),
        Invocation::Status(loaded, args) => command(
            status::status(&loaded.config.http, &args, &mut std::io::stdout()).map(|()| true),
        ),
        Invocation::Ctl(loaded, args) => command(ctl::ctl(
            &loaded.config.control,
            &args,
            &mut std::io::stdout(),
        )),
        Invocation::DeadLetter(loaded, asked) => command(dead_letter::run(
            &loaded.config,
            &asked,
            &mut std::io::stdout(),
        )),
    }
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

/// The log's form, in the log's own word.
fn format(asked: LogFormat) -> Format {
    match asked {
        LogFormat::Muduo => Format::Muduo,
        LogFormat::Json => Format::Json,
        LogFormat::Journal => Format::Journal,
        LogFormat::Auto => Format::Auto,
    }
}

/// Runs the service until it is asked to stop: 0, or 1 where it met what can't heal.
fn service(loaded: Loaded) -> i32 {
    // Before the log, which starts gRPC: signals want to be first.
    let stop = signals::stop_on_signals();
    logging::init(format(loaded.config.log_format), comet::redirect_log);
    log::info!(
        "job {} starts, process {}",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    for line in loaded.lines() {
        log::info!("{line}");
    }
    let ended = match stop {
        Ok(stop) => service::run(loaded, Box::new(cli::again()), stop),
        Err(error) => Err(format!(
            "Cannot take over SIGINT, SIGTERM and SIGHUP: {}",
            limits::explained(&error)
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
