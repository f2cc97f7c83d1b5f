//! dev-comet: a small, honest Comet for trying and testing job.
//!
//! It takes the four calls of a Comet and passes each body on to the WebSocket connections that should have it,
//! as one frame, in order. It keeps nothing, asks nobody who they are, and is not meant for real people.

mod calls;
mod dedupe;
mod faults;
mod goim;
mod grpc;
mod hub;
mod record;
mod server;
mod watch;
mod web;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chatroom_job::base::signals;
use chatroom_job::message::Dialect;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use grpc::Files;
use server::{DevComet, Settings};
use watch::{Watch, watch};

/// A small Comet for trying and testing job: takes its calls, and shows what comes on a page.
///
/// It keeps nothing and asks nobody who they are: it is not for real people.
#[derive(Parser)]
#[command(name = "dev-comet", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the calls and the page (as without a command).
    Serve(Serve),
    /// Joins rooms of a running dev-comet and prints each frame as a line.
    Watch(WatchArgs),
}

#[derive(Args)]
struct Serve {
    /// Where it takes job's gRPC calls, also unix:PATH; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:50051")]
    listen: String,
    /// Which service it has: that of comet.proto, or goim's, whose bodies are in frames and whose errors have words of their own
    #[arg(long, value_name = "DIALECT", default_value = "chatroom", value_parser = dialect())]
    dialect: Dialect,
    /// Calls come with TLS: the PEM file of its certificate, and of those between it and its CA
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The PEM file of the certificate's key
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// Only who has a certificate of this CA (a PEM file) may call
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_client_ca: Option<PathBuf>,
    /// Where it serves the page and the WebSocket; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    web: String,
    /// Appends a line to this file for each call, and one for each answer
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Lets POST /fault on the web port make it answer errors, late or not at all
    #[arg(long)]
    faults: bool,
    /// Drops what it has taken before: calls with the same metadata job-record (see --record-metadata of job)
    #[arg(long)]
    dedupe: bool,
    /// What the page tells people to send messages with, such as 'job send --brokers kafka-1:9092'
    #[arg(long, value_name = "COMMAND", default_value = "job send")]
    send_command: String,
}

#[derive(Args)]
struct WatchArgs {
    /// Where the dev-comet serves its page
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    web: String,
    /// A room to join (may be repeated)
    #[arg(long, value_name = "ROOM")]
    room: Vec<String>,
    /// A user key to be pushed to (may be repeated)
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// An operation that is accepted: goim's filter lets pushes and broadcasts of no other through (may be repeated)
    #[arg(long, value_name = "NUMBER")]
    accept: Vec<i32>,
    /// Ends with 0 after so many frames
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Ends with 1 after so many seconds
    #[arg(long, value_name = "SECS")]
    timeout: Option<u64>,
}

/// Reads the name of a dialect.
fn dialect() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(["chatroom", "goim"]).map(|name| match name.as_str() {
        "goim" => Dialect::Goim,
        _ => Dialect::Chatroom,
    })
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve(args),
        Command::Watch(args) => {
            let what = Watch {
                web: args.web,
                rooms: args.room,
                keys: args.key,
                accepts: args.accept,
                count: args.count,
                timeout: args.timeout.map(Duration::from_secs),
            };
            watch(&what, &mut std::io::stdout(), &mut std::io::stderr())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do where that can't be said either.
            let _ = writeln!(std::io::stderr(), "dev-comet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: Serve) -> Result<(), String> {
    let stops = signals::stop_on_signals()
        .map_err(|error| format!("cannot listen for SIGINT and SIGTERM: {error}"))?;
    let files = args.tls_certificate.zip(args.tls_key);
    let tls = files.map(|(certificate, key)| Files {
        certificate,
        key,
        client_ca: args.tls_client_ca,
    });
    let settings = Settings {
        listen: args.listen,
        dialect: args.dialect,
        tls,
        web: args.web,
        record: args.record,
        faults: args.faults,
        dedupe: args.dedupe,
        send_command: args.send_command,
    };
    let comet = DevComet::start(&settings)?;
    let faults = if settings.faults {
        "\ndev-comet: with --faults: whoever reaches the page's port can make it fail"
    } else {
        ""
    };
    writeln!(
        std::io::stdout(),
        "dev-comet: gRPC on {}, page on http://{}/\n\
         dev-comet: for trying and testing job only: it keeps nothing and asks nobody who they are{faults}",
        comet.grpc,
        comet.web
    )
    .map_err(|error| format!("cannot write to standard output: {error}"))?;
    stops
        .recv()
        .map_err(|error| format!("cannot wait for a signal: {error}"))?;
    comet.stop();
    Ok(())
}
