//! The benchmark's Kafka: a real one, run by `scripts/kafka`.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use krafka::Kafka as Client;
use krafka::admin::NewTopic;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");
/// How long a new topic may take until the broker names all its leaders.
const NEW_TOPIC: Duration = Duration::from_secs(30);
/// How long a group may take until its partitions are shared out.
const NEW_GROUP: Duration = Duration::from_secs(60);

/// How job reaches a broker by one of its protocols.
pub struct Listener {
    pub protocol: &'static str,
    pub address: String,
    pub flags: Vec<String>,
}

pub struct Kafka {
    pub address: String,
    /// Ends the broker when its standard input closes, however this process ends.
    keeper: Child,
}

impl Kafka {
    pub fn start(version: &str) -> Result<Kafka, String> {
        Self::start_with(version, &[])
    }

    /// One with its data in `folder`, and how job reaches it by each protocol, the plain one first.
    pub fn start_secured(version: &str, folder: &Path) -> Result<(Kafka, [Listener; 3]), String> {
        let [plain, ssl] = [free_port()?, free_port()?];
        let at = |protocol: &str, port: u16| format!("{protocol}:{port}");
        let mut kafka = Self::start_with(
            version,
            &[
                "--dir",
                &folder.to_string_lossy(),
                "--security",
                "sasl_ssl",
                "--listener",
                &at("plaintext", plain),
                "--listener",
                &at("ssl", ssl),
            ],
        )?;
        let secret = |name: &str| folder.join("secrets").join(name).display().to_string();
        let ca = ["--ssl-ca-location".to_owned(), secret("ca.pem")];
        let [mechanism, user, password] = [
            ["--sasl-mechanism".to_owned(), "SCRAM-SHA-512".to_owned()],
            ["--sasl-username".to_owned(), "job".to_owned()],
            ["--sasl-password-file".to_owned(), secret("password")],
        ];
        let listener = |protocol, address, more: &[&[String; 2]]| {
            let mut flags = vec!["--security-protocol".to_owned(), String::from(protocol)];
            flags.extend(more.iter().flat_map(|pair| pair.iter().cloned()));
            Listener {
                protocol,
                address,
                flags,
            }
        };
        let main = std::mem::replace(&mut kafka.address, format!("127.0.0.1:{plain}"));
        let listeners = [
            listener("PLAINTEXT", kafka.address.clone(), &[]),
            listener("SSL", format!("127.0.0.1:{ssl}"), &[&ca]),
            listener("SASL_SSL", main, &[&ca, &mechanism, &user, &password]),
        ];
        Ok((kafka, listeners))
    }

    fn start_with(version: &str, options: &[&str]) -> Result<Kafka, String> {
        let mut keeper = Command::new(SCRIPT)
            .args(["hold", "--version", version, "--heap", "1g"])
            .args(options)
            // Alone in its group, a job need not wait for others.
            .args(["--set", "group.initial.rebalance.delay.ms=0"])
            // Nothing in the background but what is measured.
            .args(["--set", "log.retention.check.interval.ms=3600000"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("{SCRIPT} does not start: {e}"))?;
        let errors = keeper.stderr.take();
        let said = thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut errors) = errors {
                // What could be read of it is shown.
                let _ = errors.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        let address = keeper.stdout.take().and_then(|output| {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.find_map(|line| Some(line.strip_prefix("ready ")?.to_owned()))
        });
        match address {
            Some(address) => Ok(Kafka { address, keeper }),
            None => {
                drop(Kafka {
                    address: String::new(),
                    keeper,
                });
                Err(format!(
                    "Kafka {version} does not start: {}",
                    said.join().unwrap_or_default()
                ))
            }
        }
    }

    pub async fn client(&self) -> Result<Client, String> {
        Client::builder(self.address.clone())
            .client_id("bench")
            .connect()
            .await
            .map_err(|e| format!("Kafka at {} can't be reached: {e}", self.address))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // An error means that it has ended already, which is what is wanted.
        let _ = self.keeper.wait();
    }
}

/// Makes a topic, and waits until it can be used.
pub async fn create_topic(client: &Client, name: &str, partitions: usize) -> Result<(), String> {
    let failed = |e| format!("the topic {name} can't be made: {e}");
    let topic = NewTopic::new(name, partitions as i32, 1)
        .map_err(failed)?
        .with_config("max.message.bytes", (8 << 20).to_string());
    let mut made = client
        .admin()
        .create_topics([topic], Default::default())
        .await
        .map_err(failed)?;
    made.remove(name)
        .ok_or("Kafka says nothing about the new topic")?
        .map_err(failed)?;
    let begin = Instant::now();
    loop {
        let described = client
            .admin()
            .describe_topics([name], Default::default())
            .await
            .map_err(failed)?;
        let known = match described.get(name) {
            Some(Ok(topic)) => topic.partitions.len(),
            _ => 0,
        };
        if known == partitions {
            return Ok(());
        }
        if begin.elapsed() > NEW_TOPIC {
            return Err(format!(
                "Kafka made {known} of {partitions} partitions of {name} in {NEW_TOPIC:?}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn delete_topic(client: &Client, name: &str) -> Result<(), String> {
    let failed = |e| format!("the topic {name} can't be deleted: {e}");
    let mut gone = client
        .admin()
        .delete_topics([name], Default::default())
        .await
        .map_err(failed)?;
    gone.remove(name).unwrap_or(Ok(())).map_err(failed)
}

/// Waits until a group has so many members, each with partitions.
pub async fn await_group(client: &Client, group: &str, size: usize) -> Result<(), String> {
    let failed = |e| format!("the group {group} can't be described: {e}");
    let begin = Instant::now();
    loop {
        let mut described = client
            .admin()
            .describe_consumer_groups([group], Default::default())
            .await
            .map_err(failed)?;
        // There is none before the first member has joined.
        let known = match described.remove(group) {
            Some(Ok(group)) if group.state == "Stable" => group.members,
            _ => Vec::new(),
        };
        let has_some = |assigned: &Vec<_>| !assigned.is_empty();
        let assigned = known.iter().map(|member| member.assignment.as_ref());
        let busy = assigned.filter(|assigned| assigned.is_some_and(has_some));
        let busy = busy.count();
        if busy == size {
            return Ok(());
        }
        if begin.elapsed() > NEW_GROUP {
            return Err(format!(
                "{busy} of {size} jobs have partitions after {NEW_GROUP:?}"
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn free_port() -> Result<u16, String> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound
        .map(|address| address.port())
        .map_err(|e| format!("no port of 127.0.0.1 is free: {e}"))
}
