//! The service: its threads, and how they are tied together.

use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};

use crate::base::last::last;
use crate::base::lease::{BROKERS_SESSION, Lease, Moment};
use crate::base::mailbox::Mailbox;
use crate::base::notify::{self, READY};
use crate::base::text::counted;
use crate::base::{limits, panics};
use crate::comet::caller::{self, Callers, Kind};
use crate::comet::fleet::Told;
use crate::comet::{self, Directory, Manner, rooms};
use crate::consumer::{self, Consumer};
use crate::control::{self, Desk, ReadAgain, Reload, Wires};
use crate::dead_letter;
use crate::figures::Figures;
use crate::group::{self, Channels, Counts};
use crate::kafka::{fetch, membership};
use crate::message;
use crate::message::Dialect;
use crate::message::Held;
use crate::message::consumer::Control;
use crate::message::group::Event;
use crate::observe::health::Pulse;
use crate::observe::http::{self, Served};
use crate::observe::metrics::Source;
use crate::observe::pulse;
use crate::settings::load::Loaded;
use crate::settings::{Coalesce, Config, FanOut, GroupProtocol, Http, fleet as listed, security};
use crate::worker::coalesce::Coalescer;
use crate::worker::{Calling, Fleet, Worker};

// Limits of one room that another one relies on.
const _: () = assert!(
    group::GRACE.as_millis() >= membership::PARTING_WITHIN.as_millis() + 1_000,
    "where Kafka takes its time for the parting commit, partitions would be dropped that are about to come back"
);
const _: () = assert!(
    membership::FORGOTTEN_AFTER.as_millis() < group::LEAVING.as_millis(),
    "no time would be left for a fresh connection in the last commit of a stop"
);
const _: () = assert!(
    membership::IDLE.as_millis() > group::COMMIT_EVERY.as_millis(),
    "each commit would find its connection idle, and give it up where the broker takes a little longer"
);

/// How long the start waits for the Comets' names. What isn't found by then is looked up while the rest runs.
const NAMES_WITHIN: Duration = Duration::from_secs(2);

/// Files that the service has open, at most, while all is well: counted with `ls /proc/PID/fd`, and some to spare for
/// connections that take the place of broken ones.
pub fn open_files(config: &Config) -> u64 {
    const ALONE: usize = 40;
    const EACH_BROKER: usize = 9;
    /// krafka's connection, the relay's end of it, and the broker's.
    const RELAYED: usize = 3;
    // What a file, a name or a registry lists may be more by tomorrow.
    let comets = config
        .comet
        .iter()
        .map(listed::Source::expected)
        .sum::<usize>();
    // Who asks for rooms calls each as well.
    let askers = usize::from(config.fan_out == FanOut::Rooms);
    let connections = (config.threads + askers) * comets;
    // Who asks whether job is ready has each Comet asked over one more.
    let watched = match config.http.address {
        Some(_) => http::FILES + comets,
        None => 0,
    };
    // Who waits for sockets itself has a poller and what wakes it.
    let pollers = match caller::kind(config).0 {
        Kind::Lean => 2 * (config.threads + 1 + askers),
        Kind::Grpcio => 0,
    };
    let each_broker = match config.security.takes_any_name() {
        true => EACH_BROKER * RELAYED,
        false => EACH_BROKER,
    };
    (ALONE + pollers + control::FILES + watched + config.brokers.len() * each_broker + connections)
        as u64
}

/// Runs the service until `stop` gets a message and what follows from it is done. `read` reads the settings again.
///
/// The channels have no bound of their own: what is in them is bounded by the caps on what is held.
///
/// # Errors
/// A sentence, where what is wrong can't heal.
pub fn run(loaded: Loaded, read: ReadAgain, stop: Receiver<()>) -> Result<(), String> {
    let started = Instant::now();
    let config = loaded.config.clone();
    panics::abort();
    let control = control::listen(&config.control)?;
    config.topics.name_partitions();
    if !config.cork_calls {
        comet::forbid_cork();
    }
    if config.security.takes_any_name() {
        log::warn!("{}. {}", security::ANY_NAME, security::GIVE_A_NAME);
    }
    if config.dialect == Dialect::Goim && config.coalesce == Coalesce::Off {
        log::warn!(
            "goim's Comets may pass on a room's messages in another order than they were called with: set coalesce = goim, so that \
             messages of one room go together"
        );
    }
    let (to_group, group_events) = unbounded();
    let (record, reads) = unbounded();
    let (to_consumer, controls) = unbounded();
    let (change, changes) = unbounded();
    let (to_dead_letters, letters) = unbounded();
    let (to_membership, commands) = tokio::sync::mpsc::unbounded_channel();

    let known = comet::fleet::Fleet::new(&config, NAMES_WITHIN);
    let (comets, to_fleet) = (known.comets(), known.wire());
    let directory = Directory::new(&comets, NAMES_WITHIN, to_fleet.clone());
    let directory = Arc::new(directory.map_err(no_thread)?);
    let callers = Arc::new(callers(&config)?);
    let fleet = Arc::new(Fleet::new(started));
    let session = match config.group_protocol {
        GroupProtocol::Classic => config.session_timeout,
        GroupProtocol::Consumer => config.session_timeout.min(BROKERS_SESSION),
    };
    let lease = Arc::new(Lease::new(session, Moment::now()));
    let limit = Held {
        messages: config.hold_messages,
        bytes: config.hold_bytes,
    };
    let figures = Arc::new(Figures::new(&comets, config.threads, limit));
    let pulse = pulse::spawn(figures.clone()).map_err(no_thread)?;
    watch(&config, &figures, &pulse, (&callers, &directory))?;
    let mut workers = Vec::new();
    for n in 0..config.threads {
        let (own, events) = unbounded();
        let caller = callers.of(n, manner(&config)).map_err(no_thread)?;
        workers.push(Mailbox::new(own.clone(), caller.bell()));
        let calling = Calling {
            caller,
            directory: directory.clone(),
            own,
            figures: figures.clone(),
            number: n,
        };
        let worker = Worker::new(
            events,
            to_group.clone(),
            calling,
            (&comets, fleet.clone()),
            (
                config.window,
                coalescer(&config),
                (config.dialect, config.record_metadata),
            ),
            lease.clone(),
        );
        start(&format!("worker-{n}"), move || worker.run())?;
    }

    let consumer = Consumer::new(
        &config,
        (controls, changes),
        (to_group.clone(), record),
        (workers.clone(), comets.clone()),
        fetch::modern_fetchers(&config),
        figures.clone(),
    )
    .map_err(no_thread)?;
    let consumer = match config.fan_out {
        FanOut::All => consumer,
        FanOut::Rooms => {
            let (tell, told) = last();
            rooms::spawn(&callers, manner(&config), directory.clone(), tell).map_err(no_thread)?;
            consumer.by_rooms(told)
        }
    };
    consumer::spawn(consumer, fetch::fetchers(&config)).map_err(no_thread)?;
    dead_letter::spawn(&config, letters, to_group.clone(), figures.clone()).map_err(no_thread)?;
    membership::spawn(
        &config,
        commands,
        to_group.clone(),
        figures.membership.clone(),
    )
    .map_err(no_thread)?;
    let (settings_to_group, settings_to_fleet) = (to_group.clone(), to_fleet.clone());
    let _place = match control {
        Some((place, listener)) => {
            let desk = Desk::new(Wires {
                consumer: to_consumer.clone(),
                group: to_group.clone(),
                topics: config.topics.clone(),
                figures: figures.clone(),
                reload: Reload {
                    current: loaded,
                    read,
                    apply: Box::new(move |config| {
                        let timeout = config.shutdown_timeout;
                        let _ = settings_to_group.send(Event::ShutdownWithin(timeout));
                        let fleet = (config.comet.clone(), config.comet_refresh);
                        let _ = settings_to_fleet.send(Told::Settings(fleet.0, fleet.1));
                        let _ = change.send(Arc::new(config.clone()));
                    }),
                },
            });
            control::spawn(listener, desk).map_err(no_thread)?;
            Some(place)
        }
        None => None,
    };

    let channels = Channels {
        events: group_events,
        reads,
        stop,
        consumer: to_consumer.clone(),
        workers: workers.clone(),
        dead_letters: to_dead_letters,
        membership: to_membership,
        lease,
        figures,
        gone: Box::new(move |comet| drop(to_fleet.send(Told::Gone(comet)))),
    };
    known.spawn(directory, to_group).map_err(no_thread)?;
    notify::tell(READY);
    let outcome = group::run(channels, comets, config.shutdown_timeout);
    let _ = to_consumer.send(Control::Stop);
    for worker in &workers {
        let _ = worker.send(message::worker::Event::Stop);
    }
    let counts = outcome?;
    say_goodbye(counts, started);
    Ok(())
}

/// How Comets are called. The log says so.
///
/// # Errors
/// A file of TLS or of metadata can't be used, or the system refuses a thread.
fn callers(config: &Config) -> Result<Callers, String> {
    let (kind, why) = caller::kind(config);
    let what = match kind {
        Kind::Grpcio => "gRPC's own library",
        Kind::Lean => "job's own HTTP/2, in the workers' threads",
    };
    let with = if config.comet_tls.is_some() {
        " with TLS"
    } else {
        ""
    };
    log::info!(
        caller = kind.to_string(), dialect = config.dialect.name();
        "Comets are called through {kind}{with} ({what}): {why}; they serve {}",
        comet::service(config.dialect)
    );
    Callers::of_settings(config, config.threads)
}

fn manner(config: &Config) -> Manner {
    Manner {
        dialect: config.dialect,
        deadline: config.call_timeout,
    }
}

fn coalescer(config: &Config) -> Option<Coalescer> {
    let most = (config.coalesce_max, config.coalesce_bytes);
    let coalescer = Coalescer::new(config.coalesce, config.dialect, most.0, most.1)?;
    Some(coalescer.pausing(config.coalesce_pause.at(config.dialect)))
}

/// Serves metrics and health, where that is wanted.
///
/// # Errors
/// The address can't be taken that somebody asked for, or the system refuses a thread.
fn watch(
    config: &Config,
    figures: &Arc<Figures>,
    pulse: &Arc<Mutex<Pulse>>,
    (callers, directory): (&Arc<Callers>, &Arc<Directory>),
) -> Result<(), String> {
    let Http {
        address,
        is_asked_for,
    } = &config.http;
    let Some(address) = address else {
        return Ok(());
    };
    let listener = match http::bind(address) {
        Ok(listener) => listener,
        Err(error) if *is_asked_for => {
            return Err(format!(
                "Cannot serve metrics and health at {address}: {}. Set --http to another address, or off",
                limits::explained(&error)
            ));
        }
        Err(error) => {
            log::warn!(
                "no metrics and health: {address} can't be served at: {}. Where this is not the only job here, give each its own \
                 --http, or switch it off",
                limits::explained(&error)
            );
            return Ok(());
        }
    };
    let at = http::address_of(&listener).map_or_else(|| address.clone(), |at| at.to_string());
    let (callers, manner) = (callers.clone(), manner(config));
    let (directory, asking) = (directory.clone(), figures.clone());
    let served = Served {
        source: Source {
            figures: figures.clone(),
            topics: config.topics.clone(),
            group: config.group.clone(),
            dead_letter_topics: config.dead_letter_topics(),
        },
        pulse: pulse.clone(),
        ask: Box::new(move || {
            let figures = asking.clone();
            let locations = directory.locations();
            let asked = callers.ask_each(&locations, manner, move |_, answer, _| {
                if answer.is_ok() {
                    figures.answered();
                }
            });
            if let Err(error) = asked {
                log::warn!(
                    "the Comets can't be asked whether they are there: {}",
                    limits::explained(&error)
                );
            }
        }),
    };
    http::spawn(listener, served).map_err(no_thread)?;
    consumer::log_ends::spawn(config, figures.clone()).map_err(no_thread)?;
    dead_letter::counter::spawn(config, figures.clone()).map_err(no_thread)?;
    log::info!("status page, metrics and health at http://{at}/");
    Ok(())
}

fn say_goodbye(counts: Counts, started: Instant) {
    let Counts {
        delivered,
        dead_letters,
        too_old,
        given_back,
        unfinished,
    } = counts;
    let skipped = match too_old {
        0 => String::new(),
        n => format!(", {n} skipped as too old"),
    };
    let left = match given_back + unfinished {
        0 => String::new(),
        n => format!(", {n} left to be read again"),
    };
    log::info!(
        "stopped after {:.1} s: {} delivered, {}{skipped}{left}",
        started.elapsed().as_secs_f64(),
        counted(delivered, "message"),
        counted(dead_letters, "dead letter")
    );
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(no_thread)
}

fn no_thread(error: std::io::Error) -> String {
    format!("starting a thread failed: {}", limits::explained(&error))
}
