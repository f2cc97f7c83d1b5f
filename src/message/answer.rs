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
    pub sense: Sense,
}

/// What a status means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sense {
    /// What its code says.
    #[default]
    Code,
    /// The Comet refuses this message, though the code could mean anything.
    Refused,
    /// The Comet drops this message: the one user whom it is for takes messages too slowly.
    Dropped,
}

impl Status {
    /// The status of a call whose connection held, or was never made.
    pub fn new(code: i32, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            broke: false,
            sense: Sense::Code,
        }
    }
}
