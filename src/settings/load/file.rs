//! The TOML file: its keys are the settings' names, and its values are written as in flags.

use std::ffi::OsString;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::parser::Parser;
use super::shown as without_secrets;
use crate::base::text::escape_body;
use crate::settings::metadata;

/// Reads the file's keys and values, and checks each.
///
/// # Errors
/// The file can't be read, is no UTF-8 or TOML, or has an unknown key or an invalid value. The error names the line.
pub fn read(path: &Path, folder: &Path, parser: &Parser) -> Result<Vec<(String, String)>, String> {
    let shown = path.display();
    let bytes = std::fs::read(folder.join(path))
        .map_err(|error| format!("cannot read {shown}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("{shown}:{}: not UTF-8 text", line(good, good.len()))
    })?;
    let at = |start: usize| format!("{shown}:{}", line(text.as_bytes(), start));

    let table = DeTable::parse(&text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        format!("{}: {}", at(start), error.message())
    })?;
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        let at = at(key.span().start);
        let key = key.get_ref().as_ref();
        if !parser.keys.iter().any(|known| known == key) {
            return Err(format!(
                "{at}: unknown key '{key}'{}",
                hint(parser, key, value.get_ref())
            ));
        }
        let value = match (key, value.get_ref()) {
            (metadata::KEY, DeValue::Table(table)) => pairs(table).ok_or_else(|| {
                format!("{at}: {key} must have strings for its values, as {{ x-env = \"prod\" }}")
            })?,
            (_, value) => plain(value).ok_or_else(|| {
                format!(
                    "{at}: {key} must be a string, a number or a list of strings, not a {}",
                    value.type_str()
                )
            })?,
        };
        parser
            .check(key, &OsString::from(&value))
            .map_err(|reason| {
                format!(
                    "{at}: {key} = {}: {}",
                    escape_body(without_secrets(key, value.clone()).as_bytes()),
                    reason.of_value()
                )
            })?;
        found.push((key.to_owned(), value));
    }
    Ok(found)
}

/// Returns the hint that follows an unknown key's name.
fn hint(parser: &Parser, key: &str, value: &DeValue<'_>) -> String {
    match value {
        DeValue::Table(_) => ": settings stand outside of [sections]".into(),
        _ => parser.nearest(key),
    }
}

/// The line number of the byte at `end`.
fn line(text: &[u8], end: usize) -> usize {
    1 + text.iter().take(end).filter(|&&byte| byte == b'\n').count()
}

/// A table of names and values as it would be written in a flag.
fn pairs(table: &DeTable<'_>) -> Option<String> {
    let pairs = table.iter().map(|(name, value)| {
        let value = value.get_ref().as_str()?;
        Some(metadata::item(name.get_ref(), value))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.map(|pairs| pairs.join(","))
}

/// A value as it would be written in a flag: a list becomes one of commas.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .map(|n| n.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Array(list) => {
            let items = list
                .iter()
                .map(|item| item.get_ref().as_str().map(ToOwned::to_owned));
            items
                .collect::<Option<Vec<_>>>()
                .map(|items| items.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}
