//! SCRAM (RFC 5802 and 7677): who has the password shows it without sending it, and so does the broker.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac, pbkdf2};

use crate::settings::security::Secret;

/// Fewer make a password easy to guess, and no broker of Kafka has fewer. More than the other limit only keep us busy.
const ROUNDS_LEAST: u32 = 4_096;
const ROUNDS_MOST: u32 = 1_000_000;

const BYTES_OF_NONCE: usize = 24;

/// Which hash it is made with.
#[derive(Clone, Copy, Debug)]
pub enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn pbkdf2(self) -> pbkdf2::Algorithm {
        match self {
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Hash::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

/// One login, before the broker has said anything.
pub struct Login {
    hash: Hash,
    password: Secret,
    nonce: String,
    /// The first message without its head.
    first: String,
}

/// What the broker has to answer at last.
pub struct Expected {
    key: hmac::Key,
    /// What it signs.
    all: String,
}

impl Login {
    pub fn new(hash: Hash, username: &str, password: Secret) -> Result<Login, String> {
        let mut random = [0; BYTES_OF_NONCE];
        SystemRandom::new()
            .fill(&mut random)
            .map_err(|_| "this system gives no random numbers".to_owned())?;
        Ok(Self::with_nonce(
            hash,
            username,
            password,
            STANDARD.encode(random),
        ))
    }

    fn with_nonce(hash: Hash, username: &str, password: Secret, nonce: String) -> Login {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        Login {
            hash,
            password,
            first: format!("n={name},r={nonce}"),
            nonce,
        }
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("n,,{}", self.first)
    }

    /// The second message, which answers the broker's first one.
    ///
    /// # Errors
    /// The end of a sentence: what the broker sent is no SCRAM.
    pub fn second(self, answer: &[u8]) -> Result<(String, Expected), String> {
        let answer =
            std::str::from_utf8(answer).map_err(|_| "its challenge is no text".to_owned())?;
        let field = |name: &str| answer.split(',').find_map(|field| field.strip_prefix(name));
        let nonce = field("r=")
            .filter(|nonce| nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce))
            .ok_or("its challenge is not for this login")?;
        let salt = field("s=")
            .and_then(|salt| STANDARD.decode(salt).ok())
            .ok_or("its challenge has no salt")?;
        let rounds = field("i=")
            .and_then(|rounds| rounds.parse().ok())
            .filter(|rounds| (ROUNDS_LEAST..=ROUNDS_MOST).contains(rounds))
            .and_then(NonZeroU32::new)
            .ok_or_else(|| {
                format!("its challenge asks for less than {ROUNDS_LEAST} rounds, or far too many")
            })?;

        let mut salted = vec![0; self.hash.digest().output_len()];
        let password = self.password.reveal().as_bytes();
        pbkdf2::derive(self.hash.pbkdf2(), rounds, &salt, password, &mut salted);
        let salted = hmac::Key::new(self.hash.hmac(), &salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored = digest::digest(self.hash.digest(), client_key.as_ref());
        let end = format!("c=biws,r={nonce}");
        let all = format!("{},{answer},{end}", self.first);
        let signature = hmac::sign(
            &hmac::Key::new(self.hash.hmac(), stored.as_ref()),
            all.as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, sign)| key ^ sign)
            .collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let expected = Expected {
            key: hmac::Key::new(self.hash.hmac(), server_key.as_ref()),
            all,
        };
        let message = format!("{end},p={}", STANDARD.encode(proof));
        Ok((message, expected))
    }
}

impl Expected {
    /// # Errors
    /// The end of a sentence: the broker refused, or doesn't know the password itself.
    pub fn check(&self, answer: &[u8]) -> Result<(), String> {
        let answer = String::from_utf8_lossy(answer);
        let field = |name: &str| answer.split(',').find_map(|field| field.strip_prefix(name));
        if let Some(why) = field("e=") {
            return Err(why.to_owned());
        }
        let signature = field("v=").and_then(|signature| STANDARD.decode(signature).ok());
        let is_it = signature.is_some_and(|signature| {
            hmac::verify(&self.key, self.all.as_bytes(), &signature).is_ok()
        });
        match is_it {
            true => Ok(()),
            false => Err("the broker didn't show that it knows the password too".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn login(name: &str) -> Login {
        Login::with_nonce(Hash::Sha256, name, Secret::new("pencil"), NONCE.into())
    }

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(login("user").first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, expected) = login("user")
            .second(CHALLENGE.as_bytes())
            .expect("it is good");
        assert_eq!(message, PROOF);
        assert_eq!(
            expected.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
            Ok(())
        );
        assert!(
            expected
                .check(b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
                .is_err()
        );
        assert!(expected.check(b"").is_err());
        assert_eq!(expected.check(b"e=other-error"), Err("other-error".into()));
        assert_eq!(login("a=b,c").first(), format!("n,,n=a=3Db=2Cc,r={NONCE}"));
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        for (challenge, why) in [
            (&b"\xff"[..], "no text"),
            (b"", "not for this login"),
            (
                b"r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
                "not for this login",
            ),
            (
                b"r=other-nonce-of-some-length,s=W22Z,i=4096",
                "not for this login",
            ),
            (b"r=rOprNGfwEbeRWgbNEkqO1,s=!,i=4096", "no salt"),
            (b"r=rOprNGfwEbeRWgbNEkqO1,s=W22Z,i=1", "rounds"),
            (b"r=rOprNGfwEbeRWgbNEkqO1,s=W22Z,i=2000000000", "rounds"),
        ] {
            let error = login("user")
                .second(challenge)
                .err()
                .expect("it is refused");
            assert!(error.contains(why), "{error}");
        }
    }
}
