//! Where metrics, health and status are served.

use super::address::address;

/// Where metrics, health and status are served.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// `host:port`. Port 0 is any free one. `None`: nowhere.
    pub address: Option<String>,
    /// Whether somebody set it. The default is not worth an end where its port is taken.
    pub is_asked_for: bool,
}

/// Reads an address to serve at, or off.
pub fn http(text: &str) -> Result<Http, String> {
    let text = text.trim();
    if let Some(port) = port_alone(text) {
        return Err(or_off(format!(
            "'{text}' has no host: write 0.0.0.0:{port} to serve at each address of this machine"
        )));
    }
    let served = match text {
        "off" => None,
        // Port 0 is no address to connect to, but one to serve at.
        _ if text.ends_with(":0") => {
            address(&format!("{text}1")).map_err(or_off)?;
            Some(text.to_owned())
        }
        _ => Some(address(text).map_err(or_off)?),
    };
    Ok(Http {
        address: served,
        is_asked_for: true,
    })
}

/// The port, where the host is left out or `*`, as other programs have it.
fn port_alone(text: &str) -> Option<u16> {
    let port = text.strip_prefix('*').unwrap_or(text).strip_prefix(':');
    port?.parse().ok()
}

fn or_off(error: String) -> String {
    format!("{error}, or off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_address_or_off() {
        let address = |text| http(text).map(|http| http.address);
        assert_eq!(address(" off "), Ok(None));
        for good in ["127.0.0.1:9093", "[::]:9093", "0.0.0.0:0", "localhost:80"] {
            assert_eq!(address(good), Ok(Some(good.into())));
        }
        for wrong in ["", "on", "9093", "http://a:1", "a:65536", "a b:0", "::1:0"] {
            let error = address(wrong).expect_err(wrong);
            assert!(error.ends_with(", or off"), "{error}");
        }
        for wrong in [":9093", "*:9093"] {
            let error = address(wrong).expect_err(wrong);
            assert!(error.contains("write 0.0.0.0:9093"), "{error}");
        }
    }
}
