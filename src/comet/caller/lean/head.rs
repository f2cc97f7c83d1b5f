//! Heads of requests (gRPC over HTTP/2, "Requests"), written as header blocks (RFC 7541).
//!
//! A connection's calls differ in little: the path, of which there are few, and the time limit, of which there are few too. Each
//! field is entered into the server's table when it is first sent, and is one byte from then on. Nothing is entered that would
//! push something out.

mod extra;

use std::collections::VecDeque;
use std::time::Duration;

use super::hpack::{LIMIT, OVERHEAD, statics, write_integer, write_string};
use super::status;
pub use extra::{Along, Extras};

/// How many paths and how many time limits are entered. What comes beyond is written out each time.
const KNOWN: usize = 8;
/// The most that all fields of a request may be, with what HPACK counts for each. They fit into one frame.
pub const LONGEST: usize = 8 << 10;
const _: () = assert!(LONGEST < super::frame::MAX_FRAME);
/// `:method`, `:scheme`, `:path`, `:authority`, `te`, `grpc-timeout`, `content-type`, `user-agent`.
const FIELDS: usize = 8;
/// Bytes of their names, and of the values that never change.
const NAMES_AND_FIXED: usize = (7 + 4) + (7 + 4) + 5 + 10 + (2 + 8) + 12 + (12 + 16) + 10;
const LONGEST_TIMEOUT: usize = 9;

/// The state of one connection's encoder.
pub struct Heads {
    /// The place in the static table.
    scheme: u8,
    authority: Field,
    te: Field,
    content_type: Field,
    user_agent: Field,
    paths: Vec<Field>,
    timeouts: Vec<(Duration, Field)>,
    /// What else each request has.
    pub extras: Extras,
    table: Entries,
}

/// One field, and where it stands in the server's table.
struct Field {
    name: Name,
    value: Vec<u8>,
    /// The entry's number, counted over the whole connection.
    entered: Option<usize>,
}

#[derive(Clone, Copy)]
enum Name {
    /// The place in the static table.
    Static(u8),
    New(&'static str),
}

/// The time limit that a request tells.
#[derive(Clone, Copy)]
pub enum Limit {
    /// One that many calls have.
    Usual(Duration),
    /// What is left of it.
    Left(Duration),
}

impl Heads {
    pub fn new(authority: &str, user_agent: &str) -> Self {
        let field = |place, value: &str| Field::new(Name::Static(place), value.as_bytes());
        Self {
            scheme: statics::SCHEME_HTTP,
            authority: field(statics::AUTHORITY, authority),
            te: Field::new(Name::New("te"), b"trailers"),
            content_type: field(statics::CONTENT_TYPE, "application/grpc"),
            user_agent: field(statics::USER_AGENT, user_agent),
            paths: Vec::new(),
            timeouts: Vec::new(),
            extras: Extras::default(),
            table: Entries::new(),
        }
    }

    /// Says that they go over TLS, if so.
    pub fn with_tls(mut self, has_tls: bool) -> Self {
        if has_tls {
            self.scheme = statics::SCHEME_HTTPS;
        }
        self
    }

    /// The server's table may be so large (RFC 7541, 4.2).
    pub fn resize(&mut self, max: u32) {
        self.table.resize(LIMIT.min(max as usize));
    }

    /// How large a request's list of fields is, as MAX_HEADER_LIST_SIZE counts it (RFC 9113, 6.5.2).
    pub fn list_size(&self, path: &str) -> usize {
        let scheme = usize::from(self.scheme == statics::SCHEME_HTTPS);
        let values = path.len() + self.authority.value.len() + self.user_agent.value.len() + scheme;
        NAMES_AND_FIXED + LONGEST_TIMEOUT + values + FIELDS * OVERHEAD + self.extras.list_size()
    }

    /// Appends the block of a request.
    pub fn write(&mut self, path: &str, limit: Limit, along: &Along, out: &mut Vec<u8>) {
        self.table.announce(out);
        out.extend_from_slice(&[0x80 | statics::METHOD_POST, 0x80 | self.scheme]);
        let table = &mut self.table;
        write_path(&mut self.paths, path, table, out);
        self.authority.write(table, out);
        self.te.write(table, out);
        write_timeout(&mut self.timeouts, limit, table, out);
        self.content_type.write(table, out);
        self.user_agent.write(table, out);
        self.extras.write(table, out);
        along.write(out);
    }
}

fn write_path(known: &mut Vec<Field>, path: &str, table: &mut Entries, out: &mut Vec<u8>) {
    let name = Name::Static(statics::PATH);
    if let Some(field) = known
        .iter_mut()
        .find(|field| field.value == path.as_bytes())
    {
        return field.write(table, out);
    }
    let mut field = Field::new(name, path.as_bytes());
    if known.len() < KNOWN {
        field.write(table, out);
        known.push(field);
    } else {
        name.write_literal(0, 4, path.as_bytes(), out);
    }
}

fn write_timeout(
    known: &mut Vec<(Duration, Field)>,
    limit: Limit,
    table: &mut Entries,
    out: &mut Vec<u8>,
) {
    let (Limit::Usual(within) | Limit::Left(within)) = limit;
    if let Some((_, field)) = known.iter_mut().find(|(usual, _)| *usual == within) {
        return field.write(table, out);
    }
    let mut value = Vec::with_capacity(LONGEST_TIMEOUT);
    status::timeout(within, &mut value);
    let mut field = Field::new(Name::New("grpc-timeout"), &value);
    if matches!(limit, Limit::Usual(_)) && known.len() < KNOWN {
        field.write(table, out);
        known.push((within, field));
    } else {
        field.name.write_literal(0, 4, &value, out);
    }
}

impl Name {
    /// Writes a field out; `first` and `prefix` say whether the server enters it (6.2).
    fn write_literal(self, first: u8, prefix: u32, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Name::Static(place) => write_integer(out, first, prefix, usize::from(place)),
            Name::New(name) => {
                out.push(first);
                write_string(out, name.as_bytes());
            }
        }
        write_string(out, value);
    }

    fn len(self) -> usize {
        match self {
            Name::Static(place) => statics::TABLE[usize::from(place) - 1].0.len(),
            Name::New(name) => name.len(),
        }
    }
}

impl Field {
    fn new(name: Name, value: &[u8]) -> Self {
        Self {
            name,
            value: value.to_vec(),
            entered: None,
        }
    }

    fn write(&mut self, table: &mut Entries, out: &mut Vec<u8>) {
        if let Some(place) = self.entered.and_then(|entry| table.place(entry)) {
            return write_integer(out, 0x80, 7, place);
        }
        self.entered = table.enter(self.name.len() + self.value.len() + OVERHEAD);
        match self.entered {
            Some(_) => self.name.write_literal(0x40, 6, &self.value, out),
            None => self.name.write_literal(0, 4, &self.value, out),
        }
    }
}

/// The sizes of what the server's table holds.
struct Entries {
    /// The newest is in front.
    sizes: VecDeque<usize>,
    size: usize,
    max: usize,
    /// How many there were, with those that are gone.
    entered: usize,
    /// The least that the table was, where the server wasn't told of it yet.
    unannounced: Option<usize>,
}

impl Entries {
    fn new() -> Self {
        Self {
            sizes: VecDeque::new(),
            size: 0,
            max: LIMIT,
            entered: 0,
            unannounced: None,
        }
    }

    fn resize(&mut self, max: usize) {
        if max == self.max {
            return;
        }
        self.max = max;
        self.unannounced = Some(self.unannounced.map_or(max, |least| least.min(max)));
        while self.size > max
            && let Some(oldest) = self.sizes.pop_back()
        {
            self.size -= oldest;
        }
    }

    /// Tells the server of a change: the least size in between, and the last (RFC 7541, 4.2).
    fn announce(&mut self, out: &mut Vec<u8>) {
        if let Some(least) = self.unannounced.take() {
            if least < self.max {
                write_integer(out, 0x20, 5, least);
            }
            write_integer(out, 0x20, 5, self.max);
        }
    }

    /// Whether one of this size fits in, and nothing has to go.
    fn has_room(&self, size: usize) -> bool {
        self.size + size <= self.max
    }

    /// Enters one of this size. Returns `None` where something would have to go.
    fn enter(&mut self, size: usize) -> Option<usize> {
        if !self.has_room(size) {
            return None;
        }
        self.size += size;
        self.sizes.push_front(size);
        self.entered += 1;
        Some(self.entered)
    }

    /// The index of an entry, if it is still there.
    fn place(&self, entry: usize) -> Option<usize> {
        let newer = self.entered - entry;
        (newer < self.sizes.len()).then_some(statics::TABLE.len() + 1 + newer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub const USUAL: Limit = Limit::Usual(Duration::from_secs(5));

    pub fn read(decoder: &mut loona_hpack::Decoder<'_>, block: &[u8]) -> String {
        let fields = decoder
            .decode(block)
            .expect("another implementation reads it");
        let line = |(name, value): &(Vec<u8>, Vec<u8>)| {
            format!(
                "{}: {}\n",
                String::from_utf8_lossy(name),
                String::from_utf8_lossy(value)
            )
        };
        fields.iter().map(line).collect()
    }

    pub fn expected(path: &str, timeout: &str) -> String {
        format!(
            ":method: POST\n:scheme: http\n:path: {path}\n:authority: comet-1:3109\nte: trailers\ngrpc-timeout: {timeout}\n\
             content-type: application/grpc\nuser-agent: job/1\n"
        )
    }

    pub fn heads() -> Heads {
        Heads::new("comet-1:3109", "job/1")
    }

    #[test]
    fn from_the_second_call_on_a_head_is_a_byte_for_each_field() {
        let (mut heads, mut decoder) = (heads(), loona_hpack::Decoder::new());
        for path in ["/a", "/b"] {
            let mut lengths = Vec::new();
            for _ in 0..2 {
                let mut block = Vec::new();
                heads.write(path, USUAL, &Along::default(), &mut block);
                assert_eq!(read(&mut decoder, &block), expected(path, "5S"));
                lengths.push(block.len());
            }
            assert!(lengths[0] > 10 && lengths[1] == FIELDS, "{lengths:?}");
        }
    }

    #[test]
    fn what_is_left_of_a_limit_is_not_entered() {
        let (mut heads, mut decoder) = (heads(), loona_hpack::Decoder::new());
        for millis in [4_321, 4_322] {
            let mut block = Vec::new();
            let left = Limit::Left(Duration::from_millis(millis));
            heads.write("/a", left, &Along::default(), &mut block);
            assert_eq!(
                read(&mut decoder, &block),
                expected("/a", &format!("{millis}m"))
            );
        }
        assert!(heads.timeouts.is_empty());
    }

    #[test]
    fn the_list_is_not_larger_than_was_said() {
        for has_tls in [false, true] {
            let mut heads = heads().with_tls(has_tls);
            let mut decoder = loona_hpack::Decoder::new();
            let mut block = Vec::new();
            let left = Limit::Left(Duration::from_micros(12_345_678));
            heads.write("/path", left, &Along::default(), &mut block);
            let fields = decoder.decode(&block).expect("it can be read");
            let size: usize = fields
                .iter()
                .map(|(name, value)| name.len() + value.len() + OVERHEAD)
                .sum();
            assert_eq!(heads.list_size("/path"), size);
            let scheme: &[u8] = if has_tls { b"https" } else { b"http" };
            let (name, value) = &fields[1];
            assert_eq!((&name[..], &value[..]), (&b":scheme"[..], scheme));
        }
    }

    proptest! {
        /// Whatever the server's table is, and however often it changes, another implementation reads what was meant.
        #[test]
        fn heads_are_read_by_another_implementation(
            steps in prop::collection::vec(
                (0..20_usize, 0..20_u64, prop::collection::vec(prop_oneof![0..600_u32, Just(u32::MAX)], 0..3)),
                1..60,
            )
        ) {
            let (mut heads, mut decoder) = (heads(), loona_hpack::Decoder::new());
            for (path, timeout, sizes) in steps {
                for size in sizes {
                    heads.resize(size);
                }
                let path = format!("/{}{path}", "p".repeat(path * 10));
                let mut block = Vec::new();
                heads.write(&path, Limit::Usual(Duration::from_secs(timeout)), &Along::default(), &mut block);
                prop_assert_eq!(read(&mut decoder, &block), expected(&path, &format!("{timeout}S")));
            }
        }
    }
}
