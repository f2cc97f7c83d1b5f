//! Reads header blocks (RFC 7541).

pub mod statics;
mod table;

pub use table::{LIMIT, OVERHEAD};

use super::frame::Fault;
use super::huffman;
use table::Table;

/// The most that the fields of one block may be when they are unpacked, with what HPACK counts for each: a byte of a block may stand
/// for 4 KiB.
pub const LONGEST_LIST: usize = 1 << 20;

/// What a field means to whoever reads it. Worked out once for each entry of the tables.
pub trait Meaning: Copy {
    fn of(name: &[u8], value: &[u8]) -> Self;
}

/// The state of one connection.
pub struct Decoder<M> {
    statics: [M; statics::TABLE.len()],
    table: Table<M>,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl<M: Meaning> Decoder<M> {
    pub fn new() -> Self {
        Self {
            statics: statics::TABLE.map(|(name, value)| M::of(name.as_bytes(), value.as_bytes())),
            table: Table::new(),
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Hands each field's meaning, name and value to `each`. A block that can't be read ends the connection (RFC 9113, 4.3), and so
    /// does one that stands for too much (10.5.1).
    pub fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(M, &[u8], &[u8]),
    ) -> Result<(), Fault> {
        let mut input = Input(block);
        let mut may_resize = true;
        let mut left = LONGEST_LIST;
        while let Some(first) = input.0.first().copied() {
            let is_resize = first & 0xe0 == 0x20;
            if first & 0x80 != 0 {
                // An indexed field (6.1).
                let (name, value, meaning) = self.get(input.integer(7)?)?;
                left = less(left, name, value)?;
                each(meaning, name, value);
            } else if is_resize {
                // At the begin of a block alone (4.2).
                if !may_resize || !self.table.resize(input.integer(5)?) {
                    return Err(Fault::compression(
                        "a table size where none may be, or too large",
                    ));
                }
            } else {
                // With incremental indexing (6.2.1), or without, or never (6.2.2, 6.2.3).
                let is_entered = first & 0x40 != 0;
                self.literal(&mut input, if is_entered { 6 } else { 4 })?;
                left = less(left, &self.name, &self.value)?;
                let meaning = M::of(&self.name, &self.value);
                if is_entered {
                    self.table.insert(&self.name, &self.value, meaning);
                }
                each(meaning, &self.name, &self.value);
            }
            may_resize = is_resize;
        }
        Ok(())
    }

    /// Reads a field into `name` and `value`: an entry that gives the name may go when this one is entered.
    fn literal(&mut self, input: &mut Input<'_>, prefix: u32) -> Result<(), Fault> {
        self.name.clear();
        self.value.clear();
        match input.integer(prefix)? {
            0 => input.string(&mut self.name)?,
            place => {
                let mut name = std::mem::take(&mut self.name);
                name.extend_from_slice(self.get(place)?.0);
                self.name = name;
            }
        }
        input.string(&mut self.value)
    }

    fn get(&self, place: usize) -> Result<(&[u8], &[u8], M), Fault> {
        let of_static = place.checked_sub(1).and_then(|at| {
            let (name, value) = statics::TABLE.get(at)?;
            Some((name.as_bytes(), value.as_bytes(), *self.statics.get(at)?))
        });
        of_static
            .or_else(|| self.table.get(place.checked_sub(statics::TABLE.len() + 1)?))
            .ok_or(Fault::compression("a header index without an entry"))
    }
}

/// What is left of a list behind a field.
fn less(left: usize, name: &[u8], value: &[u8]) -> Result<usize, Fault> {
    left.checked_sub(name.len() + value.len() + OVERHEAD)
        .ok_or(Fault::calm("a header block that unpacks to too much"))
}

struct Input<'a>(&'a [u8]);

const CUT: Fault = Fault {
    code: super::frame::Code::COMPRESSION_ERROR,
    what: "a header block that ends within a field",
};

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number whose first `prefix` bits are in the next byte (5.1).
    fn integer(&mut self, prefix: u32) -> Result<usize, Fault> {
        let most = (1 << prefix) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        // 4 more bytes are enough for any that may come.
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Fault::compression(
            "a number in a header block that is too large",
        ))
    }

    /// Appends a string (5.2).
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let is_coded = self.0.first().ok_or(CUT)? & 0x80 != 0;
        let length = self.integer(7)?;
        let (string, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        if is_coded {
            let wrong = Fault::compression("a Huffman code that is wrong");
            huffman::decode(string, out).ok_or(wrong)
        } else {
            out.extend_from_slice(string);
            Ok(())
        }
    }
}

/// Appends a number (5.1). `first` holds the bits in front of the prefix.
pub fn write_integer(out: &mut Vec<u8>, first: u8, prefix: u32, number: usize) {
    let most = (1 << prefix) - 1;
    if number < most {
        return out.push(first | number as u8);
    }
    out.push(first | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string as it is.
pub fn write_string(out: &mut Vec<u8>, string: &[u8]) {
    write_integer(out, 0, 7, string.len());
    out.extend_from_slice(string);
}

#[cfg(test)]
mod tests;
