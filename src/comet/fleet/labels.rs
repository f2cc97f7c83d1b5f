//! What the labels of a group say of how its Comets are called, as JSON has it.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::base::text::one_line;
use crate::settings::{Labels, metadata};

/// # Errors
/// One is nothing that it can be: which, and what to write. No value of metadata is shown.
pub fn read(labels: &Map<String, Value>) -> Result<Labels, String> {
    let path = |label| text(labels, label).map(|path| path.map(PathBuf::from));
    // Prometheus before its version 3 takes no label with a '-'.
    let server_name = match (text(labels, "server-name")?, text(labels, "server_name")?) {
        (Some(_), Some(_)) => return Err("the label server-name is there twice".into()),
        (one, other) => one.or(other),
    };
    Ok(Labels {
        metadata: metadata_of(labels.get("metadata"))?,
        tls: switch(labels, "tls", ["on", "off"])?,
        ca: path("ca")?,
        certificate: path("certificate")?,
        key: path("key")?,
        server_name: server_name.map(str::to_owned),
    })
}

/// A text as the setting is, or a table of names and values.
fn metadata_of(value: Option<&Value>) -> Result<Option<String>, String> {
    const WRONG: &str = "the label metadata is neither a text nor a table of texts: write {\"name\": \"value\"}, or \
                         {\"name\": \"file:PATH\"}";
    Ok(match value {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Object(table)) => {
            let one = |(name, value): (&String, &Value)| {
                let value = value.as_str().ok_or(WRONG)?;
                Ok::<_, String>(metadata::item(name, value))
            };
            let items: Vec<_> = table.iter().map(one).collect::<Result<_, _>>()?;
            Some(items.join(","))
        }
        Some(_) => return Err(WRONG.into()),
    })
}

fn text<'a>(labels: &'a Map<String, Value>, label: &str) -> Result<Option<&'a str>, String> {
    match labels.get(label) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim())),
        Some(Value::String(_)) => Err(format!("the label {label} is empty")),
        Some(_) => Err(format!("the label {label} is no text")),
    }
}

/// Prometheus' labels are texts.
pub fn switch(
    labels: &Map<String, Value>,
    label: &str,
    [on, off]: [&str; 2],
) -> Result<Option<bool>, String> {
    match labels.get(label) {
        None => Ok(None),
        Some(Value::Bool(is_on)) => Ok(Some(*is_on)),
        Some(Value::String(text)) if text == "true" || text == on => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" || text == off => Ok(Some(false)),
        Some(other) => Err(format!(
            "the label {label} is {}: write {on} or {off}",
            one_line(&other.to_string())
        )),
    }
}
