//! What came back from a Comet.

/// What a call came to: `Ok` or the status.
pub type Answer = Result<(), Status>;

/// A status that isn't OK, by gRPC's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: i32,
    /// The Comet's own words.
    pub text: String,
}
