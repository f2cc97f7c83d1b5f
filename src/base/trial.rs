//! Limits that tests shorten, so that a test of minutes takes seconds. Builds for users always have the normal limits.

use std::time::Duration;

/// Returns `normal`, or in a test's build the failpoint's value in milliseconds:
/// `FAILPOINTS='detach-after=return(2000)'`.
///
/// # Panics
/// The failpoint's value isn't a whole number.
pub fn limit(name: &str, normal: Duration) -> Duration {
    fail::fail_point!(name, |millis| {
        let millis = millis.unwrap_or_default();
        let parsed = millis.parse().map(Duration::from_millis);
        parsed
            .unwrap_or_else(|_| panic!("failpoint {name}: {millis:?} is no number of milliseconds"))
    });
    let _ = name; // Without failpoints nothing else reads it.
    normal
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
