//! What came back from a Comet.

/// What a call came to: `Ok` or the status.
pub type Answer = Result<(), Status>;

/// A status that isn't OK, by gRPC's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: i32,
    /// The Comet's own words.
    pub text: String,
    /// Whether the connection broke after the call was written to it, as it does where the Comet crashes.
    pub broke: bool,
}

impl Status {
    /// The status of a call whose connection held, or was never made.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            broke: false,
        }
    }
}
