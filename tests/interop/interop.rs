//! Calls a server with job's lean caller, and checks each answer: `interop --help`.

mod calls;
mod drive;
mod server;
#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;

use drive::{Outcome, Plan};
use server::Server;

/// Calls PushMsg of a server with job's lean caller, and checks each answer.
///
/// The server answers by the request's first key, `k` and a number N. Is N a multiple of 3, it says NOT_FOUND with the message
/// "no key kN: 100% 你". Else it says OK, or INVALID_ARGUMENT where a byte of `proto.body` isn't N modulo 251.
#[derive(Parser)]
struct Args {
    /// host:port
    address: String,
    #[arg(long, default_value_t = 100_000)]
    calls: usize,
    /// Calls under way.
    #[arg(long, default_value_t = 100)]
    at_once: usize,
    /// Starts the server with this command of the shell.
    #[arg(long)]
    server: Option<String>,
    /// Starts it again each so many seconds: it is asked to stop and killed in turns.
    #[arg(long, requires = "server")]
    restart_every: Option<f64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let plan = Plan {
        address: args.address.clone(),
        calls: args.calls,
        at_once: args.at_once,
    };
    let server = args.server.as_deref().map(Server::start).transpose();
    let server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("the server could not be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (stop, stopped) = mpsc::channel();
    let restarts = thread::spawn(move || restart(server, args.restart_every, &stopped));
    let driven = drive::drive(&plan);
    drop(stop);
    let restarts = restarts.join().unwrap_or_default();
    match driven {
        Ok(outcome) => {
            report(&plan, &outcome, restarts);
            match outcome.wrong.is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            eprintln!("{}: {error}", plan.address);
            ExitCode::FAILURE
        }
    }
}

/// Keeps the server, until it is told to stop. Returns how often it started it again.
fn restart(server: Option<Server>, every: Option<f64>, stopped: &mpsc::Receiver<()>) -> usize {
    let Some(mut server) = server else {
        return 0;
    };
    let mut restarts = 0;
    loop {
        let ended = match every {
            Some(every) => stopped.recv_timeout(Duration::from_secs_f64(every)),
            None => stopped
                .recv()
                .map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        };
        if ended == Err(mpsc::RecvTimeoutError::Disconnected) {
            return restarts;
        }
        restarts += 1;
        if let Err(error) = server.restart(restarts % 2 == 0) {
            eprintln!("the server could not be started again: {error}");
            return restarts;
        }
    }
}

fn report(plan: &Plan, outcome: &Outcome, restarts: usize) {
    let count = |of: &std::collections::BTreeMap<String, usize>| of.values().sum::<usize>();
    println!(
        "{}: {} calls in {:.1} s, {} at once; {} wrong answers, {} calls cut, {} made again, {restarts} restarts",
        plan.address,
        outcome.right,
        outcome.seconds,
        plan.at_once,
        count(&outcome.wrong),
        count(&outcome.cut),
        count(&outcome.away),
    );
    for (what, of) in [
        ("wrong", &outcome.wrong),
        ("cut", &outcome.cut),
        ("again", &outcome.away),
    ] {
        for (text, count) in of {
            println!("  {what}: {count} times {text}");
        }
    }
}
