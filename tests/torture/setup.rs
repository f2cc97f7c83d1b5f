//! Starts everything that a campaign breaks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::runtime::Runtime;

use crate::children::{Comet, JobCommand, Lives, binary, free_port, free_ports};
use crate::cluster::security_flags;
use crate::dead_addresses::DeadAddresses;
use crate::director::{Director, Slot, State};
use crate::fleet::Fleet;
use crate::kafka::{self, BROKERS, GROUP, Kafka, TOPIC};
use crate::producer::Producer;
use crate::proxy::{Peers, Proxy};
use crate::record::Record;
use crate::settings::Settings;
use crate::streams::{Streams, comet_host};
use crate::timeline::{Micros, Scope, Timeline, now};

pub fn set_up(
    settings: &Settings,
    seed: u64,
    folder: &Path,
    runtime: &Runtime,
    streams: &Arc<Streams>,
    peers: &Peers,
) -> Result<Director, String> {
    let (job, dev_comet): (PathBuf, PathBuf) = (binary("job")?, binary("dev-comet")?);
    // One more than asked for: it comes and goes.
    let slots = settings.jobs as usize + 1;
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));

    let mut comets: Vec<Comet> = (0..settings.comets as usize)
        .map(|n| Comet::new(&dev_comet, folder, n))
        .collect();
    let mut records: Vec<Record> = (0..comets.len()).map(|n| Record::new(n, streams)).collect();
    for (comet, record) in comets.iter_mut().zip(&mut records) {
        record.follow(comet.start()?)?;
    }
    // All jobs know a Comet by one name, and each goes its own way there: the port behind the name is the job's number away.
    let named: Vec<SocketAddr> = (0..comets.len())
        .map(|n| {
            let host = comet_host(n);
            SocketAddr::from((host, free_ports(host, slots as u16)))
        })
        .collect();
    let fleet = Fleet::new(folder, &named)?;
    let mut links = Vec::new();
    let mut kafka_links = Vec::new();
    let mut listeners = Vec::new();
    for slot in 0..slots {
        let mut row = Vec::new();
        for (n, comet) in comets.iter().enumerate() {
            let own = SocketAddr::from((named[n].ip(), named[n].port() + slot as u16));
            let proxy = Proxy::start(own, comet.grpc, slot, peers.clone());
            row.push(runtime.block_on(proxy)?);
        }
        links.push(row);
        let (mut of_job, mut links_of_job) = (Vec::new(), Vec::new());
        for _ in 0..if settings.cluster { BROKERS } else { 1 } {
            let port = free_port();
            let proxy =
                runtime.block_on(Proxy::start(local(0), local(port), slot, Peers::default()))?;
            of_job.push((port, proxy.address));
            links_of_job.push(proxy);
        }
        listeners.push(of_job);
        kafka_links.push(links_of_job);
    }
    let kafka_folder = folder.join("kafka");
    let kafka = if settings.cluster {
        Kafka::start_cluster(&settings.kafka, &kafka_folder, &listeners)?
    } else {
        let (port, controller) = (free_port(), free_port());
        let listeners = listeners.concat();
        Kafka::start(&settings.kafka, &kafka_folder, port, controller, &listeners)?
    };
    let security = match settings.cluster {
        true => security_flags(&kafka_folder),
        false => Vec::new(),
    };
    let client = runtime.block_on(kafka.client())?;
    runtime.block_on(kafka::create_topic(&client, settings.partitions))?;
    let producer = runtime.block_on(Producer::start(
        &client,
        streams.clone(),
        settings.partitions,
        settings.rate,
        seed,
    ))?;

    let pages: Vec<u16> = (0..slots).map(|_| free_port()).collect();
    let lives: Lives = Arc::new(Mutex::new(Vec::new()));
    let slots = (0..slots)
        .map(|slot| Slot {
            command: JobCommand {
                program: job.clone(),
                folder: folder.to_owned(),
                slot,
                flags: [
                    flags(slot, &fleet, settings),
                    page(pages[slot]),
                    security.clone(),
                ]
                .concat(),
                kafka: addresses(&kafka_links[slot]),
                dead: None,
                trial: format!("comet-port-shift=return({slot})"),
                lives: lives.clone(),
            },
            state: State::Down,
        })
        .collect();
    let mut director = Director {
        timeline: Timeline {
            origin: now(),
            windows: Vec::new(),
        },
        slots,
        comets,
        fleet,
        records,
        kafka,
        lives,
        producer,
        links,
        kafka_links,
        dead_addresses: runtime.block_on(DeadAddresses::start())?,
        corrupt: Arc::default(),
        partitions: settings.partitions,
        misdeeds: Vec::new(),
        faults: 0,
        pages,
        plan: Default::default(),
        repairs: Vec::new(),
        works: Vec::new(),
        kafka_rests: Micros::MIN,
        measured: Micros::MIN,
    };
    for slot in 0..settings.jobs as usize {
        let window = director.timeline.begin(
            format!("the first start of job {slot}"),
            vec![Scope::Started { slot }],
        );
        director.start_job(slot, window)?;
    }
    Ok(director)
}

fn addresses(links: &[Proxy]) -> String {
    let addresses: Vec<String> = links.iter().map(|link| link.address.to_string()).collect();
    addresses.join(",")
}

/// Where a job says how it stands.
fn page(port: u16) -> Vec<String> {
    ["--http".into(), format!("127.0.0.1:{port}")].into()
}

/// The flags of a job, but for the brokers.
fn flags(slot: usize, fleet: &Fleet, settings: &Settings) -> Vec<String> {
    let mut flags: Vec<String> = ["--topic", TOPIC, "--group", GROUP].map(Into::into).into();
    flags.extend(["--group-protocol".into(), settings.group_protocol.clone()]);
    let caller = match settings.caller.as_str() {
        // One of them with few workers, one with many.
        "mixed" if matches!(slot % 4, 1 | 2) => "lean",
        "mixed" => "grpcio",
        all => all,
    };
    flags.extend(["--caller", caller].map(Into::into));
    flags.extend(["--comet".into(), fleet.flag()]);
    // The tens of thousands of messages that an outage leaves reach the cap, and then one slow Comet delays all:
    // that is what the cap means, but not what the campaign is to show.
    flags.extend(["--hold-messages", "10000"].map(Into::into));
    // Whatever a Comet missed is due, however long it was away.
    flags.extend(["--catch-up", "all"].map(Into::into));
    // Static members and others, both ways of fetching.
    if slot.is_multiple_of(2) {
        flags.extend(["--group-instance-id".into(), format!("job-{slot}")]);
    }
    // Workers that have all Comets, and so many that they share them.
    if slot % 2 == 1 {
        flags.extend(["--threads", "24"].map(Into::into));
    }
    if slot % 3 == 2 {
        flags.extend(["--fetch", "modern"].map(Into::into));
    }
    flags
}
