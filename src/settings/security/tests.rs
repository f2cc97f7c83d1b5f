//! Which settings go together.

use super::*;

fn given(protocol: Protocol) -> Given {
    Given {
        protocol,
        ca: None,
        certificate: None,
        key: None,
        key_password: None,
        identification: Identification::Https,
        mechanism: None,
        username: None,
        password_file: None,
        password: None,
        oauth: GivenOauth::default(),
    }
}

fn with_oauth() -> Given {
    Given {
        mechanism: Some(Mechanism::OauthBearer),
        oauth: GivenOauth {
            url: Some(url("https://id.example/token").expect("right")),
            client_id: Some("job".into()),
            secret: Some(Secret::new("hush")),
            ..GivenOauth::default()
        },
        ..given(Protocol::SaslSsl)
    }
}

fn with_sasl(protocol: Protocol) -> Given {
    Given {
        mechanism: Some(Mechanism::ScramSha512),
        username: Some("job".into()),
        password: Some(Secret::new("hush")),
        ..given(protocol)
    }
}

#[test]
fn each_protocol_has_its_parts() {
    use Protocol::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
    for (given, is) in [
        (given(Plaintext), Plaintext),
        (given(Ssl), Ssl),
        (with_sasl(SaslPlaintext), SaslPlaintext),
        (with_sasl(SaslSsl), SaslSsl),
        (with_oauth(), SaslSsl),
    ] {
        let security = given.together().expect("it is complete");
        assert_eq!(security.protocol(), is);
        assert_eq!(security.is_plain(), is == Plaintext);
    }
    let both = Given {
        certificate: Some("c".into()),
        key: Some("k".into()),
        ..with_sasl(SaslSsl)
    };
    let security = both.together().expect("a certificate and SASL go together");
    let client = security.tls.expect("TLS").client.expect("a certificate");
    assert_eq!(client.key, PathBuf::from("k"));
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    use Protocol::{Plaintext, SaslPlaintext, SaslSsl, Ssl};
    let cases: [(Given, &[&str]); 20] = [
        (
            Given {
                ca: Some("ca".into()),
                ..given(Plaintext)
            },
            &[
                "ssl-ca-location needs TLS",
                "security-protocol = SSL or SASL_SSL",
            ],
        ),
        (
            Given {
                ca: Some("ca".into()),
                ..with_sasl(SaslPlaintext)
            },
            &["ssl-ca-location needs TLS", "security-protocol = SASL_SSL,"],
        ),
        (
            Given {
                identification: Identification::None,
                ..given(Plaintext)
            },
            &["ssl-endpoint-identification-algorithm needs TLS"],
        ),
        (
            Given {
                username: Some("job".into()),
                ..given(Plaintext)
            },
            &["sasl-username needs SASL", "SASL_SSL or SASL_PLAINTEXT"],
        ),
        (
            with_sasl(Ssl),
            &["sasl-mechanism needs SASL", "security-protocol = SASL_SSL,"],
        ),
        (
            Given {
                password: Some(Secret::new("hush")),
                ..given(Ssl)
            },
            &["JOB_SASL_PASSWORD needs SASL"],
        ),
        (
            Given {
                certificate: Some("c".into()),
                ..given(Ssl)
            },
            &["ssl-certificate-location", "set ssl-key-location"],
        ),
        (
            Given {
                key: Some("k".into()),
                ..given(Ssl)
            },
            &["ssl-key-location", "set ssl-certificate-location"],
        ),
        (
            Given {
                key_password: Some("p".into()),
                ..given(Ssl)
            },
            &["ssl-key-password-file", "set ssl-key-location"],
        ),
        (
            Given {
                key_password: Some("p".into()),
                ..given(Plaintext)
            },
            &["ssl-key-password-file needs TLS"],
        ),
        (
            Given {
                oauth: GivenOauth {
                    url: None,
                    ..with_oauth().oauth
                },
                ..with_oauth()
            },
            &["OAUTHBEARER needs sasl-oauthbearer-token-endpoint-url"],
        ),
        (
            Given {
                oauth: GivenOauth {
                    secret: None,
                    ..with_oauth().oauth
                },
                ..with_oauth()
            },
            &[
                "sasl-oauthbearer-client-secret-file",
                "JOB_SASL_OAUTHBEARER_CLIENT_SECRET",
            ],
        ),
        (
            Given {
                oauth: GivenOauth {
                    secret_file: Some("s".into()),
                    ..with_oauth().oauth
                },
                ..with_oauth()
            },
            &["are both set"],
        ),
        (
            Given {
                username: Some("job".into()),
                ..with_oauth()
            },
            &["sasl-username is of no use to sasl-mechanism = OAUTHBEARER"],
        ),
        (
            Given {
                oauth: with_oauth().oauth,
                ..with_sasl(SaslSsl)
            },
            &["sasl-oauthbearer-token-endpoint-url is of no use"],
        ),
        (
            Given {
                oauth: with_oauth().oauth,
                ..given(Ssl)
            },
            &["sasl-oauthbearer-token-endpoint-url needs SASL"],
        ),
        (
            Given {
                mechanism: None,
                ..with_sasl(SaslSsl)
            },
            &[
                "security-protocol = SASL_SSL needs sasl-mechanism",
                "SCRAM-SHA-512",
            ],
        ),
        (
            Given {
                username: None,
                ..with_sasl(SaslSsl)
            },
            &["sasl-mechanism = SCRAM-SHA-512 needs sasl-username"],
        ),
        (
            Given {
                password: None,
                ..with_sasl(SaslSsl)
            },
            &[
                "needs a password",
                "sasl-password-file",
                "JOB_SASL_PASSWORD",
            ],
        ),
        (
            Given {
                password_file: Some("p".into()),
                ..with_sasl(SaslSsl)
            },
            &["sasl-password-file and JOB_SASL_PASSWORD are both set"],
        ),
    ];
    for (given, says) in cases {
        let error = given.together().expect_err(says[0]);
        for part in says {
            assert!(error.contains(part), "{part} is not in: {error}");
        }
        assert!(!error.contains("hush"), "{error}");
    }
}

#[test]
fn nothing_shows_the_password() {
    let shown = format!("{:?}", with_sasl(Protocol::SaslSsl).together());
    assert!(shown.contains("job") && !shown.contains("hush"), "{shown}");
}

#[test]
fn only_who_asks_for_it_takes_a_certificate_of_any_name() {
    let https = given(Protocol::Ssl).together().expect("it is complete");
    assert!(!https.takes_any_name());
    let none = Given {
        identification: Identification::None,
        ..given(Protocol::Ssl)
    };
    assert!(none.together().expect("it is complete").takes_any_name());
    assert!(!Security::default().takes_any_name());
}
