//! gRPC's statuses by their numbers.

/// One more than gRPC has: for numbers to come.
pub const STATUSES: usize = 18;

const NAMES: [&str; STATUSES] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "OTHER",
];

/// Those with which a Comet is done with a message: OK and NOT_FOUND, by their places.
pub const TOOK: [usize; 2] = [0, 5];

/// Where the status of this code is counted.
pub fn place_of(code: i32) -> usize {
    usize::try_from(code).map_or(STATUSES - 1, |code| code.min(STATUSES - 1))
}

/// The name of what is counted at `place`.
pub fn status_name(place: usize) -> &'static str {
    NAMES[place]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_its_name_and_an_unknown_one_is_counted_too() {
        let name = |code| status_name(place_of(code));
        assert_eq!(
            [0, 5, 14, 16].map(name),
            ["OK", "NOT_FOUND", "UNAVAILABLE", "UNAUTHENTICATED"]
        );
        assert_eq!([17, 99, -1].map(name), ["OTHER"; 3]);
    }
}
