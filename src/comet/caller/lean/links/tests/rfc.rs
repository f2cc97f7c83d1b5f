//! The rules of RFC 9113 and RFC 7541 for what a server sends, over a real socket: `rfc/cases.txt`.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::super::super::frame::{
    self, ACK, CONTINUATION, Code, DATA, END_HEADERS, END_STREAM, GOAWAY, HEAD, HEADERS, Head,
    PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    WITH_PRIORITY,
};
use super::super::super::hpack::write_string;
use super::*;

const MARK: &[u8] = b"the mark";

struct Case {
    line: &'static str,
    follows: Follows,
    given: Vec<u8>,
    /// SETTINGS that are to be acknowledged.
    settings: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Follows {
    Closes(Code),
    Resets(Code, i32),
    Ends(i32),
    Nothing,
    Goodbye(i32),
}

fn cases() -> Vec<Case> {
    let lines = include_str!("rfc/cases.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(case)
        .collect()
}

fn case(line: &'static str) -> Case {
    let [_, follows, _, frames] = *line.split(" | ").collect::<Vec<_>>() else {
        panic!("it has no four parts: {line}");
    };
    let frames: Vec<&str> = frames.split("; ").collect();
    let mut given = Vec::new();
    frames.iter().for_each(|text| write_frame(text, &mut given));
    Case {
        line,
        follows: match *follows.split(' ').collect::<Vec<_>>() {
            ["closes", name] => Follows::Closes(code(name)),
            ["resets", name, status] => Follows::Resets(code(name), status.parse().unwrap()),
            ["ends", status] => Follows::Ends(status.parse().unwrap()),
            ["goodbye", status] => Follows::Goodbye(status.parse().unwrap()),
            ["nothing"] => Follows::Nothing,
            _ => panic!("what follows? {line}"),
        },
        given,
        settings: frames
            .iter()
            .filter(|text| text.starts_with("SETTINGS 0"))
            .count(),
    }
}

fn code(name: &str) -> Code {
    let mut codes = (0..14).map(Code);
    codes.find(|code| code.to_string() == name).expect(name)
}

fn write_frame(text: &str, out: &mut Vec<u8>) {
    let mut words = text.split_whitespace();
    let (kind, flags) = {
        let word = words.next().expect("a type");
        word.split_once('.').unwrap_or((word, ""))
    };
    let kind = match kind {
        "DATA" => DATA,
        "HEADERS" => HEADERS,
        "PRIORITY" => PRIORITY,
        "RST_STREAM" => RST_STREAM,
        "SETTINGS" => SETTINGS,
        "PUSH_PROMISE" => PUSH_PROMISE,
        "PING" => PING,
        "GOAWAY" => GOAWAY,
        "WINDOW_UPDATE" => WINDOW_UPDATE,
        "CONTINUATION" => CONTINUATION,
        number => number.parse().expect("a type"),
    };
    let flag = |flag| match flag {
        'E' => END_STREAM,
        'H' => END_HEADERS,
        'P' => PADDED,
        'W' => WITH_PRIORITY,
        _ => panic!("there is no flag {flag}"),
    };
    let flags = flags.chars().map(flag).sum();
    let stream = words.next().and_then(|word| word.parse().ok());
    let mut payload = Vec::new();
    words.for_each(|word| write_part(word, &mut payload));
    frame::write(out, kind, flags, stream.expect("a stream"), &payload);
}

fn write_part(word: &str, out: &mut Vec<u8>) {
    if let Some(message) = word.strip_prefix("msg:") {
        out.push(0);
        out.extend((message.len() as u32).to_be_bytes());
        out.extend(message.as_bytes());
    } else if let Some((name, value)) = word.split_once('=') {
        out.push(0);
        write_string(out, name.as_bytes());
        write_string(out, value.as_bytes());
    } else if let Some((times, byte)) = word.split_once('*') {
        let byte = u8::from_str_radix(byte, 16).expect("a byte");
        out.resize(out.len() + times.parse::<usize>().expect("a number"), byte);
    } else {
        let byte = |at| u8::from_str_radix(&word[at..at + 2], 16).expect("bytes in hex");
        out.extend((0..word.len()).step_by(2).map(byte));
    }
}

/// What a client sent: type, flags, stream, payload.
type Sent = (u8, u8, u32, Vec<u8>);

/// The server's end of a connection.
struct Wire(TcpStream);

impl Wire {
    /// `None` where the client has closed.
    fn next(&mut self) -> Option<Sent> {
        let mut head = [0; HEAD];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "the client hangs");
                return None;
            }
        }
        let head = Head::parse(&head);
        let mut payload = vec![0; head.len];
        self.0.read_exact(&mut payload).expect("a whole frame");
        Some((head.kind, head.flags, head.stream, payload))
    }

    fn until(&mut self, mut which: impl FnMut(&Sent) -> bool) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(frame) = self.next() {
            let is_last = which(&frame);
            sent.push(frame);
            if is_last {
                break;
            }
        }
        sent
    }

    fn answer(&mut self, stream: u32) {
        let mut out = Vec::new();
        for text in [
            format!("HEADERS.H {stream} :status=200 content-type=application/grpc"),
            format!("DATA {stream} msg:answer"),
            format!("HEADERS.EH {stream} grpc-status=0"),
        ] {
            write_frame(&text, &mut out);
        }
        // It may have closed.
        let _ = self.0.write_all(&out);
    }
}

/// Serves one connection. Returns what the client sent from the case on.
fn serve(listener: &TcpListener, case: &Case) -> Vec<Sent> {
    let (socket, _) = listener.accept().expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let mut wire = Wire(socket);
    let mut preface = [0; PREFACE.len()];
    wire.0.read_exact(&mut preface).expect("a preface");
    let mut out = Vec::new();
    frame::write(&mut out, SETTINGS, 0, 0, b"");
    wire.0.write_all(&out).expect("it is there");
    let is_end = |kind, stream| move |sent: &Sent| (sent.0, sent.2) == (kind, stream);
    wire.until(is_end(DATA, 5));
    wire.answer(3);
    wire.until(is_end(RST_STREAM, 5));

    let mut out = case.given.clone();
    frame::write(&mut out, PING, 0, 0, MARK);
    wire.0.write_all(&out).expect("it takes that much");
    let mut sent = wire.until(|sent| (sent.0, &sent.3[..]) == (PING, MARK));
    if case.follows == Follows::Nothing {
        wire.answer(1);
    }
    // The connection works as before.
    if matches!(
        case.follows,
        Follows::Nothing | Follows::Ends(_) | Follows::Resets(..)
    ) {
        sent.extend(wire.until(is_end(DATA, 7)));
        wire.answer(7);
    }
    sent.extend(wire.until(|_| false));
    sent
}

#[test]
fn what_follows_is_what_the_rfc_says() {
    let cases = cases();
    assert!(cases.len() > 130);
    for case in &cases {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = Address::Tcp(listener.local_addr().expect("its address"));
        let (client, sent) = thread::scope(|scope| {
            let server = scope.spawn(|| serve(&listener, case));
            (call(case, &address), server.join().expect(case.line))
        });
        check(case, &client, &sent);
    }
}

/// Makes the calls, and a last one where the connection is to live on.
fn call(case: &Case, address: &Address) -> Client {
    let mut client = Client::new();
    let link = client.open(std::slice::from_ref(address));
    client.call(link, 1, b"waits");
    client.call(link, 3, b"is answered");
    let call = Call {
        tag: 5,
        path: PATH,
        within: PATIENCE,
    };
    let now = Instant::now();
    let key = client.links.call(link, call, now, |_| ());
    client.until_ended(1);
    assert_eq!(client.of(3), (0, By::Server, ""), "{}", case.line);
    client.links.with(link, |connection| {
        connection.cancel(key.expect("live"), now)
    });
    client.until_ended(3);
    if matches!(case.follows, Follows::Closes(_) | Follows::Goodbye(_)) {
        client.until(|client| !client.closed.is_empty());
    } else {
        client.call(link, 7, b"goes on");
        client.until_ended(4);
        assert_eq!(client.of(7), (0, By::Server, ""), "{}", case.line);
        client.links.retire(Some(link));
        client.until(|client| !client.closed.is_empty());
    }
    client
}

fn check(case: &Case, client: &Client, sent: &[Sent]) {
    let line = case.line;
    let of = |kind: u8| sent.iter().filter(move |sent| sent.0 == kind);
    let read = |payload: &[u8]| frame::code(payload).expect("a code");
    let goodbyes: Vec<_> = of(GOAWAY).map(|sent| read(&sent.3[4..8])).collect();
    let resets: Vec<_> = of(RST_STREAM).map(|sent| (sent.2, read(&sent.3))).collect();
    let (status, by, _) = client.of(1);
    let (reset, goodbye) = match case.follows {
        Follows::Closes(code) => {
            assert_eq!((status, by), (14, By::GivenUp), "{line}");
            (None, code)
        }
        Follows::Resets(code, expected) => {
            assert_eq!((status, by), (expected, By::Client), "{line}");
            (Some((1, code)), Code::NO_ERROR)
        }
        Follows::Ends(expected) | Follows::Goodbye(expected) => {
            assert_eq!(status, expected, "{line}");
            let refused = case.follows == Follows::Goodbye(14) || status == 14 && by == By::Unsent;
            assert_eq!(by, if refused { By::Unsent } else { By::Server }, "{line}");
            (None, Code::NO_ERROR)
        }
        Follows::Nothing => {
            assert_eq!((status, by), (0, By::Server), "{line}");
            (None, Code::NO_ERROR)
        }
    };
    assert_eq!(goodbyes, [goodbye], "{line}");
    assert_eq!(resets, reset.into_iter().collect::<Vec<_>>(), "{line}");
    if !matches!(case.follows, Follows::Closes(_)) {
        let acknowledged = of(SETTINGS).filter(|sent| sent.1 == ACK).count();
        assert_eq!(acknowledged, case.settings, "{line}");
    }
}
