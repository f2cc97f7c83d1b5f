//! The static table (RFC 7541, appendix A).

pub const TABLE: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Places (from 1) of what a gRPC request has.
pub const AUTHORITY: u8 = 1;
pub const METHOD_POST: u8 = 3;
pub const PATH: u8 = 4;
pub const SCHEME_HTTP: u8 = 6;
pub const SCHEME_HTTPS: u8 = 7;
pub const CONTENT_TYPE: u8 = 31;
pub const USER_AGENT: u8 = 58;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_that_are_used_are_right() {
        let at = |place: u8| TABLE[usize::from(place) - 1];
        assert_eq!(at(AUTHORITY).0, ":authority");
        assert_eq!(at(METHOD_POST), (":method", "POST"));
        assert_eq!(at(PATH).0, ":path");
        assert_eq!(at(SCHEME_HTTP), (":scheme", "http"));
        assert_eq!(at(SCHEME_HTTPS), (":scheme", "https"));
        assert_eq!(at(CONTENT_TYPE).0, "content-type");
        assert_eq!(at(USER_AGENT).0, "user-agent");
    }
}
