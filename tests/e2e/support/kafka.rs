//! A real Kafka broker, and what tests ask of it.

mod cluster;
mod files;
mod groups;
mod quotas;
mod records;
pub mod secured;
pub mod three;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use krafka::Kafka as Client;
use krafka::admin::{ConfigOp, ConfigResource, NewTopic};

use super::proxy::Proxy;
use super::{await_until, free_port, is, runtime};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka");

/// The Kafkas that job is tested with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// With ZooKeeper.
    V3_7_2,
    /// KRaft, and the last that still speaks protocol v0.
    V3_9_1,
    /// KRaft.
    V4_3_1,
}

impl Version {
    fn name(self) -> &'static str {
        match self {
            Version::V3_7_2 => "3.7.2",
            Version::V3_9_1 => "3.9.1",
            Version::V4_3_1 => "4.3.1",
        }
    }
}

/// Runs a test once for each Kafka: `on_each_kafka!(one, two)` makes the tests `one::kafka_3_7_2` and so on
/// of `fn one(kafka: &Kafka)`.
macro_rules! on_each_kafka {
    ($($test:ident),+ $(,)?) => { $(
        mod $test {
            use crate::support::kafka::{Version, shared};

            #[test]
            fn kafka_3_7_2() {
                super::$test(shared(Version::V3_7_2));
            }

            #[test]
            fn kafka_3_9_1() {
                super::$test(shared(Version::V3_9_1));
            }

            #[test]
            fn kafka_4_3_1() {
                super::$test(shared(Version::V4_3_1));
            }
        }
    )+ };
}
pub(crate) use on_each_kafka;

/// The broker of this version that all tests share: started when first asked for, and gone with the process, whose
/// end closes the pipe that it watches.
pub fn shared(version: Version) -> &'static Kafka {
    static BROKERS: [OnceLock<Kafka>; 3] = [const { OnceLock::new() }; 3];
    BROKERS[version as usize].get_or_init(|| Kafka::start(version))
}

/// A broker that runs for as long as this value lives.
pub struct Kafka {
    version: Version,
    /// The first broker's, where there are several.
    port: u16,
    folder: PathBuf,
    /// Of all brokers.
    addresses: String,
    /// How many of each partition of a new topic.
    replicas: i16,
    /// Ends the broker and removes its folder when its standard input closes, however this process ends.
    keeper: Child,
    client: Client,
}

impl Kafka {
    /// A broker of the caller's own, for tests that stop it.
    pub fn start(version: Version) -> Kafka {
        Kafka::start_at(version, free_port())
    }

    /// Starts Kafka on this port, and comes back when it answers.
    pub fn start_at(version: Version, port: u16) -> Kafka {
        Kafka::start_set(version, port, &[])
    }

    /// A broker of the caller's own with further settings, `name=value` each.
    pub fn start_with(version: Version, settings: &[&str]) -> Kafka {
        Kafka::start_set(version, free_port(), settings)
    }

    /// A broker that clients reach only through a proxy of the caller's, which leads to `port`.
    pub fn start_behind(version: Version, port: u16, proxy: &Proxy, settings: &[&str]) -> Kafka {
        let advertised = format!("advertised.listeners=PLAINTEXT://{}", proxy.address());
        let all: Vec<&str> = settings.iter().copied().chain([&advertised[..]]).collect();
        Kafka::start_set(version, port, &all)
    }

    fn start_set(version: Version, port: u16, settings: &[&str]) -> Kafka {
        let options: Vec<&str> = settings
            .iter()
            .flat_map(|setting| ["--set", setting])
            .collect();
        Kafka::start_so(version, port, &options)
    }

    fn start_so(version: Version, port: u16, options: &[&str]) -> Kafka {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "kafka-{}-{port}-{}",
            version.name(),
            std::process::id()
        ));
        let port_of = port.to_string();
        let options = [&["--port", &port_of][..], options].concat();
        let (keeper, addresses) = hold(version, &folder, &options);
        Kafka::connected(version, port, folder, keeper, addresses)
    }

    fn connected(
        version: Version,
        port: u16,
        folder: PathBuf,
        keeper: Child,
        addresses: String,
    ) -> Kafka {
        let client = Client::builder(&addresses)
            .client_id("test")
            // So that `add_partitions` sees them.
            .metadata_max_age(Duration::from_millis(100));
        let client = match secured::as_admin(&folder) {
            Some(admin) => client.security(admin),
            None => client,
        };
        let client = runtime()
            .block_on(client.connect())
            .expect("a Kafka that says it is ready can be reached");
        Kafka {
            version,
            port,
            folder,
            addresses,
            replicas: 1,
            keeper,
            client,
        }
    }

    pub fn version(&self) -> Version {
        self.version
    }

    pub fn address(&self) -> String {
        self.addresses.clone()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Halts the broker with SIGSTOP: its port accepts, but nothing answers.
    pub fn freeze(&self) {
        self.script("freeze");
    }

    pub fn thaw(&self) {
        self.script("thaw");
    }

    /// Stops the broker; its data stays.
    pub fn stop(&self) {
        self.script("stop");
    }

    /// Starts the stopped broker again, on its data and port.
    pub fn start_again(&self) {
        self.script("again");
    }

    fn script(&self, command: &str) {
        script(command, &self.folder);
    }

    pub fn create_topic(&self, name: &str, partitions: i32) {
        // The default has no room for the record of a body of 1 MiB.
        self.create_limited_topic(name, partitions, 2_097_152);
    }

    /// Makes a topic that takes records of at most `max_message_bytes`, and comes back when Kafka knows it.
    pub fn create_limited_topic(&self, name: &str, partitions: i32, max_message_bytes: usize) {
        let topic = NewTopic::new(name, partitions, self.replicas)
            .expect("a valid topic name")
            .with_config("max.message.bytes", max_message_bytes.to_string());
        await_until("the topic", || {
            let admin = self.client.admin();
            let made = admin.create_topics([topic.clone()], Default::default());
            let mut made = runtime().block_on(made).expect("Kafka answers");
            match made.remove(name).expect("an answer for this topic") {
                Ok(_) => Ok(()),
                // With ZooKeeper, the one before of that name takes a while to go.
                Err(error) if error.to_string().contains("marked for deletion") => {
                    Err(error.to_string())
                }
                Err(error) => panic!("the topic is not made: {error}"),
            }
        });
        // Kafka answers before its metadata has the topic: a job that asks in between is told that there is none.
        await_until("the partitions of the topic", || {
            is(self.end_offsets(name).len(), partitions as usize)
        });
    }

    /// Deletes a topic, and comes back when Kafka doesn't know it any longer.
    pub fn delete_topic(&self, name: &str) {
        let mut deleted = runtime()
            .block_on(
                self.client
                    .admin()
                    .delete_topics([name], Default::default()),
            )
            .expect("Kafka answers");
        deleted
            .remove(name)
            .expect("an answer for this topic")
            .expect("the topic is deleted");
        await_until("the end of the topic", || {
            is(self.end_offsets(name).is_empty(), true)
        });
    }

    /// Sets how the broker itself compresses what is written to the topic from now on; `producer` leaves it as it came.
    pub fn set_compression(&self, topic: &str, codec: &str) {
        self.set(topic, "compression.type", codec);
    }

    /// Changes a setting of a topic.
    pub fn set(&self, topic: &str, name: &str, value: &str) {
        let change = (
            ConfigResource::topic(topic),
            vec![ConfigOp::set(name, value)],
        );
        let changed = runtime()
            .block_on(
                self.client
                    .admin()
                    .incremental_alter_configs([change], Default::default()),
            )
            .expect("Kafka answers");
        for result in changed.into_values() {
            result.expect("the topic's configuration changes");
        }
    }

    /// Runs one of Kafka's own tools that reads this.
    pub fn tool_with_input(&self, tool: &str, args: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(SCRIPT)
            .arg("tool")
            .arg(&self.folder)
            .arg(tool)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("the tool takes it");
        drop(stdin);
        child.wait_with_output().expect("the tool ends")
    }

    /// Runs one of Kafka's own tools against this broker.
    pub fn tool(&self, tool: &str, args: &[&str]) -> Output {
        Command::new(SCRIPT)
            .arg("tool")
            .arg(&self.folder)
            .arg(tool)
            .args(args)
            .output()
            .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"))
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // An error means that it has ended already, which is what is wanted.
        let _ = self.keeper.wait();
    }
}

/// Starts brokers, and comes back when they answer: with what ends them when it ends, and their addresses.
fn hold(version: Version, folder: &Path, options: &[&str]) -> (Child, String) {
    let mut keeper = Command::new(SCRIPT)
        .args(["hold", "--version", version.name(), "--dir"])
        .arg(folder)
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
    let mut errors = keeper.stderr.take().expect("it is piped");
    let said = thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read of it is shown.
        let _ = errors.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let output = keeper.stdout.take().expect("it is piped");
    let ready = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let addresses = ready.unwrap_or_else(|| {
        let said = said.join().expect("the reader ends");
        panic!("Kafka {} does not start: {said}", version.name());
    });
    (keeper, addresses)
}

fn script(command: &str, folder: &Path) {
    let done = Command::new(SCRIPT)
        .arg(command)
        .arg(folder)
        .output()
        .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
    assert!(done.status.success(), "{SCRIPT} {command}: {done:?}");
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}
