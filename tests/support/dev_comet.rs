//! A dev-comet process of a test's own, and somebody connected to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

/// How long a condition is awaited before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running dev-comet, killed when it is dropped.
pub struct DevComet {
    process: Child,
    /// Kept open: a process whose output nobody can read any more might end.
    _output: BufReader<ChildStdout>,
    /// Where it takes calls.
    pub grpc: String,
    /// Where it serves the page.
    pub web: String,
}

impl DevComet {
    /// Starts one on free ports and reads them from its start-up line.
    pub fn start() -> DevComet {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
            .args(["--listen", "127.0.0.1:0", "--web", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("start dev-comet");
        let mut output = BufReader::new(process.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("read its first line");
        let (grpc, web) = line
            .trim_end()
            .strip_prefix("dev-comet: gRPC on ")
            .and_then(|rest| rest.strip_suffix('/'))
            .and_then(|rest| rest.split_once(", page on http://"))
            .unwrap_or_else(|| panic!("dev-comet began with {line:?}"));
        DevComet {
            grpc: grpc.to_owned(),
            web: web.to_owned(),
            process,
            _output: output,
        }
    }

    /// Connects with the query of `/ws`, and returns when the joins have been acknowledged.
    pub fn join(&self, query: &str) -> Person {
        let stream = TcpStream::connect(&self.web).expect("connect to dev-comet");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a read timeout");
        let config = WebSocketConfig::default().max_frame_size(Some(64 << 20));
        let url = format!("ws://{}/ws?ack=1&{query}", self.web);
        let (mut socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .expect("open the WebSocket");
        let ack = socket.read().expect("read the acknowledgement");
        assert!(
            ack.to_text()
                .is_ok_and(|ack| ack.starts_with(r#"{"joined":["#))
        );
        Person { socket }
    }

    /// A page of the web side: its head and its body.
    pub fn get(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.web).expect("connect to dev-comet");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a read timeout");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.web
        )
        .expect("send a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read the answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_owned(), body.to_owned())
    }

    /// What `/stats` says.
    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/stats").1).expect("stats are JSON")
    }

    /// Waits until `/stats` fulfils a condition.
    pub fn await_stats(&self, what: &str, fulfilled: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.stats();
            if fulfilled(&stats) {
                return stats;
            }
            assert!(Instant::now() < deadline, "{what} never came: {stats}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("send dev-comet a signal");
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().expect("ask for its end") {
                return status;
            }
            assert!(Instant::now() < deadline, "dev-comet doesn't end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for DevComet {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Somebody connected to a dev-comet.
pub struct Person {
    pub socket: WebSocket<TcpStream>,
}

impl Person {
    /// The next frame.
    pub fn frame(&mut self) -> Message {
        self.socket.read().expect("a frame")
    }

    /// The next frame, which must be text.
    pub fn text(&mut self) -> String {
        match self.frame() {
            Message::Text(text) => text.as_str().to_owned(),
            other => panic!("a text frame was due and {other:?} came"),
        }
    }
}
