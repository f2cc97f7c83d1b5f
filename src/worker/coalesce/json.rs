//! The web body, `{"type":"serverMessages","payload":{"roomId":R,"messages":[…]}}`: recognised to the byte, and joined.
//!
//! A client that can't parse one message of a joined body parses none of them. So a body is
//! taken for plain only where any parser of JSON reads it, and reads it alike. Legal JSON that parsers disagree about is
//! left alone: names that stand twice in an object, halves of surrogate pairs, numbers beyond a double, deep nesting.

use std::ops::Range;

const BEFORE_ROOM: &[u8] = br#"{"type":"serverMessages","payload":{"roomId":"#;
const BEFORE_MESSAGES: &[u8] = br#","messages":["#;
const AFTER_MESSAGES: &[u8] = b"]}}";

/// Objects and arrays in each other, at most.
const DEPTH: usize = 16;
/// Names in one object, at most.
const NAMES: usize = 16;
/// Characters of a number, and digits of its exponent, at most: what stays within a double.
const NUMBER: usize = 32;
const EXPONENT: usize = 2;

/// Where the messages stand in a plain web body: what is between the brackets, one object at least.
pub fn messages(body: &[u8]) -> Option<Range<usize>> {
    std::str::from_utf8(body).ok()?;
    let mut scan = Scan { body, at: 0 };
    scan.literal(BEFORE_ROOM)?;
    scan.string()?;
    scan.literal(BEFORE_MESSAGES)?;
    let start = scan.at;
    loop {
        scan.object(DEPTH)?;
        match scan.next()? {
            b',' => {}
            b']' => break,
            _ => return None,
        }
    }
    let end = scan.at - 1;
    (&body[end..] == AFTER_MESSAGES).then_some(start..end)
}

/// Writes one body with the messages of all. What stands before them is the same in each, and is taken from the first.
pub fn join<'a>(bodies: impl Iterator<Item = (&'a [u8], Range<usize>)>, to: &mut Vec<u8>) {
    for (n, (body, messages)) in bodies.enumerate() {
        if n == 0 {
            to.extend_from_slice(&body[..messages.start]);
        } else {
            to.push(b',');
        }
        to.extend_from_slice(&body[messages]);
    }
    to.extend_from_slice(AFTER_MESSAGES);
}

/// Reads JSON without making anything of it. `None` is: not plain.
struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.body.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        self.body[self.at..]
            .starts_with(text)
            .then(|| self.at += text.len())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        let mut names = [&[][..]; NAMES];
        let mut count = 0;
        self.literal(b"{")?;
        self.space();
        if self.peek()? == b'}' {
            return self.literal(b"}");
        }
        loop {
            let name = self.string()?;
            // One that is written with escapes may be the same as another that isn't.
            if name.contains(&b'\\') || names[..count].contains(&name) {
                return None;
            }
            *names.get_mut(count)? = name;
            count += 1;
            self.space();
            self.literal(b":")?;
            self.space();
            self.value(depth)?;
            self.space();
            match self.next()? {
                b',' => self.space(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        self.literal(b"[")?;
        self.space();
        if self.peek()? == b']' {
            return self.literal(b"]");
        }
        loop {
            self.value(depth)?;
            self.space();
            match self.next()? {
                b',' => self.space(),
                b']' => return Some(()),
                _ => return None,
            }
        }
    }

    /// What stands between the quotes. The body is known to be UTF-8.
    fn string(&mut self) -> Option<&'a [u8]> {
        let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
        self.literal(b"\"")?;
        let start = self.at;
        loop {
            // A plain stretch is passed in steps that the compiler makes one instruction of.
            while let Some(step) = self.body[self.at..].first_chunk::<16>()
                && !step.iter().fold(false, |any, byte| any | special(*byte))
            {
                self.at += step.len();
            }
            match self.next()? {
                b'"' => return Some(&self.body[start..self.at - 1]),
                b'\\' => self.escape()?,
                0..0x20 => return None,
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex()? {
                0xd800..0xdc00 => {
                    self.literal(b"\\u")?;
                    (0xdc00..0xe000).contains(&self.hex()?).then_some(())
                }
                0xdc00..0xe000 => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |code, _| {
            Some(code << 4 | char::from(self.next()?).to_digit(16)?)
        })
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let _ = self.literal(b"-");
        match self.digits() {
            0 => return None,
            1 => {}
            more if self.body[self.at - more] == b'0' => return None,
            _ => {}
        }
        if self.literal(b".").is_some() && self.digits() == 0 {
            return None;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if !(1..=EXPONENT).contains(&self.digits()) {
                return None;
            }
        }
        (self.at - start <= NUMBER).then_some(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }
}
