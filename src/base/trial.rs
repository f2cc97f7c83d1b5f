//! Limits that tests shorten, so that a test of minutes takes seconds, and what else is otherwise in a trial. Builds for users
//! always have the normal values.

use std::time::Duration;

/// Returns `normal`, or in a test's build the failpoint's value in milliseconds:
/// `FAILPOINTS='detach-after=return(2000)'`.
///
/// # Panics
/// The failpoint's value isn't a whole number.
pub fn limit(name: &str, normal: Duration) -> Duration {
    number(name).map_or(normal, Duration::from_millis)
}

/// Returns the failpoint's value in a test's build, if it has one.
///
/// # Panics
/// The failpoint's value isn't a whole number.
pub fn number(name: &str) -> Option<u64> {
    fail::fail_point!(name, |number| {
        let number = number.unwrap_or_default();
        let parsed = number.parse().ok();
        Some(parsed.unwrap_or_else(|| panic!("failpoint {name}: {number:?} is no whole number")))
    });
    let _ = name; // Without failpoints nothing else reads it.
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_the_normal_one_unless_a_failpoint_shortens_it() {
        let normal = Duration::from_secs(30);
        assert_eq!(limit("trial-test", normal), normal);
        fail::cfg("trial-test", "return(250)").expect("the action can be read");
        assert_eq!(limit("trial-test", normal), Duration::from_millis(250));
        fail::remove("trial-test");
    }
}
