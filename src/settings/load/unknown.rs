//! Environment variables that look like settings and are none.
//!
//! A name that is nearly a setting's is an error: ignored, the service would run with another value than the operator set.
//! Other names with `JOB_` usually belong to somebody else (Jenkins sets `JOB_NAME`, Kubernetes `JOB_PORT` for a service of
//! that name), so they are only listed.

use std::ffi::{OsStr, OsString};

/// Returns the names of `set` that begin like a setting's and are none of `known`, sorted.
///
/// # Errors
/// A name is nearly one of `known`. The error shows both.
pub fn unknown<'a>(
    set: impl Iterator<Item = &'a OsString>,
    known: &[String],
) -> Result<Vec<String>, String> {
    const PREFIX: &str = "JOB_";
    let begins = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.get(..PREFIX.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
    };
    let mut names: Vec<_> = set
        .filter(|name| begins(name))
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !known.contains(name))
        .collect();
    names.sort_unstable();
    for name in &names {
        if let Some(meant) = known.iter().find(|known| nearly(name, known)) {
            return Err(format!(
                "environment variable {name} is no setting; did you mean {meant}? Otherwise unset it for job"
            ));
        }
    }
    Ok(names)
}

/// Whether the names differ by a typo: one letter in a short name, two in a longer one.
fn nearly(name: &str, known: &str) -> bool {
    const SHORT: usize = "JOB_COMET".len();
    let slips = if known.len() <= SHORT { 1 } else { 2 };
    // Bounds the comparison: a name may be as long as the environment allows.
    name.len().abs_diff(known.len()) <= slips
        && distance(name.to_ascii_uppercase().as_bytes(), known.as_bytes()) <= slips
}

/// The number of letters to insert, remove, change or swap with a neighbour.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let changed = last[j] + usize::from(x != y);
            let mut least = changed.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, distance_expected) in [
            ("", "abc", 3),
            ("comet", "comet", 0),
            ("comets", "comet", 1),
            ("coment", "comet", 1),
            ("ocmet", "comet", 1),
            ("count", "comet", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(
                distance(a.as_bytes(), b.as_bytes()),
                distance_expected,
                "{a} {b}"
            );
        }
    }

    #[test]
    fn a_slip_is_an_error_and_somebody_elses_variable_is_not() {
        let known = ["COMET", "THREADS", "CALL_TIMEOUT", "GROUP"].map(|key| format!("JOB_{key}"));
        let ask = |names: &[&str]| {
            let names: Vec<OsString> = names.iter().map(Into::into).collect();
            unknown(names.iter(), &known)
        };
        for (name, meant) in [
            ("JOB_COMETS", "JOB_COMET"),
            ("JOB_COMENT", "JOB_COMET"),
            ("job_comet", "JOB_COMET"),
            ("JOB_THREAD", "JOB_THREADS"),
            ("JOB_TREADHS", "JOB_THREADS"),
            ("JOB_CALLTIMEOUT", "JOB_CALL_TIMEOUT"),
        ] {
            assert_eq!(
                ask(&["PATH", name]),
                Err(format!(
                    "environment variable {name} is no setting; did you mean {meant}? Otherwise unset it for job"
                ))
            );
        }
        let others = ["JOB_URL", "JOB_NAME", "JOB_COUNT", "JOB_BASE_NAME", "JOBS"];
        let expected = ["JOB_BASE_NAME", "JOB_COUNT", "JOB_NAME", "JOB_URL"];
        assert_eq!(ask(&others), Ok(expected.map(Into::into).to_vec()));
        assert_eq!(ask(&["JOB_COMET", "JOB_", "聊天"]), Ok(vec!["JOB_".into()]));
    }
}
