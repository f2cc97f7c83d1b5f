//! A real Prometheus that watches a job, with the rules of deploy/ at a quick pace.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{await_until, free_port};

/// What a rule's times become, so that minutes take seconds.
const WINDOW: &str = "[10s]";
const FOR: &str = "for: 1s";

pub struct Prometheus {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file of deploy/.
pub fn deploy(file: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file);
    std::fs::read_to_string(&path).expect("it is there")
}

impl Prometheus {
    /// Watches what serves metrics at `target`, with deploy/prometheus.yml and deploy/alerts.yml as they are but for times and
    /// the target.
    pub fn watching(target: &str) -> Prometheus {
        let folder = TempDir::new().expect("a folder can be made");
        let config = deploy("prometheus.yml");
        let (own, quick) = ("127.0.0.1:9093", "scrape_interval: 15s");
        assert!(config.contains(own) && config.contains(quick), "{config}");
        let config = config.replace(own, target).replace(
            quick,
            "scrape_interval: 500ms\n  scrape_timeout: 500ms\n  evaluation_interval: 500ms",
        );
        for (file, text) in [
            ("prometheus.yml", config),
            ("alerts.yml", quickened(&deploy("alerts.yml"))),
        ] {
            std::fs::write(folder.path().join(file), text).expect("it can be written");
        }
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new("prometheus")
            .current_dir(&folder)
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("prometheus can't be started ({error}): scripts/setup --watch installs Debian's package prometheus")
        });
        let prometheus = Prometheus {
            child,
            address,
            _folder: folder,
        };
        await_until("the first metrics of the job", || {
            match prometheus.query("up == 1") {
                Ok(found) if !found.is_empty() => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
        prometheus
    }

    /// What an expression gives now.
    ///
    /// # Errors
    /// Prometheus doesn't answer, or refuses the expression.
    pub fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let body = format!("query={}", percent_encoded(expression));
        let request = format!(
            "POST /api/v1/query HTTP/1.0\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut answer = String::new();
        TcpStream::connect(&self.address)
            .and_then(|mut stream| {
                stream.write_all(request.as_bytes())?;
                stream.read_to_string(&mut answer)
            })
            .map_err(|error| error.to_string())?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or(answer.clone())?;
        let answer: Value =
            serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))?;
        match answer["status"] == "success" {
            true => Ok(answer["data"]["result"]
                .as_array()
                .cloned()
                .unwrap_or_default()),
            false => Err(format!("{expression}: {answer}")),
        }
    }

    /// Waits until an alert fires with this in its labels. `meanwhile` is done between two looks.
    #[track_caller]
    pub fn await_alert(&self, name: &str, labels: &str, mut meanwhile: impl FnMut()) {
        let comma = if labels.is_empty() { "" } else { "," };
        let firing = format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\"{comma}{labels}}}");
        await_until(&format!("the alert {name}"), || {
            meanwhile();
            match self.query(&firing)? {
                found if found.is_empty() => Err(format!("{:?}", self.query("ALERTS"))),
                _ => Ok(()),
            }
        });
    }

    /// The alerts that fire now, by their names.
    #[track_caller]
    pub fn firing(&self) -> Vec<String> {
        let found = self
            .query("ALERTS{alertstate=\"firing\"}")
            .expect("an answer");
        let name = |alert: &Value| alert["metric"]["alertname"].as_str().map(str::to_owned);
        found.iter().filter_map(name).collect()
    }
}

/// The rules with all their times short.
fn quickened(rules: &str) -> String {
    let mut quick = String::new();
    for line in rules.lines() {
        let mut line = line.to_owned();
        if let Some(at) = line
            .find("for: ")
            .filter(|at| line[..*at].trim().is_empty())
        {
            line.replace_range(at.., FOR);
        }
        let mut from = 0;
        while let Some(at) = line[from..].find('[').map(|at| from + at)
            && let Some(end) = line[at..].find(']').map(|end| at + end)
        {
            let inside = &line[at + 1..end];
            if inside.starts_with(|c: char| c.is_ascii_digit()) {
                line.replace_range(at..=end, WINDOW);
            }
            from = at + 1;
        }
        quick += &line;
        quick.push('\n');
    }
    quick
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let encoded = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    encoded.collect()
}
