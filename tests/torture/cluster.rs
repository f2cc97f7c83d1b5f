//! Several brokers: what a campaign with `--cluster` asks of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use krafka::Kafka as Client;
use krafka::admin::{
    AlterPartitionReassignmentsOptions, ConfigOp, ConfigResource, ElectLeadersOptions,
    ElectionType, PartitionDescription, TopicPartition,
};

use crate::kafka::{BROKERS, Entry, Kafka, SCRIPT, TOPIC};

/// What a broker shows to the jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    Good,
    Expired,
}

impl Certificate {
    fn file(self) -> &'static str {
        match self {
            Certificate::Good => "server.keystore.pem",
            Certificate::Expired => "expired.keystore.pem",
        }
    }
}

/// How long replicas may take to have all that they missed.
const IN_SYNC_WITHIN: Duration = Duration::from_secs(120);

impl Kafka {
    /// Starts three. `jobs` has, by job and broker, the port at which the broker listens for it, and the address that it
    /// tells it.
    pub fn start_cluster(
        version: &str,
        folder: &Path,
        jobs: &[Vec<(u16, SocketAddr)>],
    ) -> Result<Kafka, String> {
        let mut command = Command::new(SCRIPT);
        command.args(["hold", "--cluster", "--version", version, "--heap", "256m"]);
        command.args(["--security", "sasl_plaintext", "--dir"]);
        command.arg(folder);
        for (broker, (port, address)) in jobs.iter().flat_map(|of| (1..).zip(of)) {
            command.args(["--listener", &format!("{broker}/sasl_ssl:{port}@{address}")]);
        }
        let kafka = Kafka::held(command, folder, |addresses| {
            let path = folder.join("secrets/admin-password");
            let password = fs::read_to_string(&path)
                .map_err(|e| format!("{} can't be read: {e}", path.display()))?;
            Ok(Entry {
                addresses: addresses.to_owned(),
                password: Some(password.trim().to_owned()),
            })
        })?;
        make_expired(folder)?;
        Ok(kafka)
    }
}

/// The flags with which a job comes to them.
pub fn security_flags(folder: &Path) -> Vec<String> {
    let secret = |name: &str| folder.join("secrets").join(name).display().to_string();
    [
        ["--security-protocol", "SASL_SSL"].map(str::to_owned),
        ["--ssl-ca-location".to_owned(), secret("ca.pem")],
        ["--sasl-mechanism", "SCRAM-SHA-512"].map(str::to_owned),
        ["--sasl-username", "job"].map(str::to_owned),
        ["--sasl-password-file".to_owned(), secret("password")],
    ]
    .concat()
}

fn make_expired(folder: &Path) -> Result<(), String> {
    let made = Command::new(SCRIPT)
        .arg("certificate")
        .arg(folder.join("1"))
        .args(["expired", "--cn", "localhost", "--expired"])
        .args(["--host", "localhost", "--host", "127.0.0.1"])
        .output()
        .map_err(|e| format!("{SCRIPT} does not start: {e}"))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr);
        return Err(format!("{SCRIPT} certificate: {said}"));
    }
    let secrets = folder.join("secrets");
    let read = |name: &str| fs::read(secrets.join(name));
    let both = read("expired.key").and_then(|key| Ok([key, read("expired.pem")?].concat()));
    both.and_then(|both| fs::write(secrets.join(Certificate::Expired.file()), both))
        .map_err(|e| format!("the expired certificate in {}: {e}", secrets.display()))
}

/// Has a broker show another certificate to the jobs, on connections from then on. `jobs` is how many listeners it has
/// for them.
pub async fn show(
    client: &Client,
    folder: &Path,
    broker: usize,
    jobs: usize,
    certificate: Certificate,
) -> Result<(), String> {
    let file = folder.join("secrets").join(certificate.file());
    let settings = (1..=jobs).flat_map(|n| {
        let keystore = format!("listener.name.more{n}.ssl.keystore");
        [
            ConfigOp::set(format!("{keystore}.type"), "PEM"),
            ConfigOp::set(format!("{keystore}.location"), file.display().to_string()),
        ]
    });
    let change = (ConfigResource::broker(broker as i32), settings.collect());
    let admin = client.admin();
    let changed = admin.incremental_alter_configs([change], Default::default());
    let failed = |e| format!("broker {broker} takes no other certificate: {e}");
    let mut changed = changed.await.map_err(failed)?.into_values();
    changed.try_for_each(|result| result.map(drop).map_err(failed))
}

/// Gives each partition another leader.
pub async fn move_leaders(client: &Client) -> Result<(), String> {
    let failed = |e| format!("the leaders of {TOPIC} can't be moved: {e}");
    let admin = client.admin();
    let moved = partitions(client).await?.into_values().map(|partition| {
        let mut replicas = partition.replicas;
        let first = replicas.iter().position(|r| Some(*r) == partition.leader);
        replicas.rotate_left((first.unwrap_or(0) + 1) % BROKERS);
        (
            TopicPartition::new(TOPIC, partition.partition),
            Some(replicas),
        )
    });
    let moved: Vec<_> = moved.collect();
    let all = moved.iter().map(|(of, _)| of.clone()).collect();
    let ordered = admin
        .alter_partition_reassignments(moved, AlterPartitionReassignmentsOptions::default())
        .await
        .map_err(failed)?;
    ordered
        .into_values()
        .try_for_each(|result| result.map_err(failed))?;
    // One may lack its first replica: it keeps its leader.
    admin
        .elect_leaders(
            ElectionType::Preferred,
            Some(all),
            ElectLeadersOptions::default(),
        )
        .await
        .map(drop)
        .map_err(failed)
}

/// Waits until each partition of the topic has all its replicas.
pub async fn await_in_sync(entry: &Entry) -> Result<(), String> {
    let deadline = Instant::now() + IN_SYNC_WITHIN;
    loop {
        let found = async { partitions(&entry.connect().await?).await };
        let state = match found.await {
            Ok(partitions) => {
                let lack = partitions.values().find(|p| p.isr.len() < p.replicas.len());
                match lack {
                    None => return Ok(()),
                    Some(lack) => format!("{lack:?}"),
                }
            }
            Err(error) => error,
        };
        if Instant::now() > deadline {
            return Err(format!("replicas stay behind: {state}"));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn partitions(client: &Client) -> Result<BTreeMap<i32, PartitionDescription>, String> {
    let failed = |e| format!("{TOPIC} can't be described: {e}");
    let admin = client.admin();
    let described = admin.describe_topics([TOPIC], Default::default());
    let described = described.await.map_err(failed)?.remove(TOPIC);
    let topic = described
        .ok_or("Kafka says nothing about the topic")?
        .map_err(failed)?;
    Ok(topic
        .partitions
        .into_iter()
        .map(|p| (p.partition, p))
        .collect())
}
