//! Asks an HTTP server for one page. job closes the connection behind its answer, so no more of the protocol is needed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::base::text::one_line;

/// Limits the connection to one address.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Limits the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Limits its bytes.
const MOST: u64 = 16 << 20;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The status with its words.
    pub reason: String,
    pub body: String,
}

/// Asks for a page.
///
/// # Errors
/// Nothing listens there, the answer is late, or it isn't HTTP. The text says which.
pub fn get(address: &str, path: &str) -> Result<Answer, String> {
    let mut stream = connect(address)?;
    let told = |error: io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer within {} s", ANSWER_WITHIN.as_secs())
        }
        _ => error.to_string(),
    };
    // Of version 1.0, so that the answer comes in one piece.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(told)?;
    read(&mut stream.take(MOST + 1), Instant::now() + ANSWER_WITHIN).map_err(told)?
}

fn connect(address: &str) -> Result<TcpStream, String> {
    let addresses = address.to_socket_addrs();
    let addresses = addresses.map_err(|error| format!("the name can't be looked up: {error}"))?;
    let mut last = "the name has no address".to_owned();
    for one in addresses {
        match TcpStream::connect_timeout(&one, CONNECT_WITHIN) {
            Ok(stream) => {
                let within = Some(ANSWER_WITHIN);
                let set = stream.set_read_timeout(within);
                set.and_then(|()| stream.set_write_timeout(within))
                    .map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                last = "nothing listens there (connection refused)".into();
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(last)
}

/// Reads up to the end. The outer error is the connection's.
fn read(stream: &mut impl Read, until: Instant) -> io::Result<Result<Answer, String>> {
    let (mut answer, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        match stream.read(&mut piece)? {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
        if answer.len() as u64 > MOST {
            return Ok(Err(format!("the answer is longer than {MOST} bytes")));
        }
        if Instant::now() >= until {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    Ok(parse(&answer))
}

fn parse(answer: &[u8]) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(answer);
    if text.is_empty() {
        return Err("it closed the connection without an answer".into());
    }
    let not_http = || format!("the answer {:?} is not HTTP", one_line(&text));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(not_http)?;
    let first = head.lines().next().unwrap_or_default();
    let (version, reason) = first.split_once(' ').ok_or_else(not_http)?;
    let status = reason.split(' ').next().and_then(|code| code.parse().ok());
    match status.filter(|_| version.starts_with("HTTP/1.")) {
        Some(status) => Ok(Answer {
            status,
            reason: reason.to_owned(),
            body: body.to_owned(),
        }),
        None => Err(not_http()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_listener_is_said() {
        let error = get("127.0.0.1:1", "/").expect_err("nobody is there");
        assert!(error.contains("nothing listens there"), "{error}");
        let error = get("no-such-host.invalid:1", "/").expect_err("no such name");
        assert!(error.contains("can't be looked up"), "{error}");
    }

    #[test]
    fn an_answer_that_never_ends_is_not_read_to_the_end() {
        let mut endless = io::repeat(b'x').take(MOST + 1);
        let until = Instant::now() + Duration::from_secs(3_600);
        let error = read(&mut endless, until).expect("no error of the connection");
        assert!(error.expect_err("it is too long").contains("longer than"));
        let late = read(&mut io::repeat(b'x'), Instant::now());
        assert_eq!(late.expect_err("it is late").kind(), ErrorKind::TimedOut);
    }
}
