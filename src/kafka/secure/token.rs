//! The tokens of OAUTHBEARER: fetched from the OAuth server with the client's id and secret, and kept until shortly before
//! they expire. All connections of this process share them.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{files, http};
use crate::base::text::escape_first;
use crate::kafka::finding::Finding;
use crate::settings::Security;
use crate::settings::security::{Sasl, Secret, TokenEndpoint};

/// A token is renewed when a fifth of its life is left, and within these limits. krafka refuses one of less than 30 s.
const RENEW_LEAST: Duration = Duration::from_secs(35);
const RENEW_MOST: Duration = Duration::from_secs(300);
/// Where nobody says how long it lives.
const ASSUMED_LIFE: Duration = Duration::from_secs(300);
/// A new client of Kafka may have been refused with the token that is kept. One that is as young isn't fetched again.
const YOUNG: Duration = Duration::from_secs(10);
/// How much of what the endpoint says is shown, in bytes.
const SHOWN: usize = 200;

#[derive(Clone, Debug)]
pub struct Token {
    pub value: Secret,
    /// Whom the broker takes us for, as the token itself says.
    pub subject: Option<String>,
    pub expires: SystemTime,
    fetched: SystemTime,
    /// A broker may have refused it.
    is_doubted: bool,
}

impl Token {
    fn is_fresh(&self, now: SystemTime) -> bool {
        let life = self.expires.duration_since(self.fetched);
        let early = (life.unwrap_or_default() / 5).clamp(RENEW_LEAST, RENEW_MOST);
        !self.is_doubted && now + early < self.expires
    }

    /// Asks for the next one, unless this one is young.
    fn doubt(&mut self, now: SystemTime) {
        let age = now.duration_since(self.fetched);
        self.is_doubted |= age.is_ok_and(|age| age > YOUNG);
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// By endpoint, scope and client.
static HELD: LazyLock<Mutex<HashMap<String, Slot>>> = LazyLock::new(Mutex::default);

fn slot(sasl: &Sasl, endpoint: &TokenEndpoint) -> Slot {
    let TokenEndpoint { url, scope } = endpoint;
    let key = format!("{url} {scope:?} {}", sasl.username);
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    held.entry(key).or_default().clone()
}

/// A token that a broker takes for a while, where the settings are of OAUTHBEARER.
///
/// # Errors
/// There is none: why, and what to do.
pub async fn token(security: &Security) -> Result<Option<Token>, Finding> {
    let Some((sasl, endpoint)) = of_oauth(security) else {
        return Ok(None);
    };
    let slot = slot(sasl, endpoint);
    let mut held = slot.lock().await;
    if let Some(token) = held
        .as_ref()
        .filter(|held| held.is_fresh(SystemTime::now()))
    {
        return Ok(Some(token.clone()));
    }
    match fetch(security, sasl, endpoint).await {
        Ok(token) => Ok(Some(held.insert(token).clone())),
        // It still serves for a little.
        Err(finding) => match held.as_ref() {
            Some(old) if SystemTime::now() + RENEW_LEAST < old.expires => {
                log::warn!("{}. {}", finding.cause, finding.advice);
                Ok(Some(old.clone()))
            }
            _ => Err(finding),
        },
    }
}

/// Has the next one fetched, unless this one is young: a broker may have refused it.
pub fn renew(security: &Security) {
    if let Some((sasl, endpoint)) = of_oauth(security)
        // Somebody fetches it just now.
        && let Ok(mut held) = slot(sasl, endpoint).try_lock()
    {
        let held = held.as_mut();
        held.into_iter()
            .for_each(|held| held.doubt(SystemTime::now()));
    }
}

/// Whom the brokers take us for, where a token has said so.
pub fn subject(security: &Security) -> Option<String> {
    let (sasl, endpoint) = of_oauth(security)?;
    let slot = slot(sasl, endpoint);
    let held = slot.try_lock().ok()?;
    held.as_ref()?.subject.clone()
}

fn of_oauth(security: &Security) -> Option<(&Sasl, &TokenEndpoint)> {
    let sasl = security.sasl.as_ref()?;
    Some((sasl, sasl.endpoint.as_ref()?))
}

async fn fetch(
    security: &Security,
    sasl: &Sasl,
    endpoint: &TokenEndpoint,
) -> Result<Token, Finding> {
    let secret = files::password(sasl).map_err(Finding::of_settings)?;
    let ca = security.tls.as_ref().and_then(|tls| tls.ca.clone());
    let now = SystemTime::now();
    let authorization = basic(&sasl.username, &secret);
    let form = form(endpoint.scope.as_deref());
    let failed = |why: String, advice: &'static str| {
        Finding::new(format!("no token from {}: {why}", endpoint.url), advice)
    };
    let (status, body) = http::post(&endpoint.url, ca, &authorization, form)
        .await
        .map_err(|Finding { cause, advice }| Finding {
            cause: format!("no token from {}: {cause}", endpoint.url),
            advice,
        })?;
    if status != 200 {
        let said = said(&body, &secret);
        return Err(failed(format!("status {status}{said}"), advice(status)));
    }
    read(&body, now).map_err(|why| failed(why.into(), URL))
}

/// Both are encoded as in a form (RFC 6749, 2.3.1).
fn basic(client: &str, secret: &Secret) -> String {
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(client), encoded(secret.reveal()));
    format!("Basic {}", STANDARD.encode(pair))
}

fn form(scope: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

const URL: &str =
    "Check sasl-oauthbearer-token-endpoint-url: is it the token endpoint of an OAuth server?";

fn advice(status: u16) -> &'static str {
    match status {
        400 | 401 | 403 => {
            "Check sasl-oauthbearer-client-id, the secret (sasl-oauthbearer-client-secret-file or \
             JOB_SASL_OAUTHBEARER_CLIENT_SECRET) and sasl-oauthbearer-scope"
        }
        429 | 500.. => "job tries again. Check the log of the OAuth server",
        _ => URL,
    }
}

/// What an OAuth server says of an error (RFC 6749, 5.2).
fn said(body: &[u8], secret: &Secret) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts = ["error", "error_description"].map(|key| answer[key].as_str());
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    let text = parts.join(": ").replace(secret.reveal(), "(hidden)");
    match text.as_str() {
        "" => String::new(),
        text => format!(" ({})", escape_first(text.as_bytes(), SHOWN)),
    }
}

/// The token in an answer. No error shows it.
fn read(body: &[u8], now: SystemTime) -> Result<Token, &'static str> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?;
    let value = answer["access_token"]
        .as_str()
        .ok_or("the answer has no access_token")?;
    // It stands in a message with separators of its own.
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the access_token is not text of a token");
    }
    let claims = claims(value);
    let by_answer = answer["expires_in"]
        .as_u64()
        .map(|life| now + seconds(life));
    let by_itself = claims["exp"].as_f64().filter(|exp| *exp >= 0.0);
    let by_itself = by_itself.map(|exp| UNIX_EPOCH + seconds(exp as u64));
    let expires = match (by_answer, by_itself) {
        (Some(one), Some(other)) => one.min(other),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => now + ASSUMED_LIFE,
    };
    Ok(Token {
        value: Secret::new(value),
        subject: claims["sub"].as_str().map(str::to_owned),
        expires,
        fetched: now,
        is_doubted: false,
    })
}

/// Not so many that a time can't have them.
fn seconds(count: u64) -> Duration {
    Duration::from_secs(count.min(1 << 40))
}

/// What a token says of itself, where it is a JWT.
fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap_or_default();
    let json = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::security::{Mechanism, Password, url};

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn jwt(claims: &str) -> String {
        format!("e30.{}.hush", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_tells_who_we_are_and_how_long() {
        let long = jwt(r#"{"sub":"job","exp":2000}"#);
        let answer = |token: &str, more: &str| format!(r#"{{"access_token":"{token}"{more}}}"#);
        for (answer, expires, subject) in [
            (answer(&long, ""), 2000, Some("job")),
            (answer(&long, r#","expires_in":600"#), 1600, Some("job")),
            (answer(&long, r#","expires_in":6000"#), 2000, Some("job")),
            (answer("opaque", r#","expires_in":600"#), 1600, None),
            (answer("opaque", ""), 1300, None),
        ] {
            let token = read(answer.as_bytes(), at(1000)).expect("a token");
            assert_eq!(token.expires, at(expires));
            assert_eq!(token.subject.as_deref(), subject);
            assert!(!format!("{token:?}").contains("hush"));
        }
        for (answer, says) in [
            ("hush", "not JSON"),
            ("{}", "no access_token"),
            (r#"{"access_token":""}"#, "not text of a token"),
            (r#"{"access_token":"a\u0001b"}"#, "not text of a token"),
        ] {
            let why = read(answer.as_bytes(), at(1000)).expect_err(answer);
            assert!(why.contains(says), "{why}");
        }
    }

    #[test]
    fn it_is_renewed_before_it_expires() {
        let token = |life: u64| {
            let answer = format!(r#"{{"access_token":"t","expires_in":{life}}}"#);
            read(answer.as_bytes(), at(1000)).expect("a token")
        };
        for (life, fresh, stale) in [
            (1000, 1799, 1800),
            (60, 1024, 1025),
            (36_000, 36_699, 36_700),
        ] {
            let token = token(life);
            assert!(
                token.is_fresh(at(fresh)) && !token.is_fresh(at(stale)),
                "{life}"
            );
        }
        assert!(!token(5).is_fresh(at(1000)));

        let mut token = token(1000);
        token.doubt(at(1010));
        assert!(token.is_fresh(at(1010)), "it is as new as can be");
        token.doubt(at(1011));
        assert!(!token.is_fresh(at(1011)));
    }

    #[tokio::test]
    async fn one_that_is_still_good_serves_while_there_is_no_other() {
        let endpoint = TokenEndpoint {
            url: url("http://127.0.0.1:1/token").expect("right"),
            scope: None,
        };
        let sasl = Sasl {
            mechanism: Mechanism::OauthBearer,
            username: "job".into(),
            password: Password::Variable(Secret::new("hush")),
            endpoint: Some(endpoint.clone()),
        };
        let security = Security {
            tls: None,
            sasl: Some(sasl.clone()),
        };
        let now = SystemTime::now();
        for (left, serves) in [(60, true), (10, false)] {
            let old = Token {
                value: Secret::new("old"),
                subject: Some("somebody".into()),
                expires: now + Duration::from_secs(left),
                fetched: now - Duration::from_secs(300),
                is_doubted: false,
            };
            *slot(&sasl, &endpoint).lock().await = Some(old);
            assert_eq!(subject(&security).as_deref(), Some("somebody"));
            match token(&security).await {
                Ok(token) => assert!(serves && token.is_some_and(|of| of.value.reveal() == "old")),
                Err(why) => {
                    let cause = "no token from http://127.0.0.1:1/token: Connection refused";
                    assert!(!serves && why.cause == cause, "{why:?}");
                }
            }
        }
    }

    #[test]
    fn a_client_shows_its_secret_to_the_endpoint_alone() {
        let secret = Secret::new("a+b c");
        assert_eq!(
            basic("my job", &secret),
            format!("Basic {}", STANDARD.encode("my+job:a%2Bb+c"))
        );
        assert_eq!(form(Some("a b")), "grant_type=client_credentials&scope=a+b");
        let body = br#"{"error":"invalid_client","error_description":"not a+b c\n"}"#;
        assert_eq!(said(body, &secret), r" (invalid_client: not (hidden)\n)");
        assert_eq!(said(b"<html>", &secret), "");
        assert!(advice(401).contains("client-id") && advice(404).contains("endpoint-url"));
    }
}
