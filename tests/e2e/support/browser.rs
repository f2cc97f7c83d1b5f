//! A headless Chromium, driven over its DevTools protocol.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

/// How long a condition on the page is awaited before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A Chromium of a test's own with one page, ended when it is dropped.
pub struct Browser {
    process: Child,
    profile: TempDir,
    devtools: WebSocket<TcpStream>,
    session: Option<String>,
    last_id: u64,
}

impl Browser {
    /// Starts Chromium with an empty profile.
    pub fn start() -> Browser {
        let profile = tempfile::tempdir().expect("make a folder for the browser's profile");
        let log = File::create(profile.path().join("log")).expect("make the browser's log");
        let process = Command::new("chromium")
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
                "about:blank",
            ])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A group of its own, so that all its processes end with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start `chromium`: {error}. scripts/setup --web installs it")
            });
        let (port, path) = devtools_address(profile.path());
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect to DevTools");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("set a read timeout");
        // A screenshot is one large frame.
        let config = WebSocketConfig::default().max_frame_size(Some(64 << 20));
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (devtools, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .expect("speak to DevTools");
        let mut browser = Browser {
            process,
            profile,
            devtools,
            session: None,
            last_id: 0,
        };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        browser.call("Page.enable", json!({}));
        browser
    }

    /// Opens a page and waits until it has loaded.
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert_eq!(opened["errorText"], Value::Null, "{url} doesn't open");
        self.await_true(
            "the page to load",
            &format!("location.href === {url:?} && document.readyState === 'complete'"),
        );
    }

    /// The window's size in pixels, and whether the person likes it dark.
    pub fn look(&mut self, width: u32, height: u32, dark: bool) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", size);
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", media);
    }

    /// Clicks the middle of the element that a CSS selector finds.
    pub fn click(&mut self, selector: &str) {
        let middle = self.eval(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoViewIfNeeded();
              const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": middle[0], "y": middle[1], "button": "left",
                "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Types text where the focus is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// The value of a JavaScript expression.
    pub fn eval(&mut self, expression: &str) -> Value {
        let ask = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", ask);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}");
        answer["result"]["value"].clone()
    }

    /// Waits until a JavaScript expression is true.
    pub fn await_true(&mut self, what: &str, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.eval(expression) != true {
            if Instant::now() > deadline {
                let page = self.eval("document.body.innerText");
                panic!("{what}: waited in vain. The page says: {page}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes what the window shows as a PNG.
    pub fn screenshot(&mut self, path: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let data = shot["data"].as_str().expect("a screenshot");
        let png = STANDARD.decode(data).expect("a screenshot in base64");
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("make the screenshot's folder");
        }
        std::fs::write(path, png)
            .unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut ask = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            ask["sessionId"] = json!(session);
        }
        self.devtools
            .send(Message::text(ask.to_string()))
            .expect("ask the browser");
        loop {
            let heard = self.devtools.read().unwrap_or_else(|error| {
                let log = std::fs::read_to_string(self.profile.path().join("log"));
                panic!("no answer to {method}: {error}. The browser's log: {log:?}")
            });
            let answer: Value =
                serde_json::from_slice(&heard.into_data()).expect("DevTools speaks JSON");
            if answer["id"] == self.last_id {
                assert_eq!(answer["error"], Value::Null, "{method}");
                return answer["result"].clone();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = i32::try_from(self.process.id()).expect("a process id");
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

/// Port and path, which Chromium writes into its profile when it listens.
fn devtools_address(profile: &Path) -> (u16, String) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let written = std::fs::read_to_string(profile.join("DevToolsActivePort"));
        if let Ok(written) = &written
            && let Some((port, path)) = written.split_once('\n')
            && let Ok(port) = port.parse()
            && path.starts_with('/')
        {
            return (port, path.trim_end().to_owned());
        }
        if Instant::now() > deadline {
            let log = std::fs::read_to_string(profile.join("log"));
            panic!("chromium doesn't start: {log:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
