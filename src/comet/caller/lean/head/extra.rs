//! Fields of each head that HTTP/2 and gRPC know nothing of. They are encoded once for a connection.

use super::super::hpack::{OVERHEAD, statics, write_integer, write_string};
use super::{Entries, Name};
use crate::comet::metadata::{self, Field};

/// So much of the server's table is for the fields that each call needs: these come later, as paths and time limits.
const KEPT: usize = 1536;

/// In the order in which they are sent.
#[derive(Default)]
pub struct Extras {
    fields: Vec<Extra>,
    size: usize,
}

struct Extra {
    /// As it is written out: of one that is secret with its first byte, of another without.
    literal: Vec<u8>,
    /// What it takes in the server's table; `None` for what is never to be in one, nor in that of anything in between (7.1.3).
    enters: Option<usize>,
    /// The entry's number, counted over the whole connection.
    entered: Option<usize>,
}

impl Extras {
    /// Takes these from now on. What the server's table has of them stays in use.
    pub fn set(&mut self, fields: &[Field]) {
        let before = std::mem::take(&mut self.fields);
        self.size = metadata::size(fields);
        self.fields = fields.iter().map(Extra::new).collect();
        for field in &mut self.fields {
            let same = before.iter().find(|old| {
                old.enters.is_some() && old.enters == field.enters && old.literal == field.literal
            });
            field.entered = same.and_then(|same| same.entered);
        }
    }

    /// As MAX_HEADER_LIST_SIZE counts them.
    pub fn list_size(&self) -> usize {
        self.size
    }

    pub(super) fn write(&mut self, table: &mut Entries, out: &mut Vec<u8>) {
        for field in &mut self.fields {
            field.write(table, out);
        }
    }
}

/// Fields of one call alone, as they are written out. No table takes them.
#[derive(Default)]
pub struct Along {
    block: Vec<u8>,
    size: usize,
}

impl Along {
    /// Holds these names and values, in the memory of those before.
    pub fn set(&mut self, fields: &[(&str, &str)]) {
        self.block.clear();
        self.size = 0;
        for (name, value) in fields {
            self.block.push(0);
            write_string(&mut self.block, name.as_bytes());
            write_string(&mut self.block, value.as_bytes());
            self.size += name.len() + value.len() + OVERHEAD;
        }
    }

    /// Holds what the other one does.
    pub fn copy(&mut self, other: &Along) {
        self.block.clear();
        self.block.extend_from_slice(&other.block);
        self.size = other.size;
    }

    /// As MAX_HEADER_LIST_SIZE counts them.
    pub fn list_size(&self) -> usize {
        self.size
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.block);
    }
}

impl Extra {
    fn new(field: &Field) -> Self {
        let (name, value) = (field.name.as_bytes(), field.value.as_bytes());
        let mut literal = Vec::new();
        if field.is_secret {
            const NEVER_INDEXED: u8 = 0x10;
            let mut known = (1..).zip(&statics::TABLE);
            match known.find(|(_, (known, _))| *known == field.name) {
                Some((place, _)) => {
                    Name::Static(place).write_literal(NEVER_INDEXED, 4, value, &mut literal);
                }
                None => {
                    literal.push(NEVER_INDEXED);
                    write_string(&mut literal, name);
                    write_string(&mut literal, value);
                }
            }
        } else {
            write_string(&mut literal, name);
            write_string(&mut literal, value);
        }
        Self {
            literal,
            enters: (!field.is_secret).then_some(name.len() + value.len() + OVERHEAD),
            entered: None,
        }
    }

    fn write(&mut self, table: &mut Entries, out: &mut Vec<u8>) {
        if let Some(place) = self.entered.and_then(|entry| table.place(entry)) {
            return write_integer(out, 0x80, 7, place);
        }
        if let Some(size) = self.enters {
            self.entered = match table.has_room(size + KEPT) {
                true => table.enter(size),
                false => None,
            };
            out.push(if self.entered.is_some() { 0x40 } else { 0 });
        }
        out.extend_from_slice(&self.literal);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{USUAL, expected, heads, read};
    use super::*;
    use proptest::prelude::*;

    fn field(name: &str, value: &str, is_secret: bool) -> Field {
        Field {
            name: name.into(),
            value: value.into(),
            is_secret,
        }
    }

    #[test]
    fn what_is_secret_is_never_indexed_and_the_rest_is_a_byte_from_the_second_call_on() {
        let (mut heads, mut decoder) = (heads(), loona_hpack::Decoder::new());
        let fields = [
            field("authorization", "Bearer t", true),
            field("x-token", "u", true),
            field("x-env", "prod", false),
        ];
        heads.extras.set(&fields);
        let lines = "authorization: Bearer t\nx-token: u\nx-env: prod\n";
        let secret = [
            &[0x1f, 23 - 15, 8][..],
            b"Bearer t",
            &[0x10, 7],
            b"x-token",
            &[1],
            b"u",
        ];
        let secret = secret.concat();
        let mut lengths = Vec::new();
        for _ in 0..3 {
            let mut block = Vec::new();
            heads.write("/a", USUAL, &Along::default(), &mut block);
            assert_eq!(read(&mut decoder, &block), expected("/a", "5S") + lines);
            assert!(block.windows(secret.len()).any(|part| part == secret));
            lengths.push(block.len());
        }
        assert_eq!(lengths[1..], [8 + secret.len() + 1; 2]);
    }

    #[test]
    fn a_changed_value_takes_no_more_of_the_table() {
        let (mut heads, mut decoder) = (heads(), loona_hpack::Decoder::new());
        let mut entered = 0;
        for round in 0..100 {
            let token = format!("t{round}");
            heads
                .extras
                .set(&[field("x-env", "prod", false), field("x-t", &token, true)]);
            let mut block = Vec::new();
            heads.write("/a", USUAL, &Along::default(), &mut block);
            let lines = format!("x-env: prod\nx-t: {token}\n");
            assert_eq!(read(&mut decoder, &block), expected("/a", "5S") + &lines);
            if round == 0 {
                entered = heads.table.entered;
            }
        }
        assert_eq!(heads.table.entered, entered);
    }

    proptest! {
        /// Whatever the fields are, however often they change, and whatever the server's table is.
        #[test]
        fn another_implementation_reads_what_was_meant(
            steps in prop::collection::vec(
                (
                    prop::collection::vec(("[a-z0-9_.-]{1,40}", "[ -~]{1,300}", any::<bool>()), 0..5),
                    0..9_usize,
                    prop::option::of(prop_oneof![0..600_u32, Just(u32::MAX)]),
                ),
                1..40,
            )
        ) {
            let (mut heads, mut decoder) = (heads(), loona_hpack::Decoder::new());
            for (fields, path, size) in steps {
                if let Some(size) = size {
                    heads.resize(size);
                }
                let fields: Vec<_> = fields.iter().map(|(name, value, is_secret)| field(name, value, *is_secret)).collect();
                heads.extras.set(&fields);
                let path = format!("/{path}");
                for _ in 0..2 {
                    let mut block = Vec::new();
                    heads.write(&path, USUAL, &Along::default(), &mut block);
                    let lines: String = fields.iter().map(|field| format!("{}: {}\n", field.name, field.value)).collect();
                    prop_assert_eq!(read(&mut decoder, &block), expected(&path, "5S") + &lines);
                }
            }
        }
    }
}
