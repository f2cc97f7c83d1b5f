//! The settings' flags: their names, defaults, help and values. Each is described here once: `load` reads the environment and
//! the file through the same description, so that flags, variables and keys agree.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::security::{Given, GivenOauth, Identification, Mechanism, Protocol, Secret, Security};
use super::{
    Addresses, AutoOffsetReset, Caller, CatchUp, Coalesce, CometTls, Comets, Config, FanOut, Fetch,
    GivenCometTls, GroupProtocol, Http, Isolation, LogFormat, LogMessages, MaxAge, Metadata, Pause,
    Socket, TooOld, UnknownServer, Window, Wording,
};
use crate::message::{Dialect, Topics};
use crate::settings::{self, security};

/// The flags that say where messages are: all that `job send` and `job dead-letter` need.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// TOML file with settings [default: job.toml in the working folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's brokers, separated by commas
    #[arg(long, value_name = "HOST:PORT,…", default_value = "localhost:9092", value_parser = settings::addresses)]
    brokers: Addresses,
    /// Topics of the PushMsg records, separated by commas
    #[arg(long, value_name = "NAME,…", default_value = "my-topic", value_parser = settings::topics)]
    topic: Topics,
    #[command(flatten)]
    security: SecurityArgs,
    /// Name of this process in Kafka's logs, quotas and lists of members; commands add theirs, as job-send
    #[arg(long, value_name = "NAME", default_value = "job", value_parser = settings::name)]
    client_id: String,
}

/// The flags that say where a job serves: all that `job status` needs.
#[derive(Debug, Args)]
pub struct ServedArgs {
    /// TOML file with settings [default: job.toml in the working folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the job serves its status
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9093", value_parser = settings::http)]
    http: Http,
}

/// The flags that say where a job takes commands: all that `job ctl` needs.
#[derive(Debug, Args)]
pub struct ControlledArgs {
    /// TOML file with settings [default: job.toml in the working folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The socket where the job takes commands
    #[arg(long, value_name = "PATH", default_value = "auto", value_parser = settings::socket)]
    control: Socket,
}

/// The flags that say how Kafka is spoken to. They are named as librdkafka's settings.
#[derive(Debug, Args)]
struct SecurityArgs {
    /// What Kafka's listener speaks
    #[arg(long, value_name = "PROTOCOL", default_value = "PLAINTEXT", ignore_case = true, value_parser = security::protocol())]
    security_protocol: Protocol,
    /// PEM file of the CAs that sign the brokers' certificates [default: the CAs of this system]
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    ssl_ca_location: Option<PathBuf>,
    /// PEM file of the certificate that shows who we are, with those between it and its CA
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    ssl_certificate_location: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    ssl_key_location: Option<PathBuf>,
    /// File of the key's password, where it is encrypted
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    ssl_key_password_file: Option<PathBuf>,
    /// Whether a certificate has to have the broker's name (https), or none is checked: for a trial only
    #[arg(long, value_name = "ALGORITHM", default_value = "https", ignore_case = true, value_parser = security::identification())]
    ssl_endpoint_identification_algorithm: Identification,
    /// How SASL shows who we are
    #[arg(long, value_name = "MECHANISM", ignore_case = true, value_parser = security::mechanism())]
    sasl_mechanism: Option<Mechanism>,
    /// Who we are to SASL
    #[arg(long, value_name = "NAME", value_parser = settings::name)]
    sasl_username: Option<String>,
    /// File of the password; or the variable JOB_SASL_PASSWORD holds it
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    sasl_password_file: Option<PathBuf>,
    /// Where OAUTHBEARER gets its tokens: the token endpoint of an OAuth server
    #[arg(long, value_name = "URL", value_parser = security::url)]
    sasl_oauthbearer_token_endpoint_url: Option<security::Url>,
    /// Who we are to the OAuth server
    #[arg(long, value_name = "ID", value_parser = settings::name)]
    sasl_oauthbearer_client_id: Option<String>,
    /// File of the client's secret; or the variable JOB_SASL_OAUTHBEARER_CLIENT_SECRET holds it
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    sasl_oauthbearer_client_secret_file: Option<PathBuf>,
    /// What to ask for, where the OAuth server wants to know: names with spaces between them
    #[arg(long, value_name = "SCOPE", value_parser = settings::name)]
    sasl_oauthbearer_scope: Option<String>,
}

/// What variables hold that are no flags.
#[derive(Debug, Default)]
pub struct Secrets {
    pub password: Option<Secret>,
    pub client_secret: Option<Secret>,
}

impl SecurityArgs {
    fn together(self, secrets: Secrets) -> Result<Security, String> {
        let given = Given {
            protocol: self.security_protocol,
            ca: self.ssl_ca_location,
            certificate: self.ssl_certificate_location,
            key: self.ssl_key_location,
            key_password: self.ssl_key_password_file,
            identification: self.ssl_endpoint_identification_algorithm,
            mechanism: self.sasl_mechanism,
            username: self.sasl_username,
            password_file: self.sasl_password_file,
            password: secrets.password,
            oauth: GivenOauth {
                url: self.sasl_oauthbearer_token_endpoint_url,
                client_id: self.sasl_oauthbearer_client_id,
                secret_file: self.sasl_oauthbearer_client_secret_file,
                secret: secrets.client_secret,
                scope: self.sasl_oauthbearer_scope,
            },
        };
        given.together()
    }
}

/// The flags that say how Comets are spoken to.
#[derive(Debug, Args)]
struct CometTlsArgs {
    /// Whether Comets are spoken to with TLS; at Unix sockets never
    #[arg(long, value_name = "SWITCH", default_value = "off", action = ArgAction::Set, value_parser = settings::switch())]
    comet_tls: bool,
    /// PEM file of the CAs that sign the Comets' certificates [default: the CAs of this system]
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    comet_ca: Option<PathBuf>,
    /// PEM file of the certificate that shows Comets who we are, with those between it and its CA
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    comet_certificate: Option<PathBuf>,
    /// PEM file of its key, which isn't encrypted
    #[arg(long, value_name = "FILE", value_parser = security::file)]
    comet_key: Option<PathBuf>,
    /// Name that the Comets' certificates have, where it isn't the one in comet
    #[arg(long, value_name = "NAME", value_parser = settings::server_name)]
    comet_server_name: Option<String>,
}

impl CometTlsArgs {
    fn together(self) -> Result<Option<CometTls>, String> {
        let given = GivenCometTls {
            is_on: self.comet_tls,
            ca: self.comet_ca,
            certificate: self.comet_certificate,
            key: self.comet_key,
            server_name: self.comet_server_name,
            wording: Wording::Settings,
        };
        given.together()
    }
}

/// All settings. Each field's flag names its variable and key too.
#[derive(Debug, Args)]
pub struct SettingArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Rack, or zone, of this process: records are read from a replica there
    #[arg(long, value_name = "RACK", value_parser = settings::name)]
    client_rack: Option<String>,
    /// Consumer group
    #[arg(long, default_value = "my_consumer_group", value_parser = settings::name)]
    group: String,
    /// Where to begin in a partition of which the group has committed nothing: earliest, latest, or by_duration:TIME ago
    #[arg(long, value_name = "WHERE", default_value = "earliest", value_parser = settings::auto_offset_reset)]
    auto_offset_reset: AutoOffsetReset,
    /// Name of this member, for static membership: a restart under the same name causes no rebalance
    #[arg(long, value_name = "ID", value_parser = settings::name)]
    group_instance_id: Option<String>,
    /// How members agree on who reads what: classic, or consumer (KIP-848, Kafka 4.0 and later)
    #[arg(long, value_name = "PROTOCOL", default_value = "classic", value_parser = settings::group_protocol())]
    group_protocol: GroupProtocol,
    /// How long Kafka waits for a heartbeat before others take this member's partitions
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = settings::duration)]
    session_timeout: Duration,
    /// The Comet nodes, separated by commas: host:port, or unix:/path of a Unix socket; name=… gives one a name; file:///path,
    /// dns:///name:port and discovery://host:port/appid?env=… say which there are
    #[arg(long, value_name = "HOST:PORT,…", default_value = "localhost:50051", value_parser = settings::comets)]
    comet: Comets,
    /// How often dns:///… and discovery://… are asked which Comets there are
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = settings::duration)]
    comet_refresh: Duration,
    #[command(flatten)]
    comet_tls: CometTlsArgs,
    /// Metadata that goes along with each call to a Comet: a value, or the file that holds it (file:PATH)
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = settings::metadata::MetadataParser)]
    comet_metadata: Option<Metadata>,
    /// Which Comets get a room's messages: all, or those that have the room (rooms), which are asked for their rooms each second
    #[arg(long, value_name = "WHICH", default_value = "all", value_parser = settings::fan_out())]
    fan_out: FanOut,
    /// Whether each call tells which Kafka record it carries and which try it is, and passes on the record's trace
    #[arg(long, value_name = "SWITCH", default_value = "off", action = ArgAction::Set, value_parser = settings::switch())]
    record_metadata: bool,
    /// Which Comets they are: chatroom, or goim (the service goim.comet.Comet, bodies in goim's frames)
    #[arg(long, value_name = "DIALECT", default_value = "chatroom", value_parser = settings::dialect())]
    dialect: Dialect,
    /// What becomes of a message to users on a server that is none of them: all get it, or it is a dead-letter; auto is
    /// dead-letter with goim's Comets, else all
    #[arg(long, value_name = "ACTION", default_value = "auto", value_parser = settings::unknown_server())]
    push_unknown_server: UnknownServer,
    /// Workers, 1 to 64
    #[arg(long, value_name = "N", default_value = "4", value_parser = settings::count(1, 64))]
    threads: usize,
    /// Calls in flight at once for each worker and Comet, 1 to 4096; auto: 64 shared among a worker's Comets, 8 at least
    #[arg(long, value_name = "N", default_value = "auto", value_parser = settings::window)]
    window: Window,
    /// How Comets are called: grpcio is gRPC's own library, lean is job's own HTTP/2, which needs less CPU; auto is grpcio,
    /// and lean where TLS or a Unix socket asks for it, or job was built without it
    #[arg(long, value_name = "CALLER", default_value = "auto", value_parser = settings::caller())]
    caller: Caller,
    /// Whether calls that start together leave together (src/comet/cork.rs). Off is for the day on which that is
    /// suspected of a fault: it only costs speed.
    #[arg(long, hide = true, value_name = "SWITCH", default_value = "on", action = ArgAction::Set, value_parser = settings::switch())]
    cork_calls: bool,
    /// Client that reads the records: classic for Kafka up to 3.9, modern from 3.7 on, auto chooses
    #[arg(long, value_name = "CLIENT", default_value = "auto", value_parser = settings::fetch())]
    fetch: Fetch,
    /// Whether records of a Kafka transaction wait for its commit, and are left out where it is aborted
    #[arg(long, value_name = "LEVEL", default_value = "read_committed", value_parser = settings::isolation())]
    isolation_level: Isolation,
    /// Messages that wait for a room go together in one call: as one web body (json), or as goim's frames
    #[arg(long, value_name = "FORM", default_value = "off", value_parser = settings::coalesce())]
    coalesce: Coalesce,
    /// Messages in such a call at most, 2 to 1000
    #[arg(long, value_name = "N", default_value = "20", value_parser = settings::count(2, 1000))]
    coalesce_max: usize,
    /// Bytes of its body at most, up to 3MiB
    #[arg(long, value_name = "SIZE", default_value = "65536", value_parser = settings::coalesce_bytes)]
    coalesce_bytes: usize,
    /// Time between two calls of a room, where messages go together; 10ms at most if the call is full. auto is 100ms with goim's Comets, else 0
    #[arg(long, value_name = "TIME", default_value = "auto", value_parser = settings::pause)]
    coalesce_pause: Pause,
    /// Deadline of one call to a Comet
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = settings::duration)]
    call_timeout: Duration,
    /// How long a stop may take, which waits for what is in flight
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = settings::duration_or_none)]
    shutdown_timeout: Duration,
    /// Messages held at most between Kafka and the Comets; reading pauses there
    #[arg(long, value_name = "N", default_value = "4000", value_parser = settings::count(1, usize::MAX))]
    hold_messages: usize,
    /// Bytes of them held at most
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = settings::bytes)]
    hold_bytes: usize,
    /// What a Comet gets of what it missed: all, nothing (off), or what is at most this old; all if it was away for a shorter time
    #[arg(long, value_name = "LIMIT", default_value = "5m", value_parser = settings::catch_up)]
    catch_up: CatchUp,
    /// Messages older than this when their turn comes are not sent: a time, or off
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = settings::max_age)]
    max_age: MaxAge,
    /// What becomes of them: they are skipped, or become dead letters
    #[arg(long, value_name = "ACTION", default_value = "skip", value_parser = settings::too_old())]
    max_age_action: TooOld,
    /// Messages that the log shows at INFO: on is each, off is none, sample:N is one in N
    #[arg(long, value_name = "WHICH", default_value = "on", value_parser = settings::log_messages)]
    log_messages: LogMessages,
    /// How the log is written: muduo is a line, json an object a line, journal the systemd journal with fields, auto that where
    /// standard output leads there
    #[arg(long, value_name = "FORM", default_value = "muduo", value_parser = settings::log_format())]
    log_format: LogFormat,
    /// Where metrics, health and the status page are served over HTTP, or off. A default port that is taken is only warned about
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9093", value_parser = settings::http)]
    http: Http,
    /// Unix socket where job ctl reaches this process: a path, off, or auto (job.sock in the runtime folder)
    #[arg(long, value_name = "PATH", default_value = "auto", value_parser = settings::socket)]
    control: Socket,
}

impl SettingArgs {
    /// Takes the settings together, with the password of the environment.
    ///
    /// # Errors
    /// Two don't go together, or one is missing.
    pub fn into_config(self, secrets: Secrets) -> Result<Config, String> {
        let args = self;
        let config = Config {
            brokers: args.source.brokers.0,
            security: args.source.security.together(secrets)?,
            client_id: args.source.client_id,
            client_rack: args.client_rack,
            topics: args.source.topic,
            group: args.group,
            auto_offset_reset: args.auto_offset_reset,
            group_instance_id: args.group_instance_id,
            group_protocol: args.group_protocol,
            session_timeout: args.session_timeout,
            threads: args.threads,
            window: args.window,
            caller: args.caller,
            cork_calls: args.cork_calls,
            comet: args.comet.0,
            fan_out: args.fan_out,
            record_metadata: args.record_metadata,
            comet_metadata: args.comet_metadata.unwrap_or_default(),
            comet_refresh: args.comet_refresh,
            comet_tls: args.comet_tls.together()?,
            dialect: args.dialect,
            push_unknown_server: args.push_unknown_server,
            fetch: args.fetch,
            isolation: args.isolation_level,
            coalesce: args.coalesce,
            coalesce_max: args.coalesce_max,
            coalesce_bytes: args.coalesce_bytes,
            coalesce_pause: args.coalesce_pause,
            call_timeout: args.call_timeout,
            shutdown_timeout: args.shutdown_timeout,
            hold_messages: args.hold_messages,
            hold_bytes: args.hold_bytes,
            catch_up: args.catch_up,
            max_age: args.max_age.0,
            max_age_action: args.max_age_action,
            log_messages: args.log_messages,
            log_format: args.log_format,
            http: args.http,
            control: args.control,
        };
        config.check()?;
        Ok(config)
    }
}
