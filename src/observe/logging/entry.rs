//! A record of the log, before it has a form: its text for people and its fields for programs.

use std::fmt::{self, Display};

use jiff::Timestamp;
use log::kv::{Error, Key, Source, ToValue, Value, VisitSource, VisitValue};
use log::{Level, Record};

use super::{is_own, thread_id};
use crate::base::text::{escape_body, escape_first};

/// Bytes of a field's text that are shown.
const FIELD_SHOWN: usize = 1_024;

/// One record. What it borrows may come from outside: it is escaped where it is written.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub at: Timestamp,
    /// The kernel's id of the thread.
    pub thread: i32,
    pub level: Level,
    pub target: &'a str,
    /// The source file's name, without its folder.
    pub file: &'a str,
    pub line: u32,
    pub(super) text: &'a dyn Display,
    pub(super) fields: &'a dyn Source,
}

impl<'a> Entry<'a> {
    /// The record that this thread logs now.
    pub fn now(record: &'a Record<'a>) -> Self {
        let file = record.file().unwrap_or("?");
        Self {
            at: Timestamp::now(),
            thread: thread_id(),
            level: record.level(),
            target: record.target(),
            file: file.rsplit('/').next().unwrap_or(file),
            line: record.line().unwrap_or(0),
            text: record.args(),
            fields: record.key_values(),
        }
    }

    /// The text. Others put into theirs what came over the network: it becomes one line.
    pub fn text(&self) -> impl Display + '_ {
        Text(self)
    }

    /// Calls `each` with the fields, in their order. Those without a value are left out.
    pub fn each_field(&self, mut each: impl FnMut(&str, Field)) {
        // Neither side of it fails.
        let _ = self.fields.visit(&mut Fields(&mut each));
    }

    /// The same, to be kept.
    pub fn kept(&self) -> Kept {
        let mut fields = Vec::new();
        self.each_field(|key, field| fields.push((key.to_owned(), field)));
        Kept {
            at: self.at,
            thread: self.thread,
            level: self.level,
            target: self.target.to_owned(),
            file: self.file.to_owned(),
            line: self.line,
            text: self.text.to_string(),
            fields,
        }
    }
}

struct Text<'a>(&'a Entry<'a>);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match is_own(self.0.target) {
            true => self.0.text.fmt(f),
            false => f.write_str(&escape_body(self.0.text.to_string().as_bytes())),
        }
    }
}

/// A record that is written later.
pub struct Kept {
    at: Timestamp,
    thread: i32,
    level: Level,
    target: String,
    file: String,
    line: u32,
    text: String,
    fields: Vec<(String, Field)>,
}

impl Kept {
    pub fn append(&mut self, text: &str) {
        self.text += text;
    }

    pub fn entry(&self) -> Entry<'_> {
        Entry {
            at: self.at,
            thread: self.thread,
            level: self.level,
            target: &self.target,
            file: &self.file,
            line: self.line,
            text: &self.text,
            fields: &self.fields,
        }
    }
}

/// A field's value. A text is escaped and cut.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    Integer(i128),
    Float(f64),
    Switch(bool),
    Text(String),
}

impl Field {
    fn text(text: &str) -> Self {
        Self::Text(escape_first(text.as_bytes(), FIELD_SHOWN))
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Switch(is_on) => is_on.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl ToValue for Field {
    fn to_value(&self) -> Value<'_> {
        match self {
            Self::Integer(number) => number.to_value(),
            Self::Float(number) => number.to_value(),
            Self::Switch(is_on) => is_on.to_value(),
            Self::Text(text) => text.to_value(),
        }
    }
}

struct Fields<'f>(&'f mut dyn FnMut(&str, Field));

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let mut found = Found(None);
        value.visit(&mut found)?;
        if let Some(field) = found.0 {
            (self.0)(key.as_str(), field);
        }
        Ok(())
    }
}

struct Found(Option<Field>);

impl Found {
    fn is(&mut self, field: Field) -> Result<(), Error> {
        self.0 = Some(field);
        Ok(())
    }
}

impl VisitValue<'_> for Found {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        // What is only shown is a number if it is shown as one.
        let text = value.to_string();
        self.is(match text.parse() {
            Ok(number) => Field::Integer(number),
            Err(_) => Field::text(&text),
        })
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.is(Field::Integer(value.into()))
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.is(Field::Integer(value.into()))
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), Error> {
        self.is(Field::Integer(value))
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.is(Field::Float(value))
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.is(Field::Switch(value))
    }

    fn visit_str(&mut self, value: &str) -> Result<(), Error> {
        self.is(Field::text(value))
    }
}
