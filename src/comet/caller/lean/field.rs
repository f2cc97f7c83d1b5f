//! The fields of an answer's head and trailers, as far as a gRPC client needs them (RFC 9113, section 8).

use super::frame::Fault;
use super::hpack::{Decoder, Meaning};
use super::status;

/// What one field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    HttpStatus(u16),
    /// Whether it says gRPC.
    ContentType(bool),
    GrpcStatus(i32),
    GrpcMessage,
    Other,
    /// What makes the whole answer malformed (8.1.1).
    Malformed(&'static str),
}

impl Meaning for Field {
    fn of(name: &[u8], value: &[u8]) -> Self {
        match name {
            b":status" => http_status(value),
            [b':', ..] => Field::Malformed("an answer with a pseudo-field that isn't :status"),
            b"grpc-status" => Field::GrpcStatus(status::parse(value)),
            b"content-type" => Field::ContentType(is_grpc(value)),
            // Fields of one hop (8.2.2).
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
            | b"upgrade" => Field::Malformed("an answer with a field of HTTP/1 connections"),
            _ if name.is_empty() || name.iter().any(|byte| !is_name(*byte)) => {
                Field::Malformed("an answer with a field name that none may have")
            }
            _ if value.iter().any(|byte| matches!(byte, 0 | b'\n' | b'\r')) => {
                Field::Malformed("an answer with a field value that none may have")
            }
            b"grpc-message" => Field::GrpcMessage,
            _ => Field::Other,
        }
    }
}

/// Three digits (8.3.2).
fn http_status(value: &[u8]) -> Field {
    match value {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Field::HttpStatus(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => Field::Malformed("an answer with a :status that is none"),
    }
}

/// Of 8.2.1: visible ASCII without capitals and colon.
fn is_name(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !byte.is_ascii_uppercase() && byte != b':'
}

/// `application/grpc`, or with a suffix (`+proto`) or parameters.
fn is_grpc(value: &[u8]) -> bool {
    let kind = b"application/grpc";
    value
        .split_at_checked(kind.len())
        .is_some_and(|(begin, rest)| {
            begin.eq_ignore_ascii_case(kind) && matches!(rest.first(), None | Some(b'+' | b';'))
        })
}

/// What a header block said.
#[derive(Debug, Default)]
pub struct Fields {
    pub http_status: Option<u16>,
    pub is_grpc: bool,
    pub status: Option<i32>,
    /// Empty where there was none.
    pub message: String,
    pub malformed: Option<&'static str>,
}

impl Fields {
    /// Reads a block. Returns it also where it is malformed: that ends the stream alone.
    pub fn read(decoder: &mut Decoder<Field>, block: &[u8]) -> Result<Fields, Fault> {
        let mut fields = Fields::default();
        let mut regular = false;
        decoder.decode(block, |field, _, value| {
            match field {
                Field::HttpStatus(status) => {
                    if regular || fields.http_status.is_some() {
                        fields.malformed =
                            Some("an answer with :status twice, or behind other fields");
                    }
                    fields.http_status = Some(status);
                    return;
                }
                Field::ContentType(is_grpc) => fields.is_grpc = is_grpc,
                Field::GrpcStatus(status) => match fields.status {
                    // Which of the two is meant, nobody knows.
                    Some(other) if other != status => fields.status = Some(status::UNKNOWN),
                    _ => fields.status = Some(status),
                },
                // One is enough, however many there are.
                Field::GrpcMessage if fields.message.is_empty() => {
                    fields.message = status::message(value);
                }
                Field::GrpcMessage | Field::Other => {}
                Field::Malformed(what) => fields.malformed = Some(what),
            }
            regular = true;
        })?;
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hpack::write_string;
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut block = Vec::new();
        for (name, value) in pairs {
            block.push(0);
            write_string(&mut block, name.as_bytes());
            write_string(&mut block, value.as_bytes());
        }
        Fields::read(&mut Decoder::new(), &block).expect("it can be read")
    }

    #[test]
    fn what_matters_of_an_answer_is_found() {
        let read = fields(&[
            (":status", "200"),
            ("content-type", "application/grpc+proto"),
            ("date", "today"),
            ("grpc-status", "5"),
            ("grpc-message", "no%20room"),
        ]);
        assert_eq!(
            (read.http_status, read.is_grpc, read.status),
            (Some(200), true, Some(5))
        );
        assert_eq!((read.message.as_str(), read.malformed), ("no room", None));
    }

    #[test]
    fn what_http_2_forbids_is_malformed() {
        let forbidden: [&[(&str, &str)]; 11] = [
            &[(":status", "20")],
            &[(":status", "2000")],
            &[(":status", "0x2")],
            &[(":status", "200"), (":status", "200")],
            &[("date", "today"), (":status", "200")],
            &[(":status", "200"), (":path", "/")],
            &[(":status", "200"), ("Date", "today")],
            &[(":status", "200"), ("", "")],
            &[(":status", "200"), ("a b", "")],
            &[(":status", "200"), ("connection", "close")],
            &[(":status", "200"), ("date", "a\r\nb: c")],
        ];
        for pairs in forbidden {
            assert!(fields(pairs).malformed.is_some(), "{pairs:?}");
        }
    }

    #[test]
    fn a_content_type_is_of_grpc_or_not() {
        for (value, expected) in [
            ("application/grpc", true),
            ("Application/GRPC", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
            ("", false),
        ] {
            assert_eq!(
                fields(&[("content-type", value)]).is_grpc,
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn two_statuses_that_differ_are_none() {
        assert_eq!(
            fields(&[("grpc-status", "5"), ("grpc-status", "5")]).status,
            Some(5)
        );
        assert_eq!(
            fields(&[("grpc-status", "0"), ("grpc-status", "5")]).status,
            Some(2)
        );
    }
}
