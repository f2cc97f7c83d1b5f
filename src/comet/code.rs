//! The numbers that gRPC gives to what becomes of a call, and their names.

use std::fmt;

/// A status code; any number can come.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RpcStatusCode(i32);

macro_rules! codes {
    ($($number:literal $name:ident)+) => {
        impl RpcStatusCode {
            $(pub const $name: Self = Self($number);)+

            fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)+
                    _ => "INVALID_STATUS_CODE",
                }
            }
        }
    };
}

codes! {
    0 OK
    1 CANCELLED
    2 UNKNOWN
    3 INVALID_ARGUMENT
    4 DEADLINE_EXCEEDED
    5 NOT_FOUND
    6 ALREADY_EXISTS
    7 PERMISSION_DENIED
    8 RESOURCE_EXHAUSTED
    9 FAILED_PRECONDITION
    10 ABORTED
    11 OUT_OF_RANGE
    12 UNIMPLEMENTED
    13 INTERNAL
    14 UNAVAILABLE
    15 DATA_LOSS
    16 UNAUTHENTICATED
}

impl From<i32> for RpcStatusCode {
    fn from(code: i32) -> Self {
        Self(code)
    }
}

impl From<RpcStatusCode> for i32 {
    fn from(code: RpcStatusCode) -> Self {
        code.0
    }
}

/// As people look for it: by number or by name.
impl fmt::Display for RpcStatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.name())
    }
}

impl fmt::Debug for RpcStatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(all(test, feature = "grpcio"))]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_grpc() {
        for code in [0, 3, 16] {
            let theirs = grpcio::RpcStatusCode::from(code).to_string();
            assert_eq!(RpcStatusCode::from(code).to_string(), theirs);
        }
        assert_eq!(
            RpcStatusCode::from(99).to_string(),
            "99-INVALID_STATUS_CODE"
        );
    }
}
