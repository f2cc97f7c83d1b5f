//! `job status`: how a running job stands, as it says itself at `--http`.

mod get;
mod show;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use crate::base::text::{escape_first, one_line};
use crate::commands::cli::StatusArgs;
use crate::observe::status::Status;
use crate::settings::Http;

/// Between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(2);

/// Clears a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Shows the status once, or again and again.
///
/// # Errors
/// Nobody serves there, or no job; with `watch` only at the first look: a job that starts anew is waited for. With `health`,
/// one of its threads stands still.
pub fn status(http: &Http, args: &StatusArgs, out: &mut impl Write) -> Result<(), String> {
    let address = address(http)?;
    if args.health {
        let text = health(&address)?;
        // Whoever looks at the exit code alone may have closed it.
        let _ = write!(out, "{text}");
        return Ok(());
    }
    let mut text = said(&address, args.json)?;
    let clear = if args.watch && !args.json && std::io::stdout().is_terminal() {
        CLEAR
    } else {
        ""
    };
    loop {
        // Whoever reads it may have enough.
        if write!(out, "{clear}{text}")
            .and_then(|()| out.flush())
            .is_err()
            || !args.watch
        {
            return Ok(());
        }
        std::thread::sleep(EVERY);
        text = match said(&address, args.json) {
            Ok(text) => text,
            Err(error) if args.json => {
                eprintln!("error: {error}");
                String::new()
            }
            Err(error) => format!("error: {error}\n"),
        };
    }
}

/// Where to ask.
fn address(http: &Http) -> Result<String, String> {
    let Some(address) = &http.address else {
        return Err(
            "--http is off in these settings: such a job serves no status. Name the address of one that does: --http HOST:PORT"
                .into(),
        );
    };
    let Some((host, port)) = address.rsplit_once(':').filter(|(_, port)| *port != "0") else {
        return Err(format!(
            "--http {address} is any free port: name the one that job took. Its log says it: metrics and health at http://..."
        ));
    };
    // Who serves at all addresses of a machine serves here too.
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    Ok(format!("{host}:{port}"))
}

/// What job says at a page.
fn ask(address: &str, path: &str) -> Result<get::Answer, String> {
    get::get(address, path).map_err(|error| {
        format!(
            "asking for the status at {address}: {error}. Does job run there, and serve at this address? Its log says where: \
             metrics and health at http://... Name that with --http HOST:PORT"
        )
    })
}

/// What a container's health check wants to know.
fn health(address: &str) -> Result<String, String> {
    let answer = ask(address, "/healthz")?;
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(format!(
            "{address} answers {}: {}",
            one_line(&answer.reason),
            escape_first(answer.body.trim_end().as_bytes(), 200)
        )),
    }
}

/// The status for people, or the document as job wrote it.
fn said(address: &str, json: bool) -> Result<String, String> {
    let answer = ask(address, "/status.json")?;
    let is_other = |what: String| {
        format!(
            "{address} has no status of job: {what}. Another program, or an older job? Name job's address with --http HOST:PORT"
        )
    };
    if answer.status != 200 {
        return Err(is_other(format!("it answers {}", one_line(&answer.reason))));
    }
    let status: Status = serde_json::from_str(&answer.body).map_err(|error| {
        let shown = escape_first(answer.body.as_bytes(), 80);
        is_other(format!("it answers {shown:?} ({error})"))
    })?;
    Ok(match json {
        true => answer.body + "\n",
        false => show::show(&status),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use super::*;
    use crate::settings;

    fn http(text: &str) -> Http {
        settings::http(text).expect("an address")
    }

    /// Serves one answer, and returns where.
    fn serve(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has one").to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 512];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        });
        address
    }

    #[test]
    fn it_asks_where_job_can_be_reached() {
        for (set, asked) in [
            ("127.0.0.1:9093", "127.0.0.1:9093"),
            ("0.0.0.0:9093", "127.0.0.1:9093"),
            ("[::]:80", "[::1]:80"),
            ("job.example:80", "job.example:80"),
        ] {
            assert_eq!(address(&http(set)), Ok(asked.into()));
        }
        assert!(
            address(&http("off"))
                .expect_err("nowhere")
                .contains("--http is off")
        );
        assert!(
            address(&http("a:0"))
                .expect_err("any port")
                .contains("any free port")
        );
    }

    #[test]
    fn what_is_no_job_is_said_to_be_none() {
        for (answer, says) in [
            (
                "HTTP/1.1 404 Not Found\r\n\r\nno",
                "it answers 404 Not Found",
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\n<html>\x1b",
                r#"it answers "<html>\\u{1b}" (expected"#,
            ),
            ("SSH-2.0-OpenSSH\r\n", "is not HTTP"),
            ("", "closed the connection"),
        ] {
            let address = serve(answer);
            let error = said(&address, false).expect_err(answer);
            assert!(error.contains(says) && error.contains(&address), "{error}");
            assert!(error.contains("--http HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn health_is_the_exit_code() {
        let args = StatusArgs {
            json: false,
            watch: false,
            health: true,
        };
        let mut out = Vec::new();
        let well = serve("HTTP/1.1 200 OK\r\n\r\nwell\n");
        assert_eq!(status(&http(&well), &args, &mut out), Ok(()));
        assert_eq!(out, b"well\n");
        let unwell = serve("HTTP/1.1 503 Service Unavailable\r\n\r\nworker 2 stands still\n");
        let error = status(&http(&unwell), &args, &mut out).expect_err("it isn't well");
        assert!(
            error.ends_with("answers 503 Service Unavailable: worker 2 stands still"),
            "{error}"
        );
    }

    #[test]
    fn the_document_is_passed_on_as_it_is() {
        let text = "HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"version\":\"9\",\"news\":1}";
        assert_eq!(
            said(&serve(text), true),
            Ok("{\"version\":\"9\",\"news\":1}\n".into())
        );
        let shown = said(&serve(text), false).expect("it is shown");
        assert!(shown.contains("job 9"), "{shown}");
    }
}
