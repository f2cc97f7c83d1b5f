//! Where OAUTHBEARER gets its tokens.

use std::fmt;

/// The environment variable with the client's secret. As for a password, there is no such flag and no such key.
pub const SECRET_VARIABLE: &str = "JOB_SASL_OAUTHBEARER_CLIENT_SECRET";

/// An OAuth server's token endpoint, and what to ask there.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEndpoint {
    pub url: Url,
    pub scope: Option<String>,
}

/// The address of a token endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    pub is_https: bool,
    /// `host:port`, for a connection.
    pub address: String,
    /// Host and port as they are in it, for the server.
    pub authority: String,
    pub path: String,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path)
    }
}

/// Reads the address of a token endpoint.
///
/// # Errors
/// It is none: what to write.
pub fn url(text: &str) -> Result<Url, String> {
    let (is_https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err("must begin with https:// or http://".into()),
    };
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must have no spaces, and no letters beyond ASCII: write them as %XX".into());
    }
    if text.contains(['@', '#']) {
        return Err("must have no user, no password and no fragment ('@', '#')".into());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    // A colon inside of brackets belongs to an IPv6 address.
    let after_host = authority.rfind(']').map_or(0, |at| at + 1);
    let address = match authority[after_host..].contains(':') {
        true => authority.to_owned(),
        false => format!("{authority}:{}", if is_https { 443 } else { 80 }),
    };
    Ok(Url {
        is_https,
        address: super::super::address::address(&address)?,
        authority: authority.to_owned(),
        path,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_of_the_web() {
        for (text, is_https, address, path) in [
            (
                "https://id.example/token?a=b",
                true,
                "id.example:443",
                "/token?a=b",
            ),
            (
                "http://id.example:8080/realms/x",
                false,
                "id.example:8080",
                "/realms/x",
            ),
            ("https://[::1]:9/t", true, "[::1]:9", "/t"),
            ("http://[::1]", false, "[::1]:80", "/"),
            ("https://id.example?a=b", true, "id.example:443", "/?a=b"),
        ] {
            let url = url(text).expect(text);
            let read = (url.is_https, url.address.as_str(), url.path.as_str());
            assert_eq!(read, (is_https, address, path));
        }
        assert_eq!(
            url("https://id.example/t").expect("right").to_string(),
            "https://id.example/t"
        );
        for (text, says) in [
            ("id.example/token", "https://"),
            ("ftp://id.example", "https://"),
            ("https://job:hush@id.example/", "no password"),
            ("https://id.example/a b", "no spaces"),
            ("https:///token", ""),
            ("https://id.example:x/", ""),
        ] {
            let error = url(text).expect_err(text);
            assert!(error.contains(says) && !error.contains("hush"), "{error}");
        }
    }
}
