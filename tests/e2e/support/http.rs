//! The pages that job serves, as Prometheus and a load balancer see them.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::await_until;
use super::job::Job;

/// Where a job serves metrics and health. It has to run with `--http 127.0.0.1:0` and log at INFO.
pub struct Pages(String);

impl Pages {
    #[track_caller]
    pub fn of(job: &mut Job) -> Pages {
        let line = job.await_line(&["metrics and health at http://"]);
        let (_, rest) = line.split_once("http://").expect("an address");
        let (address, _) = rest.split_once('/').expect("its end");
        Pages(address.to_owned())
    }

    pub fn address(&self) -> &str {
        &self.0
    }

    /// The status and the text of a page.
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.0).expect("job serves pages");
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.0);
        stream.write_all(request.as_bytes()).expect("it is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        (status.expect("a status"), body.to_owned())
    }

    /// Waits until a page has this status and these words.
    #[track_caller]
    pub fn await_page(&self, path: &str, status: u16, words: &str) {
        await_until(&format!("{status} at {path}"), || {
            let (found, text) = self.get(path);
            match found == status && text.contains(words) {
                true => Ok(()),
                false => Err(format!("it is {found}: {text}")),
            }
        });
    }

    /// The metrics as they are now.
    pub fn metrics(&self) -> Numbers {
        let (status, page) = self.get("/metrics");
        assert_eq!(status, 200, "{page}");
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let number = |line: &str| {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            (series.to_owned(), value.parse().expect("a number"))
        };
        Numbers(lines.map(number).collect())
    }

    /// Waits until the metrics are so.
    #[track_caller]
    pub fn await_metrics(&self, what: &str, mut are_so: impl FnMut(&Numbers) -> bool) -> Numbers {
        await_until(what, || {
            let now = self.metrics();
            match are_so(&now) {
                true => Ok(now),
                false => Err(format!("{:#?}", now.0)),
            }
        })
    }
}

/// What stands on the page, by series.
pub struct Numbers(BTreeMap<String, f64>);

impl Numbers {
    /// The series of a metric whose labels have all of these, `name="value"` each.
    fn series<'a>(&'a self, name: &'a str, labels: &'a [&str]) -> impl Iterator<Item = f64> + 'a {
        let of = move |series: &str| {
            let (own, all) = series.split_once('{').unwrap_or((series, ""));
            own == name && labels.iter().all(|label| all.contains(label))
        };
        let found = self.0.iter().filter(move |(series, _)| of(series));
        found.map(|(_, value)| *value)
    }

    pub fn count(&self, name: &str, labels: &[&str]) -> usize {
        self.series(name, labels).count()
    }

    pub fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.series(name, labels).sum()
    }
}
