//! SOCKS5 (RFC 1928, with the password of RFC 1929), as far as a server needs it that krafka alone uses.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use ring::digest::{SHA256, digest};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::settings::security::Secret;

const VERSION: u8 = 5;
const VERSION_OF_LOGIN: u8 = 1;
const WITH_PASSWORD: u8 = 2;
const NONE_OF_THEM: u8 = 0xff;
const CONNECT: u8 = 1;
const IP_4: u8 = 1;
const NAME: u8 = 3;
const IP_6: u8 = 4;
const DONE: u8 = 0;
const REFUSED: u8 = 5;

/// Lets a client in that knows the password, and reads which `host:port` it wants.
///
/// # Errors
/// The connection failed, or what comes is not that. The client was told where there is an answer to it.
pub async fn asked_for<S>(near: &mut S, password: &Secret) -> io::Result<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    expect(near, VERSION).await?;
    let methods = text_of_length(near).await?;
    if !methods.contains(&WITH_PASSWORD) {
        near.write_all(&[VERSION, NONE_OF_THEM]).await?;
        return Err(invalid("it shows no password"));
    }
    near.write_all(&[VERSION, WITH_PASSWORD]).await?;

    expect(near, VERSION_OF_LOGIN).await?;
    text_of_length(near).await?;
    let shown = text_of_length(near).await?;
    // How long it takes to compare two hashes tells nothing of the password.
    let [shown, right] = [&shown, password.reveal().as_bytes()].map(|text| digest(&SHA256, text));
    if shown.as_ref() != right.as_ref() {
        near.write_all(&[VERSION_OF_LOGIN, REFUSED]).await?;
        return Err(invalid("it doesn't know the password"));
    }
    near.write_all(&[VERSION_OF_LOGIN, DONE]).await?;

    expect(near, VERSION).await?;
    expect(near, CONNECT).await?;
    near.read_u8().await?;
    let host = match near.read_u8().await? {
        IP_4 => Ipv4Addr::from(near.read_u32().await?).to_string(),
        IP_6 => format!("[{}]", Ipv6Addr::from(near.read_u128().await?)),
        NAME => String::from_utf8(text_of_length(near).await?)
            .map_err(|_| invalid("a name that is not text"))?,
        _ => return Err(invalid("an address of an unknown kind")),
    };
    Ok(format!("{host}:{}", near.read_u16().await?))
}

/// Tells the client that it is connected.
///
/// # Errors
/// The connection failed.
pub async fn agree<S: AsyncWrite + Unpin>(near: &mut S) -> io::Result<()> {
    answer(near, DONE).await
}

/// Tells the client that there is no connection.
///
/// # Errors
/// The connection failed.
pub async fn refuse<S: AsyncWrite + Unpin>(near: &mut S) -> io::Result<()> {
    answer(near, REFUSED).await
}

/// From no address in particular: nobody reads it.
async fn answer<S: AsyncWrite + Unpin>(near: &mut S, code: u8) -> io::Result<()> {
    near.write_all(&[VERSION, code, 0, IP_4, 0, 0, 0, 0, 0, 0])
        .await
}

async fn expect<S: AsyncRead + Unpin>(near: &mut S, byte: u8) -> io::Result<()> {
    match near.read_u8().await? {
        read if read == byte => Ok(()),
        _ => Err(invalid("it is not SOCKS5")),
    }
}

async fn text_of_length<S: AsyncRead + Unpin>(near: &mut S) -> io::Result<Vec<u8>> {
    let length = near.read_u8().await?;
    let mut text = vec![0; usize::from(length)];
    near.read_exact(&mut text).await?;
    Ok(text)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &[u8] = b"\x05\x02\x00\x02\x01\x03job\x04hush";

    /// What is read from a client that says this, and what it is told.
    fn read(said: &[u8]) -> (io::Result<String>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(async {
            let (mut client, mut server) = tokio::io::duplex(1024);
            client.write_all(said).await.expect("room for it");
            client.shutdown().await.expect("open");
            let asked = asked_for(&mut server, &Secret::new("hush")).await;
            drop(server);
            let mut told = Vec::new();
            client.read_to_end(&mut told).await.expect("an end");
            (asked, told)
        })
    }

    #[test]
    fn who_knows_the_password_is_let_in() {
        for (asks, address) in [
            (&b"\x05\x01\x00\x03\x07kafka-1\x23\x84"[..], "kafka-1:9092"),
            (b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50", "10.0.0.1:80"),
            (
                b"\x05\x01\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50",
                "[::1]:80",
            ),
        ] {
            let (asked, told) = read(&[HELLO, asks].concat());
            assert_eq!(asked.expect("it is right"), address);
            assert_eq!(told, [5, 2, 1, 0]);
        }
    }

    #[test]
    fn nobody_else_is() {
        let ask = b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x50";
        for (hello, told) in [
            (&b"\x05\x01\x00"[..], &[5, 0xff][..]),
            (b"\x05\x01\x02\x01\x03job\x04hash", &[5, 2, 1, 5]),
            (b"\x05\x01\x02\x01\x03job\x00", &[5, 2, 1, 5]),
            (b"\x04\x01\x00", &[]),
        ] {
            let (asked, said) = read(&[hello, ask].concat());
            assert!(asked.is_err(), "{hello:?}");
            assert_eq!(said, told, "{hello:?}");
        }
    }

    #[test]
    fn what_ends_early_or_asks_for_something_else_is_an_error() {
        for ask in [
            &b""[..],
            b"\x05\x02\x00\x01\x0a\x00\x00\x01\x00\x50",
            b"\x05\x01\x00\x07\x00",
            b"\x05\x01\x00\x03\x07kaf",
        ] {
            assert!(read(&[HELLO, ask].concat()).0.is_err(), "{ask:?}");
        }
    }
}
