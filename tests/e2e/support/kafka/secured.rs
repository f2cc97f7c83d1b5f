//! Brokers with TLS, SASL and ACLs, which the tests of security share. A user may do there only what a test allows.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use krafka::admin::{
    AclBinding, AclFilter, AclOperation, AclPatternType, AclPermissionType, AclResourceType,
    CreateAclsOptions, DeleteAclsOptions,
};
use krafka::auth::AuthConfig;

use super::{Kafka, SCRIPT, Version};
use crate::support::proxy::Proxy;
use crate::support::tokens::{CLIENT, SCOPE, TokenEndpoint};
use crate::support::topic::Topic;
use crate::support::{free_port, runtime};

/// What one of its listeners speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// With PLAIN alone.
    SaslPlaintext,
    SaslSsl,
    /// The certificate of a client is taken, and not asked for.
    Ssl,
    /// A client must show a certificate.
    Mutual,
    Plaintext,
    /// SASL_SSL at an address that is not in the broker's certificate.
    OtherName,
}

pub struct Secured {
    pub kafka: Kafka,
    sasl_ssl: u16,
    ssl: u16,
    mutual: u16,
    plaintext: u16,
    /// SASL_SSL again, behind something that can cut its connections.
    pub sasl_ssl_proxy: Proxy,
    /// And TLS with client certificates.
    pub mutual_proxy: Proxy,
    other_name_proxy: Proxy,
    /// And SASL_SSL with a certificate that can be changed.
    pub renewed_proxy: Proxy,
}

/// The one of this version: started when first asked for, and gone with the process.
pub fn secured(version: Version) -> &'static Secured {
    static BROKERS: [OnceLock<Secured>; 3] = [const { OnceLock::new() }; 3];
    BROKERS[version as usize].get_or_init(|| Secured::start(version))
}

impl Secured {
    fn start(version: Version) -> Secured {
        let ports: [u16; 9] = std::array::from_fn(|_| free_port());
        let [
            main,
            sasl_ssl,
            ssl,
            mutual,
            plaintext,
            proxied,
            proxied_mutual,
            other_name,
            renewed,
        ] = ports;
        let sasl_ssl_proxy = Proxy::start(format!("127.0.0.1:{proxied}"));
        let mutual_proxy = Proxy::start(format!("127.0.0.1:{proxied_mutual}"));
        let other_name_proxy = Proxy::start_on(
            Ipv4Addr::new(127, 0, 0, 2),
            format!("127.0.0.1:{other_name}"),
        );
        let renewed_proxy = Proxy::start(format!("127.0.0.1:{renewed}"));
        let listeners = [
            format!("sasl_ssl:{sasl_ssl}@localhost:{sasl_ssl}"),
            format!("ssl:{ssl}"),
            format!("mutual:{mutual}"),
            format!("plaintext:{plaintext}"),
            format!("sasl_ssl:{proxied}@{}", sasl_ssl_proxy.address()),
            format!("mutual:{proxied_mutual}@{}", mutual_proxy.address()),
            format!("sasl_ssl:{other_name}@{}", other_name_proxy.address()),
            format!("sasl_ssl:{renewed}@{}", renewed_proxy.address()),
        ];
        let mut options = vec![
            "--security",
            "sasl_plaintext",
            "--acl",
            "--set",
            "listener.name.kafka.sasl.enabled.mechanisms=PLAIN",
        ];
        for listener in &listeners {
            options.extend(["--listener", listener]);
        }
        Secured {
            kafka: Kafka::start_so(version, main, &options),
            sasl_ssl,
            ssl,
            mutual,
            plaintext,
            sasl_ssl_proxy,
            mutual_proxy,
            other_name_proxy,
            renewed_proxy,
        }
    }

    pub fn address(&self, listener: Listener) -> String {
        match listener {
            Listener::SaslPlaintext => self.kafka.address(),
            Listener::SaslSsl => format!("localhost:{}", self.sasl_ssl),
            Listener::Ssl => format!("127.0.0.1:{}", self.ssl),
            Listener::Mutual => format!("127.0.0.1:{}", self.mutual),
            Listener::Plaintext => format!("127.0.0.1:{}", self.plaintext),
            Listener::OtherName => self.other_name_proxy.address(),
        }
    }

    /// The path of one of its secrets.
    pub fn secret(&self, name: &str) -> String {
        path_of(&self.kafka.folder.join("secrets").join(name))
    }

    /// What is in one of its secrets.
    pub fn read_secret(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.secret(name)).expect("the secret is there");
        text.trim().to_owned()
    }

    /// Makes NAME.pem and NAME.key among its secrets, by `scripts/kafka certificate`.
    pub fn make_certificate(&self, name: &str, options: &[&str]) {
        let made = Command::new(SCRIPT)
            .arg("certificate")
            .arg(&self.kafka.folder)
            .arg(name)
            .args(options)
            .output()
            .unwrap_or_else(|e| panic!("{SCRIPT} does not start: {e}"));
        assert!(made.status.success(), "{made:?}");
    }

    /// Has the broker behind `renewed_proxy` show another certificate of its secrets, on connections from then on.
    pub fn renew(&self, name: &str) {
        let [certificate, key] = ["pem", "key"].map(|end| self.secret(&format!("{name}.{end}")));
        let both = self.secret(&format!("{name}.keystore.pem"));
        let parts = [key, certificate].map(|part| std::fs::read(part).expect("it is made"));
        std::fs::write(&both, parts.concat()).expect("written");
        // The last of the listeners that it was started with.
        let prefix = "listener.name.more8.ssl.keystore";
        let config = format!("{prefix}.type=PEM,{prefix}.location={both}");
        let args = ["--alter", "--entity-type", "brokers", "--entity-name", "1"];
        let args = [&args[..], &["--add-config", &config]].concat();
        let done = self.kafka.tool("kafka-configs", &args);
        assert!(done.status.success(), "{done:?}");
    }

    /// The flags of job for one of its listeners, each with its value.
    pub fn flags(&self, listener: Listener) -> Vec<String> {
        self.flags_at(listener, &self.address(listener))
    }

    /// The same at another address.
    pub fn flags_at(&self, listener: Listener, address: &str) -> Vec<String> {
        let protocol = match listener {
            Listener::SaslPlaintext => "SASL_PLAINTEXT",
            Listener::SaslSsl | Listener::OtherName => "SASL_SSL",
            Listener::Ssl | Listener::Mutual => "SSL",
            Listener::Plaintext => "PLAINTEXT",
        };
        let mut flags = vec![("--brokers", address.to_owned())];
        flags.push(("--security-protocol", protocol.to_owned()));
        if protocol.ends_with("SSL") {
            flags.push(("--ssl-ca-location", self.secret("ca.pem")));
        }
        if listener == Listener::Mutual {
            flags.push(("--ssl-certificate-location", self.secret("client.pem")));
            flags.push(("--ssl-key-location", self.secret("client.key")));
        }
        if listener == Listener::OtherName {
            flags.push(("--ssl-endpoint-identification-algorithm", "none".to_owned()));
        }
        if protocol.starts_with("SASL") {
            let mechanism = match listener {
                Listener::SaslPlaintext => "PLAIN",
                _ => "SCRAM-SHA-512",
            };
            flags.push(("--sasl-mechanism", mechanism.to_owned()));
            flags.push(("--sasl-username", "job".to_owned()));
            flags.push(("--sasl-password-file", self.secret("password")));
        }
        let pairs = flags.into_iter();
        pairs
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    /// The flags for OAUTHBEARER over TLS at an address, with the tokens of an endpoint.
    pub fn oauth_flags_at(&self, address: &str, tokens: &TokenEndpoint) -> Vec<String> {
        let flags = self.flags_at(Listener::SaslSsl, address);
        let of_sasl = flags.iter().position(|flag| flag == "--sasl-mechanism");
        let [url, secret] = [&tokens.url, &tokens.secret_file()];
        let oauth = [
            ["--sasl-mechanism", "OAUTHBEARER"],
            ["--sasl-oauthbearer-token-endpoint-url", url],
            ["--sasl-oauthbearer-client-id", CLIENT],
            ["--sasl-oauthbearer-client-secret-file", secret],
            ["--sasl-oauthbearer-scope", SCOPE],
        ];
        let oauth = oauth.as_flattened().iter().map(|&text| text.to_owned());
        let others = &flags[..of_sasl.expect("it is set")];
        others.iter().cloned().chain(oauth).collect()
    }

    /// Allows what docs/SECURITY.md says that job needs, and what `job send` does.
    pub fn allow_all(&self, principal: &str, topic: &Topic<'_>) {
        use AclOperation::{Create, Read, Write};
        for operation in [Read, Write] {
            self.allow(principal, AclResourceType::Topic, &topic.name, operation);
        }
        self.allow(principal, AclResourceType::Group, &topic.group, Read);
        for operation in [Read, Write, Create] {
            let letters = topic.dead_letter_topic();
            self.allow(principal, AclResourceType::Topic, &letters, operation);
        }
    }

    pub fn allow(&self, who: &str, kind: AclResourceType, name: &str, operation: AclOperation) {
        let allowed = AclPermissionType::Allow;
        // Fault of krafka 0.28.1: its numbers of the pattern types are off by one, so this is Kafka's LITERAL.
        let acl = AclBinding::new(kind, name, who, "*", operation, allowed)
            .with_pattern_type(AclPatternType::Prefixed);
        let admin = self.kafka.client.admin();
        let made = runtime().block_on(admin.create_acls(vec![acl], CreateAclsOptions::default()));
        for (_, result) in made.expect("Kafka answers") {
            result.expect("the ACL is made");
        }
    }

    /// Takes back what was allowed to anybody.
    pub fn forbid(&self, kind: AclResourceType, name: &str, operation: AclOperation) {
        let acl = AclFilter::for_resource(kind, name).operation(operation);
        let admin = self.kafka.client.admin();
        let gone = runtime().block_on(admin.delete_acls(vec![acl], DeleteAclsOptions::default()));
        for (_, result) in gone.expect("Kafka answers") {
            result.expect("the ACL is deleted");
        }
    }

    /// Takes back all that was allowed to this one.
    pub fn take_all(&self, who: &str) {
        let admin = self.kafka.client.admin();
        let filter = vec![AclFilter::for_principal(who)];
        let gone = runtime().block_on(admin.delete_acls(filter, DeleteAclsOptions::default()));
        for (_, result) in gone.expect("Kafka answers") {
            result.expect("the ACLs are deleted");
        }
    }

    /// Runs one of Kafka's commands as an error of job names it: `bin/kafka-acls.sh --bootstrap-server … …`, as admin.
    pub fn run(&self, command: &str) {
        let mut words = command
            .split_whitespace()
            .map(|word| word.trim_matches('\''));
        let tool = words.next().expect("a command");
        let tool = tool.strip_prefix("bin/").expect("a command of Kafka");
        let mut args = Vec::new();
        while let Some(word) = words.next() {
            // The tool knows where the broker is, and who admin is there.
            match word {
                "--bootstrap-server" | "--command-config" => words.next().map_or((), drop),
                word => args.push(word),
            }
        }
        let done = self.kafka.tool(tool, &args);
        assert!(done.status.success(), "{command}: {done:?}");
    }
}

/// Who may do everything at the broker in this folder; `None` where everybody may.
pub fn as_admin(folder: &Path) -> Option<AuthConfig> {
    let password = std::fs::read_to_string(folder.join("secrets/admin-password")).ok()?;
    Some(AuthConfig::sasl_plain("admin", password.trim()))
}

fn path_of(path: &Path) -> String {
    path.to_str().expect("a folder's name is text").to_owned()
}
