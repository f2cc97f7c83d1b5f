//! What goes along with each call to a Comet: `name=value,name=file:PATH`.

use std::ffi::OsStr;
use std::path::Path;

use clap::builder::TypedValueParser;
use clap::{Arg, Command, Error};

use crate::base::metadata::{EACH, Source, check_name, check_size, check_value};

/// The key of the setting, whose values nothing shows.
pub const KEY: &str = "comet-metadata";

/// What stands for a value where the setting is shown.
const HIDDEN: &str = "(hidden)";
const FILE: &str = "file:";

/// Names and their values, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata(pub Vec<(String, Source)>);

impl Metadata {
    /// The files that hold values, each with the name of its value.
    pub fn files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().filter_map(|(name, source)| match source {
            Source::Given(_) => None,
            Source::File(path) => Some((&name[..], &**path)),
        })
    }
}

/// Reads the setting.
///
/// # Errors
/// What is wrong, without any value.
pub fn metadata(text: &str) -> Result<Metadata, String> {
    let mut read = Metadata::default();
    let mut size = 0;
    for item in items(text) {
        let Some((name, value)) = item.split_once('=') else {
            return Err(match read.0.last() {
                None => "write name=value, or name=file:PATH".into(),
                Some((before, _)) => format!(
                    "behind {before} comes something without '=': write name=value,name=value, and a comma in a value as \\,"
                ),
            });
        };
        let (name, value) = (name.trim(), value.trim());
        let named = |why: String| format!("{}: {why}", name.escape_debug());
        check_name(name).map_err(named)?;
        if read.0.iter().any(|(other, _)| other == name) {
            return Err(named("it is there twice".into()));
        }
        let value = match value.strip_prefix(FILE) {
            Some("") => return Err(named("the path of its file is missing".into())),
            Some(path) => Source::File(path.into()),
            None => {
                let travels = check_value(name, value).map_err(named)?;
                size += travels.len();
                Source::Given(travels)
            }
        };
        size += name.len() + EACH;
        read.0.push((name.to_owned(), value));
    }
    check_size(size)?;
    Ok(read)
}

/// The parts between commas. Behind a backslash a comma is the value's, and so is a backslash.
fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.next_if(|next| letter == '\\' && matches!(next, ',' | '\\'));
        match (letter, next) {
            (',', _) => items.push(String::new()),
            (letter, next) => items
                .last_mut()
                .expect("there is one")
                .push(next.unwrap_or(letter)),
        }
    }
    if items.iter().all(|item| item.trim().is_empty()) {
        items.clear();
    }
    items
}

/// One name and value of a table as a part of the setting.
pub fn item(name: &str, value: &str) -> String {
    // What would end a name is no part of one: it is refused where names are checked.
    let name = name.replace(['=', ',', '\\'], "?");
    let value = value.replace('\\', "\\\\").replace(',', "\\,");
    format!("{name}={value}")
}

/// The setting as it is shown.
pub fn shown(text: &str) -> String {
    let Ok(Metadata(read)) = metadata(text) else {
        return HIDDEN.into();
    };
    let one = |(name, value): &(String, Source)| match value {
        Source::Given(_) => format!("{name}={HIDDEN}"),
        Source::File(path) => format!("{name}={FILE}{}", path.display()),
    };
    let all: Vec<_> = read.iter().map(one).collect();
    all.join(",")
}

/// Reads the setting. An error shows no value.
#[derive(Clone)]
pub struct MetadataParser;

impl TypedValueParser for MetadataParser {
    type Value = Metadata;

    fn parse_ref(
        &self,
        cmd: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Metadata, Error> {
        let read = match value.to_str() {
            Some(text) => metadata(text),
            None => Err("not UTF-8 text".into()),
        };
        // The error is made from what is given here.
        let answer = move |_: &str| read.clone();
        answer.parse_ref(cmd, arg, OsStr::new(HIDDEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Source {
        Source::Given(text.into())
    }

    #[test]
    fn names_have_values_or_files() {
        let read = metadata(
            r"authorization=file:/run/secrets/token, x-env=prod,x-list=a\,b\\c=d\e,x-bin=AAE=",
        );
        let expected = [
            ("authorization", Source::File("/run/secrets/token".into())),
            ("x-env", given("prod")),
            ("x-list", given(r"a,b\c=d\e")),
            ("x-bin", given("AAE")),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(read, Ok(Metadata(expected.into())));
        assert_eq!(metadata(""), Ok(Metadata::default()));
        assert_eq!(metadata(" "), Ok(Metadata::default()));
    }

    #[test]
    fn what_a_table_holds_is_read_as_it_stands() {
        for value in ["a", "a,b", r"a\", r"\,", r"\\,,\", "k=v,k2=v2"] {
            let text = [item("x", value), item("y", value)].join(",");
            let expected = ["x", "y"].map(|name| (name.to_owned(), given(value)));
            assert_eq!(metadata(&text), Ok(Metadata(expected.into())), "{value}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_no_value_is_shown() {
        let long = format!("a={0},b={0}", "secret".repeat(600));
        for (wrong, says) in [
            ("secret", "write name=value"),
            ("x-a=secret,secret", "behind x-a comes"),
            ("=secret", "a name is missing"),
            ("X-A=secret", "X-A: names are in lower case: write x-a"),
            ("x-a=secret,x-a=secret", "x-a: it is there twice"),
            ("x-a=secret\u{e4}", "x-a: its value has more than"),
            ("x-a=", "x-a: its value is empty"),
            ("x-a=file:", "x-a: the path of its file is missing"),
            ("grpc-timeout=secret", "grpc-timeout: names that begin"),
            (&long, "are the most"),
        ] {
            let error = metadata(wrong).expect_err(wrong);
            assert!(
                error.contains(says) && !error.contains("secret"),
                "{wrong}: {error}"
            );
            assert_eq!(shown(wrong), "(hidden)");
        }
    }

    #[test]
    fn the_setting_is_shown_without_its_values() {
        let text = "authorization=file:/run/t,x-env=secret";
        assert_eq!(shown(text), "authorization=file:/run/t,x-env=(hidden)");
        let debug = format!("{:?}", metadata(text));
        assert!(!debug.contains("secret"), "{debug}");
        let error = MetadataParser
            .parse_ref(&Command::new("job"), None, OsStr::new("x-a=secret\u{e4}"))
            .expect_err("it is wrong");
        let error = error.to_string();
        assert!(
            error.contains("x-a") && !error.contains("secret"),
            "{error}"
        );
    }
}
