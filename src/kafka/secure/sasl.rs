//! SASL on connections of our own: says who we are before anything is asked.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};

use super::scram::{Hash, Login};
use super::{files, words};
use crate::kafka::ask::{Connection, Unanswered, text};
use crate::kafka::finding::Finding;
use crate::settings::security::{Mechanism, Sasl, Secret};

/// Kafka 1.0 and later.
const HANDSHAKE: i16 = 1;
const AUTHENTICATE: i16 = 1;

/// Logs in on a fresh connection.
///
/// # Errors
/// What is wrong, and what to do; or there is no answer.
pub async fn authenticate(connection: &mut Connection, sasl: &Sasl) -> Result<(), Unanswered> {
    let password = files::password(&sasl.password).map_err(Finding::of_settings)?;
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
    let refused = |why: String| Unanswered::from(words::no_login(sasl, &why));
    let hash = match sasl.mechanism {
        Mechanism::Plain => return plain(connection, sasl, &password).await,
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
