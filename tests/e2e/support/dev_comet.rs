//! A dev-comet process of a test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a condition is awaited before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running dev-comet, killed when it is dropped.
pub struct DevComet {
    pub process: Child,
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
        DevComet::start_on("127.0.0.1:0", "127.0.0.1:0")
    }

    /// Starts one on these addresses.
    pub fn start_on(listen: &str, web: &str) -> DevComet {
        DevComet::start_with(&["--listen", listen, "--web", web])
    }

    /// Starts one with these flags.
    pub fn start_with(flags: &[&str]) -> DevComet {
        let mut process = Command::new(env!("CARGO_BIN_EXE_dev-comet"))
            .args(flags)
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

    /// A page of the web side: its head and its body.
    pub fn get(&self, path: &str) -> (String, String) {
        self.request("GET", path, "")
    }

    /// What comes back for a request with this body: head and body.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.web).expect("connect to dev-comet");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a read timeout");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.web,
            body.len()
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
}

impl Drop for DevComet {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
