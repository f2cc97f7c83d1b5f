//! What an ACL of Kafka keeps us from, and the command that allows it.

use krafka::error::ErrorCode;

use super::cluster::Cluster;
use super::finding::Finding;
use super::secure::token;
use crate::settings::security::Sasl;
use crate::settings::{Security, dead_letter_topic};

/// `None` where the error is another one.
pub fn denied(cluster: &Cluster, code: ErrorCode) -> Option<Finding> {
    let group = cluster.group();
    let topics = cluster.topics().names();
    let topics: Vec<String> = topics
        .flat_map(|topic| [topic.to_owned(), dead_letter_topic(topic)])
        .collect();
    let (what, allow) = match code {
        ErrorCode::TopicAuthorizationFailed => (
            format!("topic {}", topics.join(" or ")),
            format!(
                "--operation Read --operation Write --operation Create --topic {}",
                topics.join(" --topic ")
            ),
        ),
        ErrorCode::GroupAuthorizationFailed => (
            format!("group {group}"),
            format!("--operation Read --group {group}"),
        ),
        ErrorCode::ClusterAuthorizationFailed => (
            "the cluster".to_owned(),
            "--operation Describe --operation DescribeConfigs --cluster".to_owned(),
        ),
        _ => return None,
    };
    Some(Finding::new(
        format!("an ACL keeps {} from {what} ({code:?})", who(cluster)),
        format!("Allow it: {}", command(cluster, &allow)),
    ))
}

/// The end of a sentence that says with which error code Kafka answered: empty, but where an ACL is the reason.
pub fn why(cluster: &Cluster, code: i16) -> String {
    denied(cluster, ErrorCode::from_i16(code)).map_or_else(String::new, |found| {
        format!(": {}. {}", found.cause, found.advice)
    })
}

/// What is allowed to this process, as Kafka's command takes it.
fn command(cluster: &Cluster, allow: &str) -> String {
    format!(
        "bin/kafka-acls.sh {} --add --allow-principal {} {allow}",
        cluster.for_scripts(),
        principal(cluster)
    )
}

/// Whom the brokers take us for, as a shell takes it.
fn principal(cluster: &Cluster) -> String {
    let Security { tls, sasl } = cluster.security();
    match (sasl, tls.as_ref().and_then(|tls| tls.client.as_ref())) {
        (Some(sasl), _) => user(cluster, sasl),
        (None, Some(client)) => format!(
            "\"User:$(openssl x509 -noout -subject -nameopt RFC2253 -in {} | cut -d= -f2-)\"",
            client.certificate.display()
        ),
        (None, None) => "User:ANONYMOUS".into(),
    }
}

/// With OAUTHBEARER it is in the token.
fn user(cluster: &Cluster, sasl: &Sasl) -> String {
    let subject = token::subject(cluster.security());
    format!("User:{}", subject.as_ref().unwrap_or(&sasl.username))
}

fn who(cluster: &Cluster) -> String {
    match &cluster.security().sasl {
        Some(sasl) => user(cluster, sasl),
        None if cluster.security().tls.is_some() => "this client certificate".into(),
        None => "User:ANONYMOUS".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::security::{
        ClientCertificate, Identification, Mechanism, Password, Secret, Tls,
    };

    fn said(security: Security, code: ErrorCode) -> Finding {
        denied(&Cluster::secured(&["a:1", "b:2"], security), code).expect("it is about an ACL")
    }

    #[test]
    fn the_command_names_who_and_what() {
        let with_sasl = Security {
            tls: None,
            sasl: Some(Sasl {
                mechanism: Mechanism::Plain,
                username: "job".into(),
                password: Password::Variable(Secret::new("hush")),
                endpoint: None,
            }),
        };
        let topic = said(with_sasl.clone(), ErrorCode::TopicAuthorizationFailed);
        assert!(
            topic
                .cause
                .starts_with("an ACL keeps User:job from topic my-topic"),
            "{topic:?}"
        );
        let command = "bin/kafka-acls.sh --bootstrap-server a:1,b:2 --command-config ADMIN.properties --add --allow-principal User:job --operation Read";
        assert!(topic.advice.contains(command), "{topic:?}");
        let group = said(with_sasl, ErrorCode::GroupAuthorizationFailed);
        assert!(
            group.advice.ends_with("--group my_consumer_group"),
            "{group:?}"
        );

        let with_certificate = Security {
            tls: Some(Tls {
                ca: None,
                client: Some(ClientCertificate {
                    certificate: "c".into(),
                    key: "k".into(),
                    key_password: None,
                }),
                identification: Identification::Https,
            }),
            sasl: None,
        };
        let cluster = said(with_certificate, ErrorCode::ClusterAuthorizationFailed);
        assert!(
            cluster
                .cause
                .starts_with("an ACL keeps this client certificate"),
            "{cluster:?}"
        );
        let nobody = said(Security::default(), ErrorCode::TopicAuthorizationFailed);
        assert!(nobody.advice.contains("User:ANONYMOUS"), "{nobody:?}");
        let cluster = Cluster::secured(&["a:1"], Security::default());
        let said = why(&cluster, 29);
        assert!(said.starts_with(": an ACL keeps"), "{said}");
        assert_eq!(why(&cluster, 16), "");
        let other = denied(&Cluster::plain(&["a:1"]), ErrorCode::NotLeaderForPartition);
        assert_eq!(other, None);
    }
}
