//! SASL on connections of our own: says who we are before anything is asked.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};

use super::scram::{Hash, Login};
use super::token;
use super::{files, words};
use crate::kafka::ask::{Connection, Unanswered, text};
use crate::kafka::finding::Finding;
use crate::settings::Security;
use crate::settings::security::{Mechanism, Sasl, Secret};

/// Kafka 1.0 and later.
const HANDSHAKE: i16 = 1;
const AUTHENTICATE: i16 = 1;

/// Logs in on a fresh connection.
///
/// # Errors
/// What is wrong, and what to do; or there is no answer.
pub async fn authenticate(
    connection: &mut Connection,
    sasl: &Sasl,
    security: &Security,
) -> Result<(), Unanswered> {
    let token = token::token(security).await?;
    let request = SaslHandshakeRequest::default().with_mechanism(text(&sasl.mechanism.to_string()));
    let answer = connection.try_ask(&request, HANDSHAKE).await?;
    match answer.error_code.err() {
        None => {}
        Some(ResponseError::UnsupportedSaslMechanism) => {
            let known: Vec<_> = answer.mechanisms.iter().map(ToString::to_string).collect();
            return Err(words::no_mechanism(sasl.mechanism, &known).into());
        }
        Some(_) => return Err(words::no_sasl().into()),
    }
    if let Some(token) = token {
        let let_in = bearer(connection, sasl, &token.value).await;
        if matches!(let_in, Err(Unanswered::Refused(_))) {
            token::renew(security);
        }
        return let_in;
    }
    let password = files::password(sasl).map_err(Finding::of_settings)?;
    let refused = |why: String| Unanswered::from(words::no_login(sasl, &why));
    let hash = match sasl.mechanism {
        Mechanism::Plain => return plain(connection, sasl, &password).await,
        Mechanism::OauthBearer => {
            let cause = "sasl-oauthbearer-token-endpoint-url is missing";
            return Err(Finding::of_settings(cause.into()).into());
        }
        Mechanism::ScramSha256 => Hash::Sha256,
        Mechanism::ScramSha512 => Hash::Sha512,
    };
    let login = Login::new(hash, &sasl.username, password).map_err(refused)?;
    let challenge = say(connection, sasl, login.first().into_bytes()).await?;
    let (second, expected) = login.second(&challenge).map_err(refused)?;
    let last = say(connection, sasl, second.into_bytes()).await?;
    expected.check(&last).map_err(refused)
}

/// PLAIN (RFC 4616): name and password, as they are.
async fn plain(
    connection: &mut Connection,
    sasl: &Sasl,
    password: &Secret,
) -> Result<(), Unanswered> {
    let message = format!("\0{}\0{}", sasl.username, password.reveal());
    say(connection, sasl, message.into_bytes()).await.map(drop)
}

/// OAUTHBEARER (RFC 7628): the token, and nothing of the client.
async fn bearer(
    connection: &mut Connection,
    sasl: &Sasl,
    token: &Secret,
) -> Result<(), Unanswered> {
    let message = format!("n,,\x01auth=Bearer {}\x01\x01", token.reveal());
    let answer = say(connection, sasl, message.into_bytes()).await?;
    match answer.is_empty() {
        true => Ok(()),
        // It says what is wrong, and waits for a word before it closes the connection.
        false => Err(words::no_login(sasl, &String::from_utf8_lossy(&answer)).into()),
    }
}

async fn say(
    connection: &mut Connection,
    sasl: &Sasl,
    bytes: Vec<u8>,
) -> Result<bytes::Bytes, Unanswered> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(bytes.into());
    let answer = connection.try_ask(&request, AUTHENTICATE).await?;
    match answer.error_code.err() {
        None => Ok(answer.auth_bytes),
        Some(error) => {
            let said = answer
                .error_message
                .map_or_else(|| format!("{error:?}"), |said| said.to_string());
            Err(words::no_login(sasl, &said).into())
        }
    }
}
